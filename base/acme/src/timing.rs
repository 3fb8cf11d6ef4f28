//! When to ask for a certificate: pure arithmetic.

use std::time::Duration;

/// After the first failure; doubled with each. Let's Encrypt counts five failures an hour as too many.
const FIRST_PAUSE: Duration = Duration::from_secs(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// When a certificate is to be renewed: a third of its life is left. All in seconds since 1970.
pub(crate) fn renewal(not_before: i64, not_after: i64) -> i64 {
    not_after - not_after.saturating_sub(not_before).max(0) / 3
}

/// How long to wait after so many failures in a row (at least one). `chance` is random, from 0 to 1: servers that were started
/// together do not come back together.
pub(crate) fn pause(failures: u32, chance: f64) -> Duration {
    let doubled = FIRST_PAUSE * 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
    doubled.min(LONGEST_PAUSE).mul_f64(1.0 + chance.clamp(0.0, 1.0) / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_is_left() {
        for (from, to, want) in [(0, 90, 60), (1000, 1300, 1200), (5, 5, 5), (9, 3, 3)] {
            assert_eq!(renewal(from, to), want);
        }
    }

    #[test]
    fn pauses_grow() {
        let s = Duration::as_secs;
        assert_eq!(
            [1, 2, 3, 9, 10, u32::MAX].map(|n| s(&pause(n, 0.0))),
            [300, 600, 1200, 76_800, 86_400, 86_400]
        );
        assert_eq!((s(&pause(1, 1.0)), s(&pause(1, 7.0))), (375, 375));
    }
}
