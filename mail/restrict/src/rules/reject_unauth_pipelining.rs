//! `reject_unauth_pipelining`: the client did not wait where RFC 2920 says that it must.

use super::Rule;
use crate::{Refusal, Verdict};
use proto_dsn::Status;

pub(crate) static RULE: Rule = Rule::new("reject_unauth_pipelining", |c| {
    if !c.facts.pipelined {
        return Verdict::Dunno.into();
    }
    let text = "Improper use of SMTP command pipelining";
    Verdict::Reject(Refusal::of(c.subject, 503, Status::new(5, 5, 0), text)).into()
});
