//! EHLO keywords: the set that a server offers or discards, and what a client read from a server's reply.
//!
//! `smtpd_discard_ehlo_keywords` and `smtp_discard_ehlo_keywords` parse with [`Keywords::parse_discard`].

use std::fmt;

/// A service extension keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Keyword {
    /// RFC 2920.
    Pipelining,
    /// RFC 1870.
    Size,
    /// RFC 5321.
    Vrfy,
    /// RFC 1985.
    Etrn,
    /// RFC 3207.
    StartTls,
    /// RFC 4954.
    Auth,
    /// RFC 2034.
    EnhancedStatusCodes,
    /// RFC 6152.
    EightBitMime,
    /// RFC 3461.
    Dsn,
    /// RFC 6531.
    SmtpUtf8,
    /// RFC 3030.
    Chunking,
    /// RFC 3030 (client side only).
    BinaryMime,
    /// RFC 8689.
    RequireTls,
    /// XFORWARD_README.
    Xforward,
    /// XCLIENT_README.
    Xclient,
    /// VERP_README.
    Xverp,
    /// Not a keyword: keep the discarding out of the log.
    SilentDiscard,
}

impl Keyword {
    /// All, in declaration order.
    pub const ALL: &[Keyword] = &[
        Keyword::Pipelining,
        Keyword::Size,
        Keyword::Vrfy,
        Keyword::Etrn,
        Keyword::StartTls,
        Keyword::Auth,
        Keyword::EnhancedStatusCodes,
        Keyword::EightBitMime,
        Keyword::Dsn,
        Keyword::SmtpUtf8,
        Keyword::Chunking,
        Keyword::BinaryMime,
        Keyword::RequireTls,
        Keyword::Xforward,
        Keyword::Xclient,
        Keyword::Xverp,
        Keyword::SilentDiscard,
    ];

    /// As it stands in an EHLO reply.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pipelining => "PIPELINING",
            Self::Size => "SIZE",
            Self::Vrfy => "VRFY",
            Self::Etrn => "ETRN",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::EnhancedStatusCodes => "ENHANCEDSTATUSCODES",
            Self::EightBitMime => "8BITMIME",
            Self::Dsn => "DSN",
            Self::SmtpUtf8 => "SMTPUTF8",
            Self::Chunking => "CHUNKING",
            Self::BinaryMime => "BINARYMIME",
            Self::RequireTls => "REQUIRETLS",
            Self::Xforward => "XFORWARD",
            Self::Xclient => "XCLIENT",
            Self::Xverp => "XVERP",
            Self::SilentDiscard => "silent-discard",
        }
    }

    /// By name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|k| k.name().eq_ignore_ascii_case(name))
    }
}

/// A set of [`Keyword`]s.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Keywords(u32);

impl Keywords {
    /// No keyword.
    pub const NONE: Self = Self(0);

    /// A set of these.
    pub fn of(list: &[Keyword]) -> Self {
        let mut set = Self::NONE;
        list.iter().for_each(|&k| set.insert(k));
        set
    }

    /// Whether `k` is in the set.
    pub const fn has(self, k: Keyword) -> bool {
        self.0 >> k as u32 & 1 == 1
    }

    /// Adds `k`.
    pub fn insert(&mut self, k: Keyword) {
        self.0 |= 1 << k as u32;
    }

    /// Takes `k` out.
    pub fn remove(&mut self, k: Keyword) {
        self.0 &= !(1 << k as u32);
    }

    /// Without those of `other`.
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those of both.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members in declaration order.
    pub fn iter(self) -> impl Iterator<Item = Keyword> {
        Keyword::ALL.iter().copied().filter(move |&k| self.has(k))
    }

    /// Reads a discard list (comma or blank separated, any case); `Err` holds the first unknown word.
    pub fn parse_discard(text: &str) -> Result<Self, String> {
        let mut set = Self::NONE;
        for word in text.split([',', ' ', '\t', '\r', '\n']).filter(|w| !w.is_empty()) {
            set.insert(Keyword::from_name(word).ok_or_else(|| word.to_owned())?);
        }
        Ok(set)
    }
}

impl fmt::Debug for Keywords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Keyword::name)).finish()
    }
}

/// What a client learned from an EHLO reply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Features {
    /// Keywords that this program knows.
    pub keywords: Keywords,
    /// `SIZE n`; `None` without a number or for 0 (no fixed limit).
    pub size: Option<u64>,
    /// AUTH mechanisms, `AUTH` and `AUTH=` forms together, in the order given.
    pub auth: Vec<String>,
    /// XFORWARD attribute names.
    pub xforward: Vec<String>,
    /// XCLIENT attribute names.
    pub xclient: Vec<String>,
}

impl Features {
    /// Reads the lines of a 250 reply; the first line is the greeting and is left out.
    pub fn parse(lines: &[String]) -> Self {
        let mut f = Self::default();
        lines.iter().skip(1).for_each(|l| f.line(l));
        f
    }

    fn line(&mut self, line: &str) {
        let mut words = line.split([' ', '\t', '=']).filter(|w| !w.is_empty());
        let Some(keyword) = words.next().and_then(Keyword::from_name) else { return };
        if keyword == Keyword::SilentDiscard {
            return;
        }
        self.keywords.insert(keyword);
        match keyword {
            Keyword::Size => self.size = words.next().and_then(|w| w.parse().ok()).filter(|&n| n > 0),
            Keyword::Auth => add_new(&mut self.auth, words),
            Keyword::Xforward => add_new(&mut self.xforward, words),
            Keyword::Xclient => add_new(&mut self.xclient, words),
            _ => {}
        }
    }

    /// Whether the server offers `k`.
    pub fn has(&self, k: Keyword) -> bool {
        self.keywords.has(k)
    }
}

fn add_new<'a>(list: &mut Vec<String>, words: impl Iterator<Item = &'a str>) {
    for w in words {
        if list.len() < 64 && !list.iter().any(|x| x.eq_ignore_ascii_case(w)) {
            list.push(w.to_ascii_uppercase());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_servers_list() {
        let lines: Vec<String> =
            ["host", "size 1000", "AUTH PLAIN LOGIN", "AUTH=plain CRAM-MD5", "8BITMIME", "X-FOO"]
                .map(String::from)
                .to_vec();
        let f = Features::parse(&lines);
        assert_eq!(f.size, Some(1000));
        assert_eq!(f.auth, ["PLAIN", "LOGIN", "CRAM-MD5"]);
        assert_eq!(f.keywords, Keywords::of(&[Keyword::Size, Keyword::Auth, Keyword::EightBitMime]));
    }

    #[test]
    fn discard_lists() {
        assert_eq!(
            Keywords::parse_discard("pipelining, DSN silent-discard"),
            Ok(Keywords::of(&[Keyword::Pipelining, Keyword::Dsn, Keyword::SilentDiscard]))
        );
        assert_eq!(Keywords::parse_discard("dsn foo"), Err("foo".into()));
        assert_eq!(Keyword::ALL.len() as u8, Keyword::SilentDiscard as u8 + 1);
    }
}
