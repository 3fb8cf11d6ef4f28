//! lmtp(8).

use super::Agent;

/// lmtp(8).
pub const AGENT: Agent = Agent { command: "lmtp", make: |_, _, _| todo!() };
