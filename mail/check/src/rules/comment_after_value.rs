//! `name = value # comment`: the comment is part of the value.

use super::Rule;
use crate::{Finding, Severity, Site, comment};
use base_conf::params::{self, Kind};

/// The record.
pub const RULE: Rule = Rule {
    name: "comment-after-value",
    finds: "text behind a value that was meant as a comment",
    severity: Severity::Error,
    example: &[("main.cf", "mailbox_size_limit = 102400000   # 100 MB\n")],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let main = site.config.main_cf();
    let entries = main.entries.iter().filter(|e| !is_command(&e.name));
    let mut out = Vec::new();
    for e in entries {
        for (n, line) in site.main.logical(e.line) {
            let Some(at) = comment::start(line) else { continue };
            let after = line.get(at..).unwrap_or_default();
            let what = format!("\"{}\" is a part of the value of {}, not a comment", shown(after), e.name);
            out.push(site.in_main(n, what).hint("a comment is a line of its own that starts with \"#\""));
        }
    }
    out
}

fn shown(text: &str) -> String {
    let short: String = text.trim().chars().take(24).collect();
    if short.len() < text.trim().len() { format!("{short}...") } else { short }
}

/// Commands and texts that are expanded later may hold anything.
fn is_command(name: &str) -> bool {
    name.ends_with("_command")
        || name.ends_with("_text")
        || params::find(name).is_some_and(|p| p.kind == Kind::Raw)
}
