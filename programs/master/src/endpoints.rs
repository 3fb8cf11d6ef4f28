//! Which addresses and sockets are to be bound: the inet services of master.cf on `inet_interfaces`, and the sockets
//! below queue_directory that worker and courier serve.
//!
//! Pure but for looking up names that an administrator wrote (host names, /etc/services). A name that cannot be looked
//! up is an error with the file and line of its service.

use crate::disabled::Disabled;
use anyhow::{Context, Result, anyhow, bail};
use base_conf::{Config, MasterCf, Service, ServiceKind};
use base_sys::handoff::ListenerKey;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    path::PathBuf,
};

/// Which child accepts on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// The worker.
    Worker,
    /// The courier.
    Courier,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// TCP.
    Inet(SocketAddr),
    /// A path below queue_directory.
    Unix(PathBuf),
}

/// One socket to be bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// How the child knows it.
    pub key: ListenerKey,
    /// Where.
    pub place: Place,
    /// Who accepts.
    pub server: Server,
}

/// Parameters of ours that name sockets which no mail comes by: the server runs without them.
const SPARED: &[&str] = &["metrics_listen/", "tls_acme_listen/"];

impl Endpoint {
    /// Whether the server must not run without it.
    pub fn takes_mail(&self) -> bool {
        !SPARED.iter().any(|start| self.key.service.starts_with(start))
    }
}

/// Sockets below queue_directory: path, the service it belongs to, who serves it, whether it is there without an
/// entry of that name in master.cf.
const LOCAL: &[(&str, &str, Server, bool)] = &[
    ("private/control", "control", Server::Worker, true),
    ("private/courier", "courier", Server::Courier, true),
    ("private/metrics", "metrics", Server::Worker, true),
    ("public/flush", "flush", Server::Worker, false),
    ("public/pickup", "pickup", Server::Worker, false),
    ("public/qmgr", "qmgr", Server::Worker, false),
    ("public/showq", "showq", Server::Worker, false),
];

/// Everything that is to be bound.
pub fn all(config: &Config, master: &MasterCf) -> Result<Vec<Endpoint>> {
    let mut out = Vec::new();
    let disabled = Disabled::from_config(config)?;
    let open = || master.services.iter().filter(|s| !disabled.has(s));
    for service in open() {
        let view = config.service(&service.name, &service.overrides);
        let found = match service.kind {
            ServiceKind::Inet => inet(&view, service),
            ServiceKind::Unix if service.command == "smtpd" => Ok(vec![unix_smtpd(service)]),
            _ => Ok(Vec::new()),
        };
        out.extend(found.with_context(|| format!("{}, line {}", master.file.display(), service.line))?);
    }
    let in_master = |name: &str| open().any(|s| s.name == name && s.kind != ServiceKind::Inet);
    for (path, name, server, always) in LOCAL {
        if *always || in_master(name) {
            out.push(local(path, name, *server));
        }
    }
    out.extend(listen(config, "metrics_listen", "loopback-only")?);
    if !config.list("tls_acme_domains")?.is_empty() {
        out.extend(listen(config, "tls_acme_listen", "all")?);
    }
    Ok(out)
}

/// What a parameter of ours says: `inet:host:port`, `host:port`, `port`, `unix:path`. `interfaces` are those of a word without host.
fn listen(config: &Config, parameter: &str, interfaces: &str) -> Result<Vec<Endpoint>> {
    let protocols = config.list("inet_protocols")?;
    let mut all = Vec::new();
    for word in config.list(parameter)? {
        all.extend(place(parameter, &word, interfaces, &protocols).context(parameter.to_owned())?);
    }
    Ok(all)
}

fn place(parameter: &str, word: &str, interfaces: &str, protocols: &[String]) -> Result<Vec<Endpoint>> {
    let endpoint = |address: String, place: Place, kind: &str| Endpoint {
        key: ListenerKey { service: format!("{parameter}/{kind}"), address },
        place,
        server: Server::Worker,
    };
    if let Some(path) = word.strip_prefix("unix:") {
        return Ok(vec![endpoint(path.to_owned(), Place::Unix(path.into()), "unix")]);
    }
    let (host, port) = split(word.strip_prefix("inet:").unwrap_or(word))?;
    let port = port_number(port)?;
    let addresses = interface(host.unwrap_or(interfaces), Protocols::parse(protocols)?)?;
    if addresses.is_empty() {
        bail!("no address of {} has a protocol of inet_protocols", host.unwrap_or(interfaces));
    }
    let places = addresses.into_iter().map(|ip| SocketAddr::new(ip, port));
    Ok(places.map(|a| endpoint(a.to_string(), Place::Inet(a), "inet")).collect())
}

