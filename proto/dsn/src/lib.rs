//! Delivery status vocabulary and reports, without IO.
//!
//! - [`Status`]: enhanced mail system status codes (RFC 3463).
//! - [`Template`]: the texts of notices (bounce(5)).
//! - [`Report`]: a notice as multipart/report (RFC 6522, RFC 3464, RFC 6533).

mod report;
mod status;
mod template;

pub use report::{Report, ReportRecipient, Returned};
pub use status::{BadStatus, Status};
pub use template::{Template, Unit};
