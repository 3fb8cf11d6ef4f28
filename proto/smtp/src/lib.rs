//! SMTP as types: commands, replies, EHLO keywords, DATA and BDAT framing, and both sessions.
//!
//! Pure: bytes and events in, bytes and actions out. No IO, no clock, no async. mail/receive drives [`server`],
//! mail/deliver drives [`client`]. Tolerance towards what peers really send is always a named option.
//! RFC 5321, 1870, 2033, 2034, 2920, 3030, 3461, 4954, 6152, 6531; XCLIENT_README, XFORWARD_README.

pub mod bdat;
pub mod client;
pub mod command;
pub mod data;
pub mod ehlo;
pub mod fuzz;
pub mod reply;
pub mod server;
pub mod xattr;

pub use bdat::BdatFramer;
pub use command::{Command, Syntax, Verb};
pub use data::{BareLf, DataFramer, DotStuffer, Framer, Piece, Step};
pub use ehlo::{Features, Keyword, Keywords};
pub use reply::{Reply, ReplyError, ReplyParser};
