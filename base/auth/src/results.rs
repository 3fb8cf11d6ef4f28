//! Authentication-Results: headers (RFC 8601): what was found out about a message, for whoever reads it next.

use crate::{arc::Arc, dkim::Dkim, dkim::Flaw, dmarc::Dmarc, spf::Spf};
use std::fmt::Write;

/// What a method says of a message (RFC 8601 2.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MethodResult {
    /// There is nothing to judge.
    None,
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// It may hold, but it is not believed.
    Policy,
    /// It makes no sense.
    Neutral,
    /// Nobody knows for now.
    TempError,
    /// It can never be judged.
    PermError,
}

/// A result and why it is not a pass.
pub(crate) type Judged = (MethodResult, Option<&'static str>);

impl MethodResult {
    /// As in headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Policy => "policy",
            Self::Neutral => "neutral",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }

    pub(crate) const fn of_flaw(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Syntax => Self::Neutral,
            Flaw::Algorithm | Flaw::From | Flaw::Identity => Self::PermError,
        }
    }
}

/// All that was found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// SPF of the sender; the sender with it.
    pub spf: Option<(Spf, String)>,
    /// Each signature; `None` when DKIM was not asked.
    pub dkim: Option<Vec<Dkim>>,
    /// DMARC.
    pub dmarc: Option<Dmarc>,
    /// ARC.
    pub arc: Option<Arc>,
}

impl Findings {
    /// The value of the header: our name, and each method with its properties on a line of its own.
    pub fn value(&self, our_name: &str) -> String {
        let mut out = word(our_name);
        let mut any = false;
        let mut add = |text: String| {
            any = true;
            let _ = write!(out, ";\r\n\t{text}");
        };
        if let Some((spf, sender)) = &self.spf {
            let (property, who) = match sender.is_empty() {
                true => ("helo", &spf.domain),
                false => ("mailfrom", sender),
            };
            add(format!("spf={} smtp.{property}={}", spf.result.name(), quoted(who)));
        }
        for dkim in self.dkim.iter().flatten() {
            add(dkim_text(dkim));
        }
        if self.dkim.as_ref().is_some_and(Vec::is_empty) {
            add("dkim=none".to_owned());
        }
        if let Some(d) = &self.dmarc {
            let policy = d.policy.map(|p| format!(" (p={})", p.name())).unwrap_or_default();
            add(format!("dmarc={}{policy} header.from={}", d.result.name(), word(&d.domain)));
        }
        if let Some(arc) = &self.arc {
            add(format!("arc={}{}", arc.result.name(), reason(arc.reason)));
        }
        if !any {
            out.push_str("; none");
        }
        out
    }
}

fn dkim_text(d: &Dkim) -> String {
    let mut out = format!("dkim={}{}", d.result.name(), reason(d.reason));
    if !d.domain.is_empty() {
        let (domain, selector) = (word(&d.domain), word(&d.selector));
        let _ = write!(out, "\r\n\theader.d={domain} header.s={selector} header.a={}", d.algorithm);
        let _ = write!(out, " header.b={}", quoted(&d.beginning));
    }
    out
}

fn reason(text: Option<&'static str>) -> String {
    text.map(|t| format!(" reason=\"{t}\"")).unwrap_or_default()
}

/// A text as one word of a header: nothing else than letters, digits and what names consist of.
pub(crate) fn word(text: &str) -> String {
    let fits = |c: &char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    text.chars().filter(fits).take(255).collect()
}

/// A text inside a comment.
pub(crate) fn comment(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !matches!(c, '(' | ')' | '\\')).take(255).collect()
}

/// A text as a value: an address as it is, anything else between quotes.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.@".contains(c);
    let token = |c: char| plain(c) && !matches!(c, '/' | '=' | '?');
    if !text.is_empty()
        && text.len() <= 320
        && text.chars().all(|c| if text.contains('@') { plain(c) } else { token(c) })
    {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars().filter(|c| !c.is_control()).take(320) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// Whether the value of an Authentication-Results: header claims to be ours (RFC 8601 5). Comments and quotes around the name
/// do not hide it.
pub fn claims_to_be(value: &[u8], our_name: &str) -> bool {
    let text = String::from_utf8_lossy(value);
    let (mut name, mut depth) = (String::new(), 0u32);
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            ';' => break,
            '"' | '\\' => {}
            // The name may be followed by a version.
            c if c.is_whitespace() => {
                if !name.is_empty() {
                    break;
                }
            }
            c => name.push(c),
        }
    }
    name.trim_end_matches('.').eq_ignore_ascii_case(our_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dmarc::Policy, spf::SpfResult};

    #[test]
    fn headers() {
        let spf = Spf { result: SpfResult::Pass, domain: "a.test".into(), explanation: None, problem: None };
        let dkim = Dkim {
            result: MethodResult::Fail,
            reason: Some("body has changed"),
            domain: "a.test".into(),
            selector: "s".into(),
            algorithm: "rsa-sha256",
            beginning: "ab+/cdef".into(),
        };
        let dmarc = Dmarc {
            domain: "a.test".into(),
            result: MethodResult::Pass,
            policy: Some(Policy::Reject),
            ..Dmarc::default()
        };
        let f = Findings {
            spf: Some((spf, "u@a.test".into())),
            dkim: Some(vec![dkim]),
            dmarc: Some(dmarc),
            arc: None,
        };
        assert_eq!(
            f.value("mx.here"),
            "mx.here;\r\n\tspf=pass smtp.mailfrom=u@a.test;\r\n\tdkim=fail reason=\"body has changed\"\r\n\theader.d=a.test \
             header.s=s header.a=rsa-sha256 header.b=\"ab+/cdef\";\r\n\tdmarc=pass (p=reject) header.from=a.test"
        );
        assert_eq!(Findings::default().value("mx.here"), "mx.here; none");
    }

    #[test]
    fn nothing_gets_out_of_its_place() {
        for bad in ["a\r\nX: y", "a\"b", "a;b", "a (b"] {
            let q = quoted(bad);
            assert!(q.starts_with('"') && !q.contains('\n'), "{q}");
        }
        assert_eq!(
            (word("a b\r\n;c"), quoted("a@b.c"), quoted("")),
            ("abc".into(), "a@b.c".into(), "\"\"".into())
        );
    }

    #[test]
    fn false_ones() {
        for (value, want) in [
            ("mx.here; spf=pass", true),
            ("MX.Here 1; none", true),
            (" (x) \"mx.here\"; spf=pass", true),
            ("mx.here(c)", true),
            ("mx.here.evil; spf=pass", false),
            ("other; mx.here", false),
        ] {
            assert_eq!(claims_to_be(value.as_bytes(), "mx.here"), want, "{value}");
        }
    }
}
