//! The text protocol of memcached, as far as `memcache:` tables need it: get, set, delete (memcache_table(5)).
//!
//! A value's header line and every other reply are read from a line; the value itself is so many bytes and a line end.

/// A key longer than this is refused by servers.
pub const MAX_KEY: usize = 250;

/// The answer to `get`, its first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// So many bytes follow, a line end and `END`.
    Value(usize),
    /// There is no such key.
    End,
    /// Anything else.
    Unexpected,
}

/// The request for a key.
pub fn get(key: &[u8]) -> Vec<u8> {
    [b"get ", key, b"\r\n"].concat()
}

/// The request to store a value.
pub fn set(key: &[u8], flags: u32, ttl: u64, value: &[u8]) -> Vec<u8> {
    let numbers = format!(" {flags} {ttl} {}\r\n", value.len());
    [b"set ", key, numbers.as_bytes(), value, b"\r\n"].concat()
}

/// The request to remove a key.
pub fn delete(key: &[u8]) -> Vec<u8> {
    [b"delete ", key, b"\r\n"].concat()
}

/// Reads the first line (without its line end) of the answer to `get`; a value has at most `limit` bytes.
pub fn head(line: &[u8], limit: usize) -> Head {
    if line == b"END" {
        return Head::End;
    }
    let Ok(text) = std::str::from_utf8(line) else { return Head::Unexpected };
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["VALUE", _, _, size] => match size.parse() {
            Ok(size) if size <= limit => Head::Value(size),
            _ => Head::Unexpected,
        },
        _ => Head::Unexpected,
    }
}

/// A key as it goes over the wire: `%XX` for `%`, white space and what is not printable, so that no key can be a command.
pub fn quoted(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len());
    crate::tcp_table::quote(key, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let cases = [
            ("END", Head::End),
            ("VALUE k 0 3", Head::Value(3)),
            ("VALUE k 0 10", Head::Value(10)),
            ("VALUE k 0 11", Head::Unexpected),
            ("VALUE k 0 -1", Head::Unexpected),
            ("VALUE k 0", Head::Unexpected),
            ("VALUE k 0 3 99", Head::Unexpected),
            ("ERROR", Head::Unexpected),
            ("", Head::Unexpected),
        ];
        for (line, want) in cases {
            assert_eq!(head(line.as_bytes(), 10), want, "{line}");
        }
        assert_eq!(set(b"k", 7, 100, b"v w"), b"set k 7 100 3\r\nv w\r\n");
        assert_eq!(quoted(b"a b\r\nflush_all"), b"a%20b%0D%0Aflush_all");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let _ = head(&bytes, 1000);
            assert!(!quoted(&bytes).iter().any(|b| *b <= b' '));
        }
    }
}
