//! Telling what the evaluator does, step by step: for `postfix explain`. The same code that serves clients tells; without a
//! listener nothing is made.

use crate::{Refusal, Restrict, Verdict, list::Arg};
use std::sync::Arc;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A list begins: its parameter.
    List(&'static str),
    /// A restriction class begins.
    Class(String),
    /// A restriction is asked: its name and what follows it.
    Asked(&'static str, String),
    /// A key is looked up in a table. `None`: it is not there; `Err`: the table cannot be asked.
    Lookup(String, String, Result<Option<String>, ()>),
    /// What a restriction said, or what was made of it.
    Said(String),
}

/// Who listens.
pub type Trace = Arc<dyn Fn(Step) + Send + Sync>;

impl Restrict {
    /// With somebody who is told every step.
    #[must_use]
    pub fn tracing(self, trace: Trace) -> Self {
        Self { trace: Some(trace), ..self }
    }

    pub(crate) fn tell(&self, step: impl FnOnce() -> Step) {
        if let Some(trace) = &self.trace {
            trace(step());
        }
    }
}

/// A verdict in words.
pub(crate) fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Dunno => "does not decide".to_owned(),
        Verdict::Permit => "permits: the rest of this list is left out".to_owned(),
        Verdict::Reject(r) => format!("refuses: {}", reply(r)),
        Verdict::DeferIfPermit(r) => format!("defers should everything else permit: {}", reply(r)),
        Verdict::DeferIfReject(r) => format!("defers should this list refuse: {}", reply(r)),
        Verdict::Found(found) => format!("found \"{}\"", found.value),
    }
}

/// A refusal as the client sees it.
pub(crate) fn reply(r: &Refusal) -> String {
    format!("{} {} {}", r.code, r.status, r.text)
}

/// What follows a restriction's name.
pub(crate) fn argument(arg: &Arg) -> String {
    match arg {
        Arg::Table(table) => table.spec().to_owned(),
        Arg::Text(text) => text.clone(),
        Arg::Dns(list) => list.text.clone(),
        Arg::Policy(server) => server.spec.clone(),
        Arg::None => String::new(),
    }
}
