//! Codecs of the small protocols between a mail server and its helpers. One file each; bytes in, values out.
//!
//! Used by the crates that hold the sockets. A line or packet that does not parse is an error value, never a panic.

pub mod dovecot_auth;
pub mod haproxy;
pub mod memcache;
pub mod netstring;
pub mod policy;
pub mod resp;
pub mod saslauthd;
pub mod tcp_table;
