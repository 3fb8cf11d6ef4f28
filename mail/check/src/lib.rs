//! `postfix check`: finds the mistakes in a configuration, with file, line and what was probably meant.
//!
//! Called by `postfix check`, and in a short form by `postfix start` and `reload`. Reads files and asks tables, but writes
//! nothing, asks no name server and refuses nothing: the caller decides what findings mean. A configuration that cannot be
//! parsed is checked as far as it can be read. Where Postfix prints nothing and is right, nothing is found.
//!
//! One kind of mistake is one file in [`rules`]; docs/check.md is made from their records. It reads main.cf and master.cf as
//! the stages do, and asks the evaluator of mail/restrict whether strangers could relay.

mod comment;
mod edit;
mod facts;
mod files;
mod finding;
mod lists;
mod main_text;
mod readable;
mod report;
pub mod rules;
mod setting;
mod site;
mod specs;

pub use finding::{Finding, Severity};
pub use readable::unreadable;
pub use report::{classic, exit_code, json};
pub use rules::{RULES, Rule};
pub use site::{Site, Surroundings};

/// Applies every rule; findings in the order of files and lines.
pub fn check(site: &Site) -> Vec<Finding> {
    sorted(RULES.iter().flat_map(|rule| rule.apply(site)))
}

/// Applies the rules that find what stops mail or loses it: for start and reload.
pub fn check_short(site: &Site) -> Vec<Finding> {
    let mut found = check(site);
    found.retain(|f| f.severity == Severity::Error);
    found
}

fn sorted(found: impl Iterator<Item = Finding>) -> Vec<Finding> {
    let mut all: Vec<Finding> = found.collect();
    all.sort();
    all.dedup();
    all
}
