//! One delivery attempt of one message: what became of each recipient, and what is to be done when it is over.
//!
//! Pure. The driver applies the agents' reports, then asks for the verdict; notices are sent before anything
//! is forgotten, so that a crash at any point repeats work but loses nothing.
//!
//! qmgr(8): `maximal_queue_lifetime`, `bounce_queue_lifetime`, `delay_warning_time`, `minimal_backoff_time`.

use crate::config::ScheduleConfig;
use base_calls::{
    Change, DeliveryReport, Diagnosis, Envelope, Mode, Notify, Outcome, Progress, Queued, RecipientState,
    Timestamp,
};
use proto_dsn::Status;
use std::time::Duration;

/// The state of an attempt.
#[derive(Debug)]
pub struct Ledger {
    progress: Progress,
    /// Recipients still out for delivery.
    open: usize,
    /// Changes that the spool does not know yet.
    unsaved: Vec<Change>,
    /// Results for the report of `sendmail -v` and `-bv`. Not saved: after a crash they are missing from the report.
    traces: Vec<(u32, Diagnosis)>,
    /// Nothing is delivered: whatever is found out is the end of it.
    verifies: bool,
}

/// What to do at the end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Log `status=expired` (`Some(true)`: `force-expired`).
    pub expired: Option<bool>,
    /// Recipients of the notice of failure.
    pub failed: Vec<(u32, Diagnosis)>,
    /// Recipients of the success report.
    pub delivered: Vec<(u32, Diagnosis)>,
    /// What the report of `sendmail -v` and `-bv` says.
    pub traced: Vec<(u32, Diagnosis)>,
    /// Recipients of the delay warning.
    pub delayed: Vec<(u32, Diagnosis)>,
}

impl Verdict {
    /// No notice is due.
    pub fn is_quiet(&self) -> bool {
        [&self.failed, &self.delivered, &self.traced, &self.delayed].iter().all(|list| list.is_empty())
    }
}

impl Ledger {
    /// Continues from `progress`.
    pub fn new(progress: Progress) -> Self {
        Self { progress, open: 0, unsaved: Vec::new(), traces: Vec::new(), verifies: false }
    }

    /// The recipients to deliver to in this attempt, by index. They count as open from now on.
    pub fn take_pending(&mut self, envelope: &Envelope) -> Vec<u32> {
        self.progress.recipients.resize(envelope.recipients.len(), RecipientState::Pending);
        let waits = |s: &RecipientState| matches!(s, RecipientState::Pending | RecipientState::Deferred(_));
        let pending: Vec<u32> =
            (0u32..).zip(&self.progress.recipients).filter(|(_, s)| waits(s)).map(|(i, _)| i).collect();
        self.open = pending.len();
        self.verifies = envelope.mode() == Mode::Verify;
        pending
    }

    /// The administrator said that the message is expired. Recipients that were tried before are not tried again, they
    /// keep the reason they have; returned are those that need one.
    pub fn skip_tried(&mut self, pending: Vec<u32>) -> Vec<u32> {
        let tried =
            |i: &u32| matches!(self.progress.recipients.get(*i as usize), Some(RecipientState::Deferred(_)));
        let (tried, untried): (Vec<u32>, Vec<u32>) = pending.into_iter().partition(tried);
        self.close(tried.len());
        untried
    }

    /// What the spool said when the message was loaded, and what happened since.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Applies an agent's report about `targets`. Returns whether the attempt is over.
    pub fn report(&mut self, targets: &[u32], report: DeliveryReport) -> bool {
        let untold = if self.verifies { untold(targets, &report) } else { Vec::new() };
        for (index, outcome) in report.outcomes.into_iter().chain(untold) {
            if targets.contains(&index) {
                self.record(index, outcome);
            }
        }
        self.traces.extend(report.traces);
        self.close(targets.len())
    }

    /// Recipients that were not tried after all (cancelled): they stay as they were.
    pub fn close(&mut self, targets: usize) -> bool {
        self.open = self.open.saturating_sub(targets);
        self.open == 0
    }

    /// Whether the attempt is over.
    pub fn is_over(&self) -> bool {
        self.open == 0
    }

