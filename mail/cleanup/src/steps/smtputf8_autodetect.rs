//! `smtputf8_autodetect_classes`: mail of these origins needs SMTPUTF8 when a header, of itself or of something attached,
//! is not ASCII.

use super::{Phase, Step};
use crate::message::Message;
use base_calls::Origin;

pub(super) const STEP: Step = Step { name: "smtputf8_autodetect_classes", phase: Phase::AnyHeader(run) };

fn run(m: &mut Message, raw: &[u8]) {
    if m.envelope.smtputf8 || raw.is_ascii() {
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
