//! The `$name` language of main.cf values (postconf(5), "CONFIGURATION FILE FORMAT").
//!
//! `$name ${name} $(name)`, `${name?text} ${name:text}`, `${name?{text}:{text}}`, comparisons
//! `${{a} == {b} ? {x} : {y}}` with `== != < <= >= >` and their `level` forms, `$$`. Values are expanded in turn, to a
//! depth of [`MAX_DEPTH`]; what comes out is bounded by [`MAX_SIZE`]. Unknown names have no value. Errors are in
//! Postfix's words; the caller decides whether they are fatal.

use crate::level::Level;
use std::{borrow::Cow, cmp::Ordering};

/// How deep values may refer to each other.
pub const MAX_DEPTH: usize = 100;
/// How long an expanded value may get.
pub const MAX_SIZE: usize = 1 << 20;
/// How many names one value may refer to, directly and by way of others.
pub const MAX_NAMES: usize = 100_000;

/// Where values come from.
pub trait Names {
    /// The unexpanded value of `name`; `None` when it has none.
    fn value(&self, name: &str) -> Option<Cow<'_, str>>;
}

impl<F: Fn(&str) -> Option<String>> Names for F {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self(name).map(Cow::Owned)
    }
}

/// Expands `text`.
pub fn expand(names: &dyn Names, text: &str) -> Result<String, String> {
    run(names, text, &mut |_| {}, false)
}

/// Expands `text` where `names` gives final values, which are not expanded in turn.
pub fn expand_once(names: &dyn Names, text: &str) -> Result<String, String> {
    run(names, text, &mut |_| {}, true)
}

/// Calls `seen` with every name that the value of `text` depends on.
pub fn references(names: &dyn Names, text: &str, seen: &mut dyn FnMut(&str)) -> Result<(), String> {
    run(names, text, seen, false).map(drop)
}

fn run(names: &dyn Names, text: &str, seen: &mut dyn FnMut(&str), once: bool) -> Result<String, String> {
    let mut e = Expander { names, seen, once, depth: 0, names_left: MAX_NAMES, out: String::new() };
    e.text(text)?;
    Ok(e.out)
}

struct Expander<'a> {
    names: &'a dyn Names,
    seen: &'a mut dyn FnMut(&str),
    once: bool,
    depth: usize,
    names_left: usize,
    out: String,
}

