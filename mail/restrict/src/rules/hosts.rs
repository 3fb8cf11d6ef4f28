//! Shared by the rules about host names: what is a valid name, a literal, a name with a domain.

use proto_address::{valid_domain_literal, valid_hostname, valid_ip, without_final_dot};

/// `[…]`: what stands inside.
pub(super) fn literal(name: &str) -> Option<&str> {
    name.strip_prefix('[').map(|n| n.strip_suffix(']').unwrap_or(n))
}

/// A literal with an address inside.
pub(super) fn valid_literal(inside: &str) -> bool {
    valid_domain_literal(inside) || valid_ip(inside)
}

/// A host name or a bare address.
pub(super) fn valid_name(name: &str) -> bool {
    valid_hostname(without_final_dot(name)) || valid_ip(name)
}

/// A host name with a domain.
pub(super) fn qualified(name: &str) -> bool {
    let name = without_final_dot(name);
    name.contains('.') && valid_hostname(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, valid, full) in [
            ("a.example", true, true),
            ("x_y.example.net", true, true),
            ("-bad.example.net", false, false),
            ("1.2.3.4", true, false),
            ("localhost", true, false),
            ("client.example.net.", true, true),
        ] {
            assert_eq!((valid_name(name), qualified(name)), (valid, full), "{name}");
        }
        assert!(valid_literal("1.2.3.4") && valid_literal("IPv6:2001:db8::1") && !valid_literal("1.2.3"));
        assert_eq!(literal("[1.2.3.4]"), Some("1.2.3.4"));
    }
}
