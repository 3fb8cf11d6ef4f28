//! `reject_multi_recipient_bounce`: the null sender writes to several recipients.

use super::{Context, Rule};
use crate::{ListName, Refusal, Verdict, verdict::Answer};
use proto_dsn::Status;

pub(crate) static RULE: Rule = Rule::new("reject_multi_recipient_bounce", check);

fn check(c: Context<'_>) -> Answer<'_> {
    // At RCPT the present recipient is not counted yet.
    let present = u32::from(!matches!(c.list, ListName::Data | ListName::EndOfData));
    if c.facts.sender != Some("") || c.facts.recipients + present < 2 {
        return Verdict::Dunno.into();
    }
    let code = c.restrict.config.codes.multi_recipient_bounce;
    Verdict::Reject(Refusal::of(c.subject, code, Status::new(5, 5, 3), "Multi-recipient bounce")).into()
}
