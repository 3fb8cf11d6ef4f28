//! The servers of a table: in which order they are asked, and which are left alone for a while after a failure.
//!
//! Local sockets come first, then the rest, each in random order. A server that failed is skipped for
//! `retry_interval`; one that stands alone (it may be a load balancer) is tried again at once, unless it
//! let us wait for a time-out. mysql_table(5), pgsql_table(5).

use rand::seq::SliceRandom;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a server that stands alone is left in peace after a time-out.
const BREATH: Duration = Duration::from_secs(5);

/// The servers of one table; `T` says how one is reached.
#[derive(Debug)]
pub struct Hosts<T> {
    hosts: Vec<(T, bool)>,
    skip_until: Mutex<Vec<Option<Instant>>>,
    retry: Duration,
    shuffled: bool,
}

/// Why a server failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It said no, or is not there.
    Refused,
    /// It said nothing in time.
    Silent,
}

impl<T> Hosts<T> {
    /// `hosts` with true for local sockets.
    pub fn new(hosts: Vec<(T, bool)>, retry: Duration) -> Hosts<T> {
        let skip_until = Mutex::new(vec![None; hosts.len()]);
        Hosts { hosts, skip_until, retry, shuffled: true }
    }

    /// Like [`Hosts::new`], asked in the order given.
    pub fn in_order(hosts: Vec<(T, bool)>, retry: Duration) -> Hosts<T> {
        Hosts { shuffled: false, ..Hosts::new(hosts, retry) }
    }

    /// The server of this number.
    pub fn get(&self, number: usize) -> Option<&T> {
        self.hosts.get(number).map(|(host, _)| host)
    }

    /// The numbers of the servers to ask, in order.
    pub fn order(&self) -> Vec<usize> {
        let now = Instant::now();
        let skip = self.skip_until.lock().unwrap_or_else(PoisonError::into_inner);
        let due = |n: &usize| skip.get(*n).copied().flatten().is_none_or(|until| until <= now);
        let mut order: Vec<usize> = (0..self.hosts.len()).filter(due).collect();
        if self.shuffled {
            order.shuffle(&mut rand::rng());
        }
        order.sort_by_key(|n| !self.hosts.get(*n).is_some_and(|(_, local)| *local));
        order
    }

    /// Notes that a server failed.
    pub fn failed(&self, number: usize, trouble: Trouble) {
        let pause = match (self.hosts.len(), trouble) {
            (1, Trouble::Refused) => return,
            (1, Trouble::Silent) => BREATH.min(self.retry),
            _ => self.retry,
        };
        self.set(number, Instant::now().checked_add(pause));
    }

    /// Notes that a server answered.
    pub fn works(&self, number: usize) {
        self.set(number, None);
    }

    fn set(&self, number: usize, until: Option<Instant>) {
        let mut skip = self.skip_until.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = skip.get_mut(number) {
            *slot = until;
        }
    }
}

/// How a server is written in `hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A local socket (MySQL), or the folder it is in (PostgreSQL).
    Unix(String),
    /// A host name or address, with a port if one is given.
    Tcp(String, Option<u16>),
}

impl Address {
    /// Reads `unix:/path`, `inet:host:port`, `host`, `host:port`, `[v6]:port`.
    pub fn parse(text: &str) -> Address {
        if let Some(path) = text.strip_prefix("unix:") {
            return Address::Unix(path.to_owned());
        }
        let text = text.strip_prefix("inet:").unwrap_or(text);
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()),
            _ => (text, None),
        };
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        Address::Tcp(host.to_owned(), port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Duration = Duration::from_secs(60);

    #[test]
    fn local_first_and_failed_last() {
        let hosts = Hosts::new(vec![("a", false), ("b", false), ("u", true)], RETRY);
        for _ in 0..20 {
            assert_eq!(hosts.order().first(), Some(&2));
            assert_eq!(hosts.order().len(), 3);
        }
        hosts.failed(2, Trouble::Refused);
        assert_eq!(hosts.order().len(), 2);
        hosts.failed(0, Trouble::Silent);
        assert_eq!(hosts.order(), [1]);
        hosts.works(2);
        assert_eq!(hosts.order(), [2, 1]);
        assert_eq!(hosts.get(2), Some(&"u"));
    }

    #[test]
    fn the_only_one_is_tried_again() {
        let hosts = Hosts::new(vec![("a", false)], RETRY);
        hosts.failed(0, Trouble::Refused);
        assert_eq!(hosts.order(), [0]);
        hosts.failed(0, Trouble::Silent);
        assert_eq!(hosts.order(), Vec::<usize>::new());
    }

    #[test]
    fn addresses() {
        let tcp = |host: &str, port| Address::Tcp(host.to_owned(), port);
        let cases = [
            ("unix:/run/x.sock", Address::Unix("/run/x.sock".to_owned())),
            ("h.example", tcp("h.example", None)),
            ("inet:h.example:99", tcp("h.example", Some(99))),
            ("127.0.0.1:3307", tcp("127.0.0.1", Some(3307))),
            ("[::1]:3307", tcp("::1", Some(3307))),
            ("::1", tcp("::1", None)),
        ];
        for (text, want) in cases {
            assert_eq!(Address::parse(text), want, "{text}");
        }
    }
}
