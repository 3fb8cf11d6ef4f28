//! pipe(8), performed by programs/courier.

use super::Agent;
use crate::courier::Courier;

/// pipe(8).
pub const AGENT: Agent = Agent { command: "pipe", make: Courier::agent };
