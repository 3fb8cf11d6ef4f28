//! lmtp(8): delivery by LMTP over the network or a UNIX-domain socket.

use super::Agent;
use crate::client::{Client, Dialect};
use std::sync::Arc;

/// lmtp(8).
pub const AGENT: Agent = Agent {
    command: "lmtp",
    make: |service, cfg, deps| Ok(Arc::new(Client::new(Dialect::Lmtp, service, cfg, deps)?)),
};
