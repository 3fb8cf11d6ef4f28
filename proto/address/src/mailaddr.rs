//! Whether an envelope address in internal form is one that a mailer may use (the checks behind
//! `reject_non_fqdn_*`, "bad address syntax" and the resolver's error results).

use crate::{split_domain, valid_domain_literal, valid_hostname};

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadMailbox {
    /// No local part.
    #[error("empty local part")]
    NoLocalPart,
    /// `user@`.
    #[error("empty domain")]
    NoDomain,
    /// The domain is neither a host name nor a domain literal.
    #[error("bad domain")]
    Domain,
    /// `[…]` without an IP address inside.
    #[error("bad domain literal")]
    Literal,
}

/// Checks `address`; a missing `@domain` is fine, the null address is too.
pub fn valid_mailbox(address: &str) -> Result<(), BadMailbox> {
    if address.is_empty() {
        return Ok(());
    }
    let (local, domain) = split_domain(address);
    if local.is_empty() {
        return Err(BadMailbox::NoLocalPart);
    }
    match domain {
        None => Ok(()),
        Some("") => Err(BadMailbox::NoDomain),
        Some(d) if d.starts_with('[') => literal_address(d).map(drop).ok_or(BadMailbox::Literal),
        Some(d) => {
            let ascii = crate::to_ascii(d).ok_or(BadMailbox::Domain)?;
            if valid_hostname(&ascii) { Ok(()) } else { Err(BadMailbox::Domain) }
        }
    }
}

/// The IP address in a domain literal `[1.2.3.4]`, `[IPv6:::1]` (brackets included).
pub fn literal_address(domain: &str) -> Option<std::net::IpAddr> {
    let inside = domain.strip_prefix('[')?.strip_suffix(']')?;
    if !valid_domain_literal(inside) {
        return None;
    }
    inside.get(..5).filter(|t| t.eq_ignore_ascii_case("ipv6:")).map_or(inside, |_| &inside[5..]).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes() {
        for ok in [
            "",
            "user",
            "user@example.com",
            "a b@example.com",
            "u@[127.0.0.1]",
            "u@[IPv6:::1]",
            "ü@bücher.example",
        ] {
            assert_eq!(valid_mailbox(ok), Ok(()), "{ok}");
        }
        assert_eq!(valid_mailbox("@x"), Err(BadMailbox::NoLocalPart));
        assert_eq!(valid_mailbox("u@"), Err(BadMailbox::NoDomain));
        assert_eq!(valid_mailbox("u@a..b"), Err(BadMailbox::Domain));
        assert_eq!(valid_mailbox("u@[1.2.3]"), Err(BadMailbox::Literal));
        assert_eq!(literal_address("[IPv6:::1]"), Some("::1".parse().unwrap()));
    }
}
