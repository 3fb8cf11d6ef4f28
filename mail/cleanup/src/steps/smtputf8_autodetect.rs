//! `smtputf8_autodetect_classes`: mail of these origins needs SMTPUTF8 when a header, of itself or of something attached,
//! is not ASCII.

use super::{Phase, Step};
use crate::message::Message;
use base_calls::{Origin, UTF8_HEADER};

pub(super) const STEP: Step = Step { name: "smtputf8_autodetect_classes", phase: Phase::AnyHeader(run) };

fn run(m: &mut Message, raw: &[u8]) {
    if raw.is_ascii() {
        return;
    }
    if m.envelope.attribute(UTF8_HEADER).is_none() {
        m.envelope.attributes.push((UTF8_HEADER.into(), "yes".into()));
    }
    if m.envelope.smtputf8 {
        return;
    }
    let c = m.config();
    m.envelope.smtputf8 = match m.envelope.origin {
        Origin::Pickup => c.smtputf8_autodetect_sendmail,
        Origin::Smtpd => c.smtputf8_autodetect_smtpd,
        Origin::Forwarded => c.smtputf8_autodetect_forward,
        Origin::Internal => c.smtputf8_autodetect_internal,
    };
}
