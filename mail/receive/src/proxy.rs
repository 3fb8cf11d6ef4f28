//! `smtpd_upstream_proxy_protocol = haproxy`: the first bytes of a connection come from a proxy and say who the client is.

use crate::{client, connection::Connection, escape::escaped};
use base_conf::{Config, Error};
use base_net::{NetError, PeerAddr, Protocols};
use proto_wire::haproxy::{Families, Header, MAX_HEADER, Progress, parse};
use std::time::Duration;
use tokio::time::timeout;

/// How long a proxy may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proxy {
    time_limit: Duration,
    families: Families,
}

impl Proxy {
    /// `None`: clients connect directly.
    pub(crate) fn from_config(cfg: &Config) -> Result<Option<Self>, Error> {
        let name = cfg.str("smtpd_upstream_proxy_protocol")?;
        match name.as_str() {
            "" => return Ok(None),
            "haproxy" => {}
            _ => return Err(Error::new(format!("unsupported smtpd_upstream_proxy_protocol value: {name}"))),
        }
        let protocols = Protocols::parse(&cfg.str("inet_protocols")?).unwrap_or(Protocols::ALL);
        let time_limit = cfg.time("smtpd_upstream_proxy_timeout")?;
        Ok(Some(Self { time_limit, families: Families { v4: protocols.v4, v6: protocols.v6 } }))
    }
}

impl Connection {
    /// Reads the header and takes over what it says. `Err`: what the log is told.
    pub(crate) async fn proxied(&mut self, proxy: Proxy) -> Result<(), String> {
        let header = timeout(proxy.time_limit, self.proxy_header(proxy.families)).await;
        let header = header.map_err(|_| "haproxy read: timeout error".to_owned())??;
        if let Header::Proxied { client, server } = header {
            self.peer = client::nameless(PeerAddr::inet(client), PeerAddr::inet(server));
            (self.port, self.server_port) = (client.port(), server.port());
        }
        Ok(())
    }

    async fn proxy_header(&mut self, families: Families) -> Result<Header, String> {
        loop {
            match parse(self.stream.buffered(), families) {
                Progress::Done(header, length) => {
                    self.stream.consume(length);
                    return Ok(header);
                }
                Progress::Bad(what) => {
                    let shown = self.stream.buffered();
                    let shown = shown.get(..MAX_HEADER).unwrap_or(shown);
                    return Err(format!("haproxy read: {what}: {}", escaped(shown)));
                }
                Progress::More => self.stream.fill_more().await.map_err(|e| match e {
                    NetError::TimedOut => "haproxy read: timeout error".to_owned(),
                    _ => "haproxy read: EOF".to_owned(),
                })?,
            };
        }
    }
}
