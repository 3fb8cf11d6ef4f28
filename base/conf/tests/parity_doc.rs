//! docs/parity.md ends with the table of all parameters, made from the registry.
//!
//! `UPDATE_DOCS=1 cargo test -p base-conf --test parity_doc` writes it.

use std::{fs, path::Path};

const MARK: &str = "<!-- parameters -->\n";

#[test]
fn parameters_in_parity_md() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/parity.md");
    let text = fs::read_to_string(&path).expect("docs/parity.md");
    let (before, after) = text.split_once(MARK).expect("the mark");
    let want = format!("\n{}", base_conf::params::parity_table());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}{MARK}{want}")).expect("written");
    } else {
        assert!(
            after == want,
            "docs/parity.md is stale: UPDATE_DOCS=1 cargo test -p base-conf --test parity_doc"
        );
    }
}
