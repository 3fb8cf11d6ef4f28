//! `REJECT`: refuse, with `access_map_reject_code`. access(5).

use super::{Action, Effect, Entry};
use crate::Verdict;
use proto_dsn::Status;

pub(super) static ACTION: Action = Action { name: "REJECT", effect };

fn effect(entry: &Entry<'_>) -> Effect {
    Effect::Verdict(Verdict::Reject(entry.refusal(
        entry.codes.access_map_reject,
        Status::new(5, 7, 1),
        "Access denied",
    )))
}