fn local(path: &str, name: &str, server: Server) -> Endpoint {
    Endpoint {
        key: ListenerKey { service: format!("{name}/unix"), address: path.to_owned() },
        place: Place::Unix(path.into()),
        server,
    }
}

fn unix_smtpd(service: &Service) -> Endpoint {
    let class = if service.private { "private" } else { "public" };
    local(&format!("{class}/{}", service.name), &service.name, Server::Worker)
}

fn inet(config: &Config, service: &Service) -> Result<Vec<Endpoint>> {
    let protocols = Protocols::parse(&config.list("inet_protocols")?)?;
    let (host, port) = split(&service.name)?;
    let port = port_number(port)?;
    let hosts = match host {
        Some(h) => vec![h.to_owned()],
        None => config.list("inet_interfaces")?,
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for host in &hosts {
        for ip in interface(host, protocols)? {
            let address = SocketAddr::new(ip, port);
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    if addresses.is_empty() && !hosts.is_empty() {
        bail!("no address of {} has a protocol of inet_protocols", hosts.join(", "));
    }
    let service = format!("{}/inet", service.name);
    let endpoint = |a: SocketAddr| Endpoint {
        key: ListenerKey { service: service.clone(), address: a.to_string() },
        place: Place::Inet(a),
        server: Server::Worker,
    };
    Ok(addresses.into_iter().map(endpoint).collect())
}

/// Which address families `inet_protocols` allows.
#[derive(Debug, Clone, Copy)]
struct Protocols {
    v4: bool,
    v6: bool,
}

impl Protocols {
    fn parse(list: &[String]) -> Result<Self> {
        let mut p = Self { v4: false, v6: false };
        for word in list {
            match word.as_str() {
                "all" => (p.v4, p.v6) = (true, true),
                "ipv4" => p.v4 = true,
                "ipv6" => p.v6 = true,
                other => bail!("bad protocol name in inet_protocols: \"{other}\""),
            }
        }
        if !p.v4 && !p.v6 {
            bail!("inet_protocols: no protocol is specified");
        }
        Ok(p)
    }

    fn allows(self, ip: &IpAddr) -> bool {
        if ip.is_ipv4() { self.v4 } else { self.v6 }
    }
}

/// `host:port`, `[v6]:port` or `port`.
fn split(name: &str) -> Result<(Option<&str>, &str)> {
    if let Some(rest) = name.strip_prefix('[') {
        let (host, port) = rest.split_once("]:").ok_or_else(|| anyhow!("bad service name \"{name}\""))?;
        return Ok((Some(host), port));
    }
    match name.rsplit_once(':') {
        Some(("", port)) => Ok((None, port)),
        Some((host, port)) => Ok((Some(host), port)),
        None => Ok((None, name)),
    }
}

fn port_number(text: &str) -> Result<u16> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().filter(|&p| p > 0).ok_or_else(|| anyhow!("bad port number \"{text}\""));
    }
    let services = std::fs::read_to_string("/etc/services").context("/etc/services")?;
    service_port(&services, text).ok_or_else(|| anyhow!("unknown service: {text}/tcp"))
}

/// The TCP port of a service name or alias in the text of /etc/services.
fn service_port(services: &str, name: &str) -> Option<u16> {
    services.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let first = words.next()?;
        let port = words.next()?.strip_suffix("/tcp")?;
        (first == name || words.any(|w| w == name)).then(|| port.parse().ok())?
    })
}

/// The addresses that one word of inet_interfaces, or the host of a service name, stands for.
fn interface(word: &str, protocols: Protocols) -> Result<Vec<IpAddr>> {
    let found = match word {
        "all" => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
        "loopback-only" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        host => resolve(host)?,
    };
    Ok(found.into_iter().filter(|ip| protocols.allows(ip)).collect())
}

