//! What the disks of the machine wrote, by /proc/diskstats.
//!
//! The accounting of a process counts a whole folio of the page cache for each small write, so what a server wrote is taken from
//! the device: it includes what other programs wrote meanwhile.

use std::fs;

/// Bytes that all whole disks have written since the machine started.
pub fn written() -> f64 {
    let text = fs::read_to_string("/proc/diskstats").unwrap_or_default();
    text.lines().filter_map(sectors).sum::<f64>() * 512.0
}

/// Sectors written by a whole disk; `None` for partitions, loop devices and the like.
fn sectors(line: &str) -> Option<f64> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let name = *fields.get(2)?;
    let whole = fs::metadata(format!("/sys/block/{name}/device")).is_ok();
    whole.then(|| fields.get(9)?.parse().ok()).flatten()
}
