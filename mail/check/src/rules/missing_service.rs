//! Services without which mail stops.

use super::Rule;
use crate::{Finding, Severity, Site, facts::daemons::NEEDED};

/// The record.
pub const RULE: Rule = Rule {
    name: "missing-service",
    finds: "services that every mail system needs and that master.cf does not have",
    severity: Severity::Warning,
    example: &[("master.cf", "smtp inet n - n - - smtpd\npickup unix n - n 60 1 pickup\n")],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    if site.master.services.is_empty() {
        return Vec::new();
    }
    let missing: Vec<_> = NEEDED.iter().filter(|(name, _)| !site.has_transport(name)).collect();
    // A file that holds next to nothing is no master.cf yet, and one line says so.
    if missing.len() == NEEDED.len() {
        return vec![site.in_master(0, "none of the services that a mail system needs is here")];
    }
    missing
        .iter()
        .map(|(name, what)| site.in_master(0, format!("service \"{name}\" is missing: {what}")))
        .collect()
}
