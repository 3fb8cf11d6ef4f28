//! Paths of commands that are folders, or that are not absolute.

use super::Rule;
use crate::{Finding, Severity, Site, files};
use std::path::Path;

/// The record.
pub const RULE: Rule = Rule {
    name: "folder-as-file",
    finds: "paths of commands that are folders, and folders that are files",
    severity: Severity::Warning,
    example: &[("main.cf", "mailq_path = /usr/lib\ndaemon_directory = usr/libexec/postfix\n")],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    for s in site.settings().iter().filter(|s| s.service.is_none()) {
        let path = Path::new(&s.expanded);
        let command = matches!(s.name, "mailq_path" | "newaliases_path" | "sendmail_path");
        let folder =
            matches!(s.name, "queue_directory" | "daemon_directory" | "command_directory" | "data_directory");
        if (!command && !folder) || s.expanded.is_empty() {
            continue;
        }
        let same =
            command && ["daemon_directory", "command_directory"].iter().any(|d| site.value(d) == s.expanded);
        let meta = files::stat(path);
        let what = if !path.is_absolute() {
            format!("{}: \"{}\" is no absolute path", s.name, s.expanded)
        } else if command && (same || meta.as_ref().is_some_and(std::fs::Metadata::is_dir)) {
            format!("{}: {} is a folder, not a command", s.name, s.expanded)
        } else if folder && meta.is_some_and(|m| m.is_file()) {
            format!("{}: {} is a file, not a folder", s.name, s.expanded)
        } else {
            continue;
        };
        out.push(crate::site::place(&s.text.file, s.line, what));
    }
    out
}
