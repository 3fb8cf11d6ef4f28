//! What a header says of TLS on the way (RFC 8689): `TLS-Required: no` (`tls_required_enable`), and our own record of the
//! REQUIRETLS option, `Require-TLS-ESMTP: yes` (`requiretls_enable`, `requiretls_esmtp_header`), which keeps the demand when the
//! message leaves and comes back without SMTP, and lets sendmail(1) make it.

use super::{HeaderWork, Phase, Step};
use crate::message::Message;
use base_calls::{REQUIRETLS, TLS_OPTIONAL};

pub(super) const STEP: Step = Step { name: "tls_required_enable", phase: Phase::Header(run) };
pub(super) const RECORD: Step = Step { name: "requiretls_esmtp_header", phase: Phase::EndOfHeaders(record) };

const OWN: &str = "Require-TLS-ESMTP";

/// The attribute of a message that has our header already.
const RECORDED: &str = "requiretls_recorded";

fn run(m: &mut Message, h: &mut HeaderWork<'_>) {
    let (name, c) = (h.header.name(), m.config());
    let says = |word: &str| h.header.value().trim_ascii().eq_ignore_ascii_case(word.as_bytes());
    if c.tls_required && name.eq_ignore_ascii_case(b"TLS-Required") && says("no") {
        note(m, TLS_OPTIONAL);
    } else if c.requiretls_header && name.eq_ignore_ascii_case(OWN.as_bytes()) && says("yes") {
        note(m, REQUIRETLS);
        note(m, RECORDED);
    }
}

fn record(m: &mut Message) {
    if m.config().requiretls_header && m.envelope.requires_tls() && m.envelope.attribute(RECORDED).is_none() {
        m.added.extend_from_slice(OWN.as_bytes());
        m.added.extend_from_slice(b": yes\r\n");
    }
}

fn note(m: &mut Message, attribute: &str) {
    if m.envelope.attribute(attribute).is_none() {
        m.envelope.attributes.push((attribute.to_owned(), "yes".to_owned()));
    }
}
