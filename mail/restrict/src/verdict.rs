//! What one restriction says.

use crate::facts::Stage;
use base_calls::Fut;
use proto_dsn::Status;

/// A refusal: the reply that the client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Reply code, 4xx or 5xx.
    pub code: u16,
    /// Enhanced status.
    pub status: Status,
    /// Text after both.
    pub text: String,
    /// The status that was asked for, and whom it did not fit; for the log.
    pub mapped: Option<(Status, Kind)>,
}

impl Refusal {
    /// Makes one; the class of the status follows the code.
    pub fn new(code: u16, status: Status, text: impl Into<String>) -> Self {
        Self { code, status: status.with_class(class_of(code)), text: text.into(), mapped: None }
    }

    /// `<name>: Class rejected: text`.
    pub fn of(subject: &Subject, code: u16, status: Status, text: &str) -> Self {
        let status = status.with_class(class_of(code));
        let fixed = fix_status(status, subject.kind);
        let text = format!("<{}>: {} rejected: {text}", subject.name, subject.kind.class());
        Self { mapped: (fixed != status).then_some((status, subject.kind)), ..Self::new(code, fixed, text) }
    }

    /// As a temporary refusal (`soft_bounce`).
    pub fn softened(mut self) -> Self {
        if self.code >= 500 {
            self.code -= 100;
            self.status = self.status.with_class(4);
        }
        self
    }

    /// `451 4.3.5 Server configuration error`.
    pub fn configuration() -> Self {
        Self::new(451, Status::new(4, 3, 5), "Server configuration error")
    }
}

/// What a restriction is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The client.
    Client,
    /// The name of the client that does not lead back.
    ReverseClient,
    /// Its certificate.
    Certificate,
    /// The name that it logged in with.
    Login,
    /// The HELO name.
    Helo,
    /// The sender.
    Sender,
    /// The recipient.
    Recipient,
    /// The DATA command.
    Data,
    /// The end of the message.
    EndOfData,
    /// The ETRN command.
    Etrn,
}

impl Kind {
    /// The words of the reply.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Client => "Client host",
            Self::ReverseClient => "Unverified Client host",
            Self::Certificate => "Client certificate",
            Self::Login => "SASL login name",
            Self::Helo => "Helo command",
            Self::Sender => "Sender address",
            Self::Recipient => "Recipient address",
            Self::Data => "Data command",
            Self::EndOfData => "End-of-data",
            Self::Etrn => "Etrn command",
        }
    }
}

/// Who is refused: stands in the reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Name between `<>`.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

impl Subject {
    /// Makes one.
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self { name: name.into(), kind }
    }

    /// The command itself, for lists that are about no name.
    pub fn command(stage: Stage, kind: Kind) -> Self {
        Self::new(stage.name(), kind)
    }
}

/// The class of a status that goes with a reply code.
fn class_of(code: u16) -> u8 {
    if code < 500 { 4 } else { 5 }
}

/// An enhanced status of the address kind must fit who is refused: `x.1.1` about a sender is `x.1.0`.
fn fix_status(status: Status, kind: Kind) -> Status {
    if status.subject() != 1 {
        return status;
    }
    let detail = match (kind, status.detail()) {
        (Kind::Sender, 1 | 3 | 4 | 6) => 7,
        (Kind::Sender, 2) => 8,
        (Kind::Sender, 5 | 9 | 10) => 0,
        (Kind::Recipient, 7) => 3,
        (Kind::Recipient, 8) => 2,
        (Kind::Recipient, 9) => 0,
        (Kind::Sender | Kind::Recipient, d) => d,
        _ => return Status::new(status.class(), 0, 0),
    };
    Status::new(status.class(), 1, detail)
}

/// What a restriction says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: the next one is asked.
    Dunno,
    /// Yes: the rest of the list is left out.
    Permit,
    /// No.
    Reject(Refusal),
    /// No, should everything else say yes.
    DeferIfPermit(Refusal),
    /// Later, should something of this list say no.
    DeferIfReject(Refusal),
    /// An access table has something to say.
    Found(Box<Found>),
}

/// A hit in an access table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `type:name` of the table.
    pub table: String,
    /// The key as asked for: the whole name or address.
    pub key: String,
    /// The entry.
    pub value: String,
    /// What was looked up.
    pub subject: Subject,
}

/// A verdict, or the way to it.
pub enum Answer<'a> {
    /// Known without asking.
    Now(Verdict),
    /// To be asked.
    Later(Fut<'a, Verdict>),
}

impl<'a> Answer<'a> {
    /// Shorthand for a future.
    pub fn later(future: impl Future<Output = Verdict> + Send + 'a) -> Self {
        Self::Later(Box::pin(future))
    }

    /// The verdict, asked for if need be.
    pub async fn verdict(self) -> Verdict {
        match self {
            Self::Now(verdict) => verdict,
            Self::Later(future) => future.await,
        }
    }
}

impl From<Verdict> for Answer<'_> {
    fn from(v: Verdict) -> Self {
        Self::Now(v)
    }
}
