//! Listeners whose port is a name that the machine does not know.

use super::Rule;
use crate::{Finding, Severity, Site, edit};
use base_conf::ServiceKind;

/// The record.
pub const RULE: Rule = Rule {
    name: "unknown-port",
    finds: "inet services of master.cf whose name is not in /etc/services",
    severity: Severity::Error,
    example: &[("master.cf", "smpt inet n - n - - smtpd\nlocalhost:smtp-backdoor inet n - n - - smtpd\n")],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    let own = site.value("known_tcp_ports");
    let known: Vec<&str> = names(&site.around.services).chain(own.split([',', '=', ' '])).collect();
    for s in site.master.services.iter().filter(|s| s.kind == ServiceKind::Inet) {
        let (_, port) = s.endpoint();
        if port.bytes().all(|b| b.is_ascii_digit()) {
            let good = port.parse::<u16>().is_ok_and(|p| p > 0);
            if !good {
                out.push(site.in_master(s.line, format!("\"{port}\" is no port number")));
            }
            continue;
        }
        if !known.contains(&port) {
            let what = format!("there is no service \"{port}\" in /etc/services");
            let ports = ["smtp", "smtps", "submission", "submissions", "lmtp", "qmqp"];
            let found = site.in_master(s.line, what);
            out.push(match edit::nearest(port, ports) {
                Some(near) => found.meant(near),
                None => found.hint("write the port's number, or add the name to /etc/services"),
            });
        }
    }
    out
}

/// Names and aliases of tcp services.
fn names(services: &str) -> impl Iterator<Item = &str> {
    services.lines().flat_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let name = words.next();
        let tcp = words.next().is_some_and(|p| p.ends_with("/tcp"));
        name.into_iter().chain(words).filter(move |_| tcp)
    })
}
