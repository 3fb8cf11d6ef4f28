//! Masking text from outside before it reaches a log line.

use std::borrow::Cow;

/// Replaces control characters (C0, DEL, C1) by `?`, one for each byte as Postfix does. Other UTF-8 stays.
pub fn mask(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) || !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.extend(std::iter::repeat_n('?', c.len_utf8()));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    #[test]
    fn control_characters_cannot_forge_lines() {
        for (given, want) in [
            ("plain", "plain"),
            ("a\r\nb", "a??b"),
            ("caf\u{e9}", "caf\u{e9}"),
            ("\u{1b}[31m", "?[31m"),
            ("\u{85}x\u{7f}", "??x?"),
        ] {
            assert_eq!(super::mask(given), want);
        }
    }
}
