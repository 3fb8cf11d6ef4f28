//! Percent encoding, as URLs have it. RFC 3986 2.1.

/// Undoes it; `None` when a `%` has no two hexadecimal digits behind it, or the result is no text.
pub fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        let digits = after.get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        out.extend_from_slice(before.as_bytes());
        out.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after.get(2..)?;
    }
    out.extend_from_slice(rest.as_bytes());
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoded() {
        for (text, want) in [
            ("", Some("")),
            ("a%21b%2540", Some("a!b%40")),
            ("%c3%A4", Some("\u{e4}")),
            ("%c3", None),
            ("%", None),
            ("%+1", None),
            ("%4\u{e4}", None),
        ] {
            assert_eq!(percent_decoded(text).as_deref(), want, "{text}");
        }
    }
}
