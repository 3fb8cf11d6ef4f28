//! Virtual mailboxes that cannot be delivered to.

use super::Rule;
use crate::{Finding, Severity, Site};

/// The record.
pub const RULE: Rule = Rule {
    name: "virtual-mailboxes",
    finds: "virtual mailbox domains without what virtual(8) needs: mailboxes, owners, a base folder; virtual alias domains without aliases",
    severity: Severity::Warning,
    example: &[(
        "main.cf",
        "virtual_mailbox_domains = example.com\nvirtual_alias_domains = example.org\nvirtual_mailbox_base = mail\n",
    )],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    let empty = |name: &str| site.value(name).trim().is_empty();
    let transport = site.value("virtual_transport");
    let agent = transport.split(':').next().unwrap_or_default();
    let by_virtual = site.master.transport(agent).is_none_or(|s| s.command == "virtual");
    if !empty("virtual_mailbox_domains") && by_virtual {
        let at = |what: &str| site.at_parameter("virtual_mailbox_domains", None, what);
        for (name, what) in [
            (
                "virtual_mailbox_maps",
                "virtual mailbox domains have no virtual_mailbox_maps: no recipient has a mailbox",
            ),
            ("virtual_uid_maps", "virtual mailbox domains have no virtual_uid_maps: deliveries fail"),
            ("virtual_gid_maps", "virtual mailbox domains have no virtual_gid_maps: deliveries fail"),
            ("virtual_mailbox_base", "virtual mailbox domains have no virtual_mailbox_base: deliveries fail"),
        ] {
            if empty(name) {
                out.push(at(what).hint(format!("set {name}")));
            }
        }
        let base = site.value("virtual_mailbox_base");
        if !base.is_empty() && !base.starts_with('/') {
            out.push(site.at_parameter(
                "virtual_mailbox_base",
                None,
                format!("virtual_mailbox_base: \"{base}\" is no absolute path"),
            ));
        }
    }
    if site.config.is_set("virtual_alias_domains")
        && !empty("virtual_alias_domains")
        && empty("virtual_alias_maps")
    {
        let what = "virtual alias domains have no virtual_alias_maps: all their recipients are unknown";
        out.push(site.at_parameter("virtual_alias_domains", None, what).hint("set virtual_alias_maps"));
    }
    out
}
