//! `RELAY`: permit, as `OK`. access(5).

use super::{Action, Effect};
use crate::Verdict;

pub(super) static ACTION: Action = Action { name: "RELAY", effect: |_| Effect::Verdict(Verdict::Permit) };
