//! Mail addresses, without IO: RFC 5321 paths, RFC 5322 header lists, quoting, extensions, xtext, IDNA.
//!
//! Two forms of an address are told apart everywhere:
//! - *internal*: unquoted, as envelopes and lookup tables hold it: `a b@example.com`;
//! - *external*: quoted as the wire wants it: `"a b"@example.com`.
//!
//! Nothing here fails on odd input: what cannot be understood is carried through, or refused with an enum. Limits on
//! length are the caller's (a header is at most `header_size_limit` bytes); nesting is bounded here.

pub mod fuzz;
mod hostname;
mod idna;
mod mailaddr;
mod path;
mod percent;
mod quote;
mod split;
mod token;
mod xtext;

pub use hostname::{
    valid_domain_literal, valid_hostname, valid_ip, valid_ipv4, valid_ipv6, without_final_dot,
};
pub use idna::{to_ascii, to_unicode};
pub use mailaddr::{BadMailbox, literal_address, valid_mailbox};
pub use path::{BadPath, PathRules, parse_path};
pub use percent::percent_decoded;
pub use quote::{external, external_local, internal, is_dot_string};
pub use split::{join, split_domain, split_extension, with_extension};
pub use token::{AddressMut, Node, Tree};
pub use xtext::{BadXtext, xtext_decode, xtext_encode};
