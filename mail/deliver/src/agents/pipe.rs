//! pipe(8).

use super::Agent;

/// pipe(8).
pub const AGENT: Agent = Agent { command: "pipe", make: |_, _, _| todo!() };
