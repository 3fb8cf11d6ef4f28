//! The names that the server gives itself.

use super::Rule;
use crate::{Finding, Severity, Site, setting::Setting};

/// The record.
pub const RULE: Rule = Rule {
    name: "own-name",
    finds: "myhostname, mydomain and myorigin that are no names of hosts or domains, and mail addresses in mydestination",
    severity: Severity::Warning,
    example: &[(
        "main.cf",
        "myhostname = mail\nmydomain = @example.com\nmyorigin = $mydomain, $myhostname\nmydestination = $myhostname, info@example.com\n",
    )],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    for name in ["myhostname", "mydomain", "myorigin"] {
        if let Some(s) = site.setting(name) {
            out.extend(name_fault(site, &s));
        }
    }
    if let Some(s) = site.setting("mydestination") {
        let addresses = s.words().into_iter().filter(|w| w.text.contains('@') && !w.text.contains(':'));
        let what = |w: &str| format!("mydestination: \"{w}\" is a mail address, not a domain");
        out.extend(addresses.map(|w| {
            let domain = w.text.rsplit('@').next().unwrap_or_default().to_owned();
            site.in_main(w.line, what(&w.text)).meant(&domain)
        }));
    }
    out.extend(banner(site));
    out
}

/// RFC 5321 4.2: the greeting begins with the name of the server.
fn banner(site: &Site) -> Option<Finding> {
    let s = site.setting("smtpd_banner")?;
    let first = s.expanded.split_whitespace().next().unwrap_or_default();
    let good = first.eq_ignore_ascii_case(&site.value("myhostname"));
    let note =
        || site.in_main(s.line, "smtpd_banner does not begin with $myhostname").severity(Severity::Note);
    (!good).then(note)
}

fn name_fault(site: &Site, s: &Setting<'_>) -> Option<Finding> {
    let value = s.expanded.trim();
    let at = |text: String| site.in_main(s.line, text);
    if s.name == "myorigin" && value.starts_with('/') {
        return None;
    }
    let quoted = format!("{}: \"{value}\"", s.name);
    if value.is_empty() {
        return (s.name != "myorigin").then(|| at(format!("{} is empty", s.name)).severity(Severity::Error));
    }
    if value.contains([' ', ',']) {
        return Some(at(format!("{quoted} is more than one name")).severity(Severity::Error));
    }
    if value.contains('@') {
        return Some(
            at(format!("{quoted} is no domain"))
                .severity(Severity::Error)
                .meant(value.rsplit('@').next().unwrap_or_default()),
        );
    }
    let good = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
    if !value.chars().all(good) || value.starts_with(['.', '-']) || value.contains("..") {
        return Some(at(format!("{quoted} is no domain")).severity(Severity::Error));
    }
    if s.name == "myhostname" && !value.contains('.') {
        let severity = Severity::Note;
        return Some(
            at(format!("{quoted} is no full name: other servers may refuse its HELO")).severity(severity),
        );
    }
    None
}
