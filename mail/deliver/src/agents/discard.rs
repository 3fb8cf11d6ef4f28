//! discard(8).

use super::Agent;

/// discard(8).
pub const AGENT: Agent = Agent { command: "discard", make: |_, _, _| todo!() };
