//! Two ways of delivery to mailboxes, of which only one is taken (local(8), "MAILBOX DELIVERY").

use super::Rule;
use crate::{Finding, Severity, Site};

/// The record.
pub const RULE: Rule = Rule {
    name: "mailbox-order",
    finds: "home_mailbox beside mailbox_command or mailbox_transport, which are asked before it",
    severity: Severity::Warning,
    example: &[("main.cf", "mailbox_command = procmail -a \"$EXTENSION\"\nhome_mailbox = Maildir/\n")],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let set =
        |name: &str| site.config.is_set(name) && !site.config.raw(name).unwrap_or_default().trim().is_empty();
    if !set("home_mailbox") {
        return Vec::new();
    }
    let first = ["mailbox_transport", "mailbox_command"].into_iter().find(|n| set(n));
    let found = first.map(|first| {
        let what = format!("home_mailbox has no effect, because {first} is set");
        site.at_parameter("home_mailbox", None, what).hint(format!("remove {first}, or set it to nothing"))
    });
    found.into_iter().collect()
}
