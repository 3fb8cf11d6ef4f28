//! `header_checks`, `mime_header_checks`, `nested_header_checks`: every header, as it came, of the message and of what is
//! attached to it.

use super::{Phase, Step};
use crate::{
    checks::{Fate, Inspected, inspect},
    message::Message,
};
use base_calls::Fut;

pub(super) const STEP: Step = Step { name: "header_checks", phase: Phase::Inspect { wanted, run } };

fn wanted(m: &Message, what: Inspected) -> bool {
    matches!(what, Inspected::Header(_)) && m.core.checks.has(what)
}

fn run<'a>(m: &'a mut Message, what: Inspected, raw: &'a [u8]) -> Fut<'a, Fate> {
    Box::pin(inspect(m, what, raw))
}
