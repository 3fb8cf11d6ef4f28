//! The agents by service name, for agents that hand mail to one another (`best_mx_transport`, `mailbox_transport`,
//! `fallback_transport`).
//!
//! Weak references: an agent lives as long as the scheduler (or a delivery) holds it.

use base_calls::Deliver;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// The agents of one configuration. [`crate::agent`] enters each agent that it makes.
#[derive(Default)]
pub struct Transports {
    agents: Mutex<HashMap<String, Weak<dyn Deliver>>>,
}

impl Transports {
    pub(crate) fn enter(&self, service: &str, agent: &Arc<dyn Deliver>) {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        agents.insert(service.to_owned(), Arc::downgrade(agent));
    }

    /// The agent of a service.
    pub fn get(&self, service: &str) -> Option<Arc<dyn Deliver>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner).get(service)?.upgrade()
    }
}
