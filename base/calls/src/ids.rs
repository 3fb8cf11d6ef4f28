//! Queue ids, in Postfix's short and long printed forms (postconf(5) `enable_long_queue_ids`).
//!
//! A message is named by its arrival time and a *slot*, the small number of its place in the spool's
//! index (Postfix uses the inode number). Slots are reused, the pair (time, slot) never is.
//!
//! short: five hexadecimal digits of microseconds, then the slot in hexadecimal;
//! long: seconds (6 or more) and microseconds (4) in base 52, `z`, the slot in base 51.

use crate::Timestamp;
use std::fmt;

/// 52 digits without vowels; base 51 leaves out the last one, `z`, which separates the parts.
const DIGITS: &[u8; 52] = b"0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";

/// Added to the slot when printing, so that an id has the length that Postfix gives it in a small queue on a
/// fresh file system, where the first message file has a low inode number (the id's length counts in `size=`).
const SLOT_BASE: u64 = 0x2C;

/// The name of one queued message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId {
    /// Arrival time, unique together with `slot`.
    pub time: Timestamp,
    /// Index of the message in the spool's table of live messages.
    pub slot: u32,
    /// Print the long form. A property of the message, fixed when it arrives.
    pub long: bool,
}

/// What a printed queue id says; a short one tells only the microseconds of its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParsedQueueId {
    /// Seconds, from a long id.
    pub secs: Option<u64>,
    /// Microseconds within the second.
    pub micros: u32,
    /// Slot.
    pub slot: u32,
}

impl ParsedQueueId {
    /// Whether this printed form names `id`.
    pub fn names(&self, id: &QueueId) -> bool {
        self.slot == id.slot
            && self.micros == id.time.micros()
            && self.secs.is_some() == id.long
            && self.secs.is_none_or(|s| s == id.time.secs())
    }
}

impl QueueId {
    /// Parses either printed form. `None` for anything that this crate would not print.
    pub fn parse(text: &str) -> Option<ParsedQueueId> {
        let text = text.as_bytes();
        if text.len() > 24 {
            return None;
        }
        match text.iter().rposition(|&b| b == b'z') {
            Some(z) if z >= 10 => parse_long(text, z),
            _ => parse_short(text),
        }
    }
}

fn parse_long(text: &[u8], z: usize) -> Option<ParsedQueueId> {
    let secs = undigits(text.get(..z - 4)?, 52)?;
    let micros = undigits(text.get(z - 4..z)?, 52)?;
    let slot = undigits(text.get(z + 1..)?, 51)?.checked_sub(SLOT_BASE)?;
    Some(ParsedQueueId {
        secs: Some(secs),
        micros: u32::try_from(micros).ok().filter(|&m| m < 1_000_000)?,
        slot: u32::try_from(slot).ok()?,
    })
}

fn parse_short(text: &[u8]) -> Option<ParsedQueueId> {
    let (micros, slot) = text.split_at_checked(5)?;
    let slot = unhex(slot)?.checked_sub(SLOT_BASE)?;
    Some(ParsedQueueId {
        secs: None,
        micros: u32::try_from(unhex(micros)?).ok().filter(|&m| m < 1_000_000)?,
        slot: u32::try_from(slot).ok()?,
    })
}

fn unhex(text: &[u8]) -> Option<u64> {
    let upper = |b: &u8| b.is_ascii_digit() || (b'A'..=b'F').contains(b);
    if text.is_empty() || !text.iter().all(upper) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

fn undigits(text: &[u8], base: u64) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |n, b| {
        let d = DIGITS.iter().position(|x| x == b)? as u64;
        (d < base).then_some(())?;
        n.checked_mul(base)?.checked_add(d)
    })
}

fn digits(f: &mut fmt::Formatter<'_>, mut n: u64, base: u64, width: usize) -> fmt::Result {
    let mut out = [b'0'; 16];
    let mut at = out.len();
    while n > 0 || out.len() - at < width {
        at -= 1;
        out[at] = DIGITS[(n % base) as usize];
        n /= base;
    }
    f.write_str(std::str::from_utf8(&out[at..]).unwrap_or_default())
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slot = u64::from(self.slot) + SLOT_BASE;
        if !self.long {
            return write!(f, "{:05X}{slot:X}", self.time.micros());
        }
        digits(f, self.time.secs(), 52, 6)?;
        digits(f, u64::from(self.time.micros()), 52, 4)?;
        f.write_str("z")?;
        digits(f, slot, 51, 1)
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_parse_back() {
        for (t, slot) in [(1_700_000_000_123_456, 0), (5, 7), (1_790_000_000_999_999, u32::MAX)] {
            for long in [false, true] {
                let id = QueueId { time: Timestamp(t), slot, long };
                let parsed = QueueId::parse(&id.to_string()).expect("parses");
                assert!(parsed.names(&id), "{id}");
                assert!(!parsed.names(&QueueId { slot: slot ^ 1, ..id }));
            }
        }
    }

    #[test]
    fn junk_is_no_id() {
        for junk in ["", "z", "12345", "xyz", "../../etc/passwd", "FFFFF2C", "1234Z2C", "000002C\u{e9}"] {
            assert_eq!(QueueId::parse(junk), None, "{junk}");
        }
    }
}
