//! resolv.conf(5) and hosts(5), read again when they change.

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// Name servers asked at most (MAXNS).
const MAX_SERVERS: usize = 3;
/// Bytes of a file that are read at most.
const MAX_FILE: usize = 1 << 20;
/// How often a file is looked at.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// resolv.conf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResolvConf {
    pub servers: Vec<SocketAddr>,
    pub search: Vec<String>,
    pub ndots: usize,
    pub timeout: Duration,
    pub attempts: usize,
    pub rotate: bool,
}

impl ResolvConf {
    pub fn parse(text: &str) -> Self {
        let mut c = Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
        };
        for line in text.lines().map(|l| l.split(['#', ';']).next().unwrap_or_default()) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => c.server(words.next()),
                Some("search" | "domain") => c.search = words.take(6).map(str::to_owned).collect(),
                Some("options") => words.for_each(|w| c.option(w)),
                _ => {}
            }
        }
        if c.servers.is_empty() {
            c.servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)));
        }
        c
    }

    fn server(&mut self, word: Option<&str>) {
        let word = word.unwrap_or_default();
        // For tests and odd set-ups an address with a port works too.
        let parsed =
            word.parse().ok().or_else(|| word.parse::<IpAddr>().ok().map(|ip| SocketAddr::from((ip, 53))));
        if self.servers.len() < MAX_SERVERS {
            self.servers.extend(parsed);
        }
    }

    fn option(&mut self, word: &str) {
        let number = |w: &str| w.split_once(':').and_then(|(_, n)| n.parse::<u64>().ok());
        match (word.split(':').next(), number(word)) {
            (Some("timeout"), Some(n)) => self.timeout = Duration::from_secs(n.clamp(1, 30)),
            (Some("attempts"), Some(n)) => self.attempts = n.clamp(1, 5) as usize,
            (Some("ndots"), Some(n)) => self.ndots = n.min(15) as usize,
            (Some("rotate"), _) => self.rotate = true,
            _ => {}
        }
    }
}

/// hosts(5).
#[derive(Debug, Default)]
pub(crate) struct HostsFile {
    by_name: HashMap<String, Vec<IpAddr>>,
    by_address: HashMap<IpAddr, String>,
}

impl HostsFile {
    pub fn parse(text: &str) -> Self {
        let mut h = Self::default();
        for line in text.lines().map(|l| l.split('#').next().unwrap_or_default()) {
            let mut words = line.split_whitespace();
            let Some(address) = words.next().and_then(|w| w.parse::<IpAddr>().ok()) else { continue };
            for (i, name) in words.enumerate() {
                if i == 0 {
                    h.by_address.entry(address).or_insert_with(|| name.to_owned());
                }
                h.by_name.entry(name.to_ascii_lowercase()).or_default().push(address);
            }
        }
        h
    }

    pub fn addresses(&self, name: &str) -> &[IpAddr] {
        let name = name.strip_suffix('.').unwrap_or(name);
        self.by_name.get(&name.to_ascii_lowercase()).map_or(&[], Vec::as_slice)
    }

    pub fn name(&self, address: IpAddr) -> Option<&str> {
        self.by_address.get(&address).map(String::as_str)
    }
}

/// A file that is parsed again when it changes; a missing one counts as empty.
pub(crate) struct Watched<T> {
    path: PathBuf,
    parse: fn(&str) -> T,
    state: Mutex<Option<State<T>>>,
}

struct State<T> {
    checked: Instant,
    stamp: Option<(SystemTime, u64)>,
    value: Arc<T>,
}

impl<T> Watched<T> {
    pub fn new(path: PathBuf, parse: fn(&str) -> T) -> Self {
        Self { path, parse, state: Mutex::new(None) }
    }

    pub fn get(&self) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match &mut *state {
            Some(s) if now.duration_since(s.checked) < CHECK_EVERY => return Arc::clone(&s.value),
            Some(s) if s.stamp == self.stamp() => {
                s.checked = now;
                return Arc::clone(&s.value);
            }
            _ => {}
        }
        let stamp = self.stamp();
        let bytes = fs::read(&self.path).unwrap_or_default();
        let text = String::from_utf8_lossy(bytes.get(..MAX_FILE).unwrap_or(&bytes)).into_owned();
        let value = Arc::new((self.parse)(&text));
        *state = Some(State { checked: now, stamp, value: Arc::clone(&value) });
        value
    }

    fn stamp(&self) -> Option<(SystemTime, u64)> {
        let m = fs::metadata(&self.path).ok()?;
        Some((m.modified().ok()?, m.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf() {
        let c = ResolvConf::parse(
            "# comment\nnameserver 192.0.2.1\nnameserver ::1 ; x\nsearch a.example b.example\noptions timeout:1 attempts:1 rotate ndots:2\nnameserver junk\n",
        );
        assert_eq!(c.servers, ["192.0.2.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
        assert_eq!(c.search, ["a.example", "b.example"]);
        assert_eq!((c.timeout.as_secs(), c.attempts, c.ndots, c.rotate), (1, 1, 2, true));
        assert_eq!(ResolvConf::parse("").servers, ["127.0.0.1:53".parse().unwrap()]);
    }

    #[test]
    fn hosts() {
        let h = HostsFile::parse("127.0.0.1 localhost localhost.localdomain # x\n::1 localhost\nbad line\n");
        assert_eq!(h.addresses("LOCALHOST").len(), 2);
        assert!(h.addresses("nosuch").is_empty());
        assert_eq!(h.name("127.0.0.1".parse().unwrap()), Some("localhost"));
    }
}
