//! A parameter that main.cf sets twice: the last definition counts.

use super::Rule;
use crate::{Finding, Severity, Site};

/// The record.
pub const RULE: Rule = Rule {
    name: "duplicate-parameter",
    finds: "parameters that are set more than once: only the last one counts",
    severity: Severity::Warning,
    example: &[(
        "main.cf",
        "smtpd_sender_restrictions = reject_unknown_sender_domain\nsmtpd_sender_restrictions = permit_mynetworks\n",
    )],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let main = site.config.main_cf();
    let overridden = main.entries.iter().filter_map(|e| {
        let last = main.get(&e.name).filter(|last| last.line != e.line)?;
        let same = last.value == e.value;
        let what = format!(
            "{} is set again in line {}{}",
            e.name,
            last.line,
            if same { " to the same value" } else { "" }
        );
        let hint = if same { "remove one of them" } else { "put both values into one definition" };
        Some(site.in_main(e.line, what).hint(hint))
    });
    overridden.collect()
}
