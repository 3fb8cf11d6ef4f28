//! SASL without sockets (RFC 4422): what a mechanism is good for, and which of them an administrator allows.
//!
//! base/sasl asks the servers that know passwords, mail/receive and mail/deliver speak AUTH; both use these
//! types. Nothing here fails but the reading of options.

mod options;

pub use options::{BadOption, Mechanism, Properties, Security};
