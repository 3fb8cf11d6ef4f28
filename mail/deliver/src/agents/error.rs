//! error(8).

use super::Agent;

/// error(8).
pub const AGENT: Agent = Agent { command: "error", make: |_, _, _| todo!() };
