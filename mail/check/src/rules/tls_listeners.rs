//! TLS and login where they cannot work: wrapper mode on the wrong port, forced TLS for the whole world, no certificate.

use super::Rule;
use crate::{Finding, Severity, Site};
use base_conf::{Config, Service, ServiceKind};

/// The record.
pub const RULE: Rule = Rule {
    name: "tls-listeners",
    finds: "listeners that other servers cannot talk to (TLS from the first byte, or forced, on port 25), port 465 without TLS from the first \
            byte, and TLS without a certificate",
    severity: Severity::Warning,
    example: &[
        ("main.cf", "smtpd_tls_wrappermode = yes\nsmtpd_tls_security_level = may\n"),
        (
            "master.cf",
            "smtp inet n - n - - smtpd\nsmtps inet n - n - - smtpd\n  -o smtpd_tls_wrappermode=no\n",
        ),
    ],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let mut out: Vec<Finding> = site
        .servers()
        .filter(|(s, _)| s.kind == ServiceKind::Inet)
        .flat_map(|(s, v)| listener(site, s, v))
        .collect();
    out.extend(certificate(site));
    out
}

fn listener(site: &Site, s: &Service, view: &Config) -> Option<Finding> {
    let (host, port) = s.endpoint();
    let wrapped = view.bool("smtpd_tls_wrappermode").unwrap_or(false);
    let level = view.str("smtpd_tls_security_level").unwrap_or_default();
    let forced = level == "encrypt" || (level.is_empty() && view.bool("smtpd_enforce_tls").unwrap_or(false));
    let inside = ["127.", "localhost", "::1"].iter().any(|p| host.starts_with(p));
    match port {
        "smtp" | "25" if wrapped => {
            let what = "smtpd_tls_wrappermode = yes on port 25: other mail servers cannot deliver here";
            let hint = "set it with -o for the service smtps (port 465) in master.cf only";
            Some(
                site.at_parameter("smtpd_tls_wrappermode", Some(s), what)
                    .severity(Severity::Error)
                    .hint(hint),
            )
        }
        "smtp" | "25" if forced && !inside => {
            let name = if level.is_empty() { "smtpd_enforce_tls" } else { "smtpd_tls_security_level" };
            let what = "TLS is forced on port 25: mail from servers without TLS is refused";
            Some(
                site.at_parameter(name, Some(s), what)
                    .hint("set \"may\" here, and \"encrypt\" with -o for the service submission"),
            )
        }
        "smtps" | "submissions" | "465" if !wrapped => {
            let what = "clients of port 465 speak TLS from the first byte";
            Some(site.in_master(s.line, what).meant("-o smtpd_tls_wrappermode=yes"))
        }
        "submission" | "587" if wrapped => {
            let what = "clients of port 587 do not speak TLS from the first byte";
            Some(
                site.at_parameter("smtpd_tls_wrappermode", Some(s), what)
                    .hint("smtpd_tls_wrappermode belongs to port 465"),
            )
        }
        _ => None,
    }
}

/// TLS is wanted and there is no certificate.
fn certificate(site: &Site) -> Option<Finding> {
    let (service, view) = site.servers().find(|(_, v)| {
        let level = v.str("smtpd_tls_security_level").unwrap_or_default();
        let on = matches!(level.as_str(), "may" | "encrypt")
            || v.bool("smtpd_use_tls").unwrap_or(false)
            || v.bool("smtpd_enforce_tls").unwrap_or(false);
        let names =
            ["smtpd_tls_cert_file", "smtpd_tls_chain_files", "smtpd_tls_eccert_file", "smtpd_tls_dcert_file"];
        on && names.iter().all(|n| v.str(n).unwrap_or_default().is_empty())
    })?;
    let name = ["smtpd_tls_security_level", "smtpd_use_tls", "smtpd_enforce_tls"]
        .into_iter()
        .find(|n| view.is_set(n))?;
    let what = "TLS is on, but there is no certificate: STARTTLS is not offered";
    Some(
        site.at_parameter(name, Some(service), what)
            .hint("set smtpd_tls_chain_files, or smtpd_tls_cert_file and smtpd_tls_key_file"),
    )
}
