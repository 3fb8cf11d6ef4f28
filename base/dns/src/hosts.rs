//! hosts(5): names and addresses of the local file, for native lookups.

use std::collections::HashMap;
use std::net::IpAddr;

/// The content of a hosts file.
#[derive(Debug, Default)]
pub struct HostsFile {
    addresses: HashMap<String, Vec<IpAddr>>,
    names: HashMap<IpAddr, String>,
}

/// Reads the text of a hosts file; lines that make no sense are skipped.
pub fn parse(text: &str) -> HostsFile {
    let mut hosts = HostsFile::default();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
        for name in words {
            hosts.names.entry(address).or_insert_with(|| name.to_owned());
            let list = hosts.addresses.entry(name.to_lowercase()).or_default();
            if !list.contains(&address) {
                list.push(address);
            }
        }
    }
    hosts
}

impl HostsFile {
    /// The addresses of a name, of the wanted families, IPv4 first.
    pub fn addresses(&self, name: &str, v4: bool, v6: bool) -> Vec<IpAddr> {
        let all = self.addresses.get(&name.to_lowercase()).map(Vec::as_slice).unwrap_or_default();
        let v4 = all.iter().filter(|a| v4 && a.is_ipv4());
        v4.chain(all.iter().filter(|a| v6 && a.is_ipv6())).copied().collect()
    }

    /// The first name of an address.
    pub fn name(&self, address: IpAddr) -> Option<&str> {
        self.names.get(&address).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups() {
        let hosts = parse("127.0.0.1 localhost lh # x\n::1 localhost\njunk line\n192.0.2.1 A.Example\n");
        let text = |list: Vec<IpAddr>| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(text(hosts.addresses("LocalHost", true, true)), "127.0.0.1 ::1");
        assert_eq!(text(hosts.addresses("localhost", false, true)), "::1");
        assert_eq!(text(hosts.addresses("a.example", true, true)), "192.0.2.1");
        assert_eq!(hosts.name("127.0.0.1".parse().unwrap()), Some("localhost"));
        assert_eq!(hosts.name("192.0.2.9".parse().unwrap()), None);
    }
}
