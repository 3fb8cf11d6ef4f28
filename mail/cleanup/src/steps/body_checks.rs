//! `body_checks`: every body line (in pieces of `line_length_limit`), as far as `body_checks_size_limit` goes in each part.

use super::{Phase, Step};
use crate::{
    checks::{Fate, Inspected, inspect},
    message::Message,
};
use base_calls::Fut;

pub(super) const STEP: Step = Step { name: "body_checks", phase: Phase::Inspect { wanted, run } };

fn wanted(m: &Message, what: Inspected) -> bool {
    let Inspected::Body(offset) = what else { return false };
    offset < m.config().body_checks_size_limit && m.core.checks.has(what)
}

fn run<'a>(m: &'a mut Message, what: Inspected, raw: &'a [u8]) -> Fut<'a, Fate> {
    Box::pin(inspect(m, what, raw))
}
