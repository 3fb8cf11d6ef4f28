//! Delivery status vocabulary and reports, without IO.
//!
//! - [`Status`]: enhanced mail system status codes (RFC 3463).
//! - reports (RFC 3464) and bounce templates (bounce(5)) join here as modules of their own.

mod status;

pub use status::{BadStatus, Status};
