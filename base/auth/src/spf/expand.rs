//! Macros in SPF records (RFC 7208 7).

use super::Client;
use std::{fmt::Write, net::IpAddr};

/// The longest domain name; longer ones lose labels from the left (7.3).
const MAX_NAME: usize = 253;

/// What macros stand for.
pub(super) struct Values<'a> {
    pub client: &'a Client<'a>,
    /// Local part and domain of the sender.
    pub sender: (&'a str, &'a str),
    /// The domain that is asked.
    pub domain: &'a str,
    /// The name of the client that was found to be right.
    pub validated: Option<&'a str>,
    /// Seconds since 1970.
    pub now: u64,
}

/// One piece of a macro string.
enum Piece<'t> {
    Text(&'t str),
    Macro { letter: char, parts: Option<usize>, reverse: bool, delimiters: &'t str },
}

/// The first piece and what follows; `None`: no macro string.
fn next(text: &str) -> Option<(Piece<'_>, &str)> {
    let Some(rest) = text.strip_prefix('%') else {
        let (plain, rest) = text.split_at(text.find('%').unwrap_or(text.len()));
        return Some((Piece::Text(plain), rest));
    };
    match rest.split_at_checked(1)? {
        ("%", rest) => Some((Piece::Text("%"), rest)),
        ("_", rest) => Some((Piece::Text(" "), rest)),
        ("-", rest) => Some((Piece::Text("%20"), rest)),
        ("{", rest) => {
            let (inside, rest) = rest.split_once('}')?;
            let (letter, inside) = inside.split_at_checked(1)?;
            let digits = inside.bytes().take_while(u8::is_ascii_digit).count();
            let (number, inside) = inside.split_at(digits);
            let parts = if number.is_empty() { None } else { Some(number.parse().ok().filter(|n| *n > 0)?) };
            let (reverse, delimiters) = match inside.strip_prefix(['r', 'R']) {
                Some(inside) => (true, inside),
                None => (false, inside),
            };
            let letter = letter.chars().next()?;
            let known = "slodiphcrtv".contains(letter.to_ascii_lowercase());
            let valid = known && delimiters.bytes().all(|b| b".-+,/_=".contains(&b));
            valid.then_some((Piece::Macro { letter, parts, reverse, delimiters }, rest))
        }
        _ => None,
    }
}

/// Whether a text is a macro string; `c`, `r` and `t` are for explanations only.
pub(super) fn is_valid(text: &str, explanation: bool) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let Some((piece, more)) = next(rest) else { return false };
        let special = matches!(piece, Piece::Macro { letter, .. } if "crtCRT".contains(letter));
        if special && !explanation {
            return false;
        }
        rest = more;
    }
    true
}

/// Whether a text is a macro string that ends like a domain (7.1 `domain-spec`).
pub(super) fn is_domain(text: &str) -> bool {
    if text.is_empty() || !is_valid(text, false) || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return false;
    }
    if text.ends_with('}') || ["%%", "%_", "%-"].iter().any(|end| text.ends_with(end)) {
        return true;
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    let Some((_, top)) = text.rsplit_once('.') else { return false };
    let letters = top.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let edges = !top.starts_with('-') && !top.ends_with('-') && !top.is_empty();
    letters && edges && !top.bytes().all(|b| b.is_ascii_digit())
}

/// Whether the validated name of the client is asked for, which costs questions.
pub(super) fn wants_name(text: &str) -> bool {
    text.contains("%{p") || text.contains("%{P")
}

/// The text with values for macros.
pub(super) fn text(template: &str, values: &Values<'_>) -> String {
    let (mut out, mut rest) = (String::new(), template);
    while !rest.is_empty() {
        let Some((piece, more)) = next(rest) else { break };
        match piece {
            Piece::Text(plain) => out.push_str(plain),
            Piece::Macro { letter, parts, reverse, delimiters } => {
                let value = value(letter, values);
                let value = transformed(&value, parts, reverse, delimiters);
                match letter.is_ascii_uppercase() {
                    true => escape(&value, &mut out),
                    false => out.push_str(&value),
                }
            }
        }
        rest = more;
    }
    out
}

