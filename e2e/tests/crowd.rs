//! Two thousand clients at once against postscreen: those that find no place are told so at once, and the next crowd costs no more
//! memory than the first. The scenario is e2e/ours/crowd.txt. Needs root; see parity.rs.

mod common;

use std::path::Path;

/// What a crowd may cost, in KiB: descriptors and buffers of connections that are being told to go, and a hundred tests.
const CROWD: i64 = 40_000;
/// What later crowds may add.
const MORE: i64 = 8_000;

#[test]
fn a_crowd_is_turned_away() {
    if !common::ready() {
        return;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("ours/crowd.txt");
    let outcome = common::run(&file, "crowd", "ours").unwrap();
    let cmd = common::lines(&outcome, "cmd");
    let out: Vec<&str> = cmd.iter().filter_map(|l| l.split_once("out| ").map(|(_, text)| text)).collect();
    let [heard, memory] = out[..] else { panic!("{cmd:#?}") };
    assert_eq!(heard, "100,1900,100,1900,100,1900", "{cmd:#?}");
    let kib: Vec<i64> = memory.split(' ').filter_map(|n| n.parse().ok()).collect();
    let [before, first, third, _after] = kib[..] else { panic!("{cmd:#?}") };
    assert!(first - before < CROWD, "{memory}");
    assert!(third - first < MORE, "{memory}");
}
