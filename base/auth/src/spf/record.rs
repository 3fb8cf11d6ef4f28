//! An SPF record as it is written (RFC 7208 4.5, 4.6, 5, 6): parsed whole before anything is asked, so that a mistake anywhere shows.

use super::{SpfResult, expand};
use std::net::IpAddr;

/// A record.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub directives: Vec<(SpfResult, Mechanism)>,
    pub redirect: Option<String>,
    pub explanation: Option<String>,
}

/// What a directive matches. Domains are macro strings; `None`: the domain that is asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    All,
    Include(String),
    A(Option<String>, Prefixes),
    Mx(Option<String>, Prefixes),
    Ptr(Option<String>),
    Network(IpAddr, u8),
    Exists(String),
}

/// How many bits of IPv4 and IPv6 addresses count.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) struct Prefixes(pub u8, pub u8);

/// Whether a TXT record is one of SPF version 1.
pub(super) fn is_spf(text: &[u8]) -> bool {
    let version = text.get(..6).is_some_and(|v| v.eq_ignore_ascii_case(b"v=spf1"));
    version && text.get(6).is_none_or(|b| *b == b' ')
}

/// Parses a record; `None`: it makes no sense.
pub(super) fn parse(text: &[u8]) -> Option<Record> {
    let text = std::str::from_utf8(text).ok().filter(|t| t.is_ascii())?;
    let mut record = Record::default();
    for term in text.get(6..)?.split(' ').filter(|t| !t.is_empty()) {
        match modifier(term) {
            Some((name, value)) => {
                let slot = match name.to_ascii_lowercase().as_str() {
                    "redirect" => &mut record.redirect,
                    "exp" => &mut record.explanation,
                    _ if expand::is_valid(value, true) => continue,
                    _ => return None,
                };
                if slot.is_some() || !expand::is_domain(value) {
                    return None;
                }
                *slot = Some(value.to_owned());
            }
            None => record.directives.push(directive(term)?),
        }
    }
    Some(record)
}

/// `name=value`.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    named.then_some((name, value))
}

fn directive(term: &str) -> Option<(SpfResult, Mechanism)> {
    let (result, term) = match term.split_at_checked(1)? {
        ("+", rest) => (SpfResult::Pass, rest),
        ("-", rest) => (SpfResult::Fail, rest),
        ("~", rest) => (SpfResult::SoftFail, rest),
        ("?", rest) => (SpfResult::Neutral, rest),
        _ => (SpfResult::Pass, term),
    };
    let end = term.find([':', '/']).unwrap_or(term.len());
    let (name, rest) = term.split_at(end);
    let mechanism = match name.to_ascii_lowercase().as_str() {
        "all" if rest.is_empty() => Mechanism::All,
        "include" => Mechanism::Include(named(rest)?),
        "exists" => Mechanism::Exists(named(rest)?),
        "a" => host(rest).map(|(d, p)| Mechanism::A(d, p))?,
        "mx" => host(rest).map(|(d, p)| Mechanism::Mx(d, p))?,
        "ptr" if rest.is_empty() => Mechanism::Ptr(None),
        "ptr" => Mechanism::Ptr(Some(named(rest)?)),
        "ip4" => network(rest, 32)?,
        "ip6" => network(rest, 128)?,
        _ => return None,
    };
    Some((result, mechanism))
}

/// `:domain`.
fn named(rest: &str) -> Option<String> {
    rest.strip_prefix(':').filter(|d| expand::is_domain(d)).map(str::to_owned)
}

/// `[:domain][/bits][//bits]`. A slash may stand inside a macro.
fn host(rest: &str) -> Option<(Option<String>, Prefixes)> {
    let (mut rest, mut prefixes) = (rest, Prefixes(32, 128));
    let after_macros = rest.rfind('}').map_or(0, |at| at + 1);
    if let Some(slash) = rest.get(after_macros..)?.find('/').map(|at| at + after_macros) {
        let bits = rest.get(slash..)?;
        rest = rest.get(..slash)?;
        let (four, six) = match bits.split_once("//") {
            Some((four, six)) => (four, Some(six)),
            None => (bits, None),
        };
        if let Some(six) = six {
            prefixes.1 = number(six, 128)?;
        }
        if !four.is_empty() {
            prefixes.0 = number(four.strip_prefix('/')?, 32)?;
        }
    }
    let domain = if rest.is_empty() { None } else { Some(named(rest)?) };
    Some((domain, prefixes))
}

fn network(rest: &str, width: u8) -> Option<Mechanism> {
    let rest = rest.strip_prefix(':')?;
    let (address, bits) = match rest.split_once('/') {
        Some((address, bits)) => (address, number(bits, width)?),
        None => (rest, width),
    };
    let address: IpAddr = address.parse().ok()?;
    (address.is_ipv4() == (width == 32)).then_some(Mechanism::Network(address, bits))
}

/// A number of bits without leading zeros.
fn number(text: &str, most: u8) -> Option<u8> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|n| plain && *n <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_record() {
        for (text, want) in [("v=spf1", true), ("V=SPF1 -all", true), ("v=spf10", false), ("v=spf", false)] {
            assert_eq!(is_spf(text.as_bytes()), want, "{text}");
        }
        for good in [
            "v=spf1 a:mail.%{d}/24//64 mx/0 -all",
            "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ?exists:%{ir}.x.example",
            "v=spf1 a:%{d1r/}.example/30 redirect=_spf.example.com exp=e.%{d} x-y=%{s}",
            "v=spf1 ptr ptr:example.org include:a.b ~ALL",
        ] {
            assert!(parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            "v=spf1 a:",
            "v=spf1 include",
            "v=spf1 all:x",
            "v=spf1 ip4:1.2.3",
            "v=spf1 ip4:192.0.2.1/33",
            "v=spf1 ip4:::1",
            "v=spf1 a/032",
            "v=spf1 foo",
            "v=spf1 redirect=a.b redirect=c.d",
            "v=spf1 a:example",
            "v=spf1 exists:%{x}.a.b",
            "v=spf1 a:%abc.d",
            "v=spf1 a:example.1",
        ] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
