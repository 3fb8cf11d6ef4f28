//! Users and groups of the mail system (INSTALL, postconf(5)): they must exist, and not be used by anything else.

use super::Rule;
use crate::{Finding, Severity, Site};

/// The record.
pub const RULE: Rule = Rule {
    name: "identities",
    finds: "mail_owner, setgid_group and default_privs that do not exist, or are the same user or root",
    severity: Severity::Error,
    example: &[("main.cf", "mail_owner = no-such-user\ndefault_privs = root\n")],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    let user = |name: &str| (site.around.user)(&site.value(name));
    let at = |name: &str, what: String| site.at_parameter(name, None, what);
    let owner = user("mail_owner");
    if owner.is_none() && site.config.is_set("mail_owner") {
        out.push(at("mail_owner", format!("mail_owner: there is no user \"{}\"", site.value("mail_owner"))));
    }
    if owner == Some(0) {
        out.push(at("mail_owner", "mail_owner must not be root".into()));
    }
    let group = site.value("setgid_group");
    if site.config.is_set("setgid_group") && !(site.around.group)(&group) {
        out.push(at("setgid_group", format!("setgid_group: there is no group \"{group}\"")));
    }
    let what = match user("default_privs") {
        None if site.config.is_set("default_privs") => {
            format!("default_privs: there is no user \"{}\"", site.value("default_privs"))
        }
        Some(0) => "default_privs must not be root: commands of users would run as root".to_owned(),
        found if found.is_some() && found == owner => {
            "default_privs must not be mail_owner: commands of users could change the queue".to_owned()
        }
        _ => return out,
    };
    out.push(at("default_privs", what));
    out
}
