//! `reject_plaintext_session`: the session is not encrypted (`plaintext_reject_code`).

use super::Rule;
use crate::{Refusal, Verdict};
use proto_dsn::Status;

pub(crate) static RULE: Rule = Rule::new("reject_plaintext_session", |c| {
    if c.facts.tls.is_some() {
        return Verdict::Dunno.into();
    }
    let code = c.restrict.config.codes.plaintext;
    Verdict::Reject(Refusal::new(code, Status::new(4, 7, 1), "Session encryption is required")).into()
});
