//! Texts of notices (bounce(5)): subject lines and a body with `$name` in it.

/// One kind of notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// `From:` without domain, to be completed like any local address.
    pub from: String,
    /// `Subject:` of the notice to the sender.
    pub subject: String,
    /// `Subject:` of the copy to postmaster.
    pub postmaster_subject: String,
    /// `charset=` of the text.
    pub charset: String,
    /// Text with `$name` in main.cf's language, lines ending in LF.
    pub text: String,
    /// Where it comes from, for warnings: a file, or `[built-in]`.
    pub source: String,
}

/// Time units of `$delay_warning_time_hours` and the like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// `_seconds`
    Seconds,
    /// `_minutes`
    Minutes,
    /// `_hours`
    Hours,
    /// `_days`
    Days,
    /// `_weeks`
    Weeks,
}

/// A time is not meant to be shown as so many units.
const EXCESSIVE: u64 = 1000;

impl Unit {
    const ALL: [(Self, &str, u64); 5] = [
        (Self::Seconds, "_seconds", 1),
        (Self::Minutes, "_minutes", 60),
        (Self::Hours, "_hours", 3600),
        (Self::Days, "_days", 86_400),
        (Self::Weeks, "_weeks", 604_800),
    ];

    /// Splits `delay_warning_time_hours` into the parameter's name and the unit.
    pub fn split(name: &str) -> Option<(&str, Self)> {
        Self::ALL.iter().find_map(|(unit, suffix, _)| Some((name.strip_suffix(suffix)?, *unit)))
    }

    /// Seconds in one of this unit.
    pub fn seconds(self) -> u64 {
        Self::ALL.iter().find(|u| u.0 == self).map_or(1, |u| u.2)
    }

    /// `hours` and so on, for warnings.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|u| u.0 == self).map_or("", |u| u.1.trim_start_matches('_'))
    }

    /// What is wrong with a time of so many seconds shown in this unit: it is zero, or a number of four digits. Lines for the
    /// log, after `warning: `; `name` as it stands in the template of this `kind` that comes from `source`.
    pub fn complaint(self, secs: u64, source: &str, kind: &str, name: &str) -> Option<[String; 3]> {
        let (unit, shown) = (self.name(), secs / self.seconds());
        let (result, advice) = match shown {
            0 if secs > 0 => ("zero result".to_owned(), "reduce"),
            EXCESSIVE.. => (format!("excessive result \"{shown}\""), "increase"),
            _ => return None,
        };
        Some([
            format!("{source}: {result} in {kind} template conversion of parameter \"{name}\""),
            format!("please {advice} time unit \"{unit}\" of \"{name}\" in {kind} template"),
            "for instructions see the bounce(5) manual".to_owned(),
        ])
    }
}

const INTRO: &str = "This is the mail system at host $myhostname.\n\n";
const HELP: &str = "For further assistance, please send mail to postmaster.\n\n\
    If you do so, please include this problem report. You can\n\
    delete your own text from the attached returned message.\n\n";
const SIGNATURE: &str = "                   The mail system\n";

impl Template {
    fn built_in(subject: &str, postmaster_subject: &str, middle: &str) -> Self {
        Self {
            from: "Mail Delivery System <MAILER-DAEMON>".into(),
            subject: subject.into(),
            postmaster_subject: postmaster_subject.into(),
            charset: "us-ascii".into(),
            text: format!("{INTRO}{middle}{SIGNATURE}"),
            source: "[built-in]".into(),
        }
    }

    /// `failure_template`
    pub fn failure() -> Self {
        let text = "I'm sorry to have to inform you that your message could not\n\
            be delivered to one or more recipients. It's attached below.\n\n";
        let subject = "Undelivered Mail Returned to Sender";
        Self::built_in(subject, "Postmaster Copy: Undelivered Mail", &format!("{text}{HELP}"))
    }

    /// `delay_template`
    pub fn delay() -> Self {
        let text = "####################################################################\n\
            # THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #\n\
            ####################################################################\n\n\
            Your message could not be delivered for more than $delay_warning_time_hours hour(s).\n\
            It will be retried until it is $maximal_queue_lifetime_days day(s) old.\n\n";
        let subject = "Delayed Mail (still being retried)";
        Self::built_in(subject, "Postmaster Warning: Delayed Mail", &format!("{text}{HELP}"))
    }

    /// `success_template`
    pub fn success() -> Self {
        let text = "Your message was successfully delivered to the destination(s)\n\
            listed below. If the message was delivered to mailbox you will\n\
            receive no further notifications. Otherwise you may still receive\n\
            notifications of mail delivery errors from other systems.\n\n";
        Self::built_in("Successful Mail Delivery Report", "", text)
    }

    /// `verify_template`
    pub fn verify() -> Self {
        let text = "Enclosed is the mail delivery report that you requested.\n\n";
        Self::built_in("Mail Delivery Status Report", "", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(Unit::split("delay_warning_time_hours"), Some(("delay_warning_time", Unit::Hours)));
        assert_eq!(Unit::split("myhostname"), None);
        assert_eq!(Unit::Weeks.seconds(), 7 * Unit::Days.seconds());
        let complaint = |unit: Unit, secs| unit.complaint(secs, "f", "delay", "n").map(|c| c[0].clone());
        assert_eq!(complaint(Unit::Seconds, 999), None);
        assert_eq!(complaint(Unit::Hours, 0), None);
        let want = "f: excessive result \"1000\" in delay template conversion of parameter \"n\"";
        assert_eq!(complaint(Unit::Seconds, 1000).as_deref(), Some(want));
        let want = "f: zero result in delay template conversion of parameter \"n\"";
        assert_eq!(complaint(Unit::Hours, 3599).as_deref(), Some(want));
    }
}
