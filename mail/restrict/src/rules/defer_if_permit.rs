//! `defer_if_permit`: refuses for now, should everything else say yes.

use super::Rule;
use crate::{Refusal, Verdict};
use proto_dsn::Status;

pub(crate) static RULE: Rule = Rule::closing("defer_if_permit", |c| {
    Verdict::DeferIfPermit(Refusal::of(c.subject, 450, Status::new(4, 7, 0), "defer_if_permit requested"))
        .into()
});
