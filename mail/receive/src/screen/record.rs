//! What the cache knows of a client: until when each test counts as passed.

/// Expiry times in seconds since 1970; 0: never passed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) greet: u64,
    pub(crate) dnsbl: u64,
    pub(crate) pipelining: u64,
    pub(crate) non_smtp: u64,
    pub(crate) bare_newline: u64,
}

impl Passed {
    /// Five numbers with `;` between.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(';').map(|n| n.parse::<u64>());
        let mut next = || numbers.next()?.ok();
        let all = Self {
            greet: next()?,
            dnsbl: next()?,
            pipelining: next()?,
            non_smtp: next()?,
            bare_newline: next()?,
        };
        Some(all)
    }

    pub(crate) fn text(&self) -> String {
        let Self { greet, dnsbl, pipelining, non_smtp, bare_newline } = self;
        format!("{greet};{dnsbl};{pipelining};{non_smtp};{bare_newline}")
    }

    /// The time after which nothing of it counts.
    pub(crate) fn last(&self) -> u64 {
        [self.greet, self.dnsbl, self.pipelining, self.non_smtp, self.bare_newline]
            .into_iter()
            .max()
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let p = Passed { greet: 1, dnsbl: 2, pipelining: 3, non_smtp: 4, bare_newline: 5 };
        assert_eq!((p.text().as_str(), Passed::parse("1;2;3;4;5"), p.last()), ("1;2;3;4;5", Some(p), 5));
        assert_eq!(Passed::parse("1;2;x"), None);
    }
}