/// The domain that a template means.
pub(super) fn domain(template: &str, values: &Values<'_>) -> String {
    let whole = text(template, values);
    let mut name = whole.trim_end_matches('.');
    while name.len() > MAX_NAME {
        match name.split_once('.') {
            Some((_, shorter)) => name = shorter,
            None => return String::new(),
        }
    }
    name.to_owned()
}

fn value(letter: char, v: &Values<'_>) -> String {
    let (local, domain) = v.sender;
    match letter.to_ascii_lowercase() {
        's' => format!("{local}@{domain}"),
        'l' => local.to_owned(),
        'o' => domain.to_owned(),
        'd' => v.domain.to_owned(),
        'i' => dotted(v.client.ip),
        'p' => v.validated.unwrap_or("unknown").to_owned(),
        'h' => v.client.helo.to_owned(),
        'c' => v.client.ip.to_string(),
        'r' => v.client.receiver.to_owned(),
        't' => v.now.to_string(),
        _ if v.client.ip.is_ipv4() => "in-addr".to_owned(),
        _ => "ip6".to_owned(),
    }
}

/// An address with dots between its bytes, or nibbles.
fn dotted(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(a) => a.to_string(),
        IpAddr::V6(a) => {
            let nibbles = a
                .octets()
                .iter()
                .flat_map(|b| [b >> 4, b & 15])
                .map(|n| format!("{n:x}"))
                .collect::<Vec<_>>();
            nibbles.join(".")
        }
    }
}

fn transformed(value: &str, parts: Option<usize>, reverse: bool, delimiters: &str) -> String {
    if parts.is_none() && !reverse && delimiters.is_empty() {
        return value.to_owned();
    }
    let delimiters = if delimiters.is_empty() { "." } else { delimiters };
    let mut pieces: Vec<&str> = value.split(|c| delimiters.contains(c)).collect();
    if reverse {
        pieces.reverse();
    }
    let keep = parts.unwrap_or(pieces.len()).min(pieces.len());
    pieces.split_off(pieces.len() - keep).join(".")
}

fn escape(value: &str, out: &mut String) {
    for b in value.bytes() {
        match b {
            b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => out.push(b.into()),
            b => {
                let _ = write!(out, "%{b:02x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_rfc() {
        let check = |ip: &str, cases: &[(&str, &str)]| {
            let ip = ip.parse().expect("address");
            let client = Client { ip, helo: "h", sender: "strong-bad@email.example.com", receiver: "r" };
            let (sender, domain) = (("strong-bad", "email.example.com"), "email.example.com");
            let v = Values { client: &client, sender, domain, validated: None, now: 7 };
            for (template, want) in cases {
                assert_eq!(text(template, &v), *want, "{template}");
            }
        };
        // RFC 7208 7.4
        check(
            "192.0.2.3",
            &[
                ("%{s}", "strong-bad@email.example.com"),
                ("%{o}", "email.example.com"),
                ("%{d4}", "email.example.com"),
                ("%{d3}", "email.example.com"),
                ("%{d2}", "example.com"),
                ("%{d1}", "com"),
                ("%{dr}", "com.example.email"),
                ("%{d2r}", "example.email"),
                ("%{l}", "strong-bad"),
                ("%{l-}", "strong.bad"),
                ("%{lr}", "strong-bad"),
                ("%{lr-}", "bad.strong"),
                ("%{l1r-}", "strong"),
                ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
                ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
                ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
                ("%%%_%-%{S}", "% %20strong-bad%40email.example.com"),
            ],
        );
        check(
            "2001:db8::cb01",
            &[(
                "%{ir}.%{v}._spf.%{d2}",
                "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com",
            )],
        );
    }
}
