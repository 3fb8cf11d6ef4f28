//! Settings for trying things out that were left on.

use super::Rule;
use crate::{Finding, Severity, Site};

/// The record.
pub const RULE: Rule = Rule {
    name: "left-over",
    finds: "settings for trial and debugging that were left on; tables of recipients that accept everything",
    severity: Severity::Note,
    example: &[(
        "main.cf",
        "soft_bounce = yes\nlocal_recipient_maps =\nsmtpd_helo_restrictions = reject_invalid_helo_hostname\n",
    )],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    let mut note =
        |name: &str, what: &str| out.push(site.at_parameter(name, None, what).severity(Severity::Note));
    if site.config.bool("soft_bounce").unwrap_or(false) {
        note("soft_bounce", "soft_bounce = yes: mail that is refused for good comes again and again");
    }
    if site.config.is_set("local_recipient_maps") && site.value("local_recipient_maps").trim().is_empty() {
        note(
            "local_recipient_maps",
            "local_recipient_maps is empty: mail to unknown users is accepted and bounced later",
        );
    }
    let helo =
        site.config.is_set("smtpd_helo_restrictions") && !site.value("smtpd_helo_restrictions").is_empty();
    if helo && !site.config.bool("smtpd_helo_required").unwrap_or(false) {
        note(
            "smtpd_helo_restrictions",
            "without smtpd_helo_required = yes a client avoids these restrictions by not saying HELO",
        );
    }
    out
}
