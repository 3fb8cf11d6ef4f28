//! What checks look at: the configuration, a resolver, and the address that others see.

use anyhow::Result;
use base_conf::Config;
use base_dns::Resolver;
use std::{
    net::{IpAddr, Ipv4Addr, UdpSocket},
    path::{Path, PathBuf},
};

/// The ground that the server stands on.
pub struct Ground {
    /// Configuration directory.
    pub dir: PathBuf,
    /// Its main.cf.
    pub config: Config,
    /// The machine's name servers.
    pub resolver: Resolver,
    /// The address that mail comes from, as far as it can be known.
    pub address: Option<IpAddr>,
}

impl Ground {
    /// From a configuration; `address`: as the administrator says.
    pub fn new(dir: &Path, address: Option<IpAddr>) -> Result<Self> {
        let config = Config::load(dir)?;
        let bound = config.str("smtp_bind_address")?.parse().ok();
        let resolver = Resolver::new(base_dns::Options::default());
        Ok(Self { dir: dir.to_owned(), config, resolver, address: address.or(bound).or_else(outgoing) })
    }

    /// A parameter's text; empty when it cannot be read.
    pub fn value(&self, name: &str) -> String {
        self.config.str(name).unwrap_or_default()
    }

    /// The address, when others can see it.
    pub fn public(&self) -> Option<IpAddr> {
        self.address.filter(|a| base_net::is_public(*a))
    }
}

/// The address that packets to the world leave from. Nothing is sent.
fn outgoing() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 88, 99, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|a| !a.is_unspecified())
}
