//! The registry of delivery agents, by master.cf command.

use crate::Deps;
use base_calls::Deliver;
use base_conf::{Config, Error, Service};
use std::sync::Arc;

mod discard;
mod error;
mod lmtp;
mod local;
mod pipe;
mod smtp;
mod r#virtual;

/// Makes the agent of a service.
pub type Make = fn(&Service, &Config, &Deps) -> Result<Arc<dyn Deliver>, Error>;

/// One kind of agent.
pub struct Agent {
    /// The command of master.cf.
    pub command: &'static str,
    /// Makes one.
    pub make: Make,
}

/// All agents, sorted by command.
pub static AGENTS: &[&Agent] = &[
    &discard::AGENT,
    &error::AGENT,
    &lmtp::AGENT,
    &local::AGENT,
    &pipe::AGENT,
    &smtp::AGENT,
    &r#virtual::AGENT,
];

/// The agent of a command.
pub fn find(command: &str) -> Option<&'static Agent> {
    AGENTS.binary_search_by(|a| a.command.cmp(command)).ok().and_then(|i| AGENTS.get(i)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_and_found() {
        assert!(AGENTS.windows(2).all(|w| matches!(w, [a, b] if a.command < b.command)));
        assert!(AGENTS.iter().all(|a| find(a.command).is_some()));
        assert!(find("smtpd").is_none() && find("spawn").is_none());
    }
}
