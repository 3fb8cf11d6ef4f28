//! RESP, the protocol of Redis and Valkey, as far as `redis:` tables need it: commands as arrays of bulk strings, and
//! the replies simple string, error, integer, bulk string and null.
//!
//! Decoding takes what has been received so far and says whether more is needed; lengths are bounded by the caller.

/// The most bytes of a reply's first line.
const MAX_LINE: usize = 1024;

/// One reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`.
    Simple(String),
    /// `-ERR what`.
    Error(String),
    /// `:7`.
    Integer(i64),
    /// `$5 hello`.
    Bulk(Vec<u8>),
    /// `$-1`, `_`: nothing there.
    Null,
}

/// The bytes are no reply, or one that is too long or of another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// A command with its arguments; no byte of an argument can be taken for protocol.
pub fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The first reply of `bytes` and how many bytes it takes; `None` when it is not complete. A bulk string has at most
/// `limit` bytes.
pub fn decode(bytes: &[u8], limit: usize) -> Result<Option<(Reply, usize)>, Malformed> {
    let Some(end) = bytes.windows(2).take(MAX_LINE).position(|w| w == b"\r\n") else {
        return if bytes.len() > MAX_LINE { Err(Malformed) } else { Ok(None) };
    };
    let (kind, line) = bytes.get(..end).and_then(|l| l.split_first()).ok_or(Malformed)?;
    let text = String::from_utf8_lossy(line).into_owned();
    let reply = match kind {
        b'+' => Reply::Simple(text),
        b'-' => Reply::Error(text),
        b':' => Reply::Integer(text.parse().map_err(|_| Malformed)?),
        b'_' => Reply::Null,
        b'$' if text == "-1" => Reply::Null,
        b'$' => return bulk(bytes, end + 2, text.parse().map_err(|_| Malformed)?, limit),
        _ => return Err(Malformed),
    };
    Ok(Some((reply, end + 2)))
}

fn bulk(bytes: &[u8], start: usize, len: usize, limit: usize) -> Result<Option<(Reply, usize)>, Malformed> {
    if len > limit {
        return Err(Malformed);
    }
    let end = start + len;
    match (bytes.get(start..end), bytes.get(end..end + 2)) {
        (Some(text), Some(b"\r\n")) => Ok(Some((Reply::Bulk(text.to_vec()), end + 2))),
        (Some(_), Some(_)) => Err(Malformed),
        _ => Ok(None),
    }
}

/// Check function for arbitrary input: nothing panics, and what is read from a part is read from the whole.
pub fn check(input: &[u8]) {
    let whole = decode(input, 1000);
    for cut in 0..input.len().min(100) {
        if let Some(Ok(Some(found))) = input.get(..cut).map(|part| decode(part, 1000)) {
            assert_eq!(whole, Ok(Some(found)));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies() {
        type Case<'a> = (&'a str, Result<Option<(Reply, usize)>, Malformed>);
        let cases: &[Case<'_>] = &[
            ("+OK\r\n", Ok(Some((Reply::Simple("OK".into()), 5)))),
            ("-ERR no\r\n", Ok(Some((Reply::Error("ERR no".into()), 9)))),
            (":7\r\n+", Ok(Some((Reply::Integer(7), 4)))),
            ("$2\r\nab\r\n", Ok(Some((Reply::Bulk(b"ab".to_vec()), 8)))),
            ("$0\r\n\r\n", Ok(Some((Reply::Bulk(Vec::new()), 6)))),
            ("$-1\r\n", Ok(Some((Reply::Null, 5)))),
            ("_\r\n", Ok(Some((Reply::Null, 3)))),
            ("$2\r\nab", Ok(None)),
            ("$2", Ok(None)),
            ("", Ok(None)),
            ("$2\r\nabc\r\n", Err(Malformed)),
            ("$11\r\n", Err(Malformed)),
            ("$-2\r\n", Err(Malformed)),
            ("*0\r\n", Err(Malformed)),
            ("\r\n", Err(Malformed)),
        ];
        for (bytes, want) in cases {
            assert_eq!(decode(bytes.as_bytes(), 10), *want, "{bytes:?}");
        }
        assert_eq!(command(&[b"GET", b"a\r\n"]), b"*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            check(&bytes);
        }

        #[test]
        fn in_pieces(text: Vec<u8>) {
            let bytes = [format!("${}\r\n", text.len()).as_bytes(), &text, b"\r\n"].concat();
            for cut in 0..bytes.len() {
                assert_eq!(decode(&bytes[..cut], 10_000), Ok(None));
            }
            assert_eq!(decode(&bytes, 10_000), Ok(Some((Reply::Bulk(text), bytes.len()))));
        }
    }
}
