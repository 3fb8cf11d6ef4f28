//! Names that no part of the server reads and no value refers to: mistyped, or from another program.

use super::Rule;
use crate::{Finding, Severity, Site, edit, facts::old_names, setting::Setting};
use base_conf::params::{self, Kind};
use std::collections::BTreeSet;

/// The record.
pub const RULE: Rule = Rule {
    name: "unknown-parameter",
    finds: "parameters that do not exist, in main.cf and behind `-o` in master.cf",
    severity: Severity::Warning,
    example: &[(
        "main.cf",
        "smtpd_sender_restriction = reject_unknown_sender_domain\nbroken_sasl_auth_client = yes\nsmtp_recipient_restrictions = \
         permit_mynetworks, reject\n",
    )],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let mentioned = site.mentioned();
    let settings = site.settings();
    let unknown = settings.iter().filter(|s| !is_known(site, &mentioned, s.name));
    unknown.map(|s| finding(site, s)).collect()
}

/// Whether something reads the parameter.
pub(super) fn is_known(site: &Site, mentioned: &BTreeSet<String>, name: &str) -> bool {
    let registered = params::find(name).is_some_and(|p| p.kind != Kind::Template);
    registered
        || mentioned.contains(name)
        || old_names::today(name).is_some()
        || of_service(site, name)
        || name.starts_with("mua_")
}

/// `bulk_destination_recipient_limit` where master.cf has a service `bulk`.
fn of_service(site: &Site, name: &str) -> bool {
    let suffixes = params::TRANSPORT_SUFFIXES.iter();
    suffixes.filter_map(|(suffix, _)| name.strip_suffix(suffix)).any(|service| site.has_transport(service))
}

fn finding(site: &Site, s: &Setting<'_>) -> Finding {
    let at = |text: String| crate::site::place(&s.text.file, s.line, text);
    let unknown = format!("unknown parameter {}", s.name);
    if let Some(service) = missing_service(s.name) {
        return at(format!("{}: master.cf has no service \"{service}\"", s.name));
    }
    if let Some(server) = server_name(s.name) {
        return at(format!("{unknown}: the SMTP client has none of this name")).meant(&server);
    }
    if let Some((value, name)) = torn(s.name, &s.value) {
        return at(unknown).meant(&format!("{name} = {value}"));
    }
    if let Some(above) = continues(site, s) {
        return at(unknown).hint(format!("to continue \"{above}\", the line must start with white space"));
    }
    at(unknown).maybe(edit::nearest(s.name, candidates()))
}

fn candidates() -> impl Iterator<Item = &'static str> {
    let registered = params::ALL.iter().filter(|p| !p.hidden && p.kind != Kind::Template).map(|p| p.name);
    registered.chain(old_names::OLD_NAMES.iter().map(|(n, _)| *n))
}

/// The service that a per-service name speaks of.
fn missing_service(name: &str) -> Option<&str> {
    let suffixes =
        params::TRANSPORT_SUFFIXES.iter().filter(|(s, _)| *s != "_time_limit" && *s != "_recipient_limit");
    suffixes
        .filter_map(|(suffix, _)| name.strip_suffix(suffix))
        .find(|s| !s.is_empty() && edit::nearest(s, ["default"]).is_none())
}

/// `smtp_recipient_restrictions` was meant for the server.
fn server_name(name: &str) -> Option<String> {
    let server = format!("smtpd_{}", name.strip_prefix("smtp_")?);
    params::find(&server).map(|_| server)
}

/// `smtpd_sasl_auth = enable` is `smtpd_sasl_auth_enable = yes`.
fn torn(name: &str, value: &str) -> Option<(&'static str, String)> {
    let whole = format!("{name}_{}", value.trim());
    let param = params::find(&whole)?;
    (param.kind == Kind::Bool).then_some(("yes", whole))
}

/// The definition above is open: its value is empty, or ends with a comma.
fn continues(site: &Site, s: &Setting<'_>) -> Option<String> {
    if s.service.is_some() {
        return None;
    }
    let above = site.config.main_cf().entries.iter().rev().find(|e| e.line < s.line)?;
    let is_next = site.main.logical(above.line).last().is_some_and(|(n, _)| n + 1 == s.line);
    let open = above.value.is_empty() || above.value.ends_with(',');
    (is_next && open).then(|| above.name.clone())
}
