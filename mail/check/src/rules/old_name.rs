//! Parameters of the past, with what to set today.

use super::Rule;
use crate::{Finding, Severity, Site, facts::old_names, site::place};

/// The record.
pub const RULE: Rule = Rule {
    name: "old-name",
    finds: "parameters that were renamed, deprecated or removed",
    severity: Severity::Warning,
    example: &[(
        "main.cf",
        "smtpd_use_tls = yes\nmaps_rbl_domains = zen.spamhaus.org\nfallback_relay = [192.0.2.9]\n",
    )],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let settings = site.settings();
    let old = settings.iter().filter_map(|s| {
        let today = old_names::today(s.name)?;
        let hint = match today.strip_prefix("nothing: ") {
            Some(reason) => format!("remove it: {reason}"),
            None => format!("today's name is {today}"),
        };
        let hint = if today.contains([' ', ',']) && !hint.starts_with("remove") {
            format!("use {today}")
        } else {
            hint
        };
        Some(place(&s.text.file, s.line, format!("{} is a name of the past", s.name)).hint(hint))
    });
    old.collect()
}
