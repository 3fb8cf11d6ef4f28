//! `compatibility_level`: `major[.minor[.patch]]`, compared number by number (postconf(5), `<level` operators).

use crate::Error;

/// A level as a number that sorts as levels do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Level(pub u32, pub u32, pub u32);

impl Level {
    /// Reads a level.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = || Error::new(format!("malformed compatibility level syntax: \"{text}\""));
        let mut parts = text.split('.');
        let mut next = || match parts.next() {
            None => Ok(0),
            Some(p) if !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()) => p.parse().map_err(|_| bad()),
            Some(_) => Err(bad()),
        };
        let level = Self(next()?, next()?, next()?);
        if parts.next().is_some() { Err(bad()) } else { Ok(level) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order() {
        let l = |t| Level::parse(t).unwrap();
        assert!(l("3.6") > l("2") && l("3.10") > l("3.9") && l("3.6.1") > l("3.6") && l("3.6.0") == l("3.6"));
        for bad in ["", "x", "3.", ".1", "1.2.3.4", "-1", "3.x", "99999999999"] {
            assert!(Level::parse(bad).is_err(), "{bad}");
        }
    }
}
