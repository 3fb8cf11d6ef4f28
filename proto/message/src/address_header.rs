//! A header that holds an address list: its addresses can be replaced, and it is printed again folded as Postfix folds.
//!
//! Header text need not be UTF-8. Such a value is read byte by byte as Latin-1 and written back the same way, so that
//! nothing beside the addresses changes.

use proto_address::{AddressMut, Tree};

/// A line may be this long before the list goes on in the next one.
const FOLD_BELOW: usize = 70;

/// The value of an address header.
#[derive(Debug, Clone)]
pub struct AddressHeader {
    tree: Tree,
    latin1: bool,
}

impl AddressHeader {
    /// Reads the value; at most `max_tokens` tokens of it (`header_address_token_limit`).
    pub fn parse(value: &[u8], max_tokens: usize) -> Self {
        match std::str::from_utf8(value) {
            Ok(text) => Self { tree: Tree::parse(text, max_tokens), latin1: false },
            Err(_) => {
                let text: String = value.iter().map(|&b| char::from(b)).collect();
                Self { tree: Tree::parse(&text, max_tokens), latin1: true }
            }
        }
    }

    /// The addresses for reading and replacing.
    pub fn addresses_mut(&mut self) -> impl Iterator<Item = AddressMut<'_>> {
        self.tree.addresses_mut()
    }

    /// The addresses in internal form.
    pub fn addresses(&self) -> impl Iterator<Item = String> {
        self.tree.addresses()
    }

    /// The addresses are bytes of an unknown character set: not usable as envelope addresses unless ASCII.
    pub fn is_latin1(&self) -> bool {
        self.latin1
    }

    /// The whole header, folded, with its final CRLF.
    pub fn print(&self, name: &[u8]) -> Vec<u8> {
        let items = self.tree.items().into_iter().map(|item| match self.latin1 {
            true => item.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect(),
            false => item.into_bytes(),
        });
        fold_items(name, items)
    }
}

/// `Name: item item …`: goes on in a new line (CRLF and tab) before an item that would make the line too long.
pub fn fold_items(name: &[u8], items: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(name);
    out.push(b':');
    let mut length = out.len();
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 && length + 1 + item.len() >= FOLD_BELOW {
            out.extend_from_slice(b"\r\n\t");
            length = item.len();
        } else {
            out.push(b' ');
            length += 1 + item.len();
        }
        out.extend_from_slice(&item);
    }
    out.extend_from_slice(b"\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(value: &[u8]) -> String {
        String::from_utf8_lossy(&AddressHeader::parse(value, 1000).print(b"To")).into_owned()
    }

    /// As seen with Postfix 3.7.11.
    #[test]
    fn folding() {
        let a = "aaaaaaaaaaaaaaaaaaaa@example.com";
        let b = |n: usize| format!("bbbbbbbbbbbbbbbbbbbb@{}", "a".repeat(n));
        let list = |n| printed(format!("{a}, {}, c@d", b(n)).as_bytes());
        assert_eq!(list(5), format!("To: {a}, {}, c@d\r\n", b(5)));
        assert_eq!(list(6), format!("To: {a}, {},\r\n\tc@d\r\n", b(6)));
        assert_eq!(list(9), format!("To: {a}, {},\r\n\tc@d\r\n", b(9)));
        assert_eq!(list(10), format!("To: {a},\r\n\t{}, c@d\r\n", b(10)));
        let many = "l@m, n@o, p@q, r@s, t@u, v@w, x@y, z@a, b@c, d@e, f@g, h@i, j@k, l@m,";
        let got = printed(format!("{a}, {}, {many} n@o", b(50)).as_bytes());
        assert!(got.ends_with(&format!("\r\n\t{many}\r\n\tn@o\r\n")), "{got}");
    }

    #[test]
    fn bytes_survive() {
        let header = AddressHeader::parse(b"\"J\xfcrgen\" <a@b>", 1000);
        assert!(header.is_latin1());
        assert_eq!(header.print(b"To"), b"To: \"J\xfcrgen\" <a@b>\r\n");
    }
}
