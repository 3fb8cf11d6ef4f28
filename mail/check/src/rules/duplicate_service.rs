//! A service that master.cf defines twice: the last definition counts.

use super::Rule;
use crate::{Finding, Severity, Site};
use base_conf::{MasterCf, ServiceKind, main_cf::logical_lines};
use std::collections::HashMap;

/// The record.
pub const RULE: Rule = Rule {
    name: "duplicate-service",
    finds: "services of the same name and type in master.cf: only the last one counts",
    severity: Severity::Warning,
    example: &[("master.cf", "smtp inet n - n - - smtpd\nsmtp inet n - n - 1 postscreen\n")],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let mut seen: HashMap<(String, ServiceKind), u32> = HashMap::new();
    let mut out = Vec::new();
    for logical in logical_lines(&site.master_text.join()) {
        let Ok(alone) = MasterCf::read(&logical.text, &site.master_text.file) else { continue };
        let Some(service) = alone.services.into_iter().next() else { continue };
        let key = (service.name, service.kind);
        if let Some(before) = seen.get(&key) {
            let what =
                format!("service {}/{} is defined again in line {}", key.0, key.1.name(), logical.line);
            out.push(site.in_master(*before, what).hint("remove one of them"));
        }
        seen.insert(key, logical.line);
    }
    out
}
