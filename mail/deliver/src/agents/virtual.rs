//! virtual(8).

use super::Agent;

/// virtual(8).
pub const AGENT: Agent = Agent { command: "virtual", make: |_, _, _| todo!() };
