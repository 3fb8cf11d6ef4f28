//! `DEFER_IF_PERMIT`: refuse for now, should everything else say yes. access(5).

use super::{Action, Effect, Entry};
use crate::Verdict;
use proto_dsn::Status;

pub(super) static ACTION: Action = Action { name: "DEFER_IF_PERMIT", effect };

fn effect(entry: &Entry<'_>) -> Effect {
    Effect::Verdict(Verdict::DeferIfPermit(entry.refusal(
        entry.codes.access_map_defer,
        Status::new(4, 7, 1),
        "Service unavailable",
    )))
}
