//! Alias source lines, aliases(5): `name: value, value …`.
//!
//! The name is an address without a domain, stored unquoted; the value is stored as its tokens, with the spaces that
//! postalias(1) puts between them. The problem texts are postalias(1)'s.

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

/// The value as its tokens: a space between words, one behind each comma, none around other specials.
fn normalized(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 8);
    let (mut rest, mut word_before) = (trim(value), false);
    while let Some(token) = next_token(&mut rest) {
        let is_word = !matches!(token, Token::Special(_));
        if word_before && (is_word || token == Token::Special(b'<')) {
            out.push(b' ');
        }
        match &token {
            Token::Special(b',') => out.extend_from_slice(b", "),
            Token::Special(byte) => out.push(*byte),
            Token::Word(text) if text.iter().any(|b| is_special(*b) || *b == b'"' || *b == b' ') => {
                quote(&mut out, text)
            }
            Token::Word(text) => out.extend_from_slice(text),
            Token::Verbatim(text) => out.extend_from_slice(text),
        }
        word_before = is_word;
    }
    out
}

#[derive(PartialEq)]
enum Token<'a> {
    /// `,`, `<` …
    Special(u8),
    /// An atom, its backslashes taken away.
    Word(Vec<u8>),
    /// A quoted string, a comment or a domain literal, as it stands.
    Verbatim(&'a [u8]),
}

fn is_special(byte: u8) -> bool {
    b"<>@,;:.()[]|".contains(&byte)
}

fn next_token<'a>(rest: &mut &'a [u8]) -> Option<Token<'a>> {
    let text = rest.trim_ascii_start();
    let (first, tail) = text.split_first()?;
    let end = match first {
        b'"' => enclosed(text, None, b'"'),
        b'(' => enclosed(text, Some(b'('), b')'),
        b'[' => enclosed(text, None, b']'),
        b if is_special(*b) => {
            *rest = tail;
            return Some(Token::Special(*b));
        }
        _ => return Some(atom(text, rest)),
    };
    let (token, tail) = text.split_at(end);
    *rest = tail;
    Some(Token::Verbatim(token.trim_ascii_end()))
}

/// The length of the text up to its closing byte, or of all of it.
fn enclosed(text: &[u8], nests: Option<u8>, close: u8) -> usize {
    let (mut level, mut escaped) = (0usize, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b if *b == close && at > 0 && level <= 1 => return at + 1,
            b if *b == close && at > 0 => level -= 1,
            b if Some(*b) == nests => level += 1,
            _ => (),
        }
    }
    text.len()
}

fn atom<'a>(text: &'a [u8], rest: &mut &'a [u8]) -> Token<'static> {
    let (mut word, mut escaped) = (Vec::new(), false);
    let end = text.iter().position(|byte| {
        if escaped {
            escaped = false;
            word.push(*byte);
            return false;
        }
        if *byte == b'\\' {
            escaped = true;
            return false;
        }
        let ends = is_special(*byte) || *byte == b'"' || byte.is_ascii_whitespace();
        if !ends {
            word.push(*byte);
        }
        ends
    });
    *rest = text.get(end.unwrap_or(text.len())..).unwrap_or_default();
    Token::Word(word)
}

fn quote(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in text {
        if *byte == b'"' || *byte == b'\\' {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::type_complexity)]
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
            ("l: a<b>", Ok(("l", "a <b>"))),
            ("l: <b>c", Ok(("l", "<b>c"))),
            ("l: a . b @ c", Ok(("l", "a.b@c"))),
            ("l: (c)a(d)b", Ok(("l", "(c) a (d) b"))),
            ("l: a;  b : c", Ok(("l", "a;b:c"))),
            ("l: [1.2.3.4]a@[x]", Ok(("l", "[1.2.3.4] a@[x]"))),
            ("l: a\\,b", Ok(("l", "\"a,b\""))),
            ("l: \"|cmd\"x", Ok(("l", "\"|cmd\" x"))),
            ("l: | cmd a,b", Ok(("l", "|cmd a, b"))),
            ("l: a,,b ,c", Ok(("l", "a, , b, c"))),
            ("l: ,a", Ok(("l", ", a"))),
            ("l: a ,", Ok(("l", "a, "))),
            ("l: \\a \"x\\\"y\"", Ok(("l", "a \"x\\\"y\""))),
            ("l: :include:/a,:include:/b", Ok(("l", ":include:/a, :include:/b"))),
            ("l: a) b", Ok(("l", "a)b"))),
            ("l: a( b", Ok(("l", "a ( b"))),
            ("l: a..b .c d.", Ok(("l", "a..b.c d."))),
            ("l: a (x (y) z) b", Ok(("l", "a (x (y) z) b"))),
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
