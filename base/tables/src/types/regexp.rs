//! `regexp:/file`, `regexp:{ {rule} … }`: POSIX regular expressions. regexp_table(5).
//!
//! Flags: `i` (case does not count; on), `m` (lines), `x` (extended syntax; on).

use super::{Open, TableType, pcre::Pcre};
use crate::backrefs;
use crate::plain::Meaning;
use crate::rules::{self, Engine, Groups};
use crate::table::{OpenError, Table};
use crate::translate::{Dialect, translate};
use base_sys::regex::{PosixRegex, RegexFlags};
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "regexp", open, suffix: None };

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    rules::open::<Posix>(open)
}

/// A pattern; with back references also in the form that is matched in bounded time.
pub(crate) struct Posix {
    regex: PosixRegex,
    bounded: Option<Pcre>,
}

impl Posix {
    fn bounded(pattern: &[u8], flags: RegexFlags) -> Option<Pcre> {
        let perl = backrefs::to_perl(pattern, flags.newline).filter(|_| flags.extended)?;
        Pcre::bounded(&perl, flags.ignore_case, flags.newline).ok()
    }
}

impl Engine for Posix {
    const NAME: &'static str = "regexp";
    const SLOW: bool = true;
    type Flags = RegexFlags;

    fn default_flags() -> RegexFlags {
        RegexFlags { extended: true, ignore_case: true, newline: false }
    }

    fn toggle(flags: &mut RegexFlags, letter: u8) -> Result<bool, String> {
        match letter {
            b'i' => flags.ignore_case ^= true,
            b'm' => flags.newline ^= true,
            b'x' => flags.extended ^= true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn compile(pattern: &[u8], flags: RegexFlags) -> Result<Posix, String> {
        Ok(Posix { regex: PosixRegex::compile(pattern, flags)?, bounded: Posix::bounded(pattern, flags) })
    }

    fn plain(_: &[u8], flags: RegexFlags) -> Option<Meaning> {
        let meaning = Meaning { ignore_case: flags.ignore_case, before_newline: false };
        (flags.extended && !flags.newline).then_some(meaning)
    }

    fn for_prefilter(pattern: &[u8], flags: RegexFlags) -> Option<String> {
        let dialect = Dialect { pcre: false, ignore_case: flags.ignore_case, multi_line: flags.newline };
        if flags.extended { translate(pattern, dialect) } else { None }
    }

    fn groups(&self) -> usize {
        self.regex.groups()
    }

    fn is_match(&self, key: &[u8]) -> Result<bool, String> {
        self.bounded.as_ref().map_or_else(|| self.regex.is_match(key), |pcre| pcre.is_match(key))
    }

    fn captures(&self, key: &[u8]) -> Result<Option<Groups>, String> {
        self.bounded.as_ref().map_or_else(|| self.regex.captures(key), |pcre| pcre.captures(key))
    }
}
