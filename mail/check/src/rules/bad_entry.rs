//! Lines of tables that make no sense: patterns that cannot be compiled, keys without a value, unknown actions.

use super::{Rule, missing_table::places};
use crate::{
    Finding, Severity, Site, edit,
    facts::restrictions,
    files,
    site::place,
    specs::{self, Purpose, Spec},
};
use base_tables::Usage;
use std::path::{Path, PathBuf};

/// The record.
pub const RULE: Rule = Rule {
    name: "bad-entry",
    finds: "lines of tables that are ignored or do nothing: bad patterns, keys without a value, unknown actions",
    severity: Severity::Warning,
    example: &[
        (
            "main.cf",
            "header_checks = regexp:/etc/postfix/checks\nsmtpd_client_restrictions = check_client_access hash:/etc/postfix/clients\n",
        ),
        ("checks", "/^Subject: (hello/ REJECT\n/^X-Spam:/ REJCT\n"),
        ("clients", "192.0.2.1 REJEKT\n192.0.2.2\n"),
    ],
    run,
};

/// Texts longer than this are not read.
const MAX_TEXT: u64 = 4 << 20;
/// Findings of one table.
const MAX_FINDINGS: usize = 20;

/// access(5).
const ACCESS: &[&str] = &[
    "BCC",
    "DEFER",
    "DEFER_IF_PERMIT",
    "DEFER_IF_REJECT",
    "DISCARD",
    "DUNNO",
    "FILTER",
    "HANGUP",
    "HOLD",
    "INFO",
    "OK",
    "PREPEND",
    "REDIRECT",
    "REJECT",
    "RELAY",
    "WARN",
];
/// header_checks(5).
const CONTENT: &[&str] = &[
    "BCC", "DISCARD", "DUNNO", "FILTER", "HOLD", "IGNORE", "INFO", "OK", "PASS", "PREPEND", "REDIRECT",
    "REJECT", "REPLACE", "STRIP", "WARN",
];

fn run(site: &Site) -> Vec<Finding> {
    let mut seen: Vec<(PathBuf, Purpose)> = Vec::new();
    let mut out = Vec::new();
    let classes = restrictions::classes(site);
    let specs = specs::all(site);
    let aliases = |name: &str| specs.iter().any(|s| s.purpose == Purpose::Aliases && s.name() == name);
    for spec in specs.iter().filter(|s| !aliases(s.name())) {
        let Some((file, source)) = places(site, spec) else { continue };
        let text = source.unwrap_or(file);
        if seen.contains(&(text.clone(), spec.purpose))
            || files::stat(&text).is_none_or(|m| m.len() > MAX_TEXT)
        {
            continue;
        }
        seen.push((text.clone(), spec.purpose));
        out.extend(entries(site, spec, &text, &classes).into_iter().take(MAX_FINDINGS));
    }
    out
}

fn entries(site: &Site, spec: &Spec, path: &Path, classes: &[String]) -> Vec<Finding> {
    let mut out = Vec::new();
    let kind = match spec.kind() {
        kind @ ("cidr" | "pcre" | "regexp") => kind,
        "hash" | "btree" | "lmdb" | "cdb" | "dbm" | "sdbm" | "texthash"
            if spec.purpose != Purpose::Aliases =>
        {
            "texthash"
        }
        _ => return out,
    };
    let ask = format!("{kind}:{}", path.display());
    let (_, warned) = site.warnings_of(|tables| drop(tables.try_open(&ask, Usage::LOOKUP)));
    out.extend(warned.iter().map(|w| located(path, w)));
    if !matches!(spec.purpose, Purpose::Access | Purpose::Content) {
        return out;
    }
    for (line, action) in actions(path, kind) {
        if let Some(found) = unknown_action(path, line, &action, spec.purpose, classes) {
            out.push(found);
        }
    }
    out
}

/// A warning of a table, which says the file and mostly the line itself.
fn located(path: &Path, warning: &str) -> Finding {
    let shown = path.display().to_string();
    let at = warning.split_once(&format!("{shown}, line ")).and_then(|(_, rest)| rest.split_once(": "));
    let numbered = at.and_then(|(number, text)| Some((number.parse().ok()?, text)));
    match numbered {
        Some((line, text)) => place(path, line, text),
        None => place(path, 0, warning),
    }
}

