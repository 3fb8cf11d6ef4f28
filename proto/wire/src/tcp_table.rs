//! The protocol of `tcp:` tables (tcp_table(5)): `get KEY` lines and their replies, both with `%XX` for what is not printable.
//!
//! A reply that does not parse is a [`Fault`]; the caller quotes the line in its log.

/// The most bytes of a reply line, without its newline.
pub const MAX_REPLY: usize = 4096;

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// 200: the value.
    Found(Vec<u8>),
    /// 500: there is no such key.
    NotFound,
    /// 400: the server cannot tell now.
    Retry,
}

/// Why a line is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Not three digits, white space and text in the encoding.
    Malformed,
    /// Another status than 200, 400 or 500.
    Status,
}

/// The request for a key, with its newline.
pub fn request(key: &[u8]) -> Vec<u8> {
    let mut out = b"get ".to_vec();
    quote(key, &mut out);
    out.push(b'\n');
    out
}

/// Reads a line (without its newline).
pub fn reply(line: &[u8]) -> Result<Reply, Fault> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let digits = line.iter().take_while(|b| b.is_ascii_digit()).count();
    let (code, rest) = line.split_at_checked(digits).ok_or(Fault::Malformed)?;
    if digits == 0 || !rest.first().is_some_and(u8::is_ascii_whitespace) {
        return Err(Fault::Malformed);
    }
    let text = unquote(rest.trim_ascii_start()).ok_or(Fault::Malformed)?;
    match code {
        b"200" => Ok(Reply::Found(text)),
        b"400" => Ok(Reply::Retry),
        b"500" => Ok(Reply::NotFound),
        _ => Err(Fault::Status),
    }
}

/// Appends `text`, with `%XX` for `%`, white space and what is not printable ASCII.
pub fn quote(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let hex = |nibble: u8| HEX.get(usize::from(nibble & 15)).copied().unwrap_or(b'0');
    for byte in text {
        match byte {
            b'%' => out.extend_from_slice(b"%25"),
            b if b.is_ascii_graphic() => out.push(*b),
            b => out.extend_from_slice(&[b'%', hex(b >> 4), hex(*b)]),
        }
    }
}

/// Undoes [`quote`]; `None` when `%` is not followed by two hexadecimal digits.
pub fn unquote(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'%' => (digit(rest.next()?)? << 4) | digit(rest.next()?)?,
            b => *b,
        });
    }
    Some(out)
}

/// Check function for arbitrary input: nothing panics, quoting can be undone.
pub fn check(input: &[u8]) {
    let _ = reply(input);
    let mut quoted = Vec::new();
    quote(input, &mut quoted);
    assert_eq!(unquote(&quoted).as_deref(), Some(input));
    assert!(quoted.iter().all(u8::is_ascii_graphic));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies() {
        let found = |text: &str| Ok(Reply::Found(text.as_bytes().to_vec()));
        let cases = [
            ("200 value", found("value")),
            ("200 a%20b%00c", found("a b\0c")),
            ("200 \t plain text ", found("plain text ")),
            ("200 ", found("")),
            ("500 not%20found", Ok(Reply::NotFound)),
            ("400 later\r", Ok(Reply::Retry)),
            ("200", Err(Fault::Malformed)),
            ("200 %zz", Err(Fault::Malformed)),
            ("200 %4", Err(Fault::Malformed)),
            ("500%", Err(Fault::Malformed)),
            ("", Err(Fault::Malformed)),
            ("abc", Err(Fault::Malformed)),
            ("300 xy", Err(Fault::Status)),
        ];
        for (line, want) in cases {
            assert_eq!(reply(line.as_bytes()), want, "{line}");
        }
    }

    #[test]
    fn requests() {
        assert_eq!(request(b"a b%c\xc3\n"), b"get a%20b%25c%C3%0A\n");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            check(&bytes);
        }
    }
}
