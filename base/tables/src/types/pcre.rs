//! `pcre:/file`, `pcre:{ {rule} … }`: Perl-compatible regular expressions. pcre_table(5).
//!
//! Flags: `i` (case does not count; on), `s` (`.` matches newline; on), `m`, `x`, `A`, `E`, `U`; `X` is obsolete.
//! A pattern that backtracks beyond its limit is an error of the lookup, not a "no".

use super::{Open, TableType};
use crate::plain::Meaning;
use crate::rules::{self, Engine, Groups};
use crate::table::{OpenError, Table};
use crate::translate::{Dialect, translate};
use pcre2::bytes::{Regex, RegexBuilder};
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering},
};

pub(super) const TYPE: TableType = TableType { name: "pcre", open, suffix: None };

/// Steps of the matcher for one pattern and key: tenths of a second.
const LIMIT: &str = "(*LIMIT_MATCH=1000000)";

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    rules::open::<Pcre>(open)
}

pub(crate) struct Pcre {
    source: String,
    flags: Flags,
    regex: Regex,
    groups: usize,
    /// Made of patterns that are used often: machine code costs time and memory, and most rules of a large table are hardly ever tried.
    compiled: OnceLock<Option<Regex>>,
    tried: AtomicU32,
}

/// A pattern that was tried this often is worth machine code.
const OFTEN: u32 = 16;

impl Pcre {
    /// A pattern of another type, with the limit on steps.
    pub(crate) fn bounded(pattern: &str, ignore_case: bool, lines: bool) -> Result<Pcre, String> {
        let usual = <Pcre as Engine>::default_flags();
        let flags = Flags { ignore_case, multi_line: lines, dot_all: !lines, ..usual };
        Pcre::build(format!("{LIMIT}{pattern}"), flags).map_err(|e| e.to_string())
    }

    fn build(source: String, flags: Flags) -> Result<Pcre, pcre2::Error> {
        let regex = builder(flags).build(&source)?;
        let (compiled, tried) = (OnceLock::new(), AtomicU32::new(0));
        Ok(Pcre { groups: regex.captures_len().saturating_sub(1), source, flags, regex, compiled, tried })
    }

    fn regex(&self) -> &Regex {
        if self.tried.load(Ordering::Relaxed) < OFTEN {
            self.tried.fetch_add(1, Ordering::Relaxed);
            return &self.regex;
        }
        let compile = || builder(self.flags).jit_if_available(true).build(&self.source).ok();
        self.compiled.get_or_init(compile).as_ref().unwrap_or(&self.regex)
    }
}

fn builder(flags: Flags) -> RegexBuilder {
    let mut builder = RegexBuilder::new();
    builder
        .caseless(flags.ignore_case)
        .multi_line(flags.multi_line)
        .dotall(flags.dot_all)
        .extended(flags.extended)
        .max_jit_stack_size(Some(1 << 20));
    builder
}

#[derive(Clone, Copy)]
pub(crate) struct Flags {
    ignore_case: bool,
    multi_line: bool,
    dot_all: bool,
    extended: bool,
    anchored: bool,
    dollar_end: bool,
    ungreedy: bool,
}

impl Engine for Pcre {
    const NAME: &'static str = "pcre";
    const SLOW: bool = false;
    type Flags = Flags;

    fn default_flags() -> Flags {
        Flags {
            ignore_case: true,
            multi_line: false,
            dot_all: true,
            extended: false,
            anchored: false,
            dollar_end: false,
            ungreedy: false,
        }
    }

    fn toggle(flags: &mut Flags, letter: u8) -> Result<bool, String> {
        match letter {
            b'i' => flags.ignore_case ^= true,
            b'm' => flags.multi_line ^= true,
            b's' => flags.dot_all ^= true,
            b'x' => flags.extended ^= true,
            b'A' => flags.anchored ^= true,
            b'E' => flags.dollar_end ^= true,
            b'U' => flags.ungreedy ^= true,
            b'X' => return Err("ignoring obsolete regexp option \"X\"".to_owned()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn compile(pattern: &[u8], flags: Flags) -> Result<Pcre, String> {
        let text =
            std::str::from_utf8(pattern).map_err(|_| "pattern is not UTF-8 text: skipping this rule")?;
        let (before, after) = frame(flags);
        let body =
            if flags.dollar_end && !flags.multi_line { with_strict_end(text) } else { text.to_owned() };
        match Pcre::build(format!("{before}{body}{after}"), flags) {
            Ok(pcre) => Ok(pcre),
            Err(error) => {
                let offset = error.offset().unwrap_or(0).saturating_sub(before.len());
                let text = error.to_string();
                let reason = text.rsplit_once(": ").map_or(text.as_str(), |(_, reason)| reason);
                Err(format!("error in regex at offset {offset}: {reason}"))
            }
        }
    }

    fn plain(pattern: &[u8], flags: Flags) -> Option<Meaning> {
        let meaning = Meaning { ignore_case: flags.ignore_case, before_newline: !flags.dollar_end };
        let usual = flags.dot_all && !flags.extended && !flags.multi_line && !flags.anchored;
        (usual && std::str::from_utf8(pattern).is_ok()).then_some(meaning)
    }

    fn for_prefilter(pattern: &[u8], flags: Flags) -> Option<String> {
        if flags.extended || !flags.dot_all {
            return None;
        }
        let dialect = Dialect { pcre: true, ignore_case: flags.ignore_case, multi_line: flags.multi_line };
        translate(pattern, dialect)
    }

    fn groups(&self) -> usize {
        self.groups
    }

    fn is_match(&self, key: &[u8]) -> Result<bool, String> {
        self.regex().is_match(key).map_err(|e| e.to_string())
    }

    fn captures(&self, key: &[u8]) -> Result<Option<Groups>, String> {
        let regex = self.regex();
        let mut places = regex.capture_locations();
        if regex.captures_read(&mut places, key).map_err(|e| e.to_string())?.is_none() {
            return Ok(None);
        }
        Ok(Some((0..=self.groups).map(|n| places.get(n).map(|(start, end)| start..end)).collect()))
    }
}

/// What stands around the pattern for the flags that the library's builder does not have.
fn frame(flags: Flags) -> (String, &'static str) {
    let mut before = LIMIT.to_owned();
    if flags.ungreedy {
        before.push_str("(?U)");
    }
    match flags.anchored {
        true => {
            before.push_str(r"\A(?:");
            // A comment at the end of an extended pattern must not swallow the bracket.
            (before, if flags.extended { "\n)" } else { ")" })
        }
        false => (before, ""),
    }
}

/// Every `$` outside of classes becomes `\z`.
fn with_strict_end(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let (mut escaped, mut class) = (false, false);
    for c in pattern.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            '$' if !class => {
                out.push_str(r"\z");
                continue;
            }
            _ => (),
        }
        out.push(c);
    }
    out
}
