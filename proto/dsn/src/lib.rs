//! Delivery status vocabulary and reports, without IO.
//!
//! - [`Status`]: enhanced mail system status codes (RFC 3463).
//! - [`Template`]: the texts of notices (bounce(5)); [`Templates`] reads them from a file.
//! - [`Report`]: a notice as multipart/report (RFC 6522, RFC 3464, RFC 6533).

mod report;
mod status;
mod template;
mod template_file;

pub use report::{Report, ReportRecipient, Returned};
pub use status::{BadStatus, Status};
pub use template::{Template, Unit};
pub use template_file::{Templates, Unreadable};
