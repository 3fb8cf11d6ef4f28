//! `OK`: permit. access(5).

use super::{Action, Effect};
use crate::Verdict;

pub(super) static ACTION: Action = Action { name: "OK", effect: |_| Effect::Verdict(Verdict::Permit) };
