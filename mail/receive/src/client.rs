//! Who the client is: its name from the address, and whether the name leads back (`smtpd_peername_lookup`).

use base_dns::{Hosts, Resolver};
use base_log::{Log, Source};
use base_net::PeerAddr;
use mail_restrict::{HostStatus, Peer};
use proto_address::valid_hostname;
use std::{net::IpAddr, time::Duration};
use tokio::time::timeout;

/// The resolver has time limits of its own; this is for all questions together.
const TIME_LIMIT: Duration = Duration::from_secs(100);

const UNKNOWN: &str = "unknown";

/// A client without names.
pub fn nameless(peer: PeerAddr, local: PeerAddr) -> Peer {
    let server_ip = match local {
        PeerAddr::Inet(a) => Some(a.ip()),
        PeerAddr::Unix => None,
    };
    let (name, addr, ip) = match peer {
        PeerAddr::Inet(a) => (UNKNOWN.to_owned(), a.ip().to_string(), Some(a.ip())),
        // As Postfix calls a client that is no network peer.
        PeerAddr::Unix => ("localhost".to_owned(), "127.0.0.1".to_owned(), None),
    };
    let status = if ip.is_some() { HostStatus::Unknown } else { HostStatus::Ok };
    Peer {
        reverse_name: name.clone(),
        name,
        name_status: status,
        reverse_status: status,
        addr,
        ip,
        server_ip,
        port_shown: String::new(),
    }
}

/// Finds the names of the client out.
pub async fn find_names(peer: &mut Peer, resolver: &Resolver, log: &Log, source: &Source) {
    let Some(ip) = peer.ip else { return };
    if timeout(TIME_LIMIT, lookup(peer, ip, resolver, log, source)).await.is_err() {
        peer.name_status = HostStatus::TryAgain;
    }
}

async fn lookup(peer: &mut Peer, ip: IpAddr, resolver: &Resolver, log: &Log, source: &Source) {
    let name = match resolver.ptr(ip, true).await.map(|a| a.records.into_iter().next()) {
        Ok(Some(name)) if valid_hostname(&name) => name,
        Err(e) if e.is_temporary() => {
            (peer.name_status, peer.reverse_status) = (HostStatus::TryAgain, HostStatus::TryAgain);
            return;
        }
        _ => return,
    };
    peer.reverse_name.clone_from(&name);
    peer.reverse_status = HostStatus::Ok;
    let (v4, v6) = (ip.is_ipv4(), ip.is_ipv6());
    match resolver.host(&name, v4, v6, Hosts::Native).await {
        Ok(answer) if answer.records.contains(&ip) => {
            peer.name = name;
            peer.name_status = HostStatus::Ok;
        }
        Ok(_) => log.warning(source, format_args!("hostname {name} does not resolve to address {ip}")),
        Err(e) => {
            log.warning(
                source,
                format_args!("hostname {name} does not resolve to address {ip}: {}", e.native_text()),
            );
            if e.is_temporary() {
                peer.name_status = HostStatus::TryAgain;
            }
        }
    }
}
