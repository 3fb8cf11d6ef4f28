//! Message content as a stream: logical headers, then body; what each header is for; dates; folding.
//!
//! Pure: bytes in wire form (CRLF line ends) in, events out ([`HeaderStream`]). Everything is bounded by the limits that
//! the caller hands in; nothing is refused, since a mail system passes on what it cannot understand. [`mime`] follows the
//! structure of attachments, [`checks`] knows the actions of header and body checks. RFC 5322, RFC 2045; header names as
//! cleanup(8) treats them.

mod address_header;
pub mod checks;
mod date;
mod first_line;
pub mod fuzz;
mod header;
mod known;
pub mod mime;
mod stream;

pub use address_header::{AddressHeader, fold_items};
pub use date::{format_date, format_rfc3339};
pub use first_line::FirstLine;
pub use header::{Header, truncated};
pub use known::{Id, KNOWN, Known, known};
pub use stream::{HeaderStream, Limits, Sink};
