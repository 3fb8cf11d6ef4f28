//! `DUNNO`: as if the key had not been found, and no parent is looked up. access(5).

use super::{Action, Effect};
use crate::Verdict;

pub(super) static ACTION: Action = Action { name: "DUNNO", effect: |_| Effect::Verdict(Verdict::Dunno) };
