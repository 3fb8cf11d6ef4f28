//! Alias source lines, aliases(5): `name: value, value …`.
//!
//! The name is an address without a domain, stored unquoted; white space in the value is reduced to single
//! spaces outside of quotes. The problem texts are postalias(1)'s.

use crate::lines::trim;

/// The file keys that mark a finished alias database.
pub const END_MARK: (&[u8], &[u8]) = (b"@", b"@");

/// Takes one logical line apart.
pub fn entry(text: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    const NEED: &str = "need name:value pair";
    let colon = colon(text).ok_or(NEED)?;
    let (name, value) = text.split_at(colon);
    let (name, value) = (trim(name), normalized(value.get(1..).unwrap_or_default()));
    if name.is_empty() || value.is_empty() {
        return Err(NEED.to_owned());
    }
    let (key, local) = unquoted(name);
    if !local {
        return Err("name must be local".to_owned());
    }
    if key.is_empty() {
        return Err(NEED.to_owned());
    }
    Ok((key, value))
}

/// The first colon outside of quotes and comments.
fn colon(text: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped, mut comment) = (false, false, 0usize);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' if comment == 0 => quoted = !quoted,
            b'(' if !quoted => comment += 1,
            b')' if !quoted => comment = comment.saturating_sub(1),
            b':' if !quoted && comment == 0 => return Some(at),
            _ => (),
        }
    }
    None
}

/// The name without its quotes, single spaces between its words, and whether it has no domain.
fn unquoted(name: &[u8]) -> (Vec<u8>, bool) {
    let (mut quoted, mut escaped, mut local) = (false, false, true);
    let mut key = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            _ if escaped => {
                escaped = false;
                key.push(*byte);
            }
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'@' if !quoted => {
                local = false;
                key.push(*byte);
            }
            b' ' | b'\t' | b'\n' | b'\r' if !quoted => {
                if !key.ends_with(b" ") {
                    key.push(b' ');
                }
            }
            _ => key.push(*byte),
        }
    }
    (key, local)
}

/// White space outside of quotes becomes one space.
fn normalized(value: &[u8]) -> Vec<u8> {
    let (mut quoted, mut escaped) = (false, false);
    let mut out: Vec<u8> = Vec::with_capacity(value.len());
    for byte in trim(value) {
        let plain_space = !quoted && !escaped && matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ => (),
        }
        match plain_space {
            true if out.ends_with(b" ") => (),
            true => out.push(b' '),
            false => out.push(*byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        let cases: &[(&str, Result<(&str, &str), &str>)] = &[
            ("root:d e", Ok(("root", "d e"))),
            ("cont: alice,\tcarol", Ok(("cont", "alice, carol"))),
            ("z: y  \tmore", Ok(("z", "y more"))),
            ("\"quo ted\": a", Ok(("quo ted", "a"))),
            ("\"x\\\"y\": esc", Ok(("x\"y", "esc"))),
            ("two : spaced", Ok(("two", "spaced"))),
            ("a b: c", Ok(("a b", "c"))),
            ("(comment) c1: y", Ok(("(comment) c1", "y"))),
            ("<ang>: y", Ok(("<ang>", "y"))),
            ("cmd: \"|/bin/foo  bar\", /file", Ok(("cmd", "\"|/bin/foo  bar\", /file"))),
            ("include: :include:/x", Ok(("include", ":include:/x"))),
            ("nocolon value", Err("need name:value pair")),
            (": emptykey", Err("need name:value pair")),
            ("novalue:", Err("need name:value pair")),
            ("a@b: at", Err("name must be local")),
        ];
        for (line, want) in cases {
            let got = entry(line.as_bytes());
            let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
            let got = got.map(|(k, v)| (text(k), text(v)));
            let want = want.map(|(k, v)| (k.to_owned(), v.to_owned())).map_err(str::to_owned);
            assert_eq!(got, want, "{line}");
        }
    }
}
