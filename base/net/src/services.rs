//! Ports by number or by name of /etc/services (services(5)).
//!
//! The file is read when a name must be looked up, so a change shows at the next lookup; lookups of names happen at
//! start and reload and for next hops with a symbolic port, whose users cache the result.

use std::{collections::HashMap, path::Path};

/// The TCP names of a services file.
#[derive(Debug, Clone, Default)]
pub struct Services {
    ports: HashMap<String, u16>,
}

impl Services {
    /// Reads a services file; a file that cannot be read has no names.
    pub fn load(path: &Path) -> Self {
        std::fs::read(path).map(|b| Self::parse(&String::from_utf8_lossy(&b))).unwrap_or_default()
    }

    /// Parses the text of a services file. The first line with a name wins, as in getservbyname(3).
    pub fn parse(text: &str) -> Self {
        let mut ports = HashMap::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let (Some(name), Some(port)) = (words.next(), words.next()) else { continue };
            let Some((Ok(port), "tcp")) = port.split_once('/').map(|(n, proto)| (n.parse::<u16>(), proto))
            else {
                continue;
            };
            for name in std::iter::once(name).chain(words) {
                ports.entry(name.to_owned()).or_insert(port);
            }
        }
        Self { ports }
    }

    /// The port of a name, or of a number.
    pub fn port(&self, text: &str) -> Option<u16> {
        numeric(text).or_else(|| self.ports.get(text).copied())
    }
}

fn numeric(text: &str) -> Option<u16> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Port of a service: a number, or a TCP name of /etc/services; `smtp`, `submission` and the like are known even
/// without the file.
pub fn port_number(text: &str) -> Option<u16> {
    if let Some(n) = numeric(text) {
        return Some(n);
    }
    Services::load(Path::new("/etc/services")).port(text).or(match text {
        "smtp" => Some(25),
        "lmtp" => Some(24),
        "submission" => Some(587),
        "smtps" | "submissions" => Some(465),
        "qmqp" => Some(628),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_aliases_and_numbers() {
        let s = Services::parse(
            "# c\nsmtp\t25/tcp mail # Simple\nsubmissions 465/tcp ssmtp smtps\ntime 37/udp\nmail 99/tcp\nbad x/tcp\nbig 70000/tcp\n",
        );
        for (name, want) in [
            ("smtp", Some(25)),
            ("mail", Some(25)),
            ("smtps", Some(465)),
            ("2525", Some(2525)),
            ("time", None),
            ("big", None),
            ("70000", None),
            ("", None),
            ("-1", None),
        ] {
            assert_eq!(s.port(name), want, "{name}");
        }
        assert_eq!(port_number("smtp"), Some(25));
        assert_eq!(port_number("no-such-service"), None);
    }
}
