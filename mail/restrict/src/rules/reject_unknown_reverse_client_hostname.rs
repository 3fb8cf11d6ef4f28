//! `reject_unknown_reverse_client_hostname`: the client's address has no name (`unknown_client_reject_code`).

use super::{Context, Rule};
use crate::{HostStatus, Refusal, Verdict, verdict::Answer};
use proto_dsn::Status;

pub(crate) static RULE: Rule = Rule::new("reject_unknown_reverse_client_hostname", check);

fn check(c: Context<'_>) -> Answer<'_> {
    let code = match c.facts.client.reverse_status {
        HostStatus::Ok => return Verdict::Dunno.into(),
        HostStatus::Unknown => c.restrict.config.codes.unknown_client,
        HostStatus::TryAgain => 450,
    };
    let text = format!("Client host rejected: cannot find your reverse hostname, [{}]", c.facts.client.addr);
    Verdict::Reject(Refusal::new(code, Status::new(4, 7, 1), text)).into()
}
