//! The agents: one file each, one record in [`ALL`]. An agent is made for each master.cf service that has its command;
//! it turns a request into a plan. It knows configuration and tables, and touches no mailbox.

pub mod aliases;
pub mod environment;
pub mod external;
pub mod lists;
pub mod local;
pub mod mailbox;
pub mod names;
pub mod pipe;
pub mod virtual_mailbox;

use crate::plan::{Plan, TargetPlan};
use crate::status::configuration_error;
use base_calls::{Content, Mode, courier::CourierRequest};
use base_conf::{Config, Error, MasterCf, Service, ServiceKind};
use base_tables::Tables;
use std::{collections::HashMap, sync::Arc};

/// What agents are made of.
pub struct World {
    /// Lookup tables.
    pub tables: Arc<Tables>,
}

/// Turns requests into plans.
pub trait Agent: Send + Sync {
    /// Never fails as a whole: what is wrong is said of the recipients.
    fn plan(&self, request: &CourierRequest, content: &Content) -> Plan;
}

/// Makes the agent of a service. The configuration is the service's view.
pub type Make = fn(&Service, &Config, &World) -> Result<Box<dyn Agent>, Error>;

/// A kind of agent.
pub struct AgentKind {
    /// The command in master.cf.
    pub command: &'static str,
    /// Makes one.
    pub make: Make,
}

/// Every kind, sorted by command.
pub const ALL: &[AgentKind] = &[local::KIND, pipe::KIND, virtual_mailbox::KIND];

/// The agents of the current configuration, by service name.
pub struct Agents {
    by_service: HashMap<String, (String, Made)>,
}

enum Made {
    Agent(Box<dyn Agent>),
    /// The service's own configuration is wrong: its mail waits, with the reason in the log.
    Broken(String),
}

impl Agents {
    /// Makes an agent for each unix service whose command is one of ours.
    pub fn from_config(config: &Config, master: &MasterCf, world: &World) -> Self {
        let mut by_service = HashMap::new();
        for service in master.services.iter().filter(|s| s.kind != ServiceKind::Inet) {
            let Some(kind) = ALL.iter().find(|k| k.command == service.command) else { continue };
            let view = config.service(&service.name, &service.overrides).process(&service.command);
            let made = match (kind.make)(service, &view, world) {
                Ok(agent) => Made::Agent(agent),
                Err(e) => Made::Broken(e.to_string()),
            };
            by_service.insert(service.name.clone(), (service.command.clone(), made));
        }
        Self { by_service }
    }

    /// The command of a service, for the log (`postfix/local`).
    pub fn command(&self, service: &str) -> Option<&str> {
        self.by_service.get(service).map(|(command, _)| command.as_str())
    }

    /// What a request comes to.
    pub fn plan(&self, request: &CourierRequest, content: &Content) -> Plan {
        match self.by_service.get(&request.service) {
            Some((_, Made::Agent(agent))) if request.envelope.mode() == Mode::Verify => {
                agent.plan(request, content).preview()
            }
            Some((_, Made::Agent(agent))) => agent.plan(request, content),
            Some((_, Made::Broken(reason))) => refused(request, reason.clone()),
            None => {
                refused(request, format!("service {} of master.cf is not for the courier", request.service))
            }
        }
    }
}

/// All recipients wait, and the log says why.
pub(crate) fn refused(request: &CourierRequest, warning: String) -> Plan {
    let targets =
        request.targets.iter().map(|t| TargetPlan::say(t.index, &t.address, configuration_error())).collect();
    Plan { targets, warnings: vec![warning] }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sorted_and_unique() {
        assert!(super::ALL.windows(2).all(|w| w[0].command < w[1].command));
    }
}
