//! Netstrings, `5:hello,`: the frame of socketmap requests and replies (socketmap_table(5)).
//!
//! Decoding takes what has been received so far and says whether more is needed; a length beyond the caller's limit is
//! refused as soon as its digits are there.

/// Why bytes are no netstring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No length, another byte than `:` after it, or no `,` at the end.
    Format,
    /// Longer than the limit.
    TooLong,
}

/// One netstring that holds `parts`, one after the other.
pub fn encode(parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|p| p.len()).sum();
    let mut out = format!("{len}:").into_bytes();
    out.reserve(len + 1);
    parts.iter().for_each(|p| out.extend_from_slice(p));
    out.push(b',');
    out
}

/// The first netstring of `bytes` and how many bytes it takes; `None` when it is not complete. Its text has at most
/// `limit` bytes.
pub fn decode(bytes: &[u8], limit: usize) -> Result<Option<(&[u8], usize)>, Fault> {
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    let mut len = 0usize;
    for digit in bytes.iter().take(digits) {
        len = len.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
        if len > limit {
            return Err(Fault::TooLong);
        }
    }
    match bytes.get(digits) {
        None => return Ok(None),
        Some(b':') if digits > 0 => (),
        Some(_) => return Err(Fault::Format),
    }
    let end = digits + 1 + len;
    match (bytes.get(digits + 1..end), bytes.get(end)) {
        (Some(text), Some(b',')) => Ok(Some((text, end + 1))),
        (Some(_), Some(_)) => Err(Fault::Format),
        _ => Ok(None),
    }
}

/// Check function for arbitrary input: nothing panics, what is read is written back the same but for leading zeros.
pub fn check(input: &[u8]) {
    if let Ok(Some((text, taken))) = decode(input, 1000) {
        let again = encode(&[text]);
        assert!(again.len() <= taken && decode(&again, 1000) == Ok(Some((text, again.len()))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        type Case<'a> = (&'a str, Result<Option<(&'a [u8], usize)>, Fault>);
        let cases: &[Case<'_>] = &[
            ("5:hello,", Ok(Some((b"hello", 8)))),
            ("0:,x", Ok(Some((b"", 3)))),
            ("4:a:,b,", Ok(Some((b"a:,b", 7)))),
            ("", Ok(None)),
            ("1", Ok(None)),
            ("5:hell", Ok(None)),
            ("5:hello", Ok(None)),
            ("5:hello;", Err(Fault::Format)),
            (":,", Err(Fault::Format)),
            ("x", Err(Fault::Format)),
            ("11:", Err(Fault::TooLong)),
            ("99999999999999999999999999", Err(Fault::TooLong)),
        ];
        for (bytes, want) in cases {
            assert_eq!(decode(bytes.as_bytes(), 10), *want, "{bytes}");
        }
        assert_eq!(encode(&[b"m", b" ", b"key"]), b"5:m key,");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            check(&bytes);
        }

        #[test]
        fn there_and_back(text: Vec<u8>) {
            let bytes = encode(&[&text]);
            for cut in 0..bytes.len() {
                assert_eq!(decode(&bytes[..cut], 10_000), Ok(None));
            }
            assert_eq!(decode(&bytes, 10_000), Ok(Some((&text[..], bytes.len()))));
        }
    }
}
