//! The address in MAIL FROM and RCPT TO, strict or as lenient as Postfix is. RFC 5321 4.1.2,
//! postconf(5) `strict_rfc821_envelopes`.

use crate::token::{Node, Tree};

/// Longest argument that is looked at, in tokens.
const MAX_TOKENS: usize = 1000;

/// What is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathRules {
    /// `strict_rfc821_envelopes`: `<>` around it, no comments, no phrases.
    pub strict: bool,
    /// `<>` (or nothing) is the null sender: MAIL FROM only.
    pub allow_empty: bool,
}

/// Why it is no path. The caller answers `501 5.1.7 Bad sender address syntax` or `501 5.1.3 Bad recipient …`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// No or unbalanced `<>`, more than one address, text beside the address.
    #[error("bad address syntax")]
    Syntax,
    /// Empty where an address is needed.
    #[error("empty address")]
    Empty,
}

/// The address in internal form, from the text of the argument (`<user@example.com>`), which must be all of it.
/// A source route (`<@a,@b:user@c>`) stays in front, as the resolver strips it.
pub fn parse_path(text: &str, rules: PathRules) -> Result<String, BadPath> {
    let text = text.trim_matches([' ', '\t']);
    if let Some(plain) = plain_path(text) {
        return Ok(plain.to_owned());
    }
    let bracketed = text.starts_with('<') && text.ends_with('>');
    if rules.strict && !bracketed {
        return Err(BadPath::Syntax);
    }
    let tree = Tree::parse(text, MAX_TOKENS);
    let mut address = None;
    for node in &tree.nodes {
        match node {
            Node::Address(_) if address.is_some() => return Err(BadPath::Syntax),
            Node::Address(tokens) if rules.strict && side_by_side(tokens) => return Err(BadPath::Syntax),
            Node::Address(tokens) => address = Some(Tree { nodes: tokens.clone() }.internal()),
            Node::Special('<' | '>') => {}
            Node::Special(',' | ';') | Node::GroupStart => return Err(BadPath::Syntax),
            _ if rules.strict => return Err(BadPath::Syntax),
            _ => {}
        }
    }
    let count = |c| tree.nodes.iter().filter(|n| **n == Node::Special(c)).count();
    if count('<') > 1 || count('<') != count('>') {
        return Err(BadPath::Syntax);
    }
    match address {
        Some(a) if !a.is_empty() => Ok(a),
        _ if rules.allow_empty => Ok(String::new()),
        _ => Err(BadPath::Empty),
    }
}

/// Whether there are words with nothing but a blank between them: `<a b@example.com>`.
fn side_by_side(tokens: &[Node]) -> bool {
    let word = |n: &Node| matches!(n, Node::Atom(_) | Node::Quoted(_) | Node::Literal(_));
    tokens.windows(2).any(|pair| pair.iter().all(word))
}

/// The usual case without allocation: `<dot-string@domain>`.
fn plain_path(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('<')?.strip_suffix('>')?;
    let plain =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'@' | b'.' | b'-' | b'_' | b'+' | b'=' | b'/');
    (!inside.is_empty() && inside.bytes().all(plain)).then_some(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, strict: bool, want: Result<&str, BadPath>) {
        let got = parse_path(text, PathRules { strict, allow_empty: false });
        assert_eq!(got, want.map(str::to_owned), "{text} strict={strict}");
    }

    #[test]
    fn paths() {
        for strict in [false, true] {
            check("<user@example.com>", strict, Ok("user@example.com"));
            check("<\"a b\"@example.com>", strict, Ok("a b@example.com"));
            check("<@a,@b:user@c>", strict, Ok("@a,@b:user@c"));
            check("<ü@example.com>", strict, Ok("ü@example.com"));
            check("<user@[127.0.0.1]>", strict, Ok("user@[127.0.0.1]"));
            check("<>", strict, Err(BadPath::Empty));
            check("<a> <b>", strict, Err(BadPath::Syntax));
            check("<a>,<b>", strict, Err(BadPath::Syntax));
            check("<a b@c>", strict, if strict { Err(BadPath::Syntax) } else { Ok("a b@c") });
            check("<a@b", strict, if strict { Err(BadPath::Syntax) } else { Ok("<a@b") });
        }
        check("user@example.com", false, Ok("user@example.com"));
        check("user@example.com", true, Err(BadPath::Syntax));
        check("User Name <user@example.com>", false, Ok("user@example.com"));
        check("User Name <user@example.com>", true, Err(BadPath::Syntax));
        check("user@example.com (comment)", false, Ok("user@example.com"));
        check("", false, Err(BadPath::Empty));
        assert_eq!(parse_path("<>", PathRules { strict: true, allow_empty: true }), Ok(String::new()));
    }
}
