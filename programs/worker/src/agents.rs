//! The delivery agents of this configuration, by master.cf service name, for the scheduler. They are made by mail/deliver when
//! they are first needed.

use base_calls::Deliver;
use mail_schedule::Agents;
use std::{collections::HashMap, sync::Arc};

/// One agent for each master.cf service that delivers.
#[derive(Default)]
pub struct AgentMap(HashMap<String, Arc<dyn Deliver>>);

impl AgentMap {
    /// Adds a service.
    pub fn add(&mut self, service: &str, agent: Arc<dyn Deliver>) {
        self.0.insert(service.to_owned(), agent);
    }
}

impl Agents for AgentMap {
    fn agent(&self, transport: &str) -> Option<Arc<dyn Deliver>> {
        self.0.get(transport).cloned()
    }
}
