//! `reject_unknown_client_hostname` (once `reject_unknown_client`): the client's address has no name, or the name does
//! not lead back (`unknown_client_reject_code`).

use super::{Context, Rule};
use crate::{HostStatus, Refusal, Verdict, verdict::Answer};
use proto_dsn::Status;

pub(crate) static OLD_NAME: Rule = Rule::new("reject_unknown_client", check);
pub(crate) static RULE: Rule = Rule::new("reject_unknown_client_hostname", check);

fn check(c: Context<'_>) -> Answer<'_> {
    let code = match c.facts.client.name_status {
        HostStatus::Ok => return Verdict::Dunno.into(),
        HostStatus::Unknown => c.restrict.config.codes.unknown_client,
        HostStatus::TryAgain => 450,
    };
    let text = format!("Client host rejected: cannot find your hostname, [{}]", c.facts.client.addr);
    Verdict::Reject(Refusal::new(code, Status::new(4, 7, 25), text)).into()
}
