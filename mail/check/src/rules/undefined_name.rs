//! `$name` where nothing is called so: it expands to nothing.

use super::Rule;
use crate::{Finding, Severity, Site, edit, setting::Setting, site::place};
use base_conf::{
    names,
    params::{self, Kind},
};

/// The record.
pub const RULE: Rule = Rule {
    name: "undefined-name",
    finds: "`$name` in a value where no parameter has that name",
    severity: Severity::Warning,
    example: &[("main.cf", "home_mailbox = $HOME/Maildir/\nmydestination = $myhostname, $my_domain\n")],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let settings = site.settings();
    settings.iter().filter(|s| !is_expanded_later(s)).flat_map(|s| undefined(site, s)).collect()
}

fn is_expanded_later(s: &Setting<'_>) -> bool {
    s.param().is_some_and(|p| p.kind == Kind::Raw)
        || s.name.ends_with("_command")
        || s.name == "rbl_reply_maps"
        || s.name.ends_with("_service_time_limit")
}

fn undefined(site: &Site, s: &Setting<'_>) -> Vec<Finding> {
    // A value that does not expand is a mistake of its own.
    if s.view.expand(&s.value).is_err() {
        return Vec::new();
    }
    let mut seen = Vec::new();
    for name in names::needed(&s.value) {
        let known =
            params::find(&name).is_some() || params::template_of(&name).is_some() || s.view.is_set(&name);
        if known || seen.contains(&name) || name.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        seen.push(name);
    }
    seen.into_iter().map(|name| finding(site, s, &name)).collect()
}

fn finding(site: &Site, s: &Setting<'_>, name: &str) -> Finding {
    let line = s.text.line_of(s.line, name);
    let found = place(
        &s.text.file,
        line,
        format!("{}: there is no parameter \"{name}\", so ${name} is empty", s.name),
    );
    if s.name == "home_mailbox" {
        return found.hint("home_mailbox is relative to the home folder: \"Maildir/\"");
    }
    // The samples of master.cf name these, for whoever wants to set them.
    if name.starts_with("mua_") {
        return found.severity(Severity::Note);
    }
    let own = site.config.main_cf().entries.iter().map(|e| e.name.as_str());
    found.maybe(edit::nearest(name, params::ALL.iter().filter(|p| !p.hidden).map(|p| p.name).chain(own)))
}
