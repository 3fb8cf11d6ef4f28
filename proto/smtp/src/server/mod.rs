//! The server's side of an SMTP session, as a pure state machine.
//!
//! The driver (mail/receive) reads lines and calls [`Session::command`]. What comes back says what to do [`Next`]: send a
//! reply, ask the world ([`Ask`]: restrictions, tables, cleanup) and hand the verdict to [`Session::answer`], take in data,
//! or close. The session owns sequence, syntax, parameters, counters and limits; it knows no clock, no names and no log.
//!
//! ```text
//! Idle --MAIL--> Mail --RCPT--> Mail --DATA--> (content) --> Idle
//!   ^             |               +----BDAT--> Bdat --BDAT LAST--> Idle
//!   +--RSET/HELO--+--------------------------------+
//! ```
//! RFC 5321 4.1.4 (sequence), 2920, 3030, 3461 (DSN), 6531 (SMTPUTF8); smtpd(8).

mod ask;
mod content;
mod counters;
mod envelope;
mod others;
mod params;
mod secure;
mod session;
mod settings;
mod transaction;

pub use ask::{Ask, Next, Note, Verdict};
pub use counters::{CommandStat, Counters, Limits};
pub use params::{MailParams, RcptParams};
pub use session::Session;
pub use settings::{Auth, Settings};
pub use transaction::{BdatState, Transaction};
