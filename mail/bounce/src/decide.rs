//! Who is told what: pure.
//!
//! A failure goes to the sender; the failure of a notice (null sender) to postmaster if `notify_classes` has 2bounce; the failure of that
//! to nobody. With VERP each failure is a letter of its own, to a sender that names the recipient. `NOTIFY=` selects the recipients of the sender's notice (RFC 3461 4.1); postmaster's copies have all.

use crate::config::BounceConfig;
use base_calls::{Diagnosis, Mode, Notice, NoticeKind, Notify, Ret};
use proto_dsn::Returned;

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    /// The kind of notice.
    pub kind: NoticeKind,
    /// For postmaster, not for the sender.
    pub postmaster: bool,
    /// Envelope sender.
    pub sender: String,
    /// Envelope recipient.
    pub to: String,
    /// What of the message comes back, before size limits.
    pub returned: Returned,
    /// The report that `sendmail -v` or `-bv` asked for.
    pub asked: bool,
    /// Recipients it is about.
    pub about: Vec<(u32, Diagnosis)>,
}

impl Letter {
    /// The words of the log line.
    pub fn log_text(&self) -> &'static str {
        match (self.postmaster, self.kind) {
            (false, NoticeKind::Failed) => "sender non-delivery notification",
            (false, NoticeKind::Delayed) => "sender delay notification",
            (false, NoticeKind::Success) => "sender delivery status notification",
            (true, NoticeKind::Failed) => "postmaster non-delivery notification",
            (true, NoticeKind::Delayed) => "postmaster delay notification",
            (true, NoticeKind::Success) => "postmaster delivery status notification",
        }
    }
}

/// The letters to send.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Plan {
    /// In order.
    pub letters: Vec<Letter>,
    /// A notice to postmaster could not be delivered: the end of the road.
    pub discarded: bool,
    /// A success report that has nobody to go to: the message is itself a notice of this kind.
    pub unsent: Option<&'static str>,
}

/// Decides.
pub(crate) fn decide(config: &BounceConfig, notice: &Notice) -> Plan {
    let sender = &notice.message.envelope.sender;
    if sender.eq_ignore_ascii_case(&config.double_sender) {
        let discarded = notice.kind == NoticeKind::Failed;
        let unsent = (notice.kind == NoticeKind::Success).then_some("double-bounce");
        return Plan { letters: Vec::new(), discarded, unsent };
    }
    if sender.is_empty() {
        let unsent = (notice.kind == NoticeKind::Success).then_some("single-bounce");
        return Plan {
            letters: double_bounce(config, notice).into_iter().collect(),
            discarded: false,
            unsent,
        };
    }
    let letters = match notice.kind {
        NoticeKind::Failed if config.verp && !notice.message.envelope.verp.is_empty() => {
            one_by_one(notice).iter().flat_map(|n| letters(config, n)).collect()
        }
        _ => letters(config, notice),
    };
    Plan { letters, ..Plan::default() }
}

fn letters(config: &BounceConfig, notice: &Notice) -> Vec<Letter> {
    to_sender(config, notice).into_iter().chain(copy(config, notice)).collect()
}

/// A notice for each failed address.
fn one_by_one(notice: &Notice) -> Vec<Notice> {
    let each = notice.recipients.iter().flat_map(|(i, d)| d.each().map(move |d| (*i, d)));
    each.map(|(i, d)| Notice {
        recipients: vec![(i, Diagnosis { more: Vec::new(), ..d.clone() })],
        ..notice.clone()
    })
    .collect()
}

/// The sender that is written to about these recipients.
fn return_path(config: &BounceConfig, notice: &Notice, about: &[(u32, Diagnosis)]) -> String {
    let envelope = &notice.message.envelope;
    let verp = match about {
        [(index, _)] if config.verp => envelope
            .recipients
            .get(*index as usize)
            .and_then(|r| envelope.verp_sender(if r.original.is_empty() { &r.address } else { &r.original })),
        _ => None,
    };
    verp.unwrap_or_else(|| envelope.sender.clone())
}

fn to_sender(config: &BounceConfig, notice: &Notice) -> Option<Letter> {
    let envelope = &notice.message.envelope;
    let wants = |n: Notify| match notice.kind {
        NoticeKind::Failed => n.wants_failure(),
        NoticeKind::Delayed => n.wants_delay(),
        NoticeKind::Success => n.success,
    };
    let asked = notice.kind == NoticeKind::Success && envelope.mode() != Mode::Deliver;
    let wanted =
        |i: u32| envelope.recipients.get(i as usize).is_none_or(|r| !r.notify.never && wants(r.notify));
    let about: Vec<_> = notice.recipients.iter().filter(|(i, _)| asked || wanted(*i)).cloned().collect();
    // RFC 3461 4.3: RET=FULL is about failures; other notices return the header.
    let redacted = config.redact_requiretls && envelope.requires_tls();
    let full = notice.kind == NoticeKind::Failed && envelope.ret != Some(Ret::Hdrs) && !redacted;
    let returned = if full { Returned::Full } else { Returned::Headers };
    let to = return_path(config, notice, &about);
    (!about.is_empty()).then(|| Letter {
        kind: notice.kind,
        postmaster: false,
        sender: String::new(),
        to,
        returned,
        asked,
        about,
    })
}

