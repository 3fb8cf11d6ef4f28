//! Which hosts are tried, and in which order.

use super::*;
use crate::{client::Dialect, testing::Bench};

/// `name MX preference host`, `name A address`, `name TYPE !tempfail`.
struct Zone(&'static str);

impl Zone {
    fn records(&self, name: &str, kind: &str) -> Result<Vec<&'static str>, DnsError> {
        let mut known = false;
        let mut found = Vec::new();
        for line in self.0.lines() {
            let Some((owner, rest)) = line.split_once(' ') else { continue };
            known |= owner == name;
            match rest.split_once(' ') {
                Some((k, "!tempfail")) if owner == name && k == kind => {
                    return Err(DnsError::TempFail("x".into()));
                }
                Some((k, data)) if owner == name && k == kind => found.push(data),
                _ => {}
            }
        }
        match (found.is_empty(), known) {
            (false, _) => Ok(found),
            (true, true) => Err(DnsError::NoData),
            (true, false) => Err(DnsError::NotFound),
        }
    }
}

impl Names for Zone {
    async fn mx(&self, name: &str) -> Result<Vec<Mx>, DnsError> {
        let mx = |d: &str| {
            let (preference, host) = d.split_once(' ').unwrap();
            Mx { preference: preference.parse().unwrap(), host: host.trim_end_matches('.').into() }
        };
        Ok(self.records(name, "MX")?.into_iter().map(mx).collect())
    }

    async fn srv(&self, name: &str) -> Result<Vec<Srv>, DnsError> {
        let srv = |d: &str| {
            let [priority, weight, port, host] = d.split(' ').collect::<Vec<_>>()[..] else { panic!("{d}") };
            let number = |t: &str| t.parse().unwrap();
            Srv { priority: number(priority), weight: number(weight), port: number(port), host: host.into() }
        };
        Ok(self.records(name, "SRV")?.into_iter().map(srv).collect())
    }

    async fn addresses(&self, name: &str, _: Protocols, _: Hosts) -> Result<Vec<IpAddr>, DnsError> {
        Ok(self.records(name, "A")?.into_iter().map(|d| d.parse().unwrap()).collect())
    }
}

const ZONE: &str = "\
a.test MX 20 mx2.test
a.test MX 10 mx1.test
mx1.test A 192.0.2.1
mx1.test A 192.0.2.3
mx2.test A 192.0.2.2
aonly.test A 192.0.2.9
both.test A 192.0.2.21
both.test A 2001:db8::21
both.test A 192.0.2.22
null.test MX 0 .
onlytxt.test TXT x
temp.test MX !tempfail
temp.test A 192.0.2.5
dead.test MX 10 gone.test
deadtemp.test MX 10 tempa.test
tempa.test A !tempfail
half.test MX 10 gone.test
half.test MX 20 mx2.test
self.test MX 10 mail.test
mail.test A 127.0.0.1
backup.test MX 10 mx1.test
backup.test MX 20 mail.test
backup.test MX 30 mx2.test
selfa.test A 127.0.0.1
numeric.test MX 10 192.0.2.7
many.test MX 10 m.test
m.test A 192.0.2.11
m.test A 192.0.2.12
m.test A 192.0.2.13
m.test A 192.0.2.14
m.test A 192.0.2.15
m.test A 192.0.2.16
_submission._tcp.a.test SRV 2 1 587 mx2.test
_submission._tcp.a.test SRV 1 1 465 mx1.test
_smtp._tcp.aonly.test SRV 0 0 0 .
_smtp._tcp.temp.test SRV !tempfail
_smtp._tcp.gone2.test SRV 0 0 25 gone.test
gone2.test MX 10 mx2.test";

#[tokio::test]
async fn services() {
    let on = "use_srv_lookup = smtp, submission\n";
    let both = |more: &str| format!("{on}{more}");
    let list = "mx1.test[192.0.2.1] mx1.test[192.0.2.3] mx2.test[192.0.2.2]";
    assert_eq!(ask(on, "a.test:submission").await, list);
    assert_eq!(ask("", "a.test:submission").await, list);
    assert_eq!(ask(on, "aonly.test").await, "5.4.4 Service smtp is not available for aonly.test");
    assert!(ask(on, "a.test").await.starts_with("5.4.4 Host or domain name not found"));
    assert_eq!(ask(&both("allow_srv_lookup_fallback = yes"), "a.test").await, list);
    assert!(ask(on, "temp.test").await.starts_with("4.4.3 "));
    assert_eq!(
        ask(&both("ignore_srv_lookup_error = yes\nignore_mx_lookup_error = yes"), "temp.test").await,
        "temp.test[192.0.2.5]"
    );
    let warning = "(no SRV host for gone2.test has a valid address record)";
    assert!(ask(on, "gone2.test").await.starts_with(&format!("{warning} 5.4.4 ")));
    assert_eq!(
        ask(&both("allow_srv_lookup_fallback = yes"), "gone2.test").await,
        format!("{warning} mx2.test[192.0.2.2]")
    );
}

#[test]
fn both_families_get_their_share() {
    for (limit, four, six, want) in [
        (5, 1, 9, (1, 4)),
        (5, 9, 1, (4, 1)),
        (5, 9, 9, (3, 2)),
        (1, 3, 3, (1, 0)),
        (2, 5, 5, (1, 1)),
        (5, 0, 9, (0, 5)),
    ] {
        assert_eq!(shares(limit, four, six), want, "{limit} {four} {six}");
    }
}

