//! Mail that comes back from a content filter goes to the filter again (FILTER_README).

use super::Rule;
use crate::{Finding, Severity, Site};
use base_conf::ServiceKind;

/// The record.
pub const RULE: Rule = Rule {
    name: "filter-loop",
    finds: "listeners for mail that comes back from a content filter, without `-o content_filter=`: the mail goes round",
    severity: Severity::Warning,
    example: &[
        ("main.cf", "content_filter = smtp:[127.0.0.1]:10024\n"),
        (
            "master.cf",
            "smtp inet n - n - - smtpd\nsmtp unix - - n - - smtp\n127.0.0.1:10025 inet n - n - - smtpd\n",
        ),
    ],
    run,
};

/// Ports that are for other clients.
const USUAL: &[&str] = &["25", "465", "587", "smtp", "smtps", "submission", "submissions"];

fn run(site: &Site) -> Vec<Finding> {
    if site.value("content_filter").trim().is_empty() {
        return Vec::new();
    }
    let returning = site.servers().filter(|(s, view)| {
        let (host, port) = s.endpoint();
        let inside = ["127.", "localhost", "::1"].iter().any(|p| host.starts_with(p));
        let skipped = view
            .list("receive_override_options")
            .unwrap_or_default()
            .iter()
            .any(|o| o == "no_header_body_checks");
        let filtered = !view.str("content_filter").unwrap_or_default().trim().is_empty();
        s.kind == ServiceKind::Inet && inside && !USUAL.contains(&port) && filtered && !skipped
    });
    returning
        .map(|(s, _)| {
            let what = format!("service {}: mail that comes back from the filter is filtered again", s.name);
            site.in_master(s.line, what).hint("add \"-o content_filter=\" to this service")
        })
        .collect()
}
