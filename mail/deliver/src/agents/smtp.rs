//! smtp(8): delivery by SMTP over the network.

use super::Agent;
use crate::client::{Client, Dialect};
use std::sync::Arc;

/// smtp(8).
pub const AGENT: Agent = Agent {
    command: "smtp",
    make: |service, cfg, deps| Ok(Arc::new(Client::new(Dialect::Smtp, service, cfg, deps)?)),
};
