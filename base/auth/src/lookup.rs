//! The questions that the methods ask of DNS, as a trait: answered by [`Resolver`], and by a table of records in tests.
//!
//! [`Hurried`] answers for another one until a time is over; then there is no answer for now, which each method takes as a result.

use base_calls::Fut;
use base_dns::{DnsError, Resolver};
use std::{net::IpAddr, time::Duration};
use tokio::time::{Instant, timeout_at};

/// Who answers.
pub trait Dns: Send + Sync {
    /// TXT records, the strings of each joined.
    fn txt<'a>(&'a self, name: &'a str) -> Fut<'a, Result<Vec<Vec<u8>>, DnsError>>;

    /// A records, or AAAA with `v6`.
    fn addresses<'a>(&'a self, name: &'a str, v6: bool) -> Fut<'a, Result<Vec<IpAddr>, DnsError>>;

    /// The names of mail exchangers, the most preferred first.
    fn mx<'a>(&'a self, name: &'a str) -> Fut<'a, Result<Vec<String>, DnsError>>;

    /// The names of an address.
    fn ptr(&self, address: IpAddr) -> Fut<'_, Result<Vec<String>, DnsError>>;
}

impl Dns for Resolver {
    fn txt<'a>(&'a self, name: &'a str) -> Fut<'a, Result<Vec<Vec<u8>>, DnsError>> {
        Box::pin(async move { Ok(Resolver::txt(self, name).await?.records) })
    }

    fn addresses<'a>(&'a self, name: &'a str, v6: bool) -> Fut<'a, Result<Vec<IpAddr>, DnsError>> {
        Box::pin(async move { Ok(Resolver::addresses(self, name, !v6, v6).await?.records) })
    }

    fn mx<'a>(&'a self, name: &'a str) -> Fut<'a, Result<Vec<String>, DnsError>> {
        Box::pin(async move {
            let mut records = Resolver::mx(self, name).await?.records;
            records.sort_by_key(|mx| mx.preference);
            Ok(records.into_iter().map(|mx| mx.host).collect())
        })
    }

    fn ptr(&self, address: IpAddr) -> Fut<'_, Result<Vec<String>, DnsError>> {
        Box::pin(async move { Ok(Resolver::ptr(self, address, false).await?.records) })
    }
}

/// Another's answers, as long as there is time.
pub(crate) struct Hurried<'a> {
    dns: &'a dyn Dns,
    until: Instant,
}

impl<'a> Hurried<'a> {
    /// All questions together have this time.
    pub fn new(dns: &'a dyn Dns, time: Duration) -> Self {
        Self { dns, until: Instant::now() + time }
    }

    fn limited<'q, T: Send + 'q>(
        &self,
        question: Fut<'q, Result<T, DnsError>>,
    ) -> Fut<'q, Result<T, DnsError>> {
        let until = self.until;
        Box::pin(async move {
            let late = |_| Err(DnsError::TempFail("too late".to_owned()));
            timeout_at(until, question).await.unwrap_or_else(late)
        })
    }
}

impl Dns for Hurried<'_> {
    fn txt<'a>(&'a self, name: &'a str) -> Fut<'a, Result<Vec<Vec<u8>>, DnsError>> {
        self.limited(self.dns.txt(name))
    }

    fn addresses<'a>(&'a self, name: &'a str, v6: bool) -> Fut<'a, Result<Vec<IpAddr>, DnsError>> {
        self.limited(self.dns.addresses(name, v6))
    }

    fn mx<'a>(&'a self, name: &'a str) -> Fut<'a, Result<Vec<String>, DnsError>> {
        self.limited(self.dns.mx(name))
    }

    fn ptr(&self, address: IpAddr) -> Fut<'_, Result<Vec<String>, DnsError>> {
        self.limited(self.dns.ptr(address))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Records as `name TYPE value` lines; a value `TEMPFAIL` is no answer for now.
    pub struct Zone(Vec<(String, String, String)>);

    impl Zone {
        pub fn new(text: &str) -> Self {
            let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
            Self(
                lines
                    .map(|l| {
                        let mut words = l.splitn(3, ' ');
                        let mut next = || words.next().unwrap_or_default().to_owned();
                        (next().to_lowercase(), next(), next())
                    })
                    .collect(),
            )
        }

        fn find(&self, name: &str, kind: &str) -> Result<Vec<String>, DnsError> {
            let name = name.trim_end_matches('.').to_lowercase();
            let of_name: Vec<_> = self.0.iter().filter(|r| r.0 == name).collect();
            let found: Vec<String> = of_name.iter().filter(|r| r.1 == kind).map(|r| r.2.clone()).collect();
            match () {
                () if of_name.is_empty() => Err(DnsError::NotFound),
                () if found.iter().any(|v| v == "TEMPFAIL") => Err(DnsError::TempFail("test".into())),
                () if found.is_empty() => Err(DnsError::NoData),
                () => Ok(found),
            }
        }
    }

    /// A name server that is silent.
    pub struct Silent;

    impl Dns for Silent {
        fn txt<'a>(&'a self, _: &'a str) -> Fut<'a, Result<Vec<Vec<u8>>, DnsError>> {
            Box::pin(std::future::pending())
        }

        fn addresses<'a>(&'a self, _: &'a str, _: bool) -> Fut<'a, Result<Vec<IpAddr>, DnsError>> {
            Box::pin(std::future::pending())
        }

        fn mx<'a>(&'a self, _: &'a str) -> Fut<'a, Result<Vec<String>, DnsError>> {
            Box::pin(std::future::pending())
        }

        fn ptr(&self, _: IpAddr) -> Fut<'_, Result<Vec<String>, DnsError>> {
            Box::pin(std::future::pending())
        }
    }

    fn parsed(values: Vec<String>) -> Vec<IpAddr> {
        values.iter().filter_map(|v| v.parse().ok()).collect()
    }

    impl Dns for Zone {
        fn txt<'a>(&'a self, name: &'a str) -> Fut<'a, Result<Vec<Vec<u8>>, DnsError>> {
            let found = self.find(name, "TXT");
            Box::pin(async move { Ok(found?.into_iter().map(String::into_bytes).collect()) })
        }

        fn addresses<'a>(&'a self, name: &'a str, v6: bool) -> Fut<'a, Result<Vec<IpAddr>, DnsError>> {
            let found = self.find(name, if v6 { "AAAA" } else { "A" });
            Box::pin(async move { Ok(parsed(found?)) })
        }

        fn mx<'a>(&'a self, name: &'a str) -> Fut<'a, Result<Vec<String>, DnsError>> {
            let found = self.find(name, "MX");
            Box::pin(async move { found })
        }

        fn ptr(&self, address: IpAddr) -> Fut<'_, Result<Vec<String>, DnsError>> {
            let found = self.find(&address.to_string(), "PTR");
            Box::pin(async move { found })
        }
    }
}