async fn ask(main: &str, hop: &str) -> String {
    let base = "inet_protocols = ipv4\ninet_interfaces = 127.0.0.1\nsmtp_randomize_addresses = no\n";
    let bench = Bench::new("");
    let cfg = base_conf::Config::from_text(&format!("myhostname = mail.test\n{base}{main}"));
    let service = base_conf::MasterCf::parse("smtp unix - - n - - smtp").unwrap().services.remove(0);
    let cfg = ClientConfig::new(Dialect::Smtp, &service, &cfg, &bench.deps).unwrap();
    let hop = NextHop::parse(hop, Dialect::Smtp, cfg.dns, cfg.default_port).unwrap();
    let found = find(&cfg, &Zone(ZONE), &hop).await;
    let mut out: Vec<String> = found.warnings.iter().map(|w| format!("({w})")).collect();
    match found.hosts {
        Ok(list) => out.extend(list.iter().map(|c| match c {
            Candidate::Inet { name, to } => format!("{name}[{}]", to.ip()),
            Candidate::Unix(path) => path.clone(),
        })),
        Err(NoHosts::Loop) => out.push("loop".into()),
        Err(NoHosts::Unresolved(d)) => out.push(format!("{} {}", d.status, d.reason)),
    }
    out.join(" ")
}

fn no(name: &str, kind: &str, why: &str) -> String {
    format!("Host or domain name not found. Name service error for name={name} type={kind}: {why}")
}

#[tokio::test]
async fn as_postfix() {
    let found = "Host found but no data record of requested type";
    for (hop, want) in [
        ("a.test", "mx1.test[192.0.2.1] mx1.test[192.0.2.3] mx2.test[192.0.2.2]".to_owned()),
        ("[a.test]", format!("5.4.4 {}", no("a.test", "A", found))),
        ("aonly.test", "aonly.test[192.0.2.9]".into()),
        ("[192.0.2.77]", "192.0.2.77[192.0.2.77]".into()),
        ("null.test", "5.1.0 Domain null.test does not accept mail (nullMX)".into()),
        ("onlytxt.test", format!("5.4.4 {}", no("onlytxt.test", "A", found))),
        ("nosuch.test", format!("5.4.4 {}", no("nosuch.test", "A", "Host not found"))),
        ("temp.test", format!("4.4.3 {}", no("temp.test", "MX", "Host not found, try again"))),
        (
            "dead.test",
            format!(
                "(no MX host for dead.test has a valid address record) 5.4.4 {}",
                no("gone.test", "A", "Host not found")
            ),
        ),
        (
            "deadtemp.test",
            format!(
                "(no MX host for deadtemp.test has a valid address record) 4.4.3 {}",
                no("tempa.test", "A", "Host not found, try again")
            ),
        ),
        ("half.test", "mx2.test[192.0.2.2]".into()),
        ("self.test", "loop".into()),
        ("selfa.test", "loop".into()),
        ("self.test:2525", "mail.test[127.0.0.1]".into()),
        ("[mail.test]", "mail.test[127.0.0.1]".into()),
        ("backup.test", "mx1.test[192.0.2.1] mx1.test[192.0.2.3]".into()),
        (
            "numeric.test",
            "(numeric domain name in resource data of MX record for numeric.test: 192.0.2.7) 192.0.2.7[192.0.2.7]".into(),
        ),
    ] {
        assert_eq!(ask("", hop).await, want, "{hop}");
    }
}

#[tokio::test]
async fn settings() {
    assert_eq!(ask("", "many.test").await.split(' ').count(), 5);
    assert_eq!(ask("smtp_mx_address_limit = 0", "many.test").await.split(' ').count(), 6);
    assert_eq!(ask("ignore_mx_lookup_error = yes", "temp.test").await, "temp.test[192.0.2.5]");
    assert_eq!(ask("smtp_dns_support_level = disabled", "aonly.test").await, "aonly.test[192.0.2.9]");
    assert!(ask("disable_dns_lookups = yes", "a.test").await.starts_with("5.4.4"));
    assert!(ask("smtp_defer_if_no_mx_address_found = yes", "dead.test").await.contains(" 4.4.4 "));
    assert_eq!(ask("proxy_interfaces = 192.0.2.9", "aonly.test").await, "loop");
}

#[tokio::test]
async fn equal_preference_is_shuffled() {
    let mut first = std::collections::HashSet::new();
    for _ in 0..200 {
        first.insert(
            ask("smtp_randomize_addresses = yes", "a.test").await.split(' ').next().unwrap().to_owned(),
        );
    }
    assert_eq!(first.len(), 2, "the addresses of mx1.test in turn, never mx2.test: {first:?}");
}

#[tokio::test]
async fn families() {
    let [a, six, b] = ["both.test[192.0.2.21]", "both.test[2001:db8::21]", "both.test[192.0.2.22]"];
    for (main, want) in [
        ("smtp_address_preference = ipv4", vec![a, b, six]),
        ("smtp_address_preference = ipv6", vec![six, a, b]),
        ("smtp_address_preference = ipv4\nsmtp_mx_address_limit = 2", vec![a, six]),
        (
            "smtp_address_preference = ipv4\nsmtp_mx_address_limit = 2\nsmtp_balance_inet_protocols = no",
            vec![a, b],
        ),
    ] {
        assert_eq!(
            ask(&format!("inet_protocols = all\n{main}"), "both.test").await,
            want.join(" "),
            "{main}"
        );
    }
}
