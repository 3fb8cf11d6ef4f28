//! `DEFER`: refuse for now, with `access_map_defer_code`. access(5).

use super::{Action, Effect, Entry};
use crate::Verdict;
use proto_dsn::Status;

pub(super) static ACTION: Action = Action { name: "DEFER", effect };

fn effect(entry: &Entry<'_>) -> Effect {
    Effect::Verdict(Verdict::Reject(entry.refusal(
        entry.codes.access_map_defer,
        Status::new(4, 7, 1),
        "Access denied",
    )))
}
