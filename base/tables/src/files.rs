//! Tables whose values are files (postmap -F): the content, stored as base64 in one line. RFC 4648.

use base_sys::system_text;

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// The most bytes that one value may stand for.
const MAX_CONTENT: usize = 64 << 20;

/// The content of the files named in a value (commas or white space between), a newline between them. The error is
/// Postfix's text.
pub fn read(names: &[u8]) -> Result<Vec<u8>, String> {
    let names = String::from_utf8_lossy(names);
    let mut content = Vec::new();
    for (number, name) in names.split([',', ' ', '\t', '\r', '\n']).filter(|n| !n.is_empty()).enumerate() {
        if number > 0 {
            content.push(b'\n');
        }
        let file = std::fs::read(name).map_err(|e| format!("open {name}: {}", system_text(&e)))?;
        content.extend_from_slice(&file);
        if content.len() > MAX_CONTENT {
            return Err(format!("open {name}: File too large"));
        }
    }
    Ok(content)
}

/// Encodes.
pub fn encode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for n in 0..4u32 {
            let six = usize::try_from(bits >> (18 - 6 * n) & 63).unwrap_or(0);
            let letter = LETTERS.get(six).copied().unwrap_or(b'=');
            out.push(if usize::try_from(n).is_ok_and(|n| n <= chunk.len()) { letter } else { b'=' });
        }
    }
    out
}

/// Decodes; `None` when it is not base64.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let last = (text.len() / 4).saturating_sub(1);
    for (number, chunk) in text.chunks(4).enumerate() {
        let padding = chunk.iter().rev().take_while(|b| **b == b'=').count();
        if padding > 2 || padding > 0 && number != last {
            return None;
        }
        let mut bits = 0u32;
        for letter in chunk.iter().take(4 - padding) {
            bits = bits << 6 | u32::try_from(LETTERS.iter().position(|l| l == letter)?).ok()?;
        }
        bits <<= 6 * padding;
        out.extend(bits.to_be_bytes().iter().skip(1).take(3 - padding));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(encode(plain.as_bytes()), coded.as_bytes());
            assert_eq!(decode(coded.as_bytes()).as_deref(), Some(plain.as_bytes()));
        }
        for bad in ["Zg=", "Zg==Zg==", "Z===", "Z g=", "/etc"] {
            assert!(decode(bad.as_bytes()).is_none_or(|d| bad == "/etc" && !d.is_empty()), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn there_and_back(bytes: Vec<u8>) {
            assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }
    }
}
