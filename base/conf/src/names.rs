//! The names that a value of main.cf refers to, found without expanding it: for `postconf` and the configuration check,
//! which tell of names that nothing defines and of definitions that nothing uses.

/// Every name a text refers to, in all branches.
pub fn mentioned(text: &str) -> Vec<String> {
    scan(text, true)
}

/// The names whose value a text asks for, not those it only tests (`${name?…}`).
pub fn needed(text: &str) -> Vec<String> {
    scan(text, false)
}

fn scan(text: &str, tested: bool) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        if let Some(skipped) = after.strip_prefix('$') {
            rest = skipped;
            continue;
        }
        let inside = after.strip_prefix(['{', '(']);
        let from = inside.unwrap_or(after);
        let end = from.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(from.len());
        let (name, tail) = from.split_at(end);
        let is_test = inside.is_some() && tail.trim_start().starts_with(['?', ':']);
        if !name.is_empty() && (tested || !is_test) {
            out.push(name.to_owned());
        }
        rest = tail;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(
            mentioned("$a ${b?$c} ${{$d} == {x} ? {$(e)} : {}} $$f ${g"),
            ["a", "b", "c", "d", "e", "g"]
        );
        assert_eq!(needed("$a ${b?$c} ${d:e}"), ["a", "c"]);
    }
}
