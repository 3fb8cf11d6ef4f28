//! The texts of MTA-STS (RFC 8461): the TXT record, the policy, and which hosts it names. Pure.

use std::time::Duration;

/// Longest life of a policy (RFC 8461 3.2).
const MAX_AGE: u64 = 31_557_600;
/// The longest name, and the most bytes of all: the cache must be able to keep them.
const MAX_NAME: usize = 255;
const MAX_NAMES: usize = 7 * 1024;

/// What to do with a host that is not as the policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// No mail.
    Enforce,
    /// Mail all the same; it is reported (RFC 8460).
    Testing,
    /// There is no policy any more.
    None,
}

impl Mode {
    /// As policies write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        }
    }

    pub fn named(word: &str) -> Option<Self> {
        [Self::Enforce, Self::Testing, Self::None].into_iter().find(|m| m.word() == word)
    }
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    pub mode: Mode,
    /// Names of hosts; `*.example.com` stands for one label more.
    pub hosts: Vec<String>,
    /// How long it holds from when it was fetched.
    pub max_age: Duration,
}

/// The `id` of the TXT records at `_mta-sts.domain`; `None` unless exactly one is a policy's (RFC 8461 3.1).
pub(crate) fn record_id(records: &[Vec<u8>]) -> Option<String> {
    let mut texts = records.iter().filter_map(|r| std::str::from_utf8(r).ok()).filter(|t| is_record(t));
    let (text, None) = (texts.next()?, texts.next()) else { return None };
    let id = text.split(';').filter_map(|f| f.split_once('=')).find(|(k, _)| k.trim() == "id")?.1.trim();
    let right = (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    right.then(|| id.to_owned())
}

fn is_record(text: &str) -> bool {
    text.strip_prefix("v=STSv1").is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with(';'))
}

/// A policy's text; the error says what is wrong.
pub(crate) fn parse(text: &str) -> Result<Policy, &'static str> {
    let (mut version, mut mode, mut max_age, mut hosts) = (None, None, None, Vec::new());
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        // The first one of a key counts (RFC 8461 3.2).
        match key.trim() {
            "version" => version = version.or(Some(value)),
            "mode" => mode = mode.or(Some(value)),
            "max_age" => max_age = max_age.or(Some(value)),
            "mx" if is_host(value) => hosts.push(value.to_ascii_lowercase()),
            _ => {}
        }
    }
    if version != Some("STSv1") {
        return Err("no version STSv1");
    }
    let mode = mode.and_then(Mode::named).ok_or("no mode")?;
    let seconds: u64 = max_age.and_then(|t| t.parse().ok()).ok_or("no max_age")?;
    if hosts.iter().map(|h| h.len() + 1).sum::<usize>() > MAX_NAMES {
        return Err("too many mx");
    }
    if hosts.is_empty() && mode != Mode::None {
        return Err("no mx");
    }
    Ok(Policy { mode, hosts, max_age: Duration::from_secs(seconds.min(MAX_AGE)) })
}

fn is_host(name: &str) -> bool {
    let own = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let plain = name.strip_prefix("*.").unwrap_or(name);
    !plain.is_empty() && name.len() <= MAX_NAME && plain.bytes().all(own)
}

impl Policy {
    /// What a plugin says of hosts.
    pub fn of_hosts(hosts: Vec<String>) -> Self {
        Self { mode: Mode::Enforce, hosts, max_age: Duration::ZERO }
    }

    /// As its server writes it.
    pub fn lines(&self) -> Vec<String> {
        let (mode, age) =
            (format!("mode: {}", self.mode.word()), format!("max_age: {}", self.max_age.as_secs()));
        let hosts = self.hosts.iter().map(|host| format!("mx: {host}"));
        ["version: STSv1".to_owned(), mode].into_iter().chain(hosts).chain([age]).collect()
    }

    /// Whether a mail exchanger is one of the policy's (RFC 8461 4.1).
    pub fn names(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.hosts.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(parent) => {
                host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent)
            }
            None => *pattern == host,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        for (texts, want) in [
            (&["v=STSv1; id=20160831085700Z;"][..], Some("20160831085700Z")),
            (&["other", "v=STSv1;id=1"], Some("1")),
            (&["v=STSv1; id=1;", "v=STSv1; id=2;"], None),
            (&["v=STSv12; id=1;"], None),
            (&["v=STSv1; id=;"], None),
            (&["v=STSv1; id=a b;"], None),
            (&["v=STSv1;"], None),
            (&[], None),
        ] {
            let records: Vec<Vec<u8>> = texts.iter().map(|t| t.as_bytes().to_vec()).collect();
            assert_eq!(record_id(&records).as_deref(), want, "{texts:?}");
        }
    }

    #[test]
    fn policies() {
        let text = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmx: b@d\r\nmax_age: 604800\r\nother: x\r\n";
        let p = parse(text).expect("a policy");
        assert_eq!((p.mode, p.max_age.as_secs()), (Mode::Enforce, 604_800));
        assert_eq!(parse(&p.lines().join("\n")).as_ref(), Ok(&p));
        for (host, want) in [
            ("mail.example.com", true),
            ("MAIL.example.com.", true),
            ("a.example.net", true),
            ("a.b.example.net", false),
            ("example.net", false),
            ("other.example.com", false),
        ] {
            assert_eq!(p.names(host), want, "{host}");
        }
        let of_hosts = |count: usize| {
            let hosts: String =
                (0..count).map(|n| format!("mx: mx{n:03}.a-long-name.example.com\n")).collect();
            format!("version: STSv1\nmode: enforce\n{hosts}max_age: 5\n")
        };
        let all = parse(&of_hosts(200)).expect("a policy");
        assert!(all.names("mx199.a-long-name.example.com"));
        for (text, want) in [
            (of_hosts(1000).as_str(), Err("too many mx")),
            ("version: STSv1\nmode: none\nmax_age: 5\n", Ok(Mode::None)),
            (
                "version: STSv1\nmode: testing\nmode: enforce\nmx: a\nmax_age: 99999999999\n",
                Ok(Mode::Testing),
            ),
            ("mode: enforce\nmx: a\nmax_age: 5\n", Err("no version STSv1")),
            ("version: STSv1\nmode: x\nmx: a\nmax_age: 5\n", Err("no mode")),
            ("version: STSv1\nmode: enforce\nmx: a\nmax_age: -5\n", Err("no max_age")),
            ("version: STSv1\nmode: enforce\nmax_age: 5\n", Err("no mx")),
            ("", Err("no version STSv1")),
        ] {
            assert_eq!(parse(text).map(|p| p.mode), want, "{text}");
        }
    }
}