impl Expander<'_> {
    fn push(&mut self, text: &str) -> Result<(), String> {
        if self.out.len() + text.len() > MAX_SIZE {
            return Err("macro expansion result is too long".into());
        }
        self.out.push_str(text);
        Ok(())
    }

    /// Expands a text to the end of `out`.
    fn text(&mut self, text: &str) -> Result<(), String> {
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            self.push(before)?;
            rest = self.dollar(text, after)?;
        }
        self.push(rest)
    }

    /// Expands a text on its own.
    fn apart(&mut self, text: &str) -> Result<String, String> {
        let outer = std::mem::take(&mut self.out);
        let result = self.deeper(text, text);
        let inner = std::mem::replace(&mut self.out, outer);
        result.map(|()| inner)
    }

    /// What follows a `$`; returns the rest.
    fn dollar<'t>(&mut self, whole: &str, after: &'t str) -> Result<&'t str, String> {
        let (open, close) = match after.as_bytes().first() {
            Some(b'$') => {
                self.push("$")?;
                return Ok(after.get(1..).unwrap_or_default());
            }
            Some(b'{') => ('{', '}'),
            Some(b'(') => ('(', ')'),
            _ => return self.plain(whole, after),
        };
        let end =
            closing(after, open, close).ok_or_else(|| format!("truncated macro reference: \"{whole}\""))?;
        let inside = after.get(1..end).unwrap_or_default();
        self.reference(whole, inside)?;
        Ok(after.get(end + 1..).unwrap_or_default())
    }

    /// `$name`.
    fn plain<'t>(&mut self, whole: &str, after: &'t str) -> Result<&'t str, String> {
        let end = after.find(|c: char| !is_name(c)).unwrap_or(after.len());
        let (name, rest) = after.split_at(end);
        if name.is_empty() {
            return Err(format!("empty macro name: \"{whole}\""));
        }
        self.value(name)?;
        Ok(rest)
    }

    /// The text between braces.
    fn reference(&mut self, whole: &str, inside: &str) -> Result<(), String> {
        if inside.starts_with('{') {
            return self.comparison(inside);
        }
        let end = inside.find(|c: char| !is_name(c)).unwrap_or(inside.len());
        let (name, rest) = inside.split_at(end);
        if name.is_empty() {
            return Err(format!("empty macro name: \"{whole}\""));
        }
        let after = skip_space(rest);
        match after.as_bytes().first() {
            None => self.value(name),
            Some(b'?' | b':') if rest.len() == after.len() || braced_branch(after) => {
                self.conditional(name, inside, after)
            }
            _ => Err(format!("attribute name syntax error at: \"...{}>>>{rest}\"", last_char(name))),
        }
    }

    /// `name?text`, `name:text`, `name?{text}:{text}`.
    fn conditional(&mut self, name: &str, inside: &str, after: &str) -> Result<(), String> {
        let is_set = self.is_set(name)?;
        let wants_set = after.starts_with('?');
        let branches = branches(inside, after)?;
        match if is_set == wants_set { Some(branches.0) } else { branches.1 } {
            Some(text) => self.deeper(name, text),
            None => Ok(()),
        }
    }

    /// `{a} == {b} ? {x} : {y}`.
    fn comparison(&mut self, inside: &str) -> Result<(), String> {
        let (left, rest) =
            braced(inside).ok_or_else(|| format!("truncated macro reference: \"${{{inside}\""))?;
        let rest = skip_space(rest);
        let operator = Operator::take(rest).ok_or_else(|| {
            let at = inside.len() - rest.len();
            format!(
                "\"==\" or \"!=\"\" or \"<\"\" or \"<=\"\" or \">=\"\" or \">\" expected at: \"...{}>>>{rest}\"",
                excerpt(inside, at)
            )
        })?;
        let rest = skip_space(rest.get(operator.len..).unwrap_or_default());
        let here = |at: &str, what: &str| {
            format!("{what} expected at: \"...{}>>>{at}\"", excerpt(inside, inside.len() - at.len()))
        };
        let (right, rest) = braced(rest).ok_or_else(|| here(rest, "\"{\""))?;
        let rest = skip_space(rest);
        let holds = operator.holds(&self.apart(left)?, &self.apart(right)?)?;
        let wants = match rest.as_bytes().first() {
            None => return if holds { self.push("bool:true") } else { Ok(()) },
            Some(b'?') => true,
            Some(b':') => false,
            _ => return Err(here(rest, "\"?\" or \":\"")),
        };
        let branches = branches(inside, rest)?;
        match if holds == wants { Some(branches.0) } else { branches.1 } {
            Some(text) => self.deeper(left, text),
            None => Ok(()),
        }
    }

    fn value(&mut self, name: &str) -> Result<(), String> {
        self.names_left = self.names_left.checked_sub(1).ok_or("macro expansion refers to too many names")?;
        (self.seen)(name);
        let names = self.names;
        match names.value(name) {
            None => Ok(()),
            Some(v) if self.once || !v.contains('$') => self.push(&v),
            Some(v) => self.deeper(name, &v),
        }
    }

    /// A text within a text: the value of a name, a branch, a side of a comparison.
    fn deeper(&mut self, name: &str, value: &str) -> Result<(), String> {
        if self.depth >= MAX_DEPTH {
            let name: String = name.chars().take(100).collect();
            return Err(format!("unreasonable macro call nesting: \"{name}\""));
        }
        self.depth += 1;
        let result = self.text(value);
        self.depth -= 1;
        result
    }

    /// Whether a name has a value that is not empty when expanded.
    fn is_set(&mut self, name: &str) -> Result<bool, String> {
        let outer = std::mem::take(&mut self.out);
        let result = self.value(name);
        let inner = std::mem::replace(&mut self.out, outer);
        result.map(|()| !inner.is_empty())
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn skip_space(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_ascii_whitespace())
}

fn last_char(text: &str) -> &str {
    text.char_indices().last().and_then(|(i, _)| text.get(i..)).unwrap_or_default()
}

/// The last bytes before a place in a text, as Postfix shows them.
fn excerpt(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default().trim_end_matches(|c: char| c.is_ascii_whitespace());
    let start = before.char_indices().rev().nth(1).map_or(0, |(i, _)| i);
    before.get(start..).unwrap_or_default()
}

/// Whether `?{` or `:{` follows (white space may stand around the operator only then).
fn braced_branch(after: &str) -> bool {
    skip_space(after.get(1..).unwrap_or_default()).starts_with('{')
}

/// The place of the bracket that closes the one `text` begins with.
fn closing(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

/// Splits `{ text } rest` into the trimmed text and the rest.
fn braced(text: &str) -> Option<(&str, &str)> {
    if !text.starts_with('{') {
        return None;
    }
    let end = closing(text, '{', '}')?;
    let inside = text.get(1..end)?.trim_matches(|c: char| c.is_ascii_whitespace());
    Some((inside, text.get(end + 1..)?))
}

/// The branches after `?` or `:`: one, or with braces two.
fn branches<'t>(inside: &str, after: &'t str) -> Result<(&'t str, Option<&'t str>), String> {
    let first = after.starts_with('?');
    let text = after.get(1..).unwrap_or_default();
    let Some((one, rest)) = braced(skip_space(text)) else { return Ok((text, None)) };
    let rest = skip_space(rest);
    if rest.is_empty() {
        return Ok((one, None));
    }
    let fail = |what: &str, at: &str| {
        format!("{what} at: \"...{}>>>{at}\"", excerpt(inside, inside.len().saturating_sub(at.len())))
    };
    if !first {
        return Err(fail("unexpected input", rest));
    }
    let other = rest.strip_prefix(':').ok_or_else(|| fail("\":\" expected", rest))?;
    let (two, rest) = braced(skip_space(other)).ok_or_else(|| fail("\"{\" expected", skip_space(other)))?;
    let rest = skip_space(rest);
    if rest.is_empty() { Ok((one, Some(two))) } else { Err(fail("unexpected input", rest)) }
}

