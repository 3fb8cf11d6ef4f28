//! Defaults that depend on the machine: `myhostname`, `mydomain`, `mynetworks` (postconf(5)), and the server's own
//! addresses by `inet_interfaces`, which relay control and routing ask for too.

use crate::{Config, Error};
use nix::ifaddrs::getifaddrs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

/// What the machine says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// gethostname(2).
    pub hostname: String,
    /// Addresses of the interfaces with the length of their network prefix.
    pub addresses: Vec<(IpAddr, u8)>,
}

impl Machine {
    /// This machine.
    pub fn this() -> Self {
        let hostname = nix::unistd::gethostname().ok().and_then(|n| n.into_string().ok());
        let mut addresses: Vec<(IpAddr, u8)> = Vec::new();
        for interface in getifaddrs().into_iter().flatten() {
            let mask = interface.netmask.as_ref().and_then(ip);
            if let Some(address) = interface.address.as_ref().and_then(ip) {
                let found = (address, mask.map_or_else(|| width(address), ones));
                if !addresses.contains(&found) {
                    addresses.push(found);
                }
            }
        }
        Self { hostname: hostname.filter(|h| !h.is_empty()).unwrap_or_else(|| "localhost".into()), addresses }
    }

    /// `host.example.com` with nothing but loopback.
    pub fn example() -> Self {
        Self {
            hostname: "host.example.com".into(),
            addresses: vec![(Ipv4Addr::LOCALHOST.into(), 8), (Ipv6Addr::LOCALHOST.into(), 128)],
        }
    }
}

fn ip(address: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
}

/// The number of address bits.
fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The prefix length of a netmask.
fn ones(mask: IpAddr) -> u8 {
    let n = match mask {
        IpAddr::V4(m) => u32::from(m).leading_ones(),
        IpAddr::V6(m) => u128::from(m).leading_ones(),
    };
    u8::try_from(n).unwrap_or(0)
}

/// The computed default of `name`.
pub(crate) fn default(cfg: &Config, name: &str) -> Option<String> {
    match name {
        "myhostname" => Some(hostname(cfg)),
        "mydomain" => Some(domain(cfg)),
        "mynetworks" => networks(cfg).ok(),
        _ => None,
    }
}

const NO_DOMAIN: &str = "localdomain";

fn hostname(cfg: &Config) -> String {
    let host = &cfg.machine().hostname;
    match host.contains('.') {
        true => host.clone(),
        false if cfg.is_set("mydomain") => format!("{host}.$mydomain"),
        false => format!("{host}.{NO_DOMAIN}"),
    }
}

fn domain(cfg: &Config) -> String {
    let host = if cfg.is_set("myhostname") { cfg.str("myhostname").ok() } else { None };
    let host = host.unwrap_or_else(|| cfg.machine().hostname.clone());
    host.split_once('.').map_or_else(|| NO_DOMAIN.to_owned(), |(_, domain)| domain.to_owned())
}

/// Whether IPv4 and IPv6 are in use by `inet_protocols`.
pub fn protocols(cfg: &Config) -> Result<(bool, bool), Error> {
    let (mut v4, mut v6) = (false, false);
    for item in cfg.list("inet_protocols")? {
        match item.to_ascii_lowercase().as_str() {
            "all" => (v4, v6) = (true, true),
            "ipv4" => v4 = true,
            "ipv6" => v6 = true,
            _ => return Err(Error::new(format!("invalid \"inet_protocols\" parameter value: \"{item}\""))),
        }
    }
    Ok((v4, v6))
}

