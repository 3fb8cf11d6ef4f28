//! Tables of a type that does not suit their parameter.

use super::Rule;
use crate::{
    Finding, Severity, Site,
    site::place,
    specs::{self, Purpose},
};

/// The record.
pub const RULE: Rule = Rule {
    name: "unfit-table",
    finds: "indexed tables for header and body checks, which need patterns; alias databases that newaliases cannot build",
    severity: Severity::Warning,
    example: &[
        (
            "main.cf",
            "header_checks = hash:/etc/postfix/checks\nalias_database = regexp:/etc/postfix/aliases\n",
        ),
        ("checks", "/^Subject:/ REJECT\n"),
        ("aliases", "/^root$/ admin\n"),
    ],
    run,
};

const INDEXED: &[&str] = &["btree", "cdb", "dbm", "hash", "lmdb", "sdbm"];

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    for spec in specs::all(site) {
        let file = if spec.in_master { &site.master_text.file } else { &site.main.file };
        let at = |what: String| place(file, spec.line, what);
        let indexed = INDEXED.contains(&spec.kind());
        if spec.purpose == Purpose::Content && indexed {
            let what = format!(
                "{}: a {} table compares whole lines; patterns need another type",
                spec.parameter,
                spec.kind()
            );
            out.push(at(what).meant(&format!("regexp:{}", spec.name())));
        }
        if spec.parameter == "alias_database" && !indexed {
            let what = format!("alias_database: newaliases cannot build {} tables", spec.kind());
            out.push(at(what).hint("name it in alias_maps only"));
        }
        if spec.kind() == "cidr"
            && matches!(spec.parameter.as_str(), "virtual_alias_maps" | "transport_maps" | "alias_maps")
        {
            out.push(at(format!("{}: a cidr table compares addresses of hosts only", spec.parameter)));
        }
    }
    out
}
