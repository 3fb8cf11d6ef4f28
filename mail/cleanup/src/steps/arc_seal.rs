//! `arc_signing_key`: vouches for what was found out about mail from outside, for servers behind us (RFC 8617 5.1). A message that
//! cannot be sealed goes on without a seal.

use super::{Phase, Step};
use crate::{edits::Edited, message::Message};
use base_auth::{Section, arc::seal, body_hash};
use base_calls::{SubmitError, Timestamp};

pub(super) const STEP: Step =
    Step { name: "arc_signing_key", phase: Phase::Complete(|m| super::if_asked(m, |m| Box::pin(run(m)))) };

async fn run(m: &mut Message) {
    let core = m.core.clone();
    let Some(authentication) = core.authentication.get().and_then(Option::as_ref) else { return };
    let (Some(key), Some(found)) = (authentication.arc_key(), m.findings.take()) else { return };
    let Some(arc) = &found.arc else { return };
    let c = &core.config.authentication;
    let content = m.out.content();
    let Ok(section) = Section::read(&content, true) else { return };
    let Ok(hash) = body_hash(&section, &content, c.signing.canon.1).await else { return };
    let now = Timestamp::now().secs();
    let Some(headers) = seal(&section, arc, &hash, &found.value(&c.our_name), key, &c.signing, now) else {
        return;
    };
    if let Err(error) = insert(m, headers) {
        m.fail(error);
    }
}

fn insert(m: &mut Message, headers: Vec<u8>) -> Result<(), SubmitError> {
    let mut edited = Edited::scan(&m.out.content()).map_err(|_| crate::reply::write_error())?;
    edited.insert(0, Some(headers));
    edited.write(&mut m.out)
}
