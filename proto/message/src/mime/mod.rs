//! MIME structure of a message in passing: which section a header stands in, where body text starts, what is wrong
//! with it, and the way from 8 bits to 7.
//!
//! [`MimeStream`] is used by cleanup (checks, strictness) and by the SMTP client (checks, conversion for servers without
//! 8BITMIME). Nothing is refused here: errors are events. RFC 2045, RFC 2046; header_checks(5), postconf(5) `mime_*`.

mod content;
mod pieces;
mod quoted;
mod stream;

pub use content::{ContentType, Encoding, Kind};
pub use pieces::{Cut, Piece};
pub use quoted::Quoted;
pub use stream::{MimeError, MimeOptions, MimeSink, MimeStream, Pieces};

use crate::Id;

/// Where a header stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The header section of the message.
    Primary,
    /// A part of a multipart body.
    Part,
    /// An attached message.
    Nested,
}

/// Which table looks at a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// `header_checks`
    Header,
    /// `mime_header_checks`
    Mime,
    /// `nested_header_checks`
    Nested,
}

impl Section {
    /// The table for a header of this section; `id` is what is known of the header.
    pub fn class(self, id: Option<Id>) -> Class {
        match self {
            Section::Part => Class::Mime,
            _ if id.is_some_and(is_mime) => Class::Mime,
            Section::Primary => Class::Header,
            Section::Nested => Class::Nested,
        }
    }
}

/// The headers that describe a body.
fn is_mime(id: Id) -> bool {
    matches!(
        id,
        Id::MimeVersion
            | Id::ContentType
            | Id::ContentTransferEncoding
            | Id::ContentDescription
            | Id::ContentDisposition
            | Id::ContentId
    )
}