/// Each line's action.
fn actions(path: &Path, kind: &str) -> Vec<(u32, String)> {
    let text = files::text(path, MAX_TEXT).unwrap_or_default();
    let lines = base_conf::main_cf::logical_lines(&text);
    lines.iter().filter_map(|l| Some((l.line, action(&l.text, kind)?))).collect()
}

fn action(line: &str, kind: &str) -> Option<String> {
    let lower = line.trim_start().to_ascii_lowercase();
    if ["if ", "if/", "if!", "endif"].iter().any(|w| lower.starts_with(w)) || lower == "endif" {
        return None;
    }
    let rest = match kind {
        "pcre" | "regexp" => {
            let body = line.trim_start().trim_start_matches('!');
            let delimiter = body.chars().next()?;
            let end = closing(body, delimiter)?;
            let flags = body.get(end..)?.trim_start_matches(|c: char| c.is_ascii_alphabetic());
            flags.strip_prefix('!').map_or(flags, |f| f)
        }
        _ => line.trim_start().split_once(char::is_whitespace)?.1,
    };
    Some(rest.trim().to_owned()).filter(|r| !r.is_empty())
}

/// The byte behind the delimiter that ends a pattern.
fn closing(body: &str, delimiter: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == delimiter => return Some(at + c.len_utf8()),
            _ => {}
        }
    }
    None
}

/// The keys of an access table that permit, with their lines. Of tables that are not indexed by plain keys: none.
pub(super) fn permitted(site: &Site, spec: &Spec) -> Vec<(u32, String)> {
    let Some((file, source)) = places(site, spec) else { return Vec::new() };
    if matches!(spec.kind(), "cidr" | "pcre" | "regexp") {
        return Vec::new();
    }
    let text = files::text(&source.unwrap_or(file), MAX_TEXT).unwrap_or_default();
    let lines = base_conf::main_cf::logical_lines(&text);
    let permits = |action: &str| {
        let word = action.split([' ', '\t', ',']).next().unwrap_or_default();
        ["ok", "relay", "permit"].iter().any(|w| w.eq_ignore_ascii_case(word))
            || (!word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()) && !word.starts_with(['4', '5']))
    };
    let entries = lines.iter().filter_map(|l| {
        let (key, action) = l.text.split_once(char::is_whitespace)?;
        permits(action.trim()).then(|| (l.line, key.to_owned()))
    });
    entries.collect()
}

fn unknown_action(
    path: &Path,
    line: u32,
    action: &str,
    purpose: Purpose,
    classes: &[String],
) -> Option<Finding> {
    let word = action.split([' ', '\t', ',']).next().unwrap_or_default();
    let upper = word.to_ascii_uppercase();
    let known = if purpose == Purpose::Access { ACCESS } else { CONTENT };
    let number = word.len() == 3 && word.starts_with(['4', '5']) && word.bytes().all(|b| b.is_ascii_digit());
    let digits = word.bytes().all(|b| b.is_ascii_digit());
    let access = purpose == Purpose::Access
        && (number
            || digits
            || restrictions::find(word).is_some()
            || classes.iter().any(|c| c == word)
            || specs::is_spec(word));
    if known.contains(&upper.as_str()) || access {
        return None;
    }
    let found = place(path, line, format!("\"{word}\" is no action"));
    let near = edit::nearest(word, known.iter().copied())
        .or_else(|| restrictions::names().find(|n| edit::nearest(word, [*n]).is_some()));
    Some(found.maybe(near))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_of_lines() {
        for (line, kind, expect) in [
            ("/^a\\/b/i REJECT no", "regexp", Some("REJECT no")),
            ("!/x/ OK", "pcre", Some("OK")),
            ("if /x/", "pcre", None),
            ("192.0.2.0/24 REJECT", "cidr", Some("REJECT")),
            ("a@b  550 no", "texthash", Some("550 no")),
            ("a@b", "texthash", None),
        ] {
            assert_eq!(action(line, kind).as_deref(), expect, "{line}");
        }
    }
}
