//! The rules: one kind of mistake each, one file each, and the sorted registry that the check, its documentation and its
//! tests read.

use crate::{Finding, Severity, Site};

mod alias_database;
mod bad_entry;
mod bad_line;
mod bad_service;
mod bad_value;
mod certificate;
mod client_for_server;
mod closed_blocklist;
mod comment_after_value;
mod domain_in_two_classes;
mod duplicate_parameter;
mod duplicate_service;
mod file_access;
mod filter_loop;
mod folder_as_file;
mod identities;
mod incomplete_restriction;
mod indented_definition;
mod ineffective_permit;
mod left_over;
mod login;
mod mailbox_order;
mod misplaced_restriction;
mod missing_service;
mod missing_table;
mod missing_transport;
mod old_name;
mod old_restriction;
mod open_networks;
mod open_relay;
mod own_name;
mod queue_times;
mod relayhost;
mod size_limits;
mod stale_table;
mod tls_listeners;
mod undefined_name;
mod unfit_table;
mod unknown_daemon;
mod unknown_parameter;
mod unknown_port;
mod unknown_restriction;
mod unknown_table_type;
mod unreachable_restriction;
mod unreadable_file;
mod virtual_mailboxes;

/// One kind of mistake.
pub struct Rule {
    /// Its name, in reports and docs/check.md.
    pub name: &'static str,
    /// What it finds, in one line.
    pub finds: &'static str,
    /// How bad that is, where a finding does not say it itself.
    pub severity: Severity,
    /// A configuration with the mistake: files below the configuration directory. A file name may be followed by
    /// ` mode=NNN`, or ` changed later`. For documentation and tests.
    pub example: &'static [(&'static str, &'static str)],
    /// Finds it.
    pub run: fn(&Site) -> Vec<Finding>,
}

impl Rule {
    /// Runs the rule; its findings carry its name, and its severity where they have none of their own.
    pub fn apply(&self, site: &Site) -> Vec<Finding> {
        let mut found = (self.run)(site);
        for f in &mut found {
            f.rule = self.name;
            if f.severity == Severity::Warning {
                f.severity = self.severity;
            }
        }
        found
    }
}

/// Every rule, sorted by name.
pub const RULES: &[Rule] = &[
    alias_database::RULE,
    bad_entry::RULE,
    bad_line::RULE,
    bad_service::RULE,
    bad_value::RULE,
    certificate::RULE,
    client_for_server::RULE,
    closed_blocklist::RULE,
    comment_after_value::RULE,
    domain_in_two_classes::RULE,
    duplicate_parameter::RULE,
    duplicate_service::RULE,
    file_access::RULE,
    filter_loop::RULE,
    folder_as_file::RULE,
    identities::RULE,
    incomplete_restriction::RULE,
    indented_definition::RULE,
    ineffective_permit::RULE,
    left_over::RULE,
    login::RULE,
    mailbox_order::RULE,
    misplaced_restriction::RULE,
    missing_service::RULE,
    missing_table::RULE,
    missing_transport::RULE,
    old_name::RULE,
    old_restriction::RULE,
    open_networks::RULE,
    open_relay::RULE,
    own_name::RULE,
    queue_times::RULE,
    relayhost::RULE,
    size_limits::RULE,
    stale_table::RULE,
    tls_listeners::RULE,
    undefined_name::RULE,
    unfit_table::RULE,
    unknown_daemon::RULE,
    unknown_parameter::RULE,
    unknown_port::RULE,
    unknown_restriction::RULE,
    unknown_table_type::RULE,
    unreachable_restriction::RULE,
    unreadable_file::RULE,
    virtual_mailboxes::RULE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_and_said() {
        assert!(RULES.windows(2).all(|w| w[0].name < w[1].name));
        assert!(RULES.iter().all(|r| !r.finds.is_empty() && !r.example.is_empty()));
    }
}