    fn record(&mut self, index: u32, outcome: Outcome) {
        let change = match outcome {
            Outcome::Deferred(why) | Outcome::Failed(why) if self.verifies => {
                self.traces.push((index, Diagnosis { action: Some("undeliverable".into()), ..*why }));
                Change::Done(index)
            }
            Outcome::Sent(Some(d)) => Change::Delivered(index, d),
            Outcome::Sent(None) => Change::Done(index),
            Outcome::Deferred(mut d) => {
                d.done.extend(self.done_members(index).iter().cloned());
                // A courier that was told of too few of them tries some again.
                d.done.sort_unstable();
                d.done.dedup();
                Change::Deferred(index, d)
            }
            Outcome::Failed(d) => Change::Failed(index, d),
        };
        self.change(change);
    }

    /// The members of a recipient's alias that earlier attempts are done with.
    pub fn done_members(&self, index: u32) -> &[String] {
        match self.progress.recipients.get(index as usize) {
            Some(RecipientState::Deferred(d)) => &d.done,
            _ => &[],
        }
    }

    fn change(&mut self, change: Change) {
        self.progress.apply(&change);
        self.unsaved.push(change);
    }

    /// Changes to write to the spool.
    pub fn take_unsaved(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.unsaved)
    }

    /// The end of the attempt: expires what is too old, and says which notices are due.
    pub fn verdict(&mut self, now: Timestamp, envelope: &Envelope, config: &ScheduleConfig) -> Verdict {
        let age = now.since(envelope.arrival);
        let lifetime = if envelope.sender.is_empty() { config.bounce_lifetime } else { config.lifetime };
        let forced = self.progress.expired.is_some();
        let waiting = self.waiting();
        let mut verdict = Verdict { traced: std::mem::take(&mut self.traces), ..Verdict::default() };
        if !waiting.is_empty() && (forced || age >= lifetime) {
            verdict.expired = Some(forced);
            for (index, why) in waiting {
                self.change(Change::Failed(index, Box::new(why)));
            }
        }
        let wants_warning =
            !config.delay_warning.is_zero() && age >= config.delay_warning && !self.progress.delay_warned;
        if wants_warning {
            verdict.delayed = self.waiting();
        }
        for (index, state) in (0u32..).zip(&self.progress.recipients) {
            match state {
                RecipientState::Failed(d) => verdict.failed.push((index, (**d).clone())),
                RecipientState::Delivered(d) => verdict.delivered.push((index, (**d).clone())),
                _ => {}
            }
        }
        verdict
    }

    /// Recipients to be tried again, with the newest reason.
    fn waiting(&self) -> Vec<(u32, Diagnosis)> {
        let reason = |(i, s): (u32, &RecipientState)| match s {
            RecipientState::Pending => Some((i, Diagnosis::new(Status::new(4, 3, 0), "unknown reason"))),
            RecipientState::Deferred(d) => Some((i, (**d).clone())),
            _ => None,
        };
        (0u32..).zip(&self.progress.recipients).filter_map(reason).collect()
    }

    /// The notices about these recipients are queued.
    pub fn noticed(&mut self, recipients: &[(u32, Diagnosis)]) {
        for (index, _) in recipients {
            self.change(Change::Done(*index));
        }
    }

    /// The delay warning is queued.
    pub fn warned(&mut self) {
        self.change(Change::DelayWarned);
    }

    /// Whether nothing is left to do for the message.
    pub fn is_finished(&self) -> bool {
        self.progress.is_finished()
    }

    /// Whether nothing is left to do and to tell.
    pub fn is_silent(&self) -> bool {
        self.traces.is_empty() && self.is_finished()
    }

    /// No attempt before the returned time.
    pub fn retry(&mut self, now: Timestamp, envelope: &Envelope, config: &ScheduleConfig) -> Timestamp {
        let at = now.plus(backoff(now.since(envelope.arrival), config));
        self.change(Change::RetryAt(at));
        at
    }
}

/// Targets that an agent has said nothing of.
fn untold(targets: &[u32], report: &DeliveryReport) -> Vec<(u32, Outcome)> {
    let told = |i: &u32| report.outcomes.iter().any(|(told, _)| told == i);
    let why = || Box::new(Diagnosis::new(Status::new(4, 3, 0), "unknown reason"));
    targets.iter().filter(|i| !told(i)).map(|i| (*i, Outcome::Deferred(why()))).collect()
}

/// The wait before the next attempt of a message of this age: as long as it has waited already, within limits.
pub fn backoff(age: Duration, config: &ScheduleConfig) -> Duration {
    age.min(config.maximal_backoff).max(config.minimal_backoff)
}

