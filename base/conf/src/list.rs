//! Lists: items separated by commas and white space; `{...}` keeps an item together (postconf(5)).

/// Splits a list. Braces are kept in the items; an item may hold separators between them.
pub fn split(text: &str) -> Vec<&str> {
    split_at(text, is_separator)
}

/// Splits at white space only, braces kept.
pub fn words(text: &str) -> Vec<&str> {
    split_at(text, crate::main_cf::is_space)
}

fn is_separator(c: char) -> bool {
    c == ',' || crate::main_cf::is_space(c)
}

fn split_at(text: &str, separator: impl Fn(char) -> bool) -> Vec<&str> {
    let mut items = Vec::new();
    let mut depth = 0_usize;
    let mut start = None;
    for (at, c) in text.char_indices() {
        if depth == 0 && separator(c) {
            items.extend(start.take().and_then(|s| text.get(s..at)));
            continue;
        }
        start.get_or_insert(at);
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    items.extend(start.and_then(|s| text.get(s..)));
    items
}

/// The text between the outer braces of `{ text }`, trimmed; the item itself when it has none.
pub fn unbrace(item: &str) -> &str {
    match item.strip_prefix('{').and_then(|i| i.strip_suffix('}')) {
        Some(inside) => inside.trim_matches(|c: char| c.is_ascii_whitespace()),
        None => item,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (text, expect) in [
            ("a, b c", &["a", "b", "c"][..]),
            ("", &[]),
            (" ,, ", &[]),
            ("inline:{a=b, c=d} x", &["inline:{a=b, c=d}", "x"]),
            (
                "check_client_access { pcre:{ {/x y/ OK} } }, permit",
                &["check_client_access", "{ pcre:{ {/x y/ OK} } }", "permit"],
            ),
            ("{unclosed a", &["{unclosed a"]),
            ("a} b", &["a}", "b"]),
        ] {
            assert_eq!(split(text), expect, "{text}");
        }
        assert_eq!(unbrace("{ a b }"), "a b");
        assert_eq!(unbrace("ab"), "ab");
    }
}
