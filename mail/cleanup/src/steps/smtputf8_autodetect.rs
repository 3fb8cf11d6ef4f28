//! `smtputf8_autodetect_classes`: locally submitted mail with UTF-8 in its header needs SMTPUTF8.

use super::{HeaderWork, Phase, Step};
use crate::message::Message;
use base_calls::Origin;

pub(super) const STEP: Step = Step { name: "smtputf8_autodetect_classes", phase: Phase::Header(run) };

fn run(m: &mut Message, work: &mut HeaderWork<'_>) {
    if m.envelope.origin != Origin::Pickup || m.envelope.smtputf8 || !m.config().smtputf8_autodetect_sendmail
    {
        return;
    }
    m.envelope.smtputf8 = !work.header.raw().is_ascii();
}
