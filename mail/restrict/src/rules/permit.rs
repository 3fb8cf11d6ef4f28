//! `permit`: the rest of the list is left out.

use super::{Ahead, Rule};
use crate::Verdict;

pub(crate) static RULE: Rule = Rule { ahead: Ahead::Ends, ..Rule::new("permit", |_| Verdict::Permit.into()) };
