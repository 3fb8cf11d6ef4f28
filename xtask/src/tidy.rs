//! `cargo xtask tidy`: the rules of ARCHITECTURE.md, checked.
//!
//! 1. Layers: a crate depends only on layers below its own, and within mail/ only receive and check on restrict.
//! 2. Programs do not link what their privilege class must not.
//! 3. Every Rust file opens with a contract comment; `unsafe` stands in base/sys only.
//! 4. ARCHITECTURE.md names every crate, DEPENDENCIES.md every direct dependency with an allowed licence.
//! 5. Registries: every file in a registry's folder has its word in the slice, and the other way round.

use crate::run::{cargo, output, root};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Crates that a program must not link, directly or through others.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "hikyaku-courier",
        &[
            "tokio",
            "hickory-proto",
            "proto-smtp",
            "mail-receive",
            "mail-deliver",
            "base-dns",
            "base-nettables",
        ],
    ),
    (
        "hikyaku-master",
        &["tokio", "hickory-proto", "proto-smtp", "mail-receive", "mail-cleanup", "base-tables"],
    ),
    ("hikyaku-submit", &["tokio", "hickory-proto", "proto-smtp", "regex", "base-tables", "mail-receive"]),
    ("hikyaku-worker", &["mail-deposit"]),
];

/// Who in mail/ may ask the restrictions: the server, and the check of the configuration.
const ASK_RESTRICT: &[&str] = &["mail-check", "mail-receive"];

/// Licences that a dependency may have (one of the alternatives it offers).
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "OLDAP-2.8",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "0BSD",
    "CC0-1.0",
];

/// Folders whose files are entries of a registry, and the file that holds the slice.
const REGISTRIES: &[(&str, &str)] = &[
    ("mail/check/src/rules", "mail/check/src/rules/mod.rs"),
    ("mail/restrict/src/rules", "mail/restrict/src/rules/mod.rs"),
    ("base/tables/src/types", "base/tables/src/types/mod.rs"),
    ("base/nettables/src/types", "base/nettables/src/types/mod.rs"),
    ("mail/cleanup/src/steps", "mail/cleanup/src/steps/mod.rs"),
    ("mail/deliver/src/agents", "mail/deliver/src/agents/mod.rs"),
    ("mail/deposit/src/agents", "mail/deposit/src/agents/mod.rs"),
    ("base/conf/src/params", "base/conf/src/params/mod.rs"),
    ("base/log/src/lines", "base/log/src/lines/mod.rs"),
    ("base/metrics/src/groups", "base/metrics/src/groups/mod.rs"),
    ("programs/tools/src/doctor/checks", "programs/tools/src/doctor/checks/mod.rs"),
];

/// The command's entry.
pub fn run(_args: &[String]) -> Result<()> {
    let meta = output(cargo().args(["metadata", "--format-version", "1", "--locked"]))
        .or_else(|_| output(cargo().args(["metadata", "--format-version", "1"])))?;
    let meta: Value = serde_json::from_str(&meta)?;
    let graph = Graph::read(&meta)?;
    let mut faults = Vec::new();
    layers(&graph, &mut faults);
    forbidden(&graph, &mut faults);
    documents(&graph, &mut faults)?;
    licences(&meta, &mut faults);
    sources(&mut faults)?;
    registries(&mut faults)?;
    for f in &faults {
        eprintln!("tidy: {f}");
    }
    if !faults.is_empty() {
        bail!("{} rules are broken", faults.len());
    }
    println!("tidy: ok");
    Ok(())
}

/// The workspace's crates and what they link (no dev- or build-dependencies).
struct Graph {
    /// Name and folder relative to the root.
    folders: BTreeMap<String, String>,
    /// Name and direct dependencies.
    links: BTreeMap<String, BTreeSet<String>>,
    /// Direct dependencies from outside.
    outside: BTreeSet<String>,
}

impl Graph {
    fn read(meta: &Value) -> Result<Self> {
        let mut g = Self { folders: BTreeMap::new(), links: BTreeMap::new(), outside: BTreeSet::new() };
        for p in meta["packages"].as_array().context("no packages")? {
            let name = p["name"].as_str().unwrap_or_default().to_owned();
            let normal = p["dependencies"].as_array().into_iter().flatten().filter(|d| d["kind"].is_null());
            let normal: BTreeSet<_> = normal.filter_map(|d| d["name"].as_str()).map(str::to_owned).collect();
            if p["source"].is_null() {
                let dir = Path::new(p["manifest_path"].as_str().unwrap_or_default()).parent();
                let dir =
                    dir.and_then(|d| d.strip_prefix(root()).ok()).context("a crate outside the workspace")?;
                g.folders.insert(name.clone(), dir.display().to_string());
            }
            g.links.entry(name).or_default().extend(normal);
        }
        for name in g.folders.keys() {
            g.outside.extend(g.links[name].iter().filter(|d| !g.folders.contains_key(*d)).cloned());
        }
        Ok(g)
    }

