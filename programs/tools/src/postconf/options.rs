//! The command line of postconf(1): which of its modes, and with what modifiers.

use super::{Fatal, lists::List, own_name};
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
    Templates {
        expanded: bool,
    },
    List(List),
    /// `-T`
    TlsLibrary,
    /// `--why`
    Why,
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
    /// `-q`
    pub quiet: bool,
    /// `-j`
    pub json: bool,
    /// The mode of `-T`.
    pub tls_mode: String,
    /// `-C`: builtin, service, user.
    pub classes: (bool, bool, bool),
    /// `-o`
    pub overrides: Vec<(String, String)>,
    pub names: Vec<String>,
}

const SPEC: &str = "aAbc:C:deEfFhHjlmMno:pPqtT:vxX#";

const USAGE: &str = "[-a (server SASL types)] [-A (client SASL types)] [-b (bounce templates)] \
[-c config_dir] [-c param_class] [-d (parameter defaults)] [-e (edit configuration)] [-f (fold lines)] \
[-F (master.cf fields)] [-h (no names)] [-H (no values)] [-j (JSON)] [-l (lock types)] [-m (map types)] [-M (master.cf)] \
[-n (non-default parameters)] [-o name=value (override parameter value)] [-p (main.cf, default)] \
[-P (master.cf parameters)] [-q (no warnings)] [-t (bounce templates)] [-T compile-version|run-version|public-key-algorithms] \
[-v (verbose)] [-x (expand parameter values)] [-X (exclude)] [-# (comment-out)] [name...]";

/// Letters of which only one may be given.
const EXCLUSIVE: &[&str] = &["denX#", "efX#", "ehHX#", "ejX#", "eoX#", "exX#", "aAbFlmMpPt"];

/// What does not go with a way to ask, beside [`EXCLUSIVE`].
const UNSUITED: &[(&str, &str)] = &[("aAblmt", "defhHnoxX#"), ("M", "dhHn"), ("F", "dnX#"), ("P", "dn#")];

/// The order in which messages name letters.
const ORDER: &str = "aAbdefFhHjlmMnopPqtTxX#";

pub(super) fn parse(args: &[OsString]) -> Result<Options, Fatal> {
    let (why, args) = long_option(args);
    let parsed = getopt::parse(SPEC, &args).map_err(|e| {
        eprintln!("{}: {e}", own_name());
        Fatal::new(format!("usage: {} {USAGE}", own_name()))
    })?;
    let mut given: String = parsed.options.iter().map(|(c, _)| *c).collect();
    let names: Vec<String> = parsed.operands.iter().map(|n| n.to_string_lossy().into_owned()).collect();
    let lists = |c: char| "aAblmtT".contains(c);
    if !given.contains(lists) && names.iter().any(|n| n.contains('=')) && !given.contains('e') {
        given.push('e');
    }
    check_together(&given)?;
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
        quiet: given.contains('q'),
        json: given.contains('j'),
        tls_mode: String::new(),
        classes: (true, true, true),
        overrides: Vec::new(),
        names,
    };
    for (letter, value) in &parsed.options {
        let text = value.as_ref().map(|v| v.to_string_lossy().into_owned()).unwrap_or_default();
        match letter {
            'o' => o.overrides.push(overriding(&text)?),
            'C' => o.classes = classes(&text)?,
            'T' => o.tls_mode = text,
            _ => {}
        }
    }
    o.mode = if why { Mode::Why } else { mode(&given, &parsed, o.object)? };
    Ok(o)
}

/// Takes `--why` out of the arguments.
fn long_option(args: &[OsString]) -> (bool, Vec<OsString>) {
    let rest: Vec<_> = args.iter().filter(|a| *a != "--why").cloned().collect();
    (rest.len() < args.len(), rest)
}

fn check_together(given: &str) -> Result<(), Fatal> {
    let present = |set: &str| -> Vec<char> {
        ORDER.chars().filter(|c| set.contains(*c) && given.contains(*c)).collect()
    };
    if given.contains('b') && given.contains('t') {
        return Err(Fatal::new("specify one of -b and -t"));
    }
    for set in EXCLUSIVE {
        let both = present(set);
        if both.len() > 1 {
            let all: String = both.iter().map(|c| format!(" -{c}")).collect();
            return Err(Fatal::new(format!("specify one of{all}")));
        }
    }
    for (modes, unsuited) in UNSUITED {
        if let ([mode, ..], [letter, ..]) = (present(modes).as_slice(), present(unsuited).as_slice()) {
            return Err(Fatal::new(format!("with option -{mode}, do not specify -{letter}")));
        }
    }
    Ok(())
}

fn mode(given: &str, parsed: &getopt::Parsed, object: char) -> Result<Mode, Fatal> {
    if let Some(letter) = given.chars().find(|c| "aAblmtT".contains(*c)) {
        return Ok(match letter {
            'b' | 't' => Mode::Templates { expanded: letter == 'b' },
            'T' => Mode::TlsLibrary,
            _ => Mode::List(List::of(letter)),
        });
    }
    let change = match given.chars().find(|c| "eX#".contains(*c)) {
        Some('#') => Some(Change::Comment),
        Some('X') => Some(Change::Remove),
        Some(_) => Some(Change::Set),
        None => None,
    };
    if let Some(change) = change {
        if parsed.operands.is_empty() {
            return Err(Fatal::new(match change {
                Change::Set => "-e requires name=value argument",
                _ => "missing service argument",
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

/// The argument of `-o`.
fn overriding(text: &str) -> Result<(String, String), Fatal> {
    let bad = |reason: &str| Fatal::new(format!("invalid parameter override: {text}: {reason}"));
    definition(text).map_err(|e| bad(e.text.split_once(": ").map_or(e.text.as_str(), |(r, _)| r)))
}

/// `name=value` of `-o` and `-e`.
pub(super) fn definition(text: &str) -> Result<(String, String), Fatal> {
    let (name, value) = base_conf::main_cf::split_definition(text).map_err(Fatal::new)?;
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
            _ => return Err(Fatal::new(format!("unknown -C option value \"{class}\" in \"{text}\""))),
        }
    }
    Ok(on)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expect: &str) {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let shown = parse(&args).map_or_else(|e| e.text, |o| format!("{:?}", o.mode));
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
        check("-C a,user", "unknown -C option value \"a\" in \"a,user\"");
        check("-M -n", "with option -M, do not specify -n");
        check("-m -d", "with option -m, do not specify -d");
        check("-F -X a/b/c", "with option -F, do not specify -X");
        check("-X -x a", "specify one of -x -X");
        check("-h a=b", "specify one of -e -h");
        check("-o a=b c=d", "specify one of -e -o");
        check("-h -H", "specify one of -h -H");
        check("-b -t", "specify one of -b and -t");
        check("-l -m", "specify one of -l -m");
        check("-o x", "invalid parameter override: x: missing '=' after attribute name");
        check("--why a", "Why");
        check("-M -F", "specify one of -F -M");
    }
}
