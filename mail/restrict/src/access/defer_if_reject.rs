//! `DEFER_IF_REJECT`: make a refusal later in the list a temporary one. access(5).

use super::{Action, Effect, Entry};
use crate::Verdict;
use proto_dsn::Status;

pub(super) static ACTION: Action = Action { name: "DEFER_IF_REJECT", effect };

fn effect(entry: &Entry<'_>) -> Effect {
    Effect::Verdict(Verdict::DeferIfReject(entry.refusal(
        entry.codes.access_map_defer,
        Status::new(4, 7, 1),
        "Service unavailable",
    )))
}
