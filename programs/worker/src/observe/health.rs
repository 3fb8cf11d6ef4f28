//! Whether the server can take mail (`/ready`): what is wrong, a line each. (`/health` is well whenever there is an answer: who
//! watches it restarts a process that gives none.)

use super::Observed;
use std::time::Duration;

/// What keeps the server from taking mail.
pub fn ready(observed: &Observed) -> Vec<String> {
    let mut faults = Vec::new();
    match base_sys::disk::free_bytes(&observed.queue_directory) {
        Ok(free) if free <= observed.minfree => {
            faults.push(format!("insufficient room for the queue: {free} bytes free"));
        }
        Ok(_) => {}
        Err(e) => faults.push(e.to_string()),
    }
    faults
}

/// `3d 4h 5m`, `2m 1s`.
pub fn duration(d: Duration) -> String {
    let s = d.as_secs();
    let parts = [(s / 86_400, 'd'), (s / 3600 % 24, 'h'), (s / 60 % 60, 'm'), (s % 60, 's')];
    let first = parts.iter().position(|(n, _)| *n > 0).unwrap_or(3);
    let shown: Vec<String> = parts.iter().skip(first).take(3).map(|(n, unit)| format!("{n}{unit}")).collect();
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (s, want) in [(0, "0s"), (59, "59s"), (3600, "1h 0m 0s"), (90_061, "1d 1h 1m")] {
            assert_eq!(duration(Duration::from_secs(s)), want);
        }
    }
}
