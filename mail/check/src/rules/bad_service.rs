//! Lines of master.cf that are no services.

use super::Rule;
use crate::{Severity, site::BAD_SERVICE};

/// The record.
pub const RULE: Rule = Rule {
    name: BAD_SERVICE,
    finds: "lines of master.cf that cannot be read: fields that are missing or have bad values, options that are torn apart",
    severity: Severity::Error,
    example: &[(
        "master.cf",
        "smtps inet x - n - - smtpd\n465 inet n - n - - smtpd\n  -o smtpd_tls_wrappermode = yes\n-o smtpd_sasl_auth_enable=yes\n",
    )],
    run: |site| site.faults.iter().filter(|f| f.rule == BAD_SERVICE).cloned().collect(),
};
