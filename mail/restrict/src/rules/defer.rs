//! `defer`: refuses for now, with `defer_code`.

use super::{Ahead, Rule};
use crate::{Refusal, Verdict};
use proto_dsn::Status;

pub(crate) static RULE: Rule = Rule {
    ahead: Ahead::Ends,
    ..Rule::closing("defer", |c| {
        let code = c.restrict.config.codes.defer;
        Verdict::Reject(Refusal::of(c.subject, code, Status::new(4, 3, 2), "Try again later")).into()
    })
};
