//! `reject_unknown_helo_hostname` (once `reject_unknown_hostname`): the HELO name has neither address nor MX
//! (`unknown_hostname_reject_code`).

use super::{Context, Rule, hosts::literal};
use crate::{Refusal, Verdict, config::TempfailAction, verdict::Answer};
use base_dns::DnsError;
use proto_dsn::Status;

pub(crate) static RULE: Rule = Rule::new("reject_unknown_helo_hostname", check);
pub(crate) static OLD_NAME: Rule = Rule::new("reject_unknown_hostname", check);

fn check(c: Context<'_>) -> Answer<'_> {
    let Some((helo, subject)) = c.helo() else { return Verdict::Dunno.into() };
    if literal(helo).is_some() {
        return Verdict::Dunno.into();
    }
    Answer::later(async move {
        let refusal = |code| Refusal::of(&subject, code, Status::new(4, 7, 1), "Host not found");
        match exists(&c, helo).await {
            Ok(()) => Verdict::Dunno,
            Err(e @ DnsError::Filtered) => {
                c.warning(format!("{helo}: address or MX lookup error: {e}"));
                Verdict::Dunno
            }
            Err(e) if !e.is_temporary() => Verdict::Reject(refusal(c.restrict.config.codes.unknown_hostname)),
            Err(_) if c.restrict.config.unknown_helo_tempfail == TempfailAction::Defer => {
                Verdict::Reject(refusal(450))
            }
            Err(_) => Verdict::DeferIfPermit(refusal(450)),
        }
    })
}

async fn exists(c: &Context<'_>, name: &str) -> Result<(), DnsError> {
    // Not a name that DNS knows, as Postfix sees it.
    if name.ends_with('.') {
        return Err(DnsError::NotFound);
    }
    let resolver = &c.restrict.resolver;
    match resolver.addresses(name, true, true).await {
        Err(DnsError::NoData) => resolver.mx(name).await.map(drop),
        other => other.map(drop),
    }
}
