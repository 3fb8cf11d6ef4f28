//! The groups of families, one file each.

mod deliveries;
mod dns;
mod lines;
mod milters;
mod policy;
mod queue;
mod refusals;
mod smtpd;
mod tls;

pub use deliveries::{Delivered, Deliveries};
pub use dns::Dns;
pub use lines::Lines;
pub use milters::Milters;
pub use policy::Policy;
pub use queue::Queue;
pub use refusals::Refusals;
pub use smtpd::Smtpd;
pub use tls::Tls;
