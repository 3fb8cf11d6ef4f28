//! The client side of SMTP and LMTP, without IO: what to send, and what each reply means.
//!
//! - [`ReplyReader`] collects a server's reply as loosely as servers write it, and keeps its text as logs show it.
//! - [`Hello`] takes a connection from the greeting to a ready session (EHLO with HELO fallback, LHLO).
//! - [`Transaction`] takes one message through MAIL, RCPT, DATA and the end of data, pipelined when the server allows
//!   it (RFC 2920), and keeps what became of every recipient.
//! - [`Stage`] names where in the dialogue something happened, in the words of the log.
//!
//! The driver (mail/deliver) writes what these ask for, reads lines, and decides about connections. A session can run
//! any number of transactions. RFC 5321, 2033, 1870, 3461, 6152, 6531.

mod hello;
mod params;
mod reply;
mod stage;
mod transaction;
mod wrap;

pub use hello::{Hello, HelloOptions, HelloStep};
pub use params::{MailParams, RcptParams};
pub use reply::{ReplyReader, ServerReply, Taken, TooLong};
pub use stage::Stage;
pub use transaction::{Probe, Rejection, Transaction, Waiting};
pub use wrap::BodyWriter;
