//! Shared by the restrictions about SPF (RFC 7208; extensions, docs/extensions.md): what the sender's domain, or the one of the HELO name, says
//! about the client. DNS answers are in the resolver's cache, so that several of them ask once.
//!
//! Clients that have logged in are no senders' servers, and are not judged. The codes are those of RFC 7372 3.2.

use super::Context;
use crate::{
    Refusal, Verdict,
    verdict::{Answer, Subject},
};
use base_auth::spf::{Client, Identity, Spf, SpfResult, check};
use proto_dsn::Status;

/// What a restriction refuses.
pub(super) type Refuses = fn(&Spf) -> Option<(u16, Status, String)>;

/// The client may not send.
pub(super) fn failure(spf: &Spf) -> (u16, Status, String) {
    let said = spf.explanation.as_ref().map(|e| format!(": {} says: {e}", spf.domain)).unwrap_or_default();
    (550, Status::new(5, 7, 23), format!("SPF validation failed{said}"))
}

/// Judges an identity of the client, and refuses it for the results that `refuses` names.
pub(super) fn judge(c: Context<'_>, identity: Identity, refuses: Refuses) -> Answer<'_> {
    let about = match identity {
        Identity::MailFrom => c.sender(),
        Identity::Helo => c.helo(),
    };
    let (Some(ip), Some((_, subject))) = (c.facts.client.ip, about) else { return Verdict::Dunno.into() };
    if c.facts.login.is_some() || ip.is_unspecified() {
        return Verdict::Dunno.into();
    }
    Answer::later(async move {
        let client = Client {
            ip,
            helo: c.facts.helo.unwrap_or_default(),
            sender: c.facts.sender.unwrap_or_default(),
            receiver: &c.restrict.config.myhostname,
        };
        let spf = check(&c.restrict.resolver, &client, identity).await;
        match refuses(&spf) {
            Some((code, status, text)) => verdict(&subject, &spf, code, status, &text),
            None => Verdict::Dunno,
        }
    })
}

fn verdict(subject: &Subject, spf: &Spf, code: u16, status: Status, text: &str) -> Verdict {
    let refusal = Refusal::of(subject, code, status, text);
    match spf.result {
        SpfResult::TempError => Verdict::DeferIfPermit(refusal),
        _ => Verdict::Reject(refusal),
    }
}
