//! Short options as Postfix's commands read them (getopt(3) in POSIX mode): `--` or the first operand ends them.
//!
//! `parse("c:nv", args)`: a letter, followed by `:` when it takes a value (attached or as the next argument).
//! The first error ends parsing; its text is what getopt prints after `NAME: `.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
};

/// The options in order, and the operands.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Options as given, with their values.
    pub options: Vec<(char, Option<OsString>)>,
    /// What is left.
    pub operands: Vec<OsString>,
}

impl Parsed {
    /// Whether an option was given.
    #[allow(dead_code)]
    pub fn has(&self, letter: char) -> bool {
        self.options.iter().any(|(c, _)| *c == letter)
    }

    /// The last value given for an option.
    #[allow(dead_code)]
    pub fn value(&self, letter: char) -> Option<&OsStr> {
        self.options.iter().rev().find(|(c, _)| *c == letter).and_then(|(_, v)| v.as_deref())
    }
}

/// Parses `args` by getopt's `spec`.
pub fn parse(spec: &str, args: &[OsString]) -> Result<Parsed, String> {
    let mut out = Parsed::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_bytes() {
            b"--" => {
                out.operands.extend(args.cloned());
                break;
            }
            [b'-', letters @ ..] if !letters.is_empty() => cluster(spec, letters, &mut args, &mut out)?,
            _ => {
                out.operands.push(arg.clone());
                out.operands.extend(args.cloned());
                break;
            }
        }
    }
    Ok(out)
}

/// One argument of option letters.
fn cluster<'a>(
    spec: &str,
    mut letters: &[u8],
    args: &mut impl Iterator<Item = &'a OsString>,
    out: &mut Parsed,
) -> Result<(), String> {
    while let Some((&b, rest)) = letters.split_first() {
        letters = rest;
        let c = char::from(b);
        let known = spec.find(c).filter(|_| c != ':').ok_or_else(|| format!("invalid option -- '{c}'"))?;
        if !spec.get(known + 1..).is_some_and(|s| s.starts_with(':')) {
            out.options.push((c, None));
            continue;
        }
        let value =
            if rest.is_empty() { args.next().cloned() } else { Some(OsString::from_vec(rest.to_vec())) };
        let value = value.ok_or_else(|| format!("option requires an argument -- '{c}'"))?;
        out.options.push((c, Some(value)));
        break;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spec: &str, line: &str, expect: &str) {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let text = match parse(spec, &args) {
            Err(e) => e,
            Ok(p) => {
                let o: Vec<String> = p
                    .options
                    .iter()
                    .map(|(c, v)| {
                        format!("{c}{}", v.as_ref().map_or(String::new(), |v| format!("={}", v.display())))
                    })
                    .collect();
                let rest: Vec<String> = p.operands.iter().map(|s| s.display().to_string()).collect();
                format!("{} | {}", o.join(" "), rest.join(" "))
            }
        };
        assert_eq!(text, expect, "{line}");
    }

    #[test]
    fn table() {
        check("c:nv", "-n -v a", "n v | a");
        check("c:nv", "-nv -c dir a b", "n v c=dir | a b");
        check("c:nv", "-cdir a b", "c=dir | a b");
        check("c:nv", "-- -n", " | -n");
        check("nv", "a -n", " | a -n");
        check("c:n", "- -n", " | - -n");
        check("c:n", "-x", "invalid option -- 'x'");
        check("c:n", "-:", "invalid option -- ':'");
        check("c:n", "-c", "option requires an argument -- 'c'");
    }
}
