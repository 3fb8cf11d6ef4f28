//! Lines of main.cf that are no definitions: Postfix's programs refuse to start.

use super::Rule;
use crate::{Severity, site::BAD_LINE};

/// The record.
pub const RULE: Rule = Rule {
    name: BAD_LINE,
    finds: "lines of main.cf that cannot be read: no `=`, a continuation without indent, a comment without `#`",
    severity: Severity::Error,
    example: &[(
        "main.cf",
        "smtpd_client_restrictions = permit_mynetworks,\nreject_rbl_client zen.spamhaus.org\n// who may use us\n",
    )],
    run: |site| site.faults.iter().filter(|f| f.rule == BAD_LINE).cloned().collect(),
};
