//! Shared by `reject_unverified_sender` and `_recipient`: ask whether the address can be delivered to
//! (ADDRESS_VERIFICATION_README).

use super::{Context, addresses::lookup_key};
use crate::{
    Refusal, Verdict,
    config::TempfailAction,
    verdict::{Kind, Subject},
};
use base_calls::Deliverable;
use base_conf::{Config, Error};
use proto_dsn::Status;
use std::time::Duration;

/// `unverified_{sender,recipient}_*`.
#[derive(Debug, Clone)]
pub(crate) struct Unverified {
    reject_code: u16,
    defer_code: u16,
    tempfail: TempfailAction,
    reason: String,
}

impl Unverified {
    /// `who`: `sender` or `recipient`.
    pub(crate) fn from_config(cfg: &Config, who: &str) -> Result<Self, Error> {
        let code = |name: &str| crate::config::code(cfg, &format!("unverified_{who}_{name}"));
        Ok(Self {
            reject_code: code("reject_code")?,
            defer_code: code("defer_code")?,
            tempfail: crate::config::tempfail(&cfg.str(&format!("unverified_{who}_tempfail_action"))?),
            reason: cfg.str(&format!("unverified_{who}_reject_reason"))?,
        })
    }
}

/// How long a session waits for a probe.
pub(crate) fn patience(cfg: &Config) -> Result<Duration, Error> {
    // The first question is asked at once.
    let count = u32::try_from(cfg.int("address_verify_poll_count")?).unwrap_or(3);
    Ok(cfg.time("address_verify_poll_delay")?.saturating_mul(count.saturating_sub(1)))
}

pub(super) async fn unverified(
    c: &Context<'_>,
    address: &str,
    subject: &Subject,
    how: &Unverified,
) -> Verdict {
    let Some(verify) = &c.restrict.verify else { return Verdict::Dunno };
    if address.is_empty() {
        return Verdict::Dunno;
    }
    let address = match lookup_key(c, address, subject).await {
        Ok(address) => address,
        Err(verdict) => return verdict,
    };
    let (usual, stressed) = c.restrict.config.verify_patience;
    let verified = verify.verify(&address, if c.facts.stressed { stressed } else { usual }).await;
    let refused = verified.status == Deliverable::No;
    let code = if refused { how.reject_code } else { how.defer_code };
    let text = match how.reason.as_str() {
        "" => verified.text,
        reason => reason.to_owned(),
    };
    let what = if refused && code >= 500 { "undeliverable" } else { "unverified" };
    let detail = if subject.kind == Kind::Sender { 7 } else { 1 };
    let refusal = Refusal::of(subject, code, Status::new(5, 1, detail), &format!("{what} address: {text}"));
    match verified.status {
        Deliverable::Yes => Verdict::Dunno,
        Deliverable::No => Verdict::Reject(refusal),
        _ if how.tempfail == TempfailAction::Defer => Verdict::Reject(refusal),
        _ => Verdict::DeferIfPermit(refusal),
    }
}