/// After a delay warning and with `confirm_delay_cleared`, the message as if its sender had asked for success reports.
pub fn with_success_reports(message: &Queued) -> Queued {
    let mut envelope = message.envelope.clone();
    for r in envelope.recipients.iter_mut().filter(|r| !r.notify.never) {
        let n = r.notify;
        r.notify = Notify { success: true, failure: n.wants_failure(), delay: n.wants_delay(), never: false };
    }
    Queued { id: message.id, envelope, content: message.content.clone(), accepted: message.accepted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_calls::Recipient;
    use base_conf::{Config, MasterCf};

    fn config(main: &str) -> ScheduleConfig {
        ScheduleConfig::from_config(&Config::from_text(main), &MasterCf::default()).expect("config")
    }

    fn envelope(n: usize, sender: &str) -> Envelope {
        Envelope {
            sender: sender.into(),
            recipients: vec![Recipient::default(); n],
            arrival: Timestamp::from_secs(1_000_000),
            ..Envelope::default()
        }
    }

    fn why() -> Box<Diagnosis> {
        Box::new(Diagnosis::new(Status::new(4, 4, 1), "refused"))
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + secs)
    }

    fn tried(outcomes: Vec<Outcome>, sender: &str) -> (Ledger, Envelope) {
        let e = envelope(outcomes.len(), sender);
        let mut l = Ledger::new(Progress::new(outcomes.len()));
        let pending = l.take_pending(&e);
        let report =
            DeliveryReport { outcomes: (0u32..).zip(outcomes).collect(), ..DeliveryReport::default() };
        assert!(l.report(&pending, report));
        (l, e)
    }

    #[test]
    fn back_off_grows_with_age_within_limits() {
        let c = config("");
        for (age, want) in [(0, 300), (299, 300), (1000, 1000), (4000, 4000), (9000, 4000)] {
            assert_eq!(backoff(Duration::from_secs(age), &c).as_secs(), want);
        }
    }

    #[test]
    fn all_sent_is_quiet_and_finished() {
        let c = config("");
        let (mut l, e) = tried(vec![Outcome::Sent(None), Outcome::Sent(None)], "a@b");
        assert!(l.verdict(at(1), &e, &c).is_quiet());
        assert!(l.is_finished());
    }

    #[test]
    fn what_only_verifies_ends_with_the_first_answer() {
        let c = config("");
        let mut e = envelope(2, "a@b");
        e.attributes.push(("verify_probe".into(), "yes".into()));
        let mut l = Ledger::new(Progress::new(2));
        assert_eq!(l.take_pending(&e), [0, 1]);
        let deferred = vec![(0, Outcome::Deferred(why()))];
        assert!(l.report(&[0, 1], DeliveryReport { outcomes: deferred, ..DeliveryReport::default() }));
        let told: Vec<_> = l.verdict(at(1), &e, &c).traced.into_iter().map(|(i, d)| (i, d.action)).collect();
        assert_eq!(told, [(0, Some("undeliverable".into())), (1, Some("undeliverable".into()))]);
        assert!(l.is_finished());
    }

    #[test]
    fn traces_are_told_of_finished_messages() {
        let c = config("");
        let e = envelope(1, "a@b");
        let mut l = Ledger::new(Progress::new(1));
        let pending = l.take_pending(&e);
        let traces = vec![(0, *why())];
        let report = DeliveryReport {
            outcomes: vec![(0, Outcome::Sent(None))],
            traces: traces.clone(),
            destination_down: None,
        };
        assert!(l.report(&pending, report));
        assert!(l.is_finished() && !l.is_silent());
        assert_eq!(l.verdict(at(1), &e, &c), Verdict { traced: traces, ..Verdict::default() });
        assert!(l.is_silent());
    }

    #[test]
    fn missing_outcomes_wait() {
        let c = config("");
        let e = envelope(2, "a@b");
        let mut l = Ledger::new(Progress::new(2));
        let pending = l.take_pending(&e);
        let report = DeliveryReport {
            outcomes: vec![(0, Outcome::Sent(None)), (7, Outcome::Sent(None))],
            ..DeliveryReport::default()
        };
        assert!(l.report(&pending, report));
        assert!(l.verdict(at(1), &e, &c).is_quiet());
        assert!(!l.is_finished());
    }

    #[test]
    fn members_that_are_done_stay_done() {
        let done = |names: &[&str]| {
            let done = names.iter().map(|n| (*n).to_owned()).collect();
            Outcome::Deferred(Box::new(Diagnosis { done, ..*why() }))
        };
        let (mut l, _) = tried(vec![done(&["a"]), Outcome::Deferred(why())], "x@y");
        for names in [&["b"][..], &[], &["a", "b"]] {
            l.report(&[0], DeliveryReport { outcomes: vec![(0, done(names))], ..DeliveryReport::default() });
        }
        assert_eq!((l.done_members(0), l.done_members(1)), (&["a".to_owned(), "b".to_owned()][..], &[][..]));
        let mut again = Progress::new(2);
        l.take_unsaved().iter().for_each(|c| again.apply(c));
        again.apply(&Change::Requeued);
        assert_eq!(Ledger::new(again).done_members(0).len(), 2);
    }

    #[test]
    fn failures_are_told_once() {
        let c = config("");
        let (mut l, e) = tried(vec![Outcome::Failed(why()), Outcome::Deferred(why())], "a@b");
        let v = l.verdict(at(1), &e, &c);
        assert_eq!(v.failed, [(0, *why())]);
        assert_eq!(v.expired, None);
        l.noticed(&v.failed);
        assert!(!l.is_finished());
        assert_eq!(l.retry(at(1), &e, &c), at(301));
        assert!(l.verdict(at(1), &e, &c).failed.is_empty());
        assert_eq!(l.take_pending(&e), [1]);
    }

    #[test]
    fn expiry_by_age() {
        let c = config("maximal_queue_lifetime = 100s\nbounce_queue_lifetime = 50s");
        for (sender, age, expired) in
            [("a@b", 99, false), ("a@b", 100, true), ("", 49, false), ("", 50, true)]
        {
            let (mut l, e) = tried(vec![Outcome::Deferred(why()), Outcome::Sent(None)], sender);
            let v = l.verdict(at(age), &e, &c);
            assert_eq!(v.expired, expired.then_some(false), "{sender} {age}");
            assert_eq!(v.failed.len(), usize::from(expired));
        }
    }

    #[test]
    fn a_lifetime_of_zero_returns_at_once() {
        let c = config("maximal_queue_lifetime = 0\nbounce_queue_lifetime=0");
        let (mut l, e) = tried(vec![Outcome::Deferred(why())], "a@b");
        assert_eq!(l.verdict(at(0), &e, &c).expired, Some(false));
    }

    #[test]
    fn delay_warning_once() {
        let c = config("delay_warning_time = 1h");
        let (mut l, e) = tried(vec![Outcome::Deferred(why()), Outcome::Sent(None)], "a@b");
        assert!(l.verdict(at(3599), &e, &c).delayed.is_empty());
        assert_eq!(l.verdict(at(3600), &e, &c).delayed, [(0, *why())]);
        l.warned();
        assert!(l.verdict(at(3601), &e, &c).is_quiet());
    }

    #[test]
    fn forced_expiry() {
        let c = config("");
        let e = envelope(1, "a@b");
        let mut p = Progress::new(1);
        p.apply(&Change::Expired(false));
        p.apply(&Change::Deferred(0, why()));
        let mut l = Ledger::new(p);
        let pending = l.take_pending(&e);
        assert!(l.skip_tried(pending).is_empty() && l.is_over());
        let v = l.verdict(at(0), &e, &c);
        assert_eq!((v.expired, v.failed), (Some(true), vec![(0, *why())]));
    }

    #[test]
    fn success_reports_keep_what_was_asked_for() {
        let n = |never, success, failure, delay| Notify { never, success, failure, delay };
        let id = base_calls::QueueId { time: at(0), slot: 1, long: false };
        for (asked, want) in [
            (n(false, false, false, false), n(false, true, true, true)),
            (n(false, false, true, false), n(false, true, true, false)),
            (n(true, false, false, false), n(true, false, false, false)),
        ] {
            let mut e = envelope(1, "a@b");
            e.recipients[0].notify = asked;
            let content = base_calls::Content::Memory(bytes::Bytes::new());
            let q = Queued { id, envelope: e, content, accepted: at(0) };
            assert_eq!(with_success_reports(&q).envelope.recipients[0].notify, want);
        }
    }
}
