//! Handing a message to cleanup: [`Submit`] opens a [`Submission`], which streams content and ends in the spool.

use crate::{Envelope, Filters, Fut, QueueId, Recipient};
use proto_dsn::Status;

/// Where new messages go in. Implemented by cleanup; used by receive, pickup, bounce and local forwarding.
pub trait Submit: Send + Sync {
    /// Starts a message. `envelope` holds what is known so far, usually all but the recipients.
    fn open(&self, envelope: Envelope, options: SubmitOptions) -> Result<Box<dyn Submission>, SubmitError>;
}

/// How a message is to be treated (Postfix's cleanup flags).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubmitOptions {
    /// Header and body checks, milters, content_filter apply (`receive_override_options`, notices: off).
    pub filter: bool,
    /// Canonical, masquerade and virtual alias mapping apply (`no_address_mappings`).
    pub map_addresses: bool,
    /// Automatic BCC recipients apply.
    pub bcc: bool,
    /// Recipients are read from To/Cc/Bcc (`sendmail -t`).
    pub recipients_from_header: bool,
    /// Milters (smtpd or non_smtpd) are left out (`no_milters`).
    pub no_milters: bool,
    /// Errors become a bounce to the sender instead of an answer (pickup).
    pub bounce_errors: bool,
}

impl SubmitOptions {
    /// Mail from outside or from users: everything applies.
    pub const EXTERNAL: Self = Self {
        filter: true,
        map_addresses: true,
        bcc: true,
        recipients_from_header: false,
        no_milters: false,
        bounce_errors: false,
    };
    /// Notices made by the server: nothing applies (postconf(5) `internal_mail_filter_classes`).
    pub const INTERNAL: Self = Self { filter: false, map_addresses: true, bcc: false, ..Self::EXTERNAL };
}

/// An effect of an access table or a check on a message in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageAction {
    /// HOLD.
    Hold,
    /// FILTER transport:nexthop.
    Filter(String),
    /// REDIRECT user@domain.
    Redirect(String),
    /// BCC user@domain.
    Bcc(String),
    /// DISCARD: claim success, keep nothing.
    Discard,
    /// PREPEND headername: value.
    Prepend(Vec<u8>),
}

/// A message being received. Dropping it without [`Submission::finish`] leaves no trace.
pub trait Submission: Send {
    /// Its queue id, known from the start (log lines, milter macros).
    fn queue_id(&self) -> QueueId;

    /// Adds a recipient as the client gave it.
    fn recipient(&mut self, recipient: Recipient);

    /// Applies an access action.
    fn action(&mut self, action: MessageAction);

    /// More content: whole or partial lines with CRLF ends. The Received: header that the receiver makes comes
    /// first, like any other content. An error is remembered and returned by `finish` too, so a receiver that
    /// must read to the end of the data anyway may ignore it here.
    fn content<'a>(&'a mut self, chunk: &'a [u8]) -> Fut<'a, Result<(), SubmitError>>;

    /// Milters that are to see the whole message before it is accepted. Without this call there are none.
    fn filters(&mut self, _filters: std::sync::Arc<dyn Filters>) {}

    /// End of content: completes the headers, writes the message and returns when it is durable and handed to
    /// the scheduler.
    fn finish(self: Box<Self>) -> Fut<'static, Result<Submitted, SubmitError>>;
}

/// A message that is safely on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    /// The name in `250 2.0.0 Ok: queued as`.
    pub id: QueueId,
}

/// Why a message was not accepted, with the answer for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} {status} {text}")]
pub struct SubmitError {
    /// SMTP reply code.
    pub code: u16,
    /// Enhanced status code.
    pub status: Status,
    /// Text of the reply, `Error: message file too big` and the like.
    pub text: String,
}

impl SubmitError {
    /// Makes one.
    pub fn new(code: u16, status: Status, text: impl Into<String>) -> Self {
        Self { code, status, text: text.into() }
    }
}
