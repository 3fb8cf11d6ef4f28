//! What a session wants from its driver, and what the driver answers.

use super::{MailParams, RcptParams};
use crate::{Reply, Verb, command::Chunk, xattr::Attribute};

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Send this and read the next command.
    Reply(Reply),
    /// Read the next command: everything is said.
    Silence,
    /// Send this and close. `too_many_errors` is logged as such.
    Close {
        /// Sent before closing.
        reply: Reply,
        /// The hard error limit was reached: this is to be sent after `reply`.
        too_many_errors: Option<Reply>,
    },
    /// Find out, and call [`super::Session::answer`].
    Ask(Ask),
    /// Take in the chunk that follows the command, then call [`super::Session::chunk_done`].
    Chunk {
        /// Its size.
        chunk: Chunk,
        /// `None`: content of the message. `Some`: to be thrown away, then this is the answer.
        refused: Option<Reply>,
        /// The first chunk of a message that was not refused: the data restrictions are to be asked.
        first: bool,
    },
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Is this HELO name welcome?
    Helo {
        /// As logged: unusual characters are `?`.
        name: String,
        /// EHLO.
        esmtp: bool,
    },
    /// Is this sender welcome?
    Mail(MailParams),
    /// Is this recipient?
    Rcpt(RcptParams),
    /// May the content come? When the answer is yes, 354 is sent, the content taken in, and
    /// [`super::Session::data_done`] called.
    Data,
    /// Does this recipient exist?
    Vrfy {
        /// Internal form.
        address: String,
        /// As the client wrote it.
        text: String,
    },
    /// Flush the mail for this domain.
    Etrn(String),
    /// The client is another one than it seems.
    Xclient(Vec<Attribute>),
    /// The next message comes from there.
    Xforward(Vec<Attribute>),
    /// AUTH with these arguments: the driver counts the command, has them read by [`super::Session::auth_arguments`], holds
    /// the exchange, and answers with the whole reply (RFC 4954).
    Auth(String),
    /// STARTTLS. The driver says 220, throws away what has arrived, shakes hands, and calls
    /// [`super::Session::tls_started`]; or it answers with a refusal (RFC 3207).
    StartTls,
}

/// The driver's answer to an [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As the client wishes; the session knows what to say.
    Accept,
    /// With this reply instead.
    Say(Reply),
    /// No, with this reply.
    Refuse(Reply),
    /// This syntax error is noted by the driver in the log, too (an address that cannot be resolved).
    BadAddress,
}

/// Something for the log, besides the reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// `Illegal address syntax from … in MAIL command: …`
    BadAddress(Verb, String),
    /// `unknown DSN NOTIFY command value "FOO" in "FOO"`
    BadNotify(String, String),
    /// `malformed BDAT command syntax from …`
    BadChunk(String),
    /// `null BDAT request from …`
    NullChunk,
    /// `BDAT request from … exceeds message size limit`
    LargeChunk,
    /// `non-SMTP command from …: …`
    Foreign(String),
    /// MAIL with a SIZE over the limit is logged like a rejected one, with this reply.
    SizeRejected(Reply, String),
}
