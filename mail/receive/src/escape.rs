//! Showing client bytes in log lines: C escapes, bounded.

/// The most client bytes that a log line shows.
const MAX: usize = 100;

/// `EHLO x\r\n` as the log shows it.
pub fn escaped(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.get(..MAX).unwrap_or(bytes).utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(c, &mut out));
        chunk.invalid().iter().for_each(|b| out.push_str(&format!("\\{b:03o}")));
    }
    out
}

fn push(c: char, out: &mut String) {
    match c {
        '\r' => out.push_str("\\r"),
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        '\\' => out.push_str("\\\\"),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0b' => out.push_str("\\v"),
        '\x0c' => out.push_str("\\f"),
        c if c.is_control() => {
            let mut utf8 = [0; 4];
            c.encode_utf8(&mut utf8).bytes().for_each(|b| out.push_str(&format!("\\{b:03o}")));
        }
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn table() {
        for (given, want) in [
            (b"NOOP\r\n".as_slice(), "NOOP\\r\\n"),
            (b"\x16\x03\x01\x02", "\\026\\003\\001\\002"),
            ("\u{e9}".as_bytes(), "\u{e9}"),
            (b"\xe9", "\\351"),
        ] {
            assert_eq!(super::escaped(given), want);
        }
        assert_eq!(super::escaped(&[b'a'; 500]).len(), 100);
    }
}
