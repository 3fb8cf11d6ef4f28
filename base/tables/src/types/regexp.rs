//! `regexp:/file`, `regexp:{ {rule} … }`: POSIX regular expressions. regexp_table(5).
//!
//! Flags: `i` (case does not count; on), `m` (lines), `x` (extended syntax; on).

use super::{Open, TableType};
use crate::plain::Meaning;
use crate::rules::{self, Engine, Groups};
use crate::table::{OpenError, Table};
use crate::translate::{Dialect, translate};
use base_sys::regex::{PosixRegex, RegexFlags};
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "regexp", open, suffix: None };

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    rules::open::<PosixRegex>(open)
}

impl Engine for PosixRegex {
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

    fn compile(pattern: &[u8], flags: RegexFlags) -> Result<PosixRegex, String> {
        PosixRegex::compile(pattern, flags)
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
        PosixRegex::groups(self)
    }

    fn is_match(&self, key: &[u8]) -> Result<bool, String> {
        PosixRegex::is_match(self, key)
    }

    fn captures(&self, key: &[u8]) -> Result<Option<Groups>, String> {
        PosixRegex::captures(self, key)
    }
}
