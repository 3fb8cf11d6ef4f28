//! Which queued messages an order is about: `--to`, `--from`, `--reason`, `--older-than` of postqueue and postsuper, an
//! extension.
//!
//! Pure. All that are given must match. Addresses are compared without regard to case; `*` stands for anything, a pattern
//! without `@` is a domain, `<>` the null sender. A reason is found anywhere in the text of the last delay.

use crate::{Timestamp, listing::ListedMessage};
use std::ffi::OsString;
use std::time::Duration;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Some recipient that waits.
    pub to: Option<String>,
    /// The sender.
    pub from: Option<String>,
    /// Why some recipient waits.
    pub reason: Option<String>,
    /// How long it has been here at least.
    pub older_than: Option<Duration>,
}

/// The options.
const NAMES: [&str; 4] = ["to", "from", "reason", "older-than"];

impl Wanted {
    /// Takes its options out of a command line, `--to PATTERN` or `--to=PATTERN`, and leaves the rest; an error is the text for
    /// the user.
    pub fn take(args: &mut Vec<OsString>) -> Result<Self, String> {
        let mut wanted = Self::default();
        let mut rest = Vec::with_capacity(args.len());
        let mut all = std::mem::take(args).into_iter();
        while let Some(arg) = all.next() {
            let text = arg.to_str().and_then(|a| a.strip_prefix("--")).unwrap_or_default();
            let (name, value) = text.split_once('=').map_or((text, None), |(n, v)| (n, Some(v.to_owned())));
            if !NAMES.contains(&name) {
                rest.push(arg);
                continue;
            }
            let value = value.or_else(|| all.next().and_then(|v| v.into_string().ok()));
            wanted.set(name, value.ok_or_else(|| format!("option requires an argument -- '{name}'"))?)?;
        }
        *args = rest;
        Ok(wanted)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        match name {
            "to" => self.to = Some(value.to_lowercase()),
            "from" => self.from = Some(value.to_lowercase()),
            "reason" => self.reason = Some(value.to_lowercase()),
            _ => {
                let bad = || format!("bad time value or unit: {value}");
                self.older_than = Some(duration(&value).ok_or_else(bad)?);
            }
        }
        Ok(())
    }

    /// Whether nothing was asked for: every message is meant.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the message is meant.
    pub fn matches(&self, m: &ListedMessage, now: Timestamp) -> bool {
        let to = |p: &String| m.recipients.iter().any(|(address, _)| is_like(p, address));
        let reason = |p: &String| {
            m.recipients.iter().any(|(_, why)| why.as_ref().is_some_and(|why| why.to_lowercase().contains(p)))
        };
        self.to.as_ref().is_none_or(to)
            && self.from.as_ref().is_none_or(|p| is_like(p, &m.sender))
            && self.reason.as_ref().is_none_or(reason)
            && self.older_than.is_none_or(|age| now.since(m.arrival) >= age)
    }
}

/// `90`, `5m`, `2h`, `3d`, `1w`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit).map(Duration::from_secs)
}

/// The pattern is in lower case.
fn is_like(pattern: &str, address: &str) -> bool {
    let address = address.to_lowercase();
    match pattern {
        "<>" => address.is_empty(),
        p if p.contains('@') => glob(p, &address),
        p => address.rsplit_once('@').is_some_and(|(_, domain)| glob(p, domain)),
    }
}

/// `*` for anything. Takes time in proportion to the text for each `*`.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> ListedMessage {
        ListedMessage {
            sender: "Bob@Example.com".into(),
            arrival: Timestamp::from_secs(1000),
            recipients: vec![
                ("a@one.example".into(), None),
                ("b@Two.example".into(), Some("host said: 450 Mailbox Full".into())),
            ],
            ..ListedMessage::default()
        }
    }

    fn check(line: &str) -> Result<bool, String> {
        let mut args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let wanted = Wanted::take(&mut args)?;
        assert!(args.iter().all(|a| ["-p", "--", "--colour"].iter().any(|x| a == x)), "{args:?}");
        Ok(wanted.matches(&message(), Timestamp::from_secs(1600)))
    }

    #[test]
    fn cases() {
        for (line, want) in [
            ("-p", true),
            ("--to a@one.example -p", true),
            ("--to=TWO.example", true),
            ("--to *.example", true),
            ("--to b@*", true),
            ("--to b@*.*le", true),
            ("--to b@one.example", false),
            ("--to example", false),
            ("--from bob@example.com --to one.example", true),
            ("--from=<>", false),
            ("--reason mailbox", true),
            ("--reason refused", false),
            ("--older-than 10m", true),
            ("--older-than 601", false),
            ("-- --colour", true),
        ] {
            assert_eq!(check(line), Ok(want), "{line}");
        }
        assert_eq!(check("--older-than 5x"), Err("bad time value or unit: 5x".into()));
        assert_eq!(check("--older-than é"), Err("bad time value or unit: é".into()));
        assert_eq!(check("--to"), Err("option requires an argument -- 'to'".into()));
    }
}
