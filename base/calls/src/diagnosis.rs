//! Why a recipient was not (yet) delivered: what goes to the log, `mailq`, and the notices.

use proto_dsn::Status;

/// A failure or delay of one recipient (RFC 3464 2.3; the fields of Postfix's bounce and defer logs).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnosis {
    /// Enhanced status code (RFC 3463), `4.x.y` or `5.x.y`.
    pub status: Status,
    /// The human text as the log shows it between parentheses and the notice in its first part.
    pub reason: String,
    /// `Remote-MTA:` name, when a remote host said it.
    pub remote_mta: Option<String>,
    /// `Diagnostic-Code:` as (type, text): `smtp`, `x-unix` or `x-postfix` by default.
    pub diagnostic: Option<(String, String)>,
    /// `Action:` other than the default of the kind of notice (`failed`, `delayed`).
    pub action: Option<String>,
    /// The final address, when it is not the envelope recipient's own: a member of an alias.
    pub address: Option<String>,
    /// Members of the recipient's alias for which nothing is left to do, by the name that `courier::Deposit::member` has.
    pub done: Vec<String>,
    /// More of the same kind for the same envelope recipient: other members of its alias. These have no `more`.
    pub more: Vec<Diagnosis>,
}

impl Diagnosis {
    /// A diagnosis of our own making: status and text.
    pub fn new(status: Status, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), ..Self::default() }
    }

    /// Adds another of the same kind.
    pub fn join(&mut self, mut other: Self) {
        let more = std::mem::take(&mut other.more);
        self.more.push(other);
        self.more.extend(more);
    }

    /// This one and those that were joined to it.
    pub fn each(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.more)
    }
}
