//! What a request comes to: for each target a list of steps, in order.

use crate::job::Job;
use base_calls::courier::{Forward, Verdict};
use base_sys::privilege::Identity;
use proto_dsn::Status;
use std::path::PathBuf;

/// One step of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A job for a user.
    Do(Box<Work>),
    /// Nothing to do but to say this of `address`.
    Say {
        /// The final address.
        address: String,
        /// What is said.
        verdict: Verdict,
    },
    /// For the worker to forward.
    Forward(Forward),
}

/// A job and who does it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The final address, for the log line.
    pub address: String,
    /// The member of an alias, when it is not that address: `alias@domain |command`, `alias@domain /file`.
    pub member: Option<String>,
    /// What `sendmail -bv` says instead: `delivers to mailbox`.
    pub preview: String,
    /// Who.
    pub who: Identity,
    /// A mailbox that only root can make, in a folder that the user may not write to: made, empty and theirs, first.
    pub make_first: Option<PathBuf>,
    /// What.
    pub job: Job,
}

/// The steps of one target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetPlan {
    /// Indexes in the queued message's envelope: several when one step serves several (pipe).
    pub indexes: Vec<(u32, String)>,
    /// In order.
    pub steps: Vec<Step>,
    /// An alias or a .forward file stood in its place.
    pub expanded: bool,
}

/// The plan of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// By target.
    pub targets: Vec<TargetPlan>,
    /// Lines for the log, after `warning: `.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Nothing is done; what would be done is said (`sendmail -bv`).
    pub fn preview(mut self) -> Self {
        for step in self.targets.iter_mut().flat_map(|t| &mut t.steps) {
            if let Step::Do(work) = step {
                let verdict = Verdict::Sent(Status::new(2, 0, 0), std::mem::take(&mut work.preview));
                *step = Step::Say { address: std::mem::take(&mut work.address), verdict };
            }
        }
        self
    }
}

impl TargetPlan {
    /// A target of which only a verdict is said.
    pub fn say(index: u32, address: &str, verdict: Verdict) -> Self {
        let step = Step::Say { address: address.to_owned(), verdict };
        Self { indexes: vec![(index, address.to_owned())], steps: vec![step], expanded: false }
    }
}
