//! Enhanced mail system status codes: `class.subject.detail` (RFC 3463 section 2).

use std::{fmt, str::FromStr};

/// An enhanced status code: class 2, 4 or 5; subject and detail 0 to 999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status {
    class: u8,
    subject: u16,
    detail: u16,
}

/// Text that is no enhanced status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an enhanced status code")]
pub struct BadStatus;

impl Status {
    /// Makes a status from its parts. Panics at compile time use outside the ranges of RFC 3463.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        assert!(matches!(class, 2 | 4 | 5) && subject < 1000 && detail < 1000);
        Self { class, subject, detail }
    }

    /// The class digit: 2 success, 4 temporary, 5 permanent.
    pub const fn class(self) -> u8 {
        self.class
    }

    /// The second number.
    pub const fn subject(self) -> u16 {
        self.subject
    }

    /// The third number.
    pub const fn detail(self) -> u16 {
        self.detail
    }

    /// The same code with another class (2, 4 or 5; anything else leaves it as it is), as replies are turned
    /// into temporary ones by `soft_bounce`.
    pub const fn with_class(self, class: u8) -> Self {
        if matches!(class, 2 | 4 | 5) { Self { class, ..self } } else { self }
    }

    /// Splits text that starts with a status code into the code and what follows after blanks.
    pub fn split_prefix(text: &str) -> Option<(Self, &str)> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (code, rest) = text.split_at(end);
        if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
            return None;
        }
        Some((code.parse().ok()?, rest.trim_start_matches([' ', '\t'])))
    }
}

impl Default for Status {
    fn default() -> Self {
        Self::new(4, 0, 0)
    }
}

impl FromStr for Status {
    type Err = BadStatus;

    fn from_str(text: &str) -> Result<Self, BadStatus> {
        let mut parts = text.split('.');
        let mut number = |max_len: usize| {
            let p = parts.next().ok_or(BadStatus)?;
            if p.is_empty() || p.len() > max_len || !p.bytes().all(|b| b.is_ascii_digit()) {
                return Err(BadStatus);
            }
            p.parse::<u16>().map_err(|_| BadStatus)
        };
        let (class, subject, detail) = (number(1)?, number(3)?, number(3)?);
        if parts.next().is_some() || !matches!(class, 2 | 4 | 5) {
            return Err(BadStatus);
        }
        Ok(Self { class: class as u8, subject, detail })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_and_print() {
        for ok in ["2.0.0", "4.7.1", "5.999.999"] {
            assert_eq!(ok.parse::<Status>().unwrap().to_string(), ok);
        }
        for bad in ["", "3.0.0", "5.1", "5.1.1.1", "5..1", "5.1000.1", "x.1.1", "55.1.1", "5.1.-1"] {
            assert_eq!(bad.parse::<Status>(), Err(BadStatus), "{bad}");
        }
    }

    #[test]
    fn prefix() {
        assert_eq!(Status::split_prefix("5.1.1 no"), Some((Status::new(5, 1, 1), "no")));
        assert_eq!(Status::split_prefix("5.1.1"), Some((Status::new(5, 1, 1), "")));
        assert_eq!(Status::split_prefix("5.1.1x no"), None);
        assert_eq!(Status::split_prefix("hello"), None);
    }
}
