//! local(8).

use super::Agent;

/// local(8).
pub const AGENT: Agent = Agent { command: "local", make: |_, _, _| todo!() };