    fn all_links(&self, name: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut todo = vec![name.to_owned()];
        while let Some(n) = todo.pop() {
            for d in self.links.get(&n).into_iter().flatten() {
                if seen.insert(d.clone()) {
                    todo.push(d.clone());
                }
            }
        }
        seen
    }
}

fn layer(folder: &str) -> usize {
    match folder.split('/').next() {
        Some("proto") => 1,
        Some("base") => 2,
        Some("mail") => 3,
        Some("programs") => 4,
        _ => 5,
    }
}

fn layers(g: &Graph, faults: &mut Vec<String>) {
    for (name, folder) in &g.folders {
        for d in g.links[name].iter().filter_map(|d| g.folders.get_key_value(d)) {
            let (mine, theirs) = (layer(folder), layer(d.1));
            let may_ask = d.0 == "mail-restrict" && ASK_RESTRICT.contains(&name.as_str());
            let stages = mine == 3 && theirs == 3 && !may_ask;
            if theirs > mine || stages || (mine == 4 && theirs == 4) {
                faults.push(format!("{folder} must not depend on {}", d.1));
            }
        }
    }
}

fn forbidden(g: &Graph, faults: &mut Vec<String>) {
    for (program, crates) in FORBIDDEN {
        let all = g.all_links(program);
        for c in crates.iter().filter(|c| all.contains(**c)) {
            faults.push(format!("{program} must not link {c}"));
        }
    }
}

fn documents(g: &Graph, faults: &mut Vec<String>) -> Result<()> {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).context("ARCHITECTURE.md")?;
    for folder in g.folders.values().filter(|f| !map.contains(&format!("`{f}`"))) {
        faults.push(format!("ARCHITECTURE.md does not name `{folder}`"));
    }
    let listed = fs::read_to_string(root().join("DEPENDENCIES.md")).context("DEPENDENCIES.md")?;
    for d in g.outside.iter().filter(|d| !listed.contains(&format!("| {d} |"))) {
        faults.push(format!("DEPENDENCIES.md has no line for {d}"));
    }
    Ok(())
}

fn licences(meta: &Value, faults: &mut Vec<String>) {
    for p in meta["packages"].as_array().into_iter().flatten() {
        let licence = p["license"].as_str().unwrap_or_default().replace('/', " OR ");
        if !allowed(&licence) {
            faults.push(format!("{}: licence {licence:?} is not in the list", p["name"]));
        }
    }
}

/// Whether an SPDX expression (OR, AND, parentheses) can be met with allowed licences.
fn allowed(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], " ");
    let term = |t: &str| LICENCES.contains(&t.trim());
    flat.split(" AND ").all(|part| part.split(" OR ").any(term))
}

fn rust_files(dir: &Path, out: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            rust_files(&path, out)?;
        } else if name.ends_with(".rs") {
            out.push(path);
        }
    }
    Ok(())
}

fn sources(faults: &mut Vec<String>) -> Result<()> {
    let mut files = Vec::new();
    rust_files(&root(), &mut files)?;
    for path in files {
        let text = fs::read_to_string(&path)?;
        let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        if !text.starts_with("//!") && !text.starts_with("#!") {
            faults.push(format!("{shown}: no contract comment on top"));
        }
        let has_unsafe = text.lines().map(str::trim).filter(|l| !l.starts_with("//")).any(|l| {
            let word = concat!("un", "safe ");
            l.contains(&format!("{word}{{"))
                || l.contains(&format!("{word}fn"))
                || l.contains(&format!("{word}impl"))
        });
        if has_unsafe && !shown.starts_with("base/sys/") {
            faults.push(format!("{shown}: unsafe code outside base/sys"));
        }
    }
    Ok(())
}

fn registries(faults: &mut Vec<String>) -> Result<()> {
    for (folder, slice) in REGISTRIES {
        let Ok(text) = fs::read_to_string(root().join(slice)) else {
            faults.push(format!("{slice}: missing"));
            continue;
        };
        for entry in fs::read_dir(root().join(folder))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let module = name.strip_suffix(".rs").unwrap_or(&name);
            let named = |prefix: &str| text.contains(&format!("mod {prefix}{module};"));
            if module != "mod" && !named("") && !named("r#") {
                faults.push(format!("{folder}/{name} is not in {slice}"));
            }
        }
    }
    Ok(())
}
