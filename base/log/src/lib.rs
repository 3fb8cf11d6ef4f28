//! Logging for administrators: one typed value per log line, printed as the classic Postfix text, and as JSON beside it.
//!
//! Every process opens one [`Log`]; stages get clones of it. A line goes into a bounded buffer and a thread of its own
//! writes it, so that no session waits for the disk or for a slow syslog daemon. What cannot be written is counted
//! and the loss is reported as soon as the sink works again. Text from outside is masked: a control character or
//! a malformed UTF-8 byte is shown as `?`, as Postfix does, so that nobody can forge a line.
//!
//! Answers to: postconf(5) `syslog_name`, `syslog_facility`, `maillog_file`; postlogd(8).

pub mod lines;
mod mask;
mod sink;
mod source;
mod stamp;
mod writer;

pub use lines::Line;
pub use mask::mask;
pub use sink::{Facility, Target};
pub use source::{Severity, Source};
pub use writer::{Captured, Log};
