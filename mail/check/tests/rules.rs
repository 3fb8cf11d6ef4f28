//! Every rule finds the mistake of its example; docs/check.md shows them all.
//!
//! `UPDATE_DOCS=1 cargo test -p mail-check --test rules` writes the table.

mod support;

use mail_check::{RULES, Rule};
use std::{fs, path::Path};

const BEGIN: &str = "<!-- rules: made by a test -->\n";
const END: &str = "<!-- end of rules -->\n";

/// What a rule says about its example.
fn answers(rule: &Rule) -> Vec<String> {
    support::with_site(rule.example, |site, dir| support::lines(&rule.apply(site), dir, true))
}

#[test]
fn examples() {
    for rule in RULES {
        let found = answers(rule);
        assert!(!found.is_empty(), "{} does not find its example", rule.name);
    }
}

/// Nothing is found in an empty configuration.
#[test]
fn silent() {
    assert_eq!(support::check(&[]), Vec::<String>::new());
}

fn section(rule: &Rule) -> String {
    let mut out = format!("### {}\n\nFinds {}.\n\n```\n", rule.name, rule.finds);
    for (name, text) in rule.example {
        out.push_str(&format!("# {name}\n"));
        let text = match text.strip_prefix('@') {
            Some(what) => format!("({what})"),
            None => text.trim_end().to_owned(),
        };
        if !text.is_empty() {
            out.push_str(&text);
            out.push('\n');
        }
    }
    out.push_str("```\n```\n");
    out.push_str(&answers(rule).join("\n"));
    out.push_str("\n```\n\n");
    out
}

#[test]
fn documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/check.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the marks of the table");
    let (_, after) = rest.split_once(END).expect("the marks of the table");
    let table: String = RULES.iter().map(section).collect();
    let fresh = format!("{before}{BEGIN}\n{table}{END}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &fresh).unwrap();
        return;
    }
    assert!(text == fresh, "docs/check.md: run with UPDATE_DOCS=1");
}
