//! Memory does not depend on the size of a message: 50 MB through checks, a milter, judgement and signatures, a content filter and back
//! raise the worker's peak by less than 32 MiB (seen: less than 1). The scenario is e2e/ours/memory.txt. Needs root; see parity.rs.

mod common;

use std::path::Path;

/// KiB.
const MOST: u64 = 32 << 10;

#[test]
#[ignore = "half a minute on a busy machine"]
fn a_big_message_takes_little_memory() {
    if !common::ready() {
        return;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("ours/memory.txt");
    let outcome = common::run(&file, "memory-big-message", "ours").unwrap();
    let said = common::lines(&outcome, "cmd").join("\n");
    let log = || common::lines(&outcome, "log").join("\n");
    assert_eq!(said.matches("250 2.0.0").count(), 4, "{said}\n{}", log());
    let above =
        said.split("above ").nth(1).and_then(|t| t.split(' ').next()).and_then(|n| n.parse::<u64>().ok());
    assert!(above.is_some_and(|kib| kib <= MOST), "{said}\n{}", log());
}
