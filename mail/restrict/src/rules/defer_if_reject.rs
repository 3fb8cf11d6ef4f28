//! `defer_if_reject`: a refusal later in the same list becomes a temporary one.

use super::Rule;
use crate::{Refusal, Verdict};
use proto_dsn::Status;

pub(crate) static RULE: Rule = Rule::new("defer_if_reject", |c| {
    Verdict::DeferIfReject(Refusal::of(c.subject, 450, Status::new(4, 7, 0), "defer_if_reject requested"))
        .into()
});
