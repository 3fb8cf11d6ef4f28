//! Whether strangers may relay, shown with the server's own evaluator for a client and a recipient that nobody knows.

use super::{Rule, bad_entry};
use crate::{
    Finding, Severity, Site,
    specs::{self, Purpose},
};
use base_calls::{AddressClass, Route};
use base_conf::{Config, Service};
use base_log::Log;
use base_tables::block_on;
use mail_restrict::{Restrict, RestrictConfig};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// The record.
pub const RULE: Rule = Rule {
    name: "open-relay",
    finds: "restriction lists that let strangers relay, or that refuse nobody so that the server does not run",
    severity: Severity::Error,
    example: &[(
        "main.cf",
        "smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = permit_mynetworks, permit_auth_destination, permit, reject\n",
    )],
    run,
};

/// Addresses for documentation (RFC 5737, RFC 3849): nobody's own network but in tests, where not all of them are.
const STRANGERS: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 77)),
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 77)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77)),
];
/// Entries that are tried.
const MAX_KEYS: usize = 200;
const SENDER: &str = "stranger@sender.invalid";
const RECIPIENT: &str = "somebody@elsewhere.invalid";

fn run(site: &Site) -> Vec<Finding> {
    let mut out: Vec<Finding> = Vec::new();
    for (service, view) in site.servers() {
        let (found, _) = site.warnings_of(|_| evaluate(site, service, view));
        // Services that differ in nothing that matters need no line each.
        if let Some(found) = found.filter(|f| !out.iter().any(|o| o.text == f.text && o.line == f.line)) {
            out.push(found);
        }
    }
    out
}

fn evaluate(site: &Site, service: &Service, view: &Config) -> Option<Finding> {
    let config = RestrictConfig::from_config(view).ok()?;
    let route = (site.around.route)(view, &site.tables)?;
    if is_ours(route.as_ref()) {
        return None;
    }
    let (log, _) = Log::test();
    let resolver = base_dns::Resolver::new(base_dns::Options::default());
    let restrict =
        Restrict::new(Arc::new(config.deciding_relay()), Arc::clone(&site.tables), route, resolver, log);
    let name = blamed(view);
    if restrict.check_open_relay().is_err() {
        let what = format!("service {}: nobody is refused, so the server does not run", service.name);
        return Some(
            site.at_parameter(name, Some(service), what).hint("end the list with reject_unauth_destination"),
        );
    }
    if let Some(found) = forged(site, service, view, &restrict) {
        return Some(found);
    }
    let relays = |ip: &IpAddr| block_on(restrict.would_relay(*ip, SENDER, RECIPIENT));
    let open = STRANGERS.iter().all(relays);
    open.then(|| {
        let what = format!(
            "service {}: open relay: the client {} may send mail to {RECIPIENT}",
            service.name, STRANGERS[0]
        );
        site.at_parameter(name, Some(service), what)
            .hint("put reject_unauth_destination in front of what permits it")
    })
}

/// A sender address that an access table permits: everybody can write it into MAIL FROM.
fn forged(site: &Site, service: &Service, view: &Config, restrict: &Restrict) -> Option<Finding> {
    let all = specs::all(site);
    let named = all.iter().filter(|s| {
        s.purpose == Purpose::Access && view.str(&s.parameter).unwrap_or_default().contains(&s.text)
    });
    let keys =
        named.flat_map(|s| bad_entry::permitted(site, s).into_iter().map(move |(line, key)| (s, line, key)));
    for (spec, line, key) in keys.take(MAX_KEYS) {
        let sender = if key.contains('@') { key.clone() } else { format!("stranger@{key}") };
        let known = |ip: &IpAddr| block_on(restrict.would_relay(*ip, SENDER, RECIPIENT));
        let relays = |ip: &IpAddr| block_on(restrict.would_relay(*ip, &sender, RECIPIENT));
        if STRANGERS.iter().all(relays) && !STRANGERS.iter().all(known) {
            let what = format!(
                "service {}: everybody may relay who says that the sender is {sender} (line {line} of {})",
                service.name,
                spec.name()
            );
            let found = site.at_parameter(&spec.parameter, Some(service), what);
            return Some(found.hint(
                "put reject_unauth_destination in front of the table, or set smtpd_relay_restrictions",
            ));
        }
    }
    None
}

/// Mail for every domain stays here: a catch-all in virtual_alias_maps.
fn is_ours(route: &dyn Route) -> bool {
    let class = block_on(route.resolve(SENDER, RECIPIENT)).map(|r| r.class);
    matches!(class, Ok(AddressClass::VirtualAlias | AddressClass::VirtualMailbox | AddressClass::Local))
}

/// The parameter that is to be changed.
fn blamed(view: &Config) -> &'static str {
    let relay = view.str("smtpd_relay_restrictions").unwrap_or_default();
    if relay.trim().is_empty() || !view.is_set("smtpd_relay_restrictions") {
        "smtpd_recipient_restrictions"
    } else {
        "smtpd_relay_restrictions"
    }
}