/// `myorigin`. As Debian has it, a file name stands for the first line of that file (`/etc/mailname`).
pub fn myorigin(cfg: &Config) -> Result<String, Error> {
    let value = cfg.str("myorigin")?;
    if !value.starts_with('/') {
        return Ok(value);
    }
    let text = std::fs::read_to_string(&value).map_err(|e| Error::new(format!("open {value}: {e}")))?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// The addresses that `inet_interfaces` names, with prefix lengths. Host names are looked up; those without an address
/// are an error.
pub fn own_addresses(cfg: &Config) -> Result<Vec<(IpAddr, u8)>, Error> {
    addresses_of(cfg, "inet_interfaces")
}

/// The addresses that `proxy_interfaces` names.
pub fn proxy_addresses(cfg: &Config) -> Result<Vec<IpAddr>, Error> {
    Ok(addresses_of(cfg, "proxy_interfaces")?.into_iter().map(|(a, _)| a).collect())
}

fn addresses_of(cfg: &Config, name: &str) -> Result<Vec<(IpAddr, u8)>, Error> {
    let (v4, v6) = protocols(cfg)?;
    let mut out = Vec::new();
    for item in cfg.list(name)? {
        let found = match item.to_ascii_lowercase().as_str() {
            "all" => cfg.machine().addresses.clone(),
            "loopback-only" => {
                cfg.machine().addresses.iter().copied().filter(|(a, _)| a.is_loopback()).collect()
            }
            _ => named(cfg, name, &item)?,
        };
        for pair in found.into_iter().filter(|(a, _)| if a.is_ipv4() { v4 } else { v6 }) {
            if !out.contains(&pair) {
                out.push(pair);
            }
        }
    }
    Ok(out)
}

fn named(cfg: &Config, param: &str, item: &str) -> Result<Vec<(IpAddr, u8)>, Error> {
    let plain = item.strip_prefix('[').and_then(|i| i.strip_suffix(']')).unwrap_or(item);
    let plain = plain.strip_prefix("ipv6:").or_else(|| plain.strip_prefix("IPv6:")).unwrap_or(plain);
    let found: Vec<IpAddr> = match plain.parse() {
        Ok(address) => vec![address],
        Err(_) => {
            let looked_up = (plain, 0).to_socket_addrs();
            let missing = |_| Error::new(format!("config variable {param}: host not found: {item}"));
            looked_up.map_err(missing)?.map(|a| a.ip()).collect()
        }
    };
    let prefix = |a: IpAddr| {
        cfg.machine().addresses.iter().find(|(m, _)| *m == a).map_or_else(|| width(a), |(_, p)| *p)
    };
    Ok(found.into_iter().map(|a| (a, prefix(a))).collect())
}

/// `mynetworks` by `mynetworks_style`.
fn networks(cfg: &Config) -> Result<String, Error> {
    let style = cfg.str("mynetworks_style")?;
    let mut out: Vec<String> = Vec::new();
    let (v4, v6): (Vec<_>, Vec<_>) = own_addresses(cfg)?.into_iter().partition(|(a, _)| a.is_ipv4());
    for (address, prefix) in v4.into_iter().chain(v6) {
        let prefix = match style.as_str() {
            "host" => width(address),
            "class" => class(address).unwrap_or(prefix),
            _ => prefix,
        };
        let text = match address {
            IpAddr::V4(a) => format!("{}/{prefix}", Ipv4Addr::from(u32::from(a) & mask(prefix, 32) as u32)),
            IpAddr::V6(a) => format!("[{}]/{prefix}", Ipv6Addr::from(u128::from(a) & mask(prefix, 128))),
        };
        if !out.contains(&text) {
            out.push(text);
        }
    }
    Ok(out.join(" "))
}

/// A mask of `prefix` ones in an address of `width` bits.
fn mask(prefix: u8, width: u8) -> u128 {
    let all = if width == 32 { u128::from(u32::MAX) } else { u128::MAX };
    all.checked_shl(u32::from(width - prefix.min(width))).unwrap_or(0) & all
}

/// The prefix length of an IPv4 address's class.
fn class(address: IpAddr) -> Option<u8> {
    match address {
        IpAddr::V4(a) => Some(match a.octets() {
            [0..=127, ..] => 8,
            [128..=191, ..] => 16,
            _ => 24,
        }),
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MainCf;
    use std::path::Path;

    fn check(host: &str, text: &str, name: &str, expect: &str) {
        let main = MainCf::parse(text, Path::new("main.cf")).unwrap();
        let addresses = [("127.0.0.1", 8), ("192.0.2.17", 28), ("::1", 128), ("fd00::5", 64)]
            .map(|(a, p)| (a.parse().unwrap(), p));
        let machine = Machine { hostname: host.into(), addresses: addresses.to_vec() };
        let cfg = Config::new(Path::new("/etc/postfix"), main, machine);
        assert_eq!(cfg.str(name).unwrap(), expect, "{text}");
    }

    #[test]
    fn names() {
        check("vm", "", "myhostname", "vm.localdomain");
        check("vm", "", "mydomain", "localdomain");
        check("vm", "mydomain = x.org", "myhostname", "vm.x.org");
        check("vm.a.org", "", "mydomain", "a.org");
        check("vm", "myhostname = a.b.c", "mydomain", "b.c");
        check("vm", "myhostname = single", "mydomain", "localdomain");
    }

    #[test]
    fn networks() {
        check("h", "", "mynetworks", "127.0.0.0/8 192.0.2.16/28 [::1]/128 [fd00::]/64");
        check(
            "h",
            "compatibility_level = 3.6",
            "mynetworks",
            "127.0.0.1/32 192.0.2.17/32 [::1]/128 [fd00::5]/128",
        );
        check(
            "h",
            "mynetworks_style = class",
            "mynetworks",
            "127.0.0.0/8 192.0.2.0/24 [::1]/128 [fd00::]/64",
        );
        check("h", "inet_protocols = ipv4\ninet_interfaces = loopback-only", "mynetworks", "127.0.0.0/8");
        check("h", "inet_interfaces = 192.0.2.17", "mynetworks", "192.0.2.16/28");
    }

    #[test]
    fn an_origin_from_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mailname");
        std::fs::write(&file, "mail.example.org \nmore\n").unwrap();
        let origin = |value: &str| myorigin(&Config::from_text(&format!("myorigin = {value}")));
        assert_eq!(origin(file.to_str().unwrap()).unwrap(), "mail.example.org");
        assert_eq!(origin("x.test").unwrap(), "x.test");
        assert!(origin("/nonexistent/file").unwrap_err().to_string().contains("open /nonexistent/file"));
    }
}