fn double_bounce(config: &BounceConfig, notice: &Notice) -> Option<Letter> {
    let due = notice.kind == NoticeKind::Failed && config.notify_2bounce;
    due.then(|| for_postmaster(config, notice, &config.double_recipient, Returned::Full))
}

fn copy(config: &BounceConfig, notice: &Notice) -> Option<Letter> {
    match notice.kind {
        NoticeKind::Failed if config.notify_bounce => {
            Some(for_postmaster(config, notice, &config.bounce_recipient, Returned::Headers))
        }
        NoticeKind::Delayed if config.notify_delay => {
            Some(for_postmaster(config, notice, &config.delay_recipient, Returned::Headers))
        }
        _ => None,
    }
}

fn for_postmaster(config: &BounceConfig, notice: &Notice, to: &str, returned: Returned) -> Letter {
    let (sender, about) = (config.double_sender.clone(), notice.recipients.clone());
    Letter { kind: notice.kind, postmaster: true, sender, to: to.to_owned(), returned, asked: false, about }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_calls::{Content, Envelope, QueueId, Queued, Recipient, Timestamp};
    use base_conf::Config;
    use proto_dsn::Status;
    use std::sync::Arc;

    fn notice(kind: NoticeKind, sender: &str, ret: Option<Ret>, notify: &[Notify]) -> Notice {
        let recipient = |n: &Notify| Recipient { address: "x@y".into(), notify: *n, ..Recipient::default() };
        let recipients = notify.iter().map(recipient).collect();
        let envelope = Envelope { sender: sender.into(), ret, recipients, ..Envelope::default() };
        let id = QueueId { time: Timestamp(1), slot: 1, long: false };
        let message =
            Arc::new(Queued { id, envelope, content: Content::Memory("".into()), accepted: Timestamp(1) });
        let about =
            (0..notify.len() as u32).map(|i| (i, Diagnosis::new(Status::new(5, 0, 0), "no"))).collect();
        Notice { kind, message, recipients: about }
    }

    fn check(classes: &str, n: &Notice) -> Vec<(bool, String, Returned, usize)> {
        let cfg = Config::from_text(&format!("myhostname = m.example\nnotify_classes = {classes}\n"));
        let config = BounceConfig::from_config(&cfg, &base_sys::opener::Plain).unwrap();
        let plan = decide(&config, n);
        plan.letters.into_iter().map(|l| (l.postmaster, l.to, l.returned, l.about.len())).collect()
    }

    #[test]
    fn who_is_told() {
        use NoticeKind::{Delayed, Failed, Success};
        let unset = Notify::default();
        let (never, success) = (Notify { never: true, ..unset }, Notify { success: true, ..unset });
        let bob = |returned, n| (false, "bob@x".to_owned(), returned, n);
        let post = |returned, n| (true, "postmaster".to_owned(), returned, n);
        let full = Returned::Full;
        let headers = Returned::Headers;
        assert_eq!(check("", &notice(Failed, "bob@x", None, &[unset, never, success])), [bob(full, 1)]);
        assert_eq!(check("", &notice(Failed, "bob@x", Some(Ret::Hdrs), &[unset])), [bob(headers, 1)]);
        assert_eq!(check("", &notice(Failed, "bob@x", None, &[never])), []);
        assert_eq!(check("", &notice(Failed, "", None, &[unset])), []);
        assert_eq!(check("2bounce", &notice(Failed, "", None, &[unset])), [post(full, 1)]);
        assert_eq!(
            check("bounce", &notice(Failed, "bob@x", None, &[unset])),
            [bob(full, 1), post(headers, 1)]
        );
        assert_eq!(check("delay", &notice(Delayed, "bob@x", None, &[success])), [post(headers, 1)]);
        assert_eq!(check("", &notice(Delayed, "bob@x", None, &[unset])), [bob(headers, 1)]);
        assert_eq!(check("", &notice(Delayed, "bob@x", Some(Ret::Full), &[unset])), [bob(headers, 1)]);
        assert_eq!(
            check("bounce", &notice(Success, "bob@x", Some(Ret::Full), &[success, unset])),
            [bob(headers, 1)]
        );
        let (mut verp, success) = (notice(Failed, "bob@x", None, &[unset, unset]), success);
        let envelope = &mut Arc::get_mut(&mut verp.message).unwrap().envelope;
        envelope.verp = "+=".into();
        verp.recipients[1].1.join(Diagnosis::default());
        let each = || (false, "bob+x=y@x".to_owned(), full, 1);
        assert_eq!(check("", &verp), [each(), each(), each()]);
        let mut probe = notice(Success, "bob@x", None, &[unset]);
        let attribute = ("verify_only".to_owned(), "yes".to_owned());
        Arc::get_mut(&mut probe.message).unwrap().envelope.attributes.push(attribute);
        assert_eq!(check("", &probe), [bob(headers, 1)]);
        assert_eq!(check("", &notice(Success, "", None, &[success])), []);
        assert_eq!(check("2bounce", &notice(Failed, "double-bounce@m.example", None, &[unset])), []);
    }
}
