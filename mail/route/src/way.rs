//! Transports and next hops by address class, sender and table: once for mail, once for probes (`address_verify_…`, which are
//! the same unless they are set).

use crate::transport::Spec;
use base_conf::{Config, Error};
use base_tables::{Maps, Tables, Usage};

/// The parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WayConfig {
    transport_maps: String,
    sender_relayhost_maps: String,
    sender_default_transport_maps: String,
    pub(crate) relayhost: String,
    pub(crate) local: Spec,
    pub(crate) virtual_mailbox: Spec,
    pub(crate) relay: Spec,
    pub(crate) default: Spec,
}

impl WayConfig {
    /// Reads the parameters whose names start with `prefix`.
    pub fn new(cfg: &Config, prefix: &str) -> Result<Self, Error> {
        let str = |name: &str| cfg.str(&format!("{prefix}{name}"));
        let spec = |name: &str| spec(cfg, &format!("{prefix}{name}"));
        Ok(Self {
            transport_maps: str("transport_maps")?,
            sender_relayhost_maps: str("sender_dependent_relayhost_maps")?,
            sender_default_transport_maps: str("sender_dependent_default_transport_maps")?,
            relayhost: str("relayhost")?,
            local: spec("local_transport")?,
            virtual_mailbox: spec("virtual_transport")?,
            relay: spec("relay_transport")?,
            default: spec("default_transport")?,
        })
    }
}

fn spec(cfg: &Config, name: &str) -> Result<Spec, Error> {
    let spec = Spec::parse(&cfg.str(name)?);
    if spec.transport.is_empty() {
        let text = format!(
            "file {}: parameter {name}: null transport is not allowed",
            cfg.dir().join("main.cf").display()
        );
        return Err(Error::new(text));
    }
    Ok(spec)
}

/// With its tables open.
pub(crate) struct Way {
    pub(crate) config: WayConfig,
    pub(crate) transport_maps: Maps,
    pub(crate) sender_relayhost: Maps,
    pub(crate) sender_transport: Maps,
}

impl Way {
    /// Opens the tables of the parameters whose names start with `prefix`.
    pub fn open(prefix: &str, config: &WayConfig, tables: &Tables) -> Self {
        // What a client wrote must not choose the transport: no parts of the address in results of patterns.
        let usage = Usage { substitution: false, ..Usage::LOOKUP };
        let open = |name: &str, text: &str| Maps::open_for(tables, &format!("{prefix}{name}"), text, usage);
        Self {
            transport_maps: open("transport_maps", &config.transport_maps),
            sender_relayhost: open("sender_dependent_relayhost_maps", &config.sender_relayhost_maps),
            sender_transport: open(
                "sender_dependent_default_transport_maps",
                &config.sender_default_transport_maps,
            ),
            config: config.clone(),
        }
    }
}
