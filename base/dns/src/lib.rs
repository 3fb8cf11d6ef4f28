//! The stub resolver: asks the name servers of resolv.conf, trusts their AD bit, caches by TTL.
//!
//! [`Resolver`] is a cheap handle shared by the SMTP server (client names, restrictions) and client
//! (MX, SRV, TLSA and address lookups). Failures are told apart as Postfix's texts need it: [`DnsError`]. An
//! answer is bounded (100 records); questions that are equal and under way are asked once. Async
//! (tokio); every wait has a time limit. RFC 1035, RFC 2782, RFC 6698, RFC 6891, RFC 7505, resolv.conf(5), hosts(5).

mod cache;
mod error;
mod exchange;
pub mod fuzz;
mod hosts;
mod records;
mod reply_filter;
mod reread;
mod resolv_conf;
mod resolver;
mod wire;

pub use error::DnsError;
pub use records::{Mx, Srv, Tlsa};
pub use reply_filter::TableFilter;
pub use resolver::{Answer, Hosts, Manner, Options, ReplyFilter, Resolver};
