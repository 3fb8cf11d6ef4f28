//! virtual(8), performed by programs/courier.

use super::Agent;
use crate::courier::Courier;

/// virtual(8).
pub const AGENT: Agent = Agent { command: "virtual", make: Courier::agent };
