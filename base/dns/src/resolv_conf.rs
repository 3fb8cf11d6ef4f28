//! resolv.conf(5): which servers to ask, how patiently, and the search list.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// glibc's MAXNS is 3; a few more do no harm.
const MAX_SERVERS: usize = 8;
const MAX_SEARCH: usize = 16;
const PORT: u16 = 53;

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvConf {
    /// Never empty: the local host when none is named.
    pub servers: Vec<SocketAddr>,
    /// The search list.
    pub search: Vec<String>,
    /// A name with this many dots is first tried as it is.
    pub ndots: usize,
    /// How long to wait for the first answer of a server.
    pub timeout: Duration,
    /// How often to go through the servers.
    pub attempts: u32,
    /// Start with another server each time.
    pub rotate: bool,
    /// Ask by TCP only.
    pub use_tcp: bool,
}

/// Reads the text of a resolv.conf; what makes no sense is skipped, as the system does.
pub fn parse(text: &str) -> ResolvConf {
    let mut conf = ResolvConf {
        servers: Vec::new(),
        search: Vec::new(),
        ndots: 1,
        timeout: Duration::from_secs(5),
        attempts: 2,
        rotate: false,
        use_tcp: false,
    };
    for line in text.lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => conf.server(words.next().unwrap_or_default()),
            Some("domain" | "search") => {
                conf.search = words.take(MAX_SEARCH).map(|w| w.trim_end_matches('.').to_owned()).collect();
            }
            Some("options") => words.for_each(|word| conf.option(word)),
            _ => (),
        }
    }
    if conf.servers.is_empty() {
        conf.servers.push((Ipv4Addr::LOCALHOST, PORT).into());
    }
    conf
}

impl ResolvConf {
    fn server(&mut self, text: &str) {
        // For tests and odd set-ups an address with a port works too.
        let server = text.parse::<IpAddr>().map(|ip| (ip, PORT).into()).or_else(|_| text.parse());
        if let Ok(server) = server
            && self.servers.len() < MAX_SERVERS
        {
            self.servers.push(server);
        }
    }

    fn option(&mut self, word: &str) {
        let (name, value) = word.split_once(':').unwrap_or((word, ""));
        let number = value.parse::<u32>();
        match (name, number) {
            ("ndots", Ok(n)) => self.ndots = usize::try_from(n.min(15)).unwrap_or(1),
            ("timeout", Ok(n)) => self.timeout = Duration::from_secs(u64::from(n.clamp(1, 30))),
            ("attempts", Ok(n)) => self.attempts = n.clamp(1, 5),
            ("rotate", _) => self.rotate = true,
            ("use-vc", _) => self.use_tcp = true,
            _ => (),
        }
    }

    /// The names to try for `name`: as it is, and with the search list. A final dot means "as it is".
    pub fn candidates(&self, name: &str, defnames: bool, dnsrch: bool) -> Vec<String> {
        if let Some(absolute) = name.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let dots = name.matches('.').count();
        let suffixes: &[String] = match (dots, defnames, dnsrch) {
            (_, _, true) => &self.search,
            (0, true, false) => self.search.get(..1).unwrap_or_default(),
            _ => &[],
        };
        let mut names: Vec<String> = suffixes.iter().map(|suffix| format!("{name}.{suffix}")).collect();
        let at = if dots >= self.ndots { 0 } else { names.len() };
        names.insert(at, name.to_owned());
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings() {
        let conf = parse(
            "# c\nnameserver 192.0.2.1\nnameserver ::1\nnameserver junk\nnameserver 127.0.0.1:5353\nsearch a.example b.example.\n\
             options timeout:2 attempts:9 ndots:2 rotate\n",
        );
        let servers = conf.servers.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(servers, ["192.0.2.1:53", "[::1]:53", "127.0.0.1:5353"]);
        assert_eq!(conf.search, ["a.example", "b.example"]);
        assert_eq!((conf.ndots, conf.timeout.as_secs(), conf.attempts, conf.rotate), (2, 2, 5, true));
        assert_eq!(parse("").servers, [SocketAddr::from((Ipv4Addr::LOCALHOST, 53))]);
    }

    #[test]
    fn search_order() {
        let conf = parse("search a b\n");
        let cases: &[(&str, bool, bool, &[&str])] = &[
            ("x", false, false, &["x"]),
            ("x", true, false, &["x.a", "x"]),
            ("x", true, true, &["x.a", "x.b", "x"]),
            ("x.y", true, false, &["x.y"]),
            ("x.y", true, true, &["x.y", "x.y.a", "x.y.b"]),
            ("x.", true, true, &["x"]),
        ];
        for (name, defnames, dnsrch, want) in cases {
            assert_eq!(conf.candidates(name, *defnames, *dnsrch), *want, "{name} {defnames} {dnsrch}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in ".*") {
            assert!(!parse(&text).servers.is_empty());
        }
    }
}
