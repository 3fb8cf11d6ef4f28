//! How many deliveries to one destination may run at once, learned from how they end.
//!
//! Pure. SCHEDULER_README "Concurrency scheduling": feedback below 1 per delivery, hysteresis, and a destination that is
//! declared dead after a number of failed pseudo-cohorts. The arithmetic is that of its pseudo-code.

use std::str::FromStr;

/// An amount of feedback per delivery (`…_destination_concurrency_positive_feedback`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Feedback {
    amount: f64,
    per: Per,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Per {
    Delivery,
    Concurrency,
    SqrtConcurrency,
}

impl Feedback {
    /// The default, 1 per delivery.
    pub const ONE: Self = Self { amount: 1.0, per: Per::Delivery };

    /// The feedback at concurrency `n`.
    fn at(self, n: f64) -> f64 {
        match self.per {
            Per::Delivery => self.amount,
            Per::Concurrency => self.amount / n,
            Per::SqrtConcurrency => self.amount / n.sqrt(),
        }
    }
}

/// Text that is no feedback amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "need \"number\", \"number / number\", \"number / concurrency\" or \"number / sqrt_concurrency\" between 0 and 1"
)]
pub struct BadFeedback;

impl FromStr for Feedback {
    type Err = BadFeedback;

    fn from_str(text: &str) -> Result<Self, BadFeedback> {
        let (amount, divisor) = match text.split_once('/') {
            Some((a, d)) => (a.trim(), Some(d.trim())),
            None => (text.trim(), None),
        };
        let amount: f64 = amount.parse().map_err(|_| BadFeedback)?;
        let per = match divisor {
            Some("concurrency") => Per::Concurrency,
            Some("sqrt_concurrency") => Per::SqrtConcurrency,
            _ => Per::Delivery,
        };
        let amount = match divisor {
            Some(d) if per == Per::Delivery => amount / d.parse::<f64>().map_err(|_| BadFeedback)?,
            _ => amount,
        };
        if (0.0..=1.0).contains(&amount) { Ok(Self { amount, per }) } else { Err(BadFeedback) }
    }
}

/// The rules of one transport.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// `initial_destination_concurrency`.
    pub initial: u32,
    /// `…_destination_concurrency_limit`; `u32::MAX` for none.
    pub limit: u32,
    /// `…_positive_feedback`.
    pub positive: Feedback,
    /// `…_negative_feedback`.
    pub negative: Feedback,
    /// `…_failed_cohort_limit`.
    pub failed_cohorts: f64,
}

impl Rules {
    fn start(&self) -> u32 {
        self.initial.clamp(1, self.limit.max(1))
    }
}

/// What one destination has taught so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Concurrency {
    window: u32,
    success: f64,
    failure: f64,
    cohorts: f64,
}

impl Concurrency {
    /// A destination of which nothing is known.
    pub fn new(rules: &Rules) -> Self {
        Self { window: rules.start(), success: 0.0, failure: 0.0, cohorts: 0.0 }
    }

    /// How many deliveries may run at once; 0 when the destination is dead.
    pub fn window(&self) -> u32 {
        self.window
    }

    /// Whether it has learned anything that is worth keeping: it works, and better than a new one is assumed to.
    pub fn is_worth_keeping(&self, rules: &Rules) -> bool {
        self.window > rules.start()
    }

    /// A delivery ended without connection or handshake failure; `busy` deliveries were running, that one included.
    pub fn succeeded(&mut self, rules: &Rules, busy: u32) {
        self.cohorts = 0.0;
        if self.window == 0 || self.window >= busy.saturating_add(rules.start()) {
            return;
        }
        self.success += rules.positive.at(f64::from(self.window));
        while self.success >= 1.0 {
            self.window = self.window.saturating_add(1);
            self.failure = 0.0;
            self.success -= 1.0;
        }
        self.window = self.window.min(rules.limit);
    }

    /// A delivery ended with a connection or handshake failure.
    pub fn failed(&mut self, rules: &Rules) {
        if self.window == 0 {
            return;
        }
        self.cohorts += 1.0 / f64::from(self.window);
        if self.cohorts > rules.failed_cohorts {
            self.window = 0;
            return;
        }
        self.failure -= rules.negative.at(f64::from(self.window));
        while self.failure < 0.0 {
            self.window = self.window.saturating_sub(1);
            self.failure += 1.0;
            self.success = 0.0;
        }
        self.window = self.window.max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        initial: 5,
        limit: 20,
        positive: Feedback::ONE,
        negative: Feedback::ONE,
        failed_cohorts: 1.0,
    };

    #[test]
    fn amounts() {
        for (text, at4) in [
            ("1", 1.0),
            ("0.25", 0.25),
            ("1/8", 0.125),
            ("1 / concurrency", 0.25),
            ("1/sqrt_concurrency", 0.5),
            ("0", 0.0),
        ] {
            assert_eq!(text.parse::<Feedback>().unwrap().at(4.0), at4, "{text}");
        }
        for bad in ["", "2", "-1", "1/0", "x", "1/x", "concurrency", "1/2/3", "nan"] {
            assert_eq!(bad.parse::<Feedback>(), Err(BadFeedback), "{bad}");
        }
    }

    /// Debian's Postfix with an initial concurrency of 2: the first failure costs half a cohort, the second a whole.
    #[test]
    fn dies_after_a_failed_cohort() {
        let rules = Rules { initial: 5, limit: 2, ..RULES };
        let mut c = Concurrency::new(&rules);
        assert_eq!(c.window(), 2);
        c.failed(&rules);
        assert_eq!(c.window(), 1);
        c.failed(&rules);
        assert_eq!(c.window(), 0);
    }

    #[test]
    fn windows_after_failures_from_five() {
        let mut c = Concurrency::new(&RULES);
        let seen: Vec<u32> = (0..4)
            .map(|_| {
                c.failed(&RULES);
                c.window()
            })
            .collect();
        assert_eq!(seen, [4, 3, 2, 0]);
    }

    #[test]
    fn grows_to_the_limit_and_no_further() {
        let mut c = Concurrency::new(&RULES);
        for busy in 0..100 {
            c.succeeded(&RULES, busy.min(c.window()));
            assert!(c.window() <= 20);
        }
        assert_eq!(c.window(), 20);
    }

    #[test]
    fn an_idle_destination_does_not_grow() {
        let mut c = Concurrency::new(&RULES);
        for _ in 0..100 {
            c.succeeded(&RULES, 1);
        }
        assert_eq!(c.window(), 6);
    }

    #[test]
    fn linear_growth_with_feedback_per_cohort() {
        let rules = Rules { positive: "1/concurrency".parse().unwrap(), ..RULES };
        let mut c = Concurrency::new(&rules);
        (0..5).for_each(|_| c.succeeded(&rules, 5));
        assert_eq!(c.window(), 6);
    }

    #[test]
    fn success_between_failures_keeps_it_alive() {
        let mut c = Concurrency::new(&RULES);
        for _ in 0..100 {
            c.failed(&RULES);
            c.succeeded(&RULES, c.window());
            assert!(c.window() > 0);
        }
    }
}
