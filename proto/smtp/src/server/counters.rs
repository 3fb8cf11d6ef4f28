//! Command statistics for the disconnect line, error counts and their limits (postconf(5) `smtpd_*_limit`).

use crate::Verb;

/// Limits of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `smtpd_soft_error_limit`: from here on every reply is delayed.
    pub soft_errors: u32,
    /// `smtpd_hard_error_limit`: the session is closed.
    pub hard_errors: u32,
    /// `smtpd_junk_command_limit`: NOOP, VRFY, ETRN, RSET beyond it are errors.
    pub junk: u32,
    /// `smtpd_recipient_limit`.
    pub recipients: u32,
    /// `smtpd_recipient_overshoot_limit`: so many recipients too many are refused without counting as errors.
    pub recipient_overshoot: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { soft_errors: 10, hard_errors: 20, junk: 100, recipients: 1000, recipient_overshoot: 1000 }
    }
}

/// How often one command came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommandStat {
    /// Successes.
    pub ok: u32,
    /// All.
    pub total: u32,
}

/// What a session counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counters {
    stats: [CommandStat; Verb::ALL.len()],
    errors: u32,
    junk: u32,
}

impl Counters {
    /// Each verb with its counts, in the order of the disconnect line.
    pub fn stats(&self) -> impl Iterator<Item = (Verb, CommandStat)> {
        Verb::ALL.into_iter().zip(self.stats)
    }

    /// Errors since the last message.
    pub fn errors(&self) -> u32 {
        self.errors
    }

    pub(super) fn began(&mut self, verb: Verb) {
        self.stat(verb).total += 1;
    }

    pub(super) fn succeeded(&mut self, verb: Verb) {
        self.stat(verb).ok += 1;
    }

    fn stat(&mut self, verb: Verb) -> &mut CommandStat {
        // `Unknown` is the last one, so an index from `position` is always there.
        let i = Verb::ALL.iter().position(|&v| v == verb).unwrap_or(self.stats.len() - 1);
        &mut self.stats[i]
    }

    pub(super) fn error(&mut self) {
        self.errors = self.errors.saturating_add(1);
    }

    pub(super) fn junk(&mut self, limits: &Limits) {
        if self.junk >= limits.junk {
            self.error();
        }
        self.junk = self.junk.saturating_add(1);
    }

    /// A message came in: what was wrong before is forgiven.
    pub(super) fn forgive(&mut self) {
        self.errors = 0;
        self.junk = 0;
    }

    /// Whether the client has made too many errors to go on.
    pub(super) fn is_over(&self, limits: &Limits) -> bool {
        self.errors >= limits.hard_errors
    }

    /// Whether replies are to be delayed (`smtpd_error_sleep_time`).
    pub fn is_slow(&self, limits: &Limits) -> bool {
        self.errors > limits.soft_errors
    }
}
