//! Programs in master.cf that do not exist, and options that they do not take.

use super::Rule;
use crate::{
    Finding, Severity, Site, edit,
    facts::daemons::{DAEMONS, WITH_ARGUMENTS},
};
use base_conf::Service;

/// The record.
pub const RULE: Rule = Rule {
    name: "unknown-daemon",
    finds: "programs in master.cf that do not exist, and words behind a program that are no options (a blank behind a comma)",
    severity: Severity::Error,
    example: &[(
        "master.cf",
        "smtp inet n - n - - smptd\nsubmission inet n - n - - smtpd\n  -o smtpd_relay_restrictions=permit_sasl_authenticated, reject\n",
    )],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    site.master.services.iter().flat_map(|s| check(site, s)).collect()
}

fn check(site: &Site, s: &Service) -> Option<Finding> {
    let program = s.command.as_str();
    if program.contains('/') {
        return None;
    }
    if !DAEMONS.contains(&program) {
        let what = format!("service {}: there is no program \"{program}\"", s.name);
        return Some(site.in_master(s.line, what).maybe(edit::nearest(program, DAEMONS.iter().copied())));
    }
    if WITH_ARGUMENTS.contains(&program) {
        return None;
    }
    let word = s.args.iter().find(|a| !a.starts_with('-'))?;
    let line = site.master_text.line_of(s.line, word);
    let what = format!("service {}: \"{word}\" is no option of {program}", s.name);
    let torn = s.overrides.iter().any(|(_, v)| v.ends_with(','));
    let found = site.in_master(line, what);
    Some(if torn {
        found.hint("the value of -o ends at the blank: write it without blanks, or -o { name = value }")
    } else if word.contains('=') {
        found.meant(&format!("-o {word}"))
    } else {
        found
    })
}
