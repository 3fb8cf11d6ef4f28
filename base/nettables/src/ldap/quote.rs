//! Quoting of keys in search filters (RFC 4515 3) and distinguished names (RFC 4514 2.4), so that no key can add
//! anything to either.

/// A key as an assertion value of a filter.
pub fn filter(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 8);
    for &byte in key {
        match byte {
            b'*' | b'(' | b')' | b'\\' | 0..=31 | 127..=255 => hex(byte, &mut out),
            byte => out.push(byte),
        }
    }
    out
}

/// A key as an attribute value in a DN.
pub fn dn(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 8);
    let last = key.len().saturating_sub(1);
    for (at, &byte) in key.iter().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' | b'=' => out.extend([b'\\', byte]),
            b' ' if at == 0 || at == last => out.extend(b"\\ "),
            b'#' if at == 0 => out.extend(b"\\#"),
            0..=31 | 127..=255 => hex(byte, &mut out),
            byte => out.push(byte),
        }
    }
    out
}

fn hex(byte: u8, out: &mut Vec<u8>) {
    out.extend(format!("\\{byte:02x}").bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quoted() {
        let cases = [
            ("ann", "ann", "ann"),
            ("b (x*y)", "b \\28x\\2ay\\29", "b (x*y)"),
            ("a\\b", "a\\5cb", "a\\\\b"),
            ("u,ou=x", "u,ou=x", "u\\,ou\\=x"),
            (" #a ", " #a ", "\\ #a\\ "),
            ("#a", "#a", "\\#a"),
            ("ä", "\\c3\\a4", "\\c3\\a4"),
        ];
        for (key, in_filter, in_dn) in cases {
            assert_eq!(filter(key.as_bytes()), in_filter.as_bytes(), "{key}");
            assert_eq!(dn(key.as_bytes()), in_dn.as_bytes(), "{key}");
        }
    }

    proptest! {
        /// The library that sends the filter reads one comparison with exactly the key.
        #[test]
        fn a_key_stays_a_value(key: Vec<u8>) {
            let text = [b"(mail=".as_slice(), &filter(&key), b")"].concat();
            let parsed = format!("{:?}", ldap3::parse_filter(&text).unwrap());
            let wanted = ldap3::asn1::Tag::Sequence(ldap3::asn1::Sequence {
                id: 3,
                class: ldap3::asn1::TagClass::Context,
                inner: [b"mail".to_vec(), key].into_iter().map(octets).collect(),
            });
            prop_assert_eq!(parsed, format!("{:?}", wanted));
        }

        /// A quoted DN value has none of the characters that separate values but behind a backslash.
        #[test]
        fn a_key_stays_in_its_place(key in "[a-c,+\"\\\\<>;=# ]{0,10}") {
            let (mut escaped, quoted) = (false, dn(key.as_bytes()));
            for byte in quoted {
                prop_assert!(escaped || !b",+\"<>;=".contains(&byte));
                escaped = byte == b'\\' && !escaped;
            }
            prop_assert!(!escaped);
        }
    }

    fn octets(inner: Vec<u8>) -> ldap3::asn1::Tag {
        ldap3::asn1::Tag::OctetString(ldap3::asn1::OctetString { inner, ..Default::default() })
    }
}
