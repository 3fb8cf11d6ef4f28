//! POSIX regular expressions: regcomp(3), regexec(3). Used by the `regexp:` table type.
//!
//! Patterns and subjects are bytes; the process stays in the C locale, so case is ASCII and a character is a byte.
//! A pattern with a NUL byte is refused; a subject may hold any byte.

use libc::{c_char, c_int, regex_t, regmatch_t};
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::ops::Range;

/// glibc: match between `rm_so` and `rm_eo` of the first result slot, without a NUL at the end.
const REG_STARTEND: c_int = 1 << 2;

/// How a pattern is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegexFlags {
    /// Extended syntax.
    pub extended: bool,
    /// Without regard to case.
    pub ignore_case: bool,
    /// `^` and `$` match at line ends inside the subject, `.` and `[^x]` do not match them.
    pub newline: bool,
}

/// A compiled pattern.
pub struct PosixRegex {
    compiled: Box<regex_t>,
    groups: usize,
}

// SAFETY: regexec(3) takes the compiled pattern as const; glibc guards its inner caches with a lock.
unsafe impl Send for PosixRegex {}
// SAFETY: as above.
unsafe impl Sync for PosixRegex {}

impl PosixRegex {
    /// Compiles `pattern`; the error is the system's text.
    pub fn compile(pattern: &[u8], flags: RegexFlags) -> Result<PosixRegex, String> {
        let text = CString::new(pattern).map_err(|_| "Invalid regular expression".to_owned())?;
        let mut bits = 0;
        for (on, bit) in [
            (flags.extended, libc::REG_EXTENDED),
            (flags.ignore_case, libc::REG_ICASE),
            (flags.newline, libc::REG_NEWLINE),
        ] {
            bits |= if on { bit } else { 0 };
        }
        let mut compiled = Box::new(MaybeUninit::<regex_t>::zeroed());
        // SAFETY: `compiled` is writable memory of the right size, `text` ends with a NUL.
        let code = unsafe { libc::regcomp(compiled.as_mut_ptr(), text.as_ptr(), bits) };
        if code != 0 {
            return Err(message(code, compiled.as_ptr()));
        }
        // SAFETY: regcomp succeeded, so the structure is initialised.
        let compiled = unsafe { Box::from_raw(Box::into_raw(compiled).cast::<regex_t>()) };
        let groups = re_nsub(&compiled);
        Ok(PosixRegex { compiled, groups })
    }

    /// The number of groups in the pattern.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Does the pattern match anywhere in `subject`?
    pub fn is_match(&self, subject: &[u8]) -> Result<bool, String> {
        let mut slots = [regmatch_t { rm_so: 0, rm_eo: 0 }];
        self.run(subject, &mut slots)
    }

    /// Where the whole pattern and its groups match; `None` for a group without part in the match.
    pub fn captures(&self, subject: &[u8]) -> Result<Option<Vec<Option<Range<usize>>>>, String> {
        let mut slots = vec![regmatch_t { rm_so: 0, rm_eo: 0 }; self.groups.saturating_add(1)];
        if !self.run(subject, &mut slots)? {
            return Ok(None);
        }
        let range = |slot: &regmatch_t| {
            let (start, end) = (usize::try_from(slot.rm_so).ok()?, usize::try_from(slot.rm_eo).ok()?);
            (start <= end && end <= subject.len()).then_some(start..end)
        };
        Ok(Some(slots.iter().map(range).collect()))
    }

    fn run(&self, subject: &[u8], slots: &mut [regmatch_t]) -> Result<bool, String> {
        let too_long = || "subject too long".to_owned();
        if let Some(first) = slots.first_mut() {
            first.rm_eo = c_int::try_from(subject.len()).map_err(|_| too_long())?;
        }
        // An empty slice may have a dangling pointer, which regexec must not see.
        let start: *const c_char = if subject.is_empty() { c"".as_ptr() } else { subject.as_ptr().cast() };
        // SAFETY: with REG_STARTEND only the bytes up to rm_eo are read, all inside `subject`; `slots` holds as many
        // results as announced.
        let code = unsafe {
            libc::regexec(&raw const *self.compiled, start, slots.len(), slots.as_mut_ptr(), REG_STARTEND)
        };
        match code {
            0 => Ok(true),
            libc::REG_NOMATCH => Ok(false),
            _ => Err(message(code, &raw const *self.compiled)),
        }
    }
}

impl Drop for PosixRegex {
    fn drop(&mut self) {
        // SAFETY: made by regcomp, freed once.
        unsafe { libc::regfree(&raw mut *self.compiled) }
    }
}

/// `re_nsub`, which the libc crate keeps private on this system: the first size_t behind `translate`.
fn re_nsub(compiled: &regex_t) -> usize {
    /// The beginning of glibc's and musl's public layout.
    #[repr(C)]
    struct Public {
        #[cfg(target_env = "gnu")]
        before: Before,
        re_nsub: usize,
    }
    #[cfg(target_env = "gnu")]
    #[repr(C)]
    struct Before {
        buffer: *mut libc::c_void,
        allocated: usize,
        used: usize,
        syntax: libc::c_ulong,
        fastmap: *mut c_char,
        translate: *mut c_char,
    }
    const { assert!(size_of::<Public>() <= size_of::<regex_t>()) };
    // SAFETY: `Public` is a prefix of the C structure as regex.h documents it, and not larger.
    unsafe { (*(&raw const *compiled).cast::<Public>()).re_nsub }
}

fn message(code: c_int, compiled: *const regex_t) -> String {
    let mut buffer = [0u8; 256];
    // SAFETY: regerror writes at most `buffer.len()` bytes, with a NUL at the end.
    unsafe { libc::regerror(code, compiled, buffer.as_mut_ptr().cast(), buffer.len()) };
    let end = buffer.iter().position(|b| *b == 0).unwrap_or(buffer.len());
    String::from_utf8_lossy(&buffer[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: RegexFlags = RegexFlags { extended: true, ignore_case: true, newline: false };

    #[test]
    fn matches_and_groups() {
        let regex = PosixRegex::compile(b"^(a+)(x)?@(.*)$", USUAL).unwrap();
        assert_eq!(regex.groups(), 3);
        let groups = regex.captures(b"AA@b").unwrap().unwrap();
        assert_eq!(groups, [Some(0..4), Some(0..2), None, Some(3..4)]);
        assert!(!regex.is_match(b"b@b").unwrap());
        assert!(regex.captures(b"").unwrap().is_none());
    }

    #[test]
    fn bytes_of_any_kind() {
        let regex = PosixRegex::compile("日本".as_bytes(), USUAL).unwrap();
        assert!(regex.is_match("x日本y".as_bytes()).unwrap());
        let end = PosixRegex::compile(b"b$", USUAL).unwrap();
        assert!(end.is_match(b"a\0b").unwrap());
        assert!(!end.is_match(b"b\nc").unwrap());
        let lines = PosixRegex::compile(b"b$", RegexFlags { newline: true, ..USUAL }).unwrap();
        assert!(lines.is_match(b"b\nc").unwrap());
    }

    #[test]
    fn errors_are_texts() {
        assert_eq!(PosixRegex::compile(b"ab(c", USUAL).err().as_deref(), Some("Unmatched ( or \\("));
        assert!(PosixRegex::compile(b"a\0", USUAL).is_err());
    }
}
