//! A definition that starts with white space continues the line above it, and does not count.

use super::Rule;
use crate::{Finding, Severity, Site};
use base_conf::{main_cf::split_definition, params};

/// The record.
pub const RULE: Rule = Rule {
    name: "indented-definition",
    finds: "definitions that start with white space: they continue the value above",
    severity: Severity::Error,
    example: &[("main.cf", "smtpd_tls_key_file = /etc/ssl/private/mail.pem\n smtpd_tls_loglevel = 1\n")],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let main = site.config.main_cf();
    let inside = main.entries.iter().flat_map(|e| {
        let lines = site.main.logical(e.line).filter(|(n, _)| *n != e.line).collect::<Vec<_>>();
        lines.into_iter().map(move |(n, text)| (e, n, text))
    });
    let suspicious = inside.filter_map(|(e, n, text)| {
        let (name, _) = split_definition(text).ok()?;
        params::find(name)?;
        let what = format!("\"{name} = ...\" starts with white space, so it is a part of \"{}\"", e.name);
        Some(site.in_main(n, what).hint("remove the white space in front of it"))
    });
    suspicious.collect()
}
