//! Text that its author took for a comment behind a value. In main.cf a comment is a line of its own (postconf(5)).

/// What looks like the beginning of a comment when it follows white space.
const MARKS: [&str; 5] = ["#", "//", "<-", "\u{2190}", "\u{203b}"];

/// The byte where a comment seems to begin: behind white space and outside of braces; at least one word stands before it.
pub fn start(line: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut after_space = false;
    let mut seen = false;
    for (at, c) in line.char_indices() {
        let rest = line.get(at..).unwrap_or_default();
        if depth == 0 && seen && after_space && MARKS.iter().any(|m| rest.starts_with(m)) {
            return Some(at);
        }
        // An arrow of typography is never part of a value.
        if depth == 0 && seen && c == '\u{2190}' {
            return Some(at);
        }
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        after_space = c.is_whitespace();
        seen |= !after_space;
    }
    None
}

/// The line without what seems to be a comment.
pub fn without(line: &str) -> &str {
    start(line).and_then(|at| line.get(..at)).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (line, expect) in [
            ("a = b # c", "a = b "),
            ("a = b#c", "a = b#c"),
            ("a = inline:{ b # c }", "a = inline:{ b # c }"),
            ("a = 1s   \u{2190} c", "a = 1s   "),
            ("a = 1s\u{2190}c", "a = 1s"),
            ("a = http://x", "a = http://x"),
            ("a = b // c", "a = b "),
            ("# a", "# a"),
            ("", ""),
        ] {
            assert_eq!(without(line), expect, "{line}");
        }
    }
}
