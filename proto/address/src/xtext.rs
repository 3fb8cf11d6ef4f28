//! xtext, the encoding of DSN and AUTH parameters: `+` and two hexadecimal digits. RFC 3461 4.

/// Text that is no xtext.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed xtext")]
pub struct BadXtext;

/// Decodes xtext. The result need not be text.
pub fn xtext_decode(text: &[u8]) -> Result<Vec<u8>, BadXtext> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&b) = rest.next() {
        match b {
            b'+' => {
                let mut digit = || rest.next().and_then(|&d| upper_hex(d)).ok_or(BadXtext);
                let (high, low) = (digit()?, digit()?);
                out.push(high << 4 | low);
            }
            b'!'..=b'~' if b != b'=' => out.push(b),
            _ => return Err(BadXtext),
        }
    }
    Ok(out)
}

fn upper_hex(b: u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'A'..=b'F' => Some(b - b'A' + 10),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    }
}

/// Encodes bytes as xtext.
pub fn xtext_encode(bytes: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(bytes.len());
    for &b in bytes {
        if matches!(b, b'!'..=b'~') && b != b'+' && b != b'=' {
            out.push(char::from(b));
        } else {
            out.push('+');
            out.push(char::from(HEX[usize::from(b >> 4)]));
            out.push(char::from(HEX[usize::from(b & 15)]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(xtext_decode(xtext_encode(&all).as_bytes()), Ok(all));
        assert_eq!(xtext_encode(b"a+b=c d"), "a+2Bb+3Dc+20d");
    }

    #[test]
    fn malformed() {
        for bad in [&b"a+"[..], b"+2", b"+G0", b"a b", b"a=b", b"\xc3\xa9"] {
            assert_eq!(xtext_decode(bad), Err(BadXtext));
        }
    }
}
