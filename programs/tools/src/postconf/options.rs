//! The command line of postconf(1): which of its modes, and with what modifiers.

use super::{Fatal, lists::List};
use crate::getopt;
use std::ffi::OsString;

/// What to do to entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// `-e`: set.
    Set,
    /// `-#`: comment out.
    Comment,
    /// `-X`: remove.
    Remove,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Show,
    Edit(Change),
    Master,
    Fields,
    Overrides,
    EditMaster(Change),
    Templates { expanded: bool },
    List(List),
}

/// The command line.
#[derive(Debug)]
pub(super) struct Options {
    pub mode: Mode,
    /// `-M`, `-F`, `-P` or `-p`.
    pub object: char,
    pub config_dir: Option<OsString>,
    /// `-d`
    pub defaults: bool,
    /// `-n`
    pub only_set: bool,
    /// `-x`
    pub expand: bool,
    /// `-f`
    pub fold: bool,
    /// `-h`
    pub no_names: bool,
    /// `-H`
    pub no_values: bool,
    /// `-C`: builtin, service, user.
    pub classes: (bool, bool, bool),
    /// `-o`
    pub overrides: Vec<(String, String)>,
    pub names: Vec<String>,
}

const SPEC: &str = "aAbc:C:deEfFhHlmMno:pPtT:vxX#";

const USAGE: &str = "usage: postconf [-a (server SASL types)] [-A (client SASL types)] [-b (bounce templates)] \
[-c config_dir] [-c param_class] [-d (parameter defaults)] [-e (edit configuration)] [-f (fold lines)] \
[-F (master.cf fields)] [-h (no names)] [-H (no values)] [-l (lock types)] [-m (map types)] [-M (master.cf)] \
[-n (non-default parameters)] [-o name=value (override parameter value)] [-p (main.cf, default)] \
[-P (master.cf parameters)] [-t (bounce templates)] [-T compile-version|run-version|public-key-algorithms] \
[-v (verbose)] [-x (expand parameter values)] [-X (exclude)] [-# (comment-out)] [name...]";

/// Letters of which only one may be given.
const EXCLUSIVE: &[&str] = &["de#Xn", "FPM", "aAblmtT"];

pub(super) fn parse(args: &[OsString]) -> Result<Options, Fatal> {
    let parsed = getopt::parse(SPEC, args).map_err(|e| {
        eprintln!("postconf: {e}");
        Fatal(USAGE.to_owned())
    })?;
    let mut given: String = parsed.options.iter().map(|(c, _)| *c).collect();
    let names: Vec<String> = parsed.operands.iter().map(|n| n.to_string_lossy().into_owned()).collect();
    let lists = |c: char| "aAblmtT".contains(c);
    if !given.contains(lists) && names.iter().any(|n| n.contains('=')) && !given.contains('e') {
        given.push('e');
    }
    check_exclusive(&given)?;
    let mut o = Options {
        mode: Mode::Show,
        object: given.chars().find(|c| "MFP".contains(*c)).unwrap_or('p'),
        config_dir: parsed.value('c').map(ToOwned::to_owned),
        defaults: given.contains('d'),
        only_set: given.contains('n'),
        expand: given.contains('x'),
        fold: given.contains('f'),
        no_names: given.contains('h'),
        no_values: given.contains('H'),
        classes: (true, true, true),
        overrides: Vec::new(),
        names,
    };
    for (letter, value) in &parsed.options {
        let text = value.as_ref().map(|v| v.to_string_lossy().into_owned()).unwrap_or_default();
        match letter {
            'o' => o.overrides.push(definition(&text)?),
            'C' => o.classes = classes(&text)?,
            _ => {}
        }
    }
    o.mode = mode(&given, &parsed, o.object)?;
    Ok(o)
}

fn check_exclusive(given: &str) -> Result<(), Fatal> {
    for set in EXCLUSIVE {
        let mut both: Vec<char> = set.chars().filter(|c| given.contains(*c)).collect();
        both.sort_by_key(|c| "de#Xn".find(*c));
        if let [a, b, ..] = both.as_slice() {
            return Err(Fatal(format!("specify one of -{a} -{b}")));
        }
    }
    Ok(())
}

fn mode(given: &str, parsed: &getopt::Parsed, object: char) -> Result<Mode, Fatal> {
    if let Some(letter) = given.chars().find(|c| "aAblmtT".contains(*c)) {
        return Ok(match letter {
            'b' | 't' => Mode::Templates { expanded: letter == 'b' },
            _ => Mode::List(List::of(letter)),
        });
    }
    let change = match given.chars().find(|c| "e#X".contains(*c)) {
        Some('#') => Some(Change::Comment),
        Some('X') => Some(Change::Remove),
        Some(_) => Some(Change::Set),
        None => None,
    };
    if let Some(change) = change {
        if parsed.operands.is_empty() {
            return Err(Fatal(match change {
                Change::Set => "-e requires name=value argument".to_owned(),
                _ => "missing service argument".to_owned(),
            }));
        }
        return Ok(if object == 'p' { Mode::Edit(change) } else { Mode::EditMaster(change) });
    }
    Ok(match object {
        'M' => Mode::Master,
        'F' => Mode::Fields,
        'P' => Mode::Overrides,
        _ => Mode::Show,
    })
}

/// `name=value` of `-o` and `-e`.
pub(super) fn definition(text: &str) -> Result<(String, String), Fatal> {
    let (name, value) = base_conf::main_cf::split_definition(text).map_err(Fatal)?;
    Ok((name.to_owned(), value.to_owned()))
}

fn classes(text: &str) -> Result<(bool, bool, bool), Fatal> {
    let mut on = (false, false, false);
    for class in base_conf::list::split(text) {
        match class {
            "builtin" => on.0 = true,
            "service" => on.1 = true,
            "user" => on.2 = true,
            "all" => on = (true, true, true),
            _ => return Err(Fatal(format!("unknown parameter class: {class}"))),
        }
    }
    Ok(on)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expect: &str) {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let shown = parse(&args).map_or_else(|e| e.0, |o| format!("{:?}", o.mode));
        assert_eq!(shown, expect, "{line}");
    }

    #[test]
    fn modes() {
        check("", "Show");
        check("-n", "Show");
        check("a=b", "Edit(Set)");
        check("-# a", "Edit(Comment)");
        check("-X a", "Edit(Remove)");
        check("-M", "Master");
        check("-P a/b/c=d", "EditMaster(Set)");
        check("-d -n", "specify one of -d -n");
        check("-# smtpd_banner=x", "specify one of -e -#");
        check("-e", "-e requires name=value argument");
        check("-X", "missing service argument");
        check("-C nosuch", "unknown parameter class: nosuch");
        check("-M -F", "specify one of -F -M");
    }
}
