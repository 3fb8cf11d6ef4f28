//! Syntax of host names, IP addresses and domain literals. RFC 1123 2.1, RFC 5321 4.1.3.
//!
//! Names are in ASCII form; callers that allow U-labels convert with [`crate::to_ascii`] first.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest host name, and longest label.
const MAX_NAME: usize = 255;
const MAX_LABEL: usize = 63;

/// Whether `name` is a host name as Postfix takes it: letters, digits, `-`, `_`; labels of 1 to 63 characters that
/// neither start nor end with `-`; at most 255 characters; not all numeric. A final dot is not part of a name.
pub fn valid_hostname(name: &str) -> bool {
    let label = |l: &str| {
        (1..=MAX_LABEL).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    name.len() <= MAX_NAME
        && name.split('.').all(label)
        && !name.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// Without one final dot (`example.com.`); two stay, to be refused.
pub fn without_final_dot(name: &str) -> &str {
    match name.strip_suffix('.') {
        Some(n) if !n.ends_with('.') => n,
        _ => name,
    }
}

/// Dotted quad: four numbers without leading zeros that change their meaning.
pub fn valid_ipv4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok()
}

/// IPv6 address without scope and prefix.
pub fn valid_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

/// Either kind of address.
pub fn valid_ip(text: &str) -> bool {
    valid_ipv4(text) || valid_ipv6(text)
}

/// What stands between the brackets of a domain literal: an IPv4 address, or `IPv6:` and an IPv6 address.
pub fn valid_domain_literal(inside: &str) -> bool {
    match inside.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => inside.get(5..).is_some_and(valid_ipv6),
        _ => valid_ipv4(inside),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostnames() {
        for ok in ["a", "example.com", "a-b.c_d", "_dmarc.x", "1a.2b", "xn--p1ai", "1.2.3.4a"] {
            assert!(valid_hostname(ok), "{ok}");
        }
        let long = "a".repeat(64);
        for bad in
            ["", ".", "a.", ".a", "a..b", "-a", "a-", "a.-b", "1.2.3.4", "12", "a b", "a@b", "é", &long]
        {
            assert!(!valid_hostname(bad), "{bad}");
        }
        assert_eq!(without_final_dot("a.b."), "a.b");
        assert_eq!(without_final_dot("a.b.."), "a.b..");
    }

    #[test]
    fn literals() {
        for ok in ["127.0.0.1", "IPv6:::1", "ipv6:2001:db8::1"] {
            assert!(valid_domain_literal(ok), "{ok}");
        }
        for bad in ["", "1.2.3", "::1", "IPv6:127.0.0.1", "x-tag:foo", "256.1.1.1"] {
            assert!(!valid_domain_literal(bad), "{bad}");
        }
    }
}
