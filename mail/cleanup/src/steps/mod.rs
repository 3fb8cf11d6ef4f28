//! The steps of cleanup, one file each. [`STEPS`] is the order in which they run within a phase.
//!
//! To add one: a file with a `const STEP`, and its name in the slice.

mod arc_seal;
mod authentication_results;
mod automatic_bcc;
mod body_checks;
mod dkim_sign;
mod envelope_recipients;
mod envelope_sender;
mod header_addresses;
mod header_checks;
mod hopcount_limit;
mod message_drop_headers;
mod message_id;
mod missing_headers;
mod recipients_from_header;
mod smtputf8_autodetect;
mod tls_wishes;
mod undisclosed_recipients;

use crate::{
    checks::{Fate, Inspected},
    message::Message,
};
use base_calls::Fut;
use proto_message::{Header, Known};

pub(crate) use envelope_recipients::resolve_pending;
pub(crate) use envelope_sender::run as resolve_sender;

/// One step.
pub struct Step {
    /// Its name: the parameter or the manual's word for it.
    pub name: &'static str,
    /// When it runs.
    pub phase: Phase,
}

/// When a step runs, and what it is.
#[derive(Clone, Copy)]
pub enum Phase {
    /// Sender and recipients are known, content has not started.
    Start(for<'a> fn(&'a mut Message) -> Fut<'a, ()>),
    /// A header of the message or of a part, or a body line, passes; what is left of a header goes on to the steps below.
    Inspect {
        /// Whether the step looks at this.
        wanted: fn(&Message, Inspected) -> bool,
        /// The work; the text comes with its line ends.
        run: for<'a> fn(&'a mut Message, Inspected, &'a [u8]) -> Fut<'a, Fate>,
    },
    /// A header of the message or of a part passes, as it will stand there.
    AnyHeader(fn(&mut Message, &[u8])),
    /// A header of the message itself passes.
    Header(fn(&mut Message, &mut HeaderWork<'_>)),
    /// A header passes, and tables may have to be asked.
    HeaderMaps {
        /// Whether this header is any of the step's business.
        wanted: fn(&Message, &HeaderWork<'_>) -> bool,
        /// The work.
        run: for<'a> fn(&'a mut Message, &'a mut HeaderWork<'_>) -> Fut<'a, ()>,
    },
    /// The header section is complete; more headers may be added.
    EndOfHeaders(fn(&mut Message)),
    /// The content is complete.
    End(for<'a> fn(&'a mut Message) -> Fut<'a, ()>),
    /// Milters are done with it: nothing changes after these.
    Complete(for<'a> fn(&'a mut Message) -> Fut<'a, ()>),
}

/// A step of judging or signing, which costs next to nothing where neither is configured.
fn if_asked<'a>(m: &'a mut Message, run: fn(&'a mut Message) -> Fut<'a, ()>) -> Fut<'a, ()> {
    match m.core.authentication.get() {
        Some(Some(_)) => run(m),
        _ => Box::pin(std::future::ready(())),
    }
}

/// A header and what becomes of it.
pub struct HeaderWork<'a> {
    /// The header as it came.
    pub header: Header<'a>,
    /// What is known of it.
    pub known: Option<&'static Known>,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What becomes of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Keep,
    /// It is left out.
    Drop,
    /// This text, with its CRLF, passes instead.
    Replace(Vec<u8>),
}

/// All steps, in order.
pub const STEPS: &[Step] = &[
    envelope_sender::STEP,
    envelope_recipients::STEP,
    header_checks::STEP,
    body_checks::STEP,
    hopcount_limit::STEP,
    message_id::STEP,
    recipients_from_header::STEP,
    message_drop_headers::STEP,
    header_addresses::STEP,
    smtputf8_autodetect::STEP,
    tls_wishes::STEP,
    missing_headers::STEP,
    message_id::UNSEEN,
    undisclosed_recipients::STEP,
    tls_wishes::RECORD,
    recipients_from_header::RESOLVE,
    automatic_bcc::STEP,
    authentication_results::STEP,
    dkim_sign::STEP,
    arc_seal::STEP,
];