fn resolve(host: &str) -> Result<Vec<IpAddr>> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = bare.parse() {
        return Ok(vec![ip]);
    }
    let found = (bare, 0).to_socket_addrs().map_err(|_| anyhow!("host not found: {host}"))?;
    Ok(found.map(|a| a.ip()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(main: &str, master: &str, expect: &str) {
        let config = Config::from_text(main);
        let master = MasterCf::parse(master).unwrap();
        let text = match all(&config, &master) {
            Ok(list) => {
                let inet = list
                    .iter()
                    .filter(|e| !e.key.address.starts_with('p') || e.key.service.starts_with("lsmtp"));
                inet.map(|e| format!("{}={}", e.key.service, e.key.address)).collect::<Vec<_>>().join(" ")
            }
            Err(e) => format!("{e:#}"),
        };
        assert!(
            text.contains(expect) && (expect.contains(' ') || text == expect),
            "{text:?} is not {expect:?}"
        );
    }

    #[test]
    fn inet_services() {
        const ALL: &str = "inet_interfaces = all\ninet_protocols = all\n";
        check(ALL, "2525 inet n - n - - smtpd", "2525/inet=0.0.0.0:2525 2525/inet=[::]:2525");
        check(ALL, "127.0.0.1:25 inet n - n - - smtpd", "127.0.0.1:25/inet=127.0.0.1:25");
        check(ALL, "[::1]:25 inet n - n - - smtpd", "[::1]:25/inet=[::1]:25");
        check(ALL, "smtp inet n - n - - smtpd", "smtp/inet=0.0.0.0:25 smtp/inet=[::]:25");
        check(
            "inet_protocols = ipv4\ninet_interfaces = loopback-only",
            "25 inet n - n - - smtpd",
            "25/inet=127.0.0.1:25",
        );
        check(
            "inet_protocols = ipv4\ninet_interfaces = 192.0.2.1, 127.0.0.1",
            "25 inet n - n - - smtpd",
            "25/inet=192.0.2.1:25 25/inet=127.0.0.1:25",
        );
        check(ALL, "25 inet n - n - - smtpd -o inet_interfaces=127.0.0.1", "25/inet=127.0.0.1:25");
        check(ALL, "lsmtp unix - - n - - smtpd", "lsmtp/unix=private/lsmtp");
    }

    #[test]
    fn services_that_are_disabled() {
        let services = "25 inet n - n - - smtpd\n26 inet n - n - - smtpd\nlsmtp unix - - n - - smtpd";
        for (disabled, want) in [
            ("", "25/inet=127.0.0.1:25 26/inet=127.0.0.1:26 lsmtp/unix=private/lsmtp"),
            ("25/inet", "26/inet=127.0.0.1:26 lsmtp/unix=private/lsmtp"),
            ("inet", "lsmtp/unix=private/lsmtp"),
            ("!26/inet, INET unix", "26/inet=127.0.0.1:26"),
            ("25, pass, lsmtp/inet", "25/inet=127.0.0.1:25 26/inet=127.0.0.1:26 lsmtp/unix=private/lsmtp"),
        ] {
            let main = format!(
                "inet_protocols = ipv4\ninet_interfaces = 127.0.0.1\nmaster_service_disable = {disabled}"
            );
            let config = Config::from_text(&main);
            let list = all(&config, &MasterCf::parse(services).unwrap()).unwrap();
            let keys = list.iter().map(|e| format!("{}={}", e.key.service, e.key.address));
            let found: Vec<_> =
                keys.filter(|k| !k.contains("=private/c") && !k.contains("=private/m")).collect();
            assert_eq!(found.join(" "), want, "{disabled}");
        }
    }

    #[test]
    fn mistakes_name_their_line() {
        check(
            "inet_protocols = ipx",
            "\n25 inet n - n - - smtpd",
            "line 2: bad protocol name in inet_protocols: \"ipx\"",
        );
        check("inet_protocols = ipv4", "nosuch inet n - n - - smtpd", "line 1: unknown service: nosuch/tcp");
        check("inet_protocols = ipv4", "99999 inet n - n - - smtpd", "line 1: bad port number \"99999\"");
        check("inet_protocols = ipv4", "[::1]:25 inet n - n - - smtpd", "no address of ::1 has a protocol");
    }

    #[test]
    fn queue_sockets_follow_master_cf() {
        let config = Config::from_text("");
        let keys = |text: &str| {
            let master = MasterCf::parse(text).unwrap();
            let list = all(&config, &master).unwrap();
            list.iter().map(|e| e.key.address.clone()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(keys(""), "private/control private/courier private/metrics");
        assert_eq!(
            keys("showq unix n - y - - showq\npickup unix n - y 60 1 pickup"),
            "private/control private/courier private/metrics public/pickup public/showq"
        );
    }

    #[test]
    fn monitors() {
        for (value, want) in [
            ("inet:127.0.0.1:9154", "metrics_listen/inet=127.0.0.1:9154"),
            ("9154", "metrics_listen/inet=127.0.0.1:9154"),
            ("[::1]:9154", "metrics_listen: no address of ::1 has a protocol of inet_protocols"),
            ("127.0.0.1:nosuch", "metrics_listen: unknown service: nosuch/tcp"),
        ] {
            check(&format!("inet_protocols = ipv4\nmetrics_listen = {value}"), "", want);
        }
        check("metrics_listen = unix:/run/m", "", "metrics_listen/unix=/run/m");
    }

    #[test]
    fn service_names() {
        let text = "smtp\t25/tcp mail\nsmtp 25/udp\nsubmissions 465/tcp ssmtp smtps # x\n#x 1/tcp\n";
        assert_eq!(service_port(text, "smtp"), Some(25));
        assert_eq!(service_port(text, "mail"), Some(25));
        assert_eq!(service_port(text, "smtps"), Some(465));
        assert_eq!(service_port(text, "x"), None);
    }
}
