//! Time limits of a stream: per operation, or a deadline for a whole request with a minimum data rate
//! (postconf(5) smtpd_timeout, smtpd_per_request_deadline, smtpd_min_data_rate).
//!
//! Pure: `now` is an argument.

use std::{num::NonZeroU32, time::Duration};
use tokio::time::Instant;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    limit: Duration,
    deadline: Option<Instant>,
    rate: Option<NonZeroU32>,
}

impl Timing {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, deadline: None, rate: None }
    }

    pub(crate) fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// From now on everything up to [`Timing::end`] shares one limit.
    pub(crate) fn begin(&mut self, now: Instant, rate: Option<NonZeroU32>) {
        self.deadline = Some(now + self.limit);
        self.rate = rate;
    }

    pub(crate) fn end(&mut self) {
        self.deadline = None;
        self.rate = None;
    }

    /// When an operation that starts now must be over.
    pub(crate) fn due(&self, now: Instant) -> Instant {
        self.deadline.unwrap_or(now + self.limit)
    }

    /// `n` bytes came or went: a deadline moves on by the time that they may take, but never beyond a full limit.
    pub(crate) fn moved(&mut self, now: Instant, n: usize) {
        if let (Some(deadline), Some(rate)) = (self.deadline, self.rate) {
            let earned = Duration::from_secs_f64(n as f64 / f64::from(rate.get()));
            self.deadline = Some((deadline + earned).min(now + self.limit));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);

    #[test]
    fn each_operation_has_the_whole_limit() {
        let t = Timing::new(10 * SEC);
        let now = Instant::now();
        assert_eq!(t.due(now), now + 10 * SEC);
        assert_eq!(t.due(now + 5 * SEC), now + 15 * SEC);
    }

    #[test]
    fn a_deadline_is_shared_and_earned() {
        let now = Instant::now();
        let mut t = Timing::new(10 * SEC);
        t.begin(now, NonZeroU32::new(500));
        assert_eq!(t.due(now + 5 * SEC), now + 10 * SEC);
        t.moved(now + 5 * SEC, 1000);
        assert_eq!(t.due(now + 5 * SEC), now + 12 * SEC);
        t.moved(now + 6 * SEC, 1_000_000);
        assert_eq!(t.due(now + 6 * SEC), now + 16 * SEC);
        t.end();
        assert_eq!(t.due(now + 6 * SEC), now + 16 * SEC);
    }
}
