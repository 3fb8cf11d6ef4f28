//! `smtpd_upstream_proxy_protocol = haproxy`, `postscreen_upstream_proxy_protocol = haproxy`: the first bytes of a connection come from a proxy and say who the client is.

use crate::{client, connection::Connection, escape::escaped};
use base_conf::{Config, Error};
use base_net::{LineStream, NetError, PeerAddr, Protocols};
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
    /// `None`: clients connect directly. The parameters are those of `smtpd` or `postscreen`.
    pub(crate) fn from_config(
        cfg: &Config,
        parameter: &str,
        time_limit: &str,
    ) -> Result<Option<Self>, Error> {
        let name = cfg.str(parameter)?;
        match name.as_str() {
            "" => return Ok(None),
            "haproxy" => {}
            _ => return Err(Error::new(format!("unsupported {parameter} value: {name}"))),
        }
        let protocols = Protocols::parse(&cfg.str("inet_protocols")?).unwrap_or(Protocols::ALL);
        let time_limit = cfg.time(time_limit)?;
        Ok(Some(Self { time_limit, families: Families { v4: protocols.v4, v6: protocols.v6 } }))
    }
}

impl Proxy {
    /// Takes the header off the stream. `Err`: what the log is told.
    pub(crate) async fn header(self, stream: &mut LineStream) -> Result<Header, String> {
        let header = timeout(self.time_limit, read(stream, self.families)).await;
        header.map_err(|_| "haproxy read: timeout error".to_owned())?
    }
}

async fn read(stream: &mut LineStream, families: Families) -> Result<Header, String> {
    loop {
        match parse(stream.buffered(), families) {
            Progress::Done(header, length) => {
                stream.consume(length);
                return Ok(header);
            }
            Progress::Bad(what) => {
                let shown = stream.buffered();
                let shown = shown.get(..MAX_HEADER).unwrap_or(shown);
                return Err(format!("haproxy read: {what}: {}", escaped(shown)));
            }
            Progress::More => stream.fill_more().await.map_err(|e| match e {
                NetError::TimedOut => "haproxy read: timeout error".to_owned(),
                _ => "haproxy read: EOF".to_owned(),
            })?,
        };
    }
}

impl Connection {
    /// Reads the header and takes over what it says. `Err`: what the log is told.
    pub(crate) async fn proxied(&mut self, proxy: Proxy) -> Result<(), String> {
        if let Header::Proxied { client, server } = proxy.header(&mut self.stream).await? {
            self.peer = client::nameless(PeerAddr::inet(client), PeerAddr::inet(server));
            (self.port, self.server_port) = (client.port(), server.port());
        }
        Ok(())
    }
}
