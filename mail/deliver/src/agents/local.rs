//! local(8), performed by programs/courier.

use super::Agent;
use crate::courier::Courier;

/// local(8).
pub const AGENT: Agent = Agent { command: "local", make: Courier::agent };
