//! smtp(8).

use super::Agent;

/// smtp(8).
pub const AGENT: Agent = Agent { command: "smtp", make: |_, _, _| todo!() };
