//! TLSRPT (RFC 8460): what became of sessions with a domain's mail exchangers, counted for the domain. An extension,
//! `smtp_tls_report_sender`. Pure: texts in, texts out.
//!
//! A [`Row`] is what equal sessions have in common; its text form is the key of a counter in a cache. The client counts sessions with the
//! domains whose record names [`receivers`], and the worker makes a [`Report`] of the counts, once a day.

mod record;
mod report;
mod row;

pub use record::{Receiver, receivers};
pub use report::Report;
pub use row::{Failure, Fault, PolicyType, Row};