/// A comparison operator.
struct Operator {
    len: usize,
    level: bool,
    accepts: fn(Ordering) -> bool,
}

impl Operator {
    fn take(text: &str) -> Option<Self> {
        type Known = (&'static str, fn(Ordering) -> bool);
        const KNOWN: &[Known] = &[
            ("==", Ordering::is_eq),
            ("!=", Ordering::is_ne),
            ("<=", Ordering::is_le),
            (">=", Ordering::is_ge),
            ("<", Ordering::is_lt),
            (">", Ordering::is_gt),
        ];
        let (symbol, accepts) = KNOWN.iter().find(|(s, _)| text.starts_with(s))?;
        let level = text.get(symbol.len()..).is_some_and(|t| t.starts_with("level"));
        Some(Self { len: symbol.len() + if level { 5 } else { 0 }, level, accepts: *accepts })
    }

    fn holds(&self, left: &str, right: &str) -> Result<bool, String> {
        let order = if self.level {
            Level::parse(left).map_err(|e| e.text)?.cmp(&Level::parse(right).map_err(|e| e.text)?)
        } else {
            match (number(left), number(right)) {
                (Some(l), Some(r)) => l.cmp(&r),
                _ => left.cmp(right),
            }
        };
        Ok((self.accepts)(order))
    }
}

/// A text of digits only.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let names = |name: &str| {
            let value = match name {
                "e1" => "set",
                "e2" => "",
                "deep" => "$e1-$e1",
                "loop" => "x$loop",
                "a" => "$b",
                "b" => "$a",
                "compatibility_level" => "3.6",
                _ => return None,
            };
            Some(value.to_owned())
        };
        assert_eq!(expand(&names, text).unwrap_or_else(|e| e), expect, "{text}");
    }

    #[test]
    fn forms() {
        check("plain", "plain");
        check("$e1 ${e1} $(e1)x", "set set setx");
        check("$deep", "set-set");
        check("${e1?yes}${e2?no}", "yes");
        check("${e1:no}${e2:yes}${nosuch:also}", "yesalso");
        check("${e1?{a}:{b}} ${e2?{a}:{b}}", "a b");
        check("${e1 ? {a} : {b}}", "a");
        check("${e1?${e2?x}${e2:y}}", "y");
        check("$$e1 $nosuch.", "$e1 .");
        check("${e1?x:y}", "x:y");
    }

    #[test]
    fn comparisons() {
        check("${{$e1} == {set} ? {equal} : {different}}", "equal");
        check("${{$e1} != {set} ? {different} : {equal}}", "equal");
        check("${{3} < {20} ? {numeric} : {lexical}}", "numeric");
        check("${{abc} <= {abd} ? {le} : {gt}}", "le");
        check("${{3x} < {20} ? {a} : {b}}", "b");
        check("${{$compatibility_level} >=level {3.5} ? {new} : {old}}", "new");
        check("${{$compatibility_level} <level {3.12} ? {old} : {new}}", "old");
        check("${{a} == {b} ? c : d}", "");
        check("${{a} == {b}:{x}}", "x");
        check("${{a} == {a}?x}", "x");
    }

    #[test]
    fn errors() {
        check("${broken", "truncated macro reference: \"${broken\"");
        check("a$-b", "empty macro name: \"a$-b\"");
        check("$", "empty macro name: \"$\"");
        check("${}", "empty macro name: \"${}\"");
        check("${a-b}", "attribute name syntax error at: \"...a>>>-b\"");
        check("${a b}", "attribute name syntax error at: \"...a>>> b\"");
        check("$a", "unreasonable macro call nesting: \"a\"");
        check("$loop", "unreasonable macro call nesting: \"loop\"");
        check(&format!("{}x{}", "${e1?".repeat(MAX_DEPTH), "}".repeat(MAX_DEPTH)), "x");
        for (open, close) in [("${e1?{", "}}"), ("${{", "} == {}?{}}"), ("${e2:", "}")] {
            let text = format!("{}{}", open.repeat(20_000), close.repeat(20_000));
            let expanded = expand(&|name: &str| (name == "e1").then(|| "x".to_owned()), &text);
            assert!(
                expanded.is_err_and(|e| e.starts_with("unreasonable macro call nesting") && e.len() < 200)
            );
        }
        check("${{a} == {b} ? {c} d}", "\":\" expected at: \"...c}>>>d\"");
        check("${{a} == {b} ? {c} : {d} e}", "unexpected input at: \"...d}>>>e\"");
        check("${e1?{c} : {d} e}", "unexpected input at: \"...d}>>>e\"");
        check(
            "${{a}}",
            "\"==\" or \"!=\"\" or \"<\"\" or \"<=\"\" or \">=\"\" or \">\" expected at: \"...a}>>>\"",
        );
    }
}
