//! `transport:nexthop`, as in transport(5) and `default_transport`.

/// A transport and a next hop; either may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spec {
    /// Service name in master.cf; empty leaves it to the address class.
    pub transport: String,
    /// Next hop; empty leaves it to the recipient's domain or the relay host.
    pub nexthop: String,
}

impl Spec {
    /// Splits at the first colon.
    pub fn parse(text: &str) -> Self {
        let (transport, nexthop) = text.split_once(':').unwrap_or((text, ""));
        Self { transport: transport.to_owned(), nexthop: nexthop.to_owned() }
    }

    /// Puts an entry of a transport table on top: no transport keeps this one; a transport without a next hop goes
    /// to the recipient's `domain`, past any relay host; `error:` and `retry:` then have a text of their own.
    pub fn overridden(self, by: Self, domain: &str) -> Self {
        match (by.transport.is_empty(), by.nexthop.is_empty()) {
            (true, true) => self,
            (true, false) => Self { nexthop: by.nexthop, ..self },
            (false, true) if matches!(by.transport.as_str(), "error" | "retry") => {
                Self { nexthop: "Address is undeliverable".into(), ..by }
            }
            (false, true) => Self { nexthop: domain.to_owned(), ..by },
            (false, false) => by,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (text, expect) in [
            ("smtp:[h]:25", "smtp|[h]:25"),
            ("smtp:", "smtp|dom"),
            ("smtp", "smtp|dom"),
            (":[h]", "old|[h]"),
            (":", "old|hop"),
            ("lmtp:unix:x y", "lmtp|unix:x y"),
            ("error:", "error|Address is undeliverable"),
            ("retry", "retry|Address is undeliverable"),
            ("error:5.1.1 no: really", "error|5.1.1 no: really"),
        ] {
            let old = Spec { transport: "old".into(), nexthop: "hop".into() };
            let new = old.overridden(Spec::parse(text), "dom");
            assert_eq!(format!("{}|{}", new.transport, new.nexthop), expect, "{text}");
        }
    }
}
