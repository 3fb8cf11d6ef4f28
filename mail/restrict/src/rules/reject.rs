//! `reject`: refuses, with `reject_code`.

use super::{Ahead, Rule};
use crate::{Refusal, Verdict};
use proto_dsn::Status;

pub(crate) static RULE: Rule = Rule {
    ahead: Ahead::Ends,
    ..Rule::closing("reject", |c| {
        let code = c.restrict.config.codes.reject;
        Verdict::Reject(Refusal::of(c.subject, code, Status::new(5, 7, 1), "Access denied")).into()
    })
};
