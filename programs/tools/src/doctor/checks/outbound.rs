//! `outbound`: whether mail can leave: port 25 of the relay host, or of a large provider when there is none. Many providers block it.

use super::super::{Check, Finding, Level, ground::Ground};
use std::{io, net::IpAddr, time::Duration};
use tokio::{io::AsyncReadExt, net::TcpStream};

/// A domain whose servers answer anybody, and what port its servers have.
const ANYBODY: (&str, u16) = ("gmail.com", 25);

/// The record.
pub const CHECK: Check = Check {
    name: "outbound",
    about: "port 25 (or that of relayhost) of another server",
    limit: Duration::from_secs(20),
    look: |ground| Box::pin(async { vec![look(ground).await] }),
};

async fn look(ground: &Ground) -> Finding {
    let is_error = |name: &str| ground.value(name).starts_with("error");
    if is_error("default_transport") && is_error("relay_transport") {
        return (Level::Ok, "no mail leaves this server".into());
    }
    let relay = ground.value("relayhost");
    let relay = relay.split([',', ' ', '\t']).find(|w| !w.is_empty()).unwrap_or_default();
    let (host, port) =
        if relay.is_empty() { (format!("[{}]", exchanger(ground).await), ANYBODY.1) } else { split(relay) };
    let Some(name) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) else {
        let name = mx(ground, &host).await.unwrap_or(host);
        return said(&name, port, greeting(ground, &name, port).await);
    };
    said(name, port, greeting(ground, name, port).await)
}

fn said(host: &str, port: u16, greeting: io::Result<String>) -> Finding {
    match greeting {
        Ok(text) if text.starts_with("220") => (Level::Ok, format!("{host} port {port} answers")),
        Ok(text) => (Level::Warning, format!("{host} port {port} says: {}", base_log::mask(&text))),
        Err(e) => (Level::Problem, format!("{host} port {port}: {}", base_sys::system_text(&e))),
    }
}

/// `host`, `[host]`, with or without `:port`.
fn split(relay: &str) -> (String, u16) {
    let inside = relay.rfind(']').unwrap_or(0);
    match relay.rsplit_once(':').filter(|(host, _)| host.len() > inside) {
        Some((host, port)) => {
            let named = [("smtp", 25), ("submission", 587), ("smtps", 465), ("submissions", 465)];
            let known = named.iter().find(|(name, _)| *name == port).map(|(_, n)| *n);
            (host.to_owned(), known.or_else(|| port.parse().ok()).unwrap_or(25))
        }
        None => (relay.to_owned(), 25),
    }
}

async fn exchanger(ground: &Ground) -> String {
    mx(ground, ANYBODY.0).await.unwrap_or_else(|| ANYBODY.0.into())
}

async fn mx(ground: &Ground, domain: &str) -> Option<String> {
    let answer = ground.resolver.mx(domain).await.ok()?;
    answer.records.into_iter().min_by_key(|mx| mx.preference).map(|mx| mx.host)
}

/// The first line that a server sends; with TLS from the start there is none, and being connected is enough.
async fn greeting(ground: &Ground, host: &str, port: u16) -> io::Result<String> {
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => {
            let found = ground.resolver.host(host, true, false, base_dns::Hosts::DnsThenNative).await;
            found.map_err(|e| io::Error::other(e.to_string()))?.records
        }
    };
    let Some(address) = addresses.first() else { return Err(io::Error::other("no address")) };
    let limit = Duration::from_secs(8);
    let connecting = tokio::time::timeout(limit, TcpStream::connect((*address, port)));
    let mut stream = connecting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    if port == 465 {
        return Ok("220".into());
    }
    let mut buf = [0; 200];
    let reading = tokio::time::timeout(limit, stream.read(&mut buf));
    let n = reading.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    let text = String::from_utf8_lossy(buf.get(..n).unwrap_or_default()).into_owned();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relay_hosts() {
        for (text, host, port) in [
            ("example.com", "example.com", 25),
            ("[mx.example.com]:587", "[mx.example.com]", 587),
            ("[2001:db8::1]", "[2001:db8::1]", 25),
            ("example.com:submission", "example.com", 587),
        ] {
            assert_eq!(split(text), (host.to_owned(), port), "{text}");
        }
    }

    #[test]
    fn greetings() {
        assert_eq!(said("a", 25, Ok("220 a ESMTP".into())).0, Level::Ok);
        assert_eq!(said("a", 25, Ok("554 no".into())).0, Level::Warning);
        assert_eq!(said("a", 25, Err(io::ErrorKind::TimedOut.into())).0, Level::Problem);
    }
}
