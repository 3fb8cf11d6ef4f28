//! Members of an alias that are delivered elsewhere: the message is submitted anew, as local(8) does.
//!
//! With a sender of its own (`owner-alias`) the copy has nothing to do with the first sender's wishes; otherwise the
//! DSN parameters go along, without SUCCESS when the expansion itself is reported (RFC 3461 5.2.7.3).

use base_calls::{
    Content, Delivery, Envelope, Notify, Origin, QueueId, Recipient, Submit, SubmitError, SubmitOptions,
    Timestamp, courier::Forward,
};
use base_conf::{Config, Error};
use proto_dsn::Status;
use std::sync::Arc;

/// How much content is copied at once.
const CHUNK: usize = 64 * 1024;

/// Submits forwarded mail.
pub(crate) struct Forwarder {
    submit: Arc<dyn Submit>,
    myhostname: String,
    mail_name: String,
}

impl Forwarder {
    pub fn new(cfg: &Config, submit: Arc<dyn Submit>) -> Result<Self, Error> {
        Ok(Self { submit, myhostname: cfg.str("myhostname")?, mail_name: cfg.str("mail_name")? })
    }

    /// Submits the message of `delivery` to the members in `forward`; `alias` is the recipient that was expanded.
    pub async fn submit(
        &self,
        delivery: &Delivery,
        alias: &Recipient,
        forward: &Forward,
    ) -> Result<QueueId, SubmitError> {
        let message = &delivery.message;
        let owned = forward.sender != delivery.sender();
        let now = Timestamp::now();
        let mut submission =
            self.submit.open(envelope(&message.envelope, forward, owned, now), SubmitOptions::INTERNAL)?;
        for address in &forward.recipients {
            submission.recipient(member(address, alias, owned));
        }
        let id = submission.queue_id();
        let mut head = format!(
            "Received: by {} ({})\r\n\tid {id}; {}\r\n",
            self.myhostname,
            self.mail_name,
            now.mail_date()
        );
        if !forward.delivered_to.is_empty() {
            head.push_str(&format!("Delivered-To: {}\r\n", clean(&forward.delivered_to)));
        }
        submission.content(head.as_bytes()).await?;
        let mut at = 0;
        while let Some(chunk) = next_chunk(&message.content, at)? {
            at += chunk.len() as u64;
            submission.content(&chunk).await?;
        }
        submission.finish().await.map(|s| s.id)
    }
}

fn next_chunk(content: &Content, at: u64) -> Result<Option<bytes::Bytes>, SubmitError> {
    if at >= content.len() {
        return Ok(None);
    }
    match content.chunk(at, CHUNK) {
        Ok(chunk) if !chunk.is_empty() => Ok(Some(chunk)),
        _ => Err(SubmitError::new(451, Status::new(4, 3, 0), "queue file read error")),
    }
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn envelope(old: &Envelope, forward: &Forward, owned: bool, now: Timestamp) -> Envelope {
    Envelope {
        arrival: now,
        sender: forward.sender.clone(),
        envid: if owned { String::new() } else { old.envid.clone() },
        ret: old.ret.filter(|_| !owned),
        body: old.body,
        smtputf8: old.smtputf8,
        origin: Origin::Forwarded,
        client: old.client.clone(),
        rewrite_local: old.rewrite_local,
        ..Envelope::default()
    }
}

fn member(address: &str, alias: &Recipient, owned: bool) -> Recipient {
    let plain = Recipient { address: address.to_owned(), ..Recipient::default() };
    if owned {
        return plain;
    }
    let original = if alias.original.is_empty() { &alias.address } else { &alias.original };
    let orcpt = if alias.orcpt.is_empty() { format!("rfc822;{original}") } else { alias.orcpt.clone() };
    Recipient { original: original.clone(), orcpt, notify: without_success(alias.notify), ..plain }
}

fn without_success(n: Notify) -> Notify {
    match n {
        Notify { success: false, .. } => n,
        Notify { failure: false, delay: false, .. } => Notify { never: true, ..Notify::default() },
        _ => Notify { success: false, ..n },
    }
}
