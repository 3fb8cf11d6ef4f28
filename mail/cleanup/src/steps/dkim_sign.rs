//! `dkim_signing_keys`: signs our users' mail, and notices, when milters are done with it. One signature for each key of the domain in
//! From:; one that cannot be made makes the message wait.

use super::{Phase, Step};
use crate::{
    authentication::{Authentication, Unusable},
    edits::Edited,
    message::Message,
    reply,
};
use base_auth::{Section, body_hash, dkim::sign};
use base_calls::{Origin, SubmitError, Timestamp};
use proto_dsn::Status;

pub(super) const STEP: Step =
    Step { name: "dkim_signing_keys", phase: Phase::Complete(|m| super::if_asked(m, |m| Box::pin(run(m)))) };

async fn run(m: &mut Message) {
    let core = m.core.clone();
    let Some(authentication) = core.authentication.get().and_then(Option::as_ref) else { return };
    if !authentication.signs() || m.options.no_milters {
        return;
    }
    let done = match is_ours(m, authentication).await {
        Ok(true) => add_signatures(m, authentication).await,
        Ok(false) => return,
        Err(Unusable) => Err(not_signed()),
    };
    if let Err(error) = done {
        m.warn("message not signed");
        m.fail(error);
    }
}

async fn is_ours(m: &mut Message, authentication: &Authentication) -> Result<bool, Unusable> {
    let client = &m.envelope.client;
    match m.envelope.origin {
        Origin::Pickup | Origin::Internal => Ok(true),
        Origin::Forwarded => Ok(false),
        Origin::Smtpd if !client.sasl_username.is_empty() => Ok(true),
        Origin::Smtpd => match client.addr.parse() {
            Ok(ip) => authentication.is_ours(&client.name, ip).await,
            Err(_) => Ok(false),
        },
    }
}

fn not_signed() -> SubmitError {
    SubmitError::new(451, Status::new(4, 7, 0), "Error: message cannot be signed")
}

async fn add_signatures(m: &mut Message, authentication: &Authentication) -> Result<(), SubmitError> {
    let content = m.out.content();
    // Of a header section that is too large nobody could verify a signature.
    let Ok(section) = Section::read(&content, true) else { return Ok(()) };
    let Some(domain) = section.author_domain() else { return Ok(()) };
    let keys = authentication.keys_of(&domain).map_err(|Unusable| not_signed())?;
    if keys.is_empty() {
        return Ok(());
    }
    let options = &m.core.config.authentication.signing;
    let hash = body_hash(&section, &content, options.canon.1).await.map_err(|_| reply::write_error())?;
    let mut edited = Edited::scan(&content).map_err(|_| reply::write_error())?;
    for key in keys {
        let now = Timestamp::now().secs();
        let header = sign(&section, &hash, key, options, now).ok_or_else(not_signed)?;
        edited.insert(0, Some(header));
    }
    edited.write(&mut m.out)
}
