//! XCLIENT and XFORWARD: a trusted client says who the client really is (XCLIENT_README, XFORWARD_README).

use crate::connection::{Connection, Flow};
use base_calls::ClientInfo;
use base_net::{NetError, Protocols};
use mail_restrict::{HostStatus, Login, Stage};
use proto_address::{valid_hostname, valid_ipv4, valid_ipv6};
use proto_dsn::Status;
use proto_smtp::{
    Reply,
    server::{Next, Settings, Verdict},
    xattr::Attribute,
};
use std::net::{IpAddr, Ipv4Addr};

/// Where the next message came from, for logs and for XFORWARD to the next server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forwarded {
    pub(crate) client: ClientInfo,
    pub(crate) ident: String,
    /// `SOURCE=LOCAL` or `REMOTE`.
    pub(crate) local: Option<bool>,
}

fn bad(text: String) -> Reply {
    Reply::new(501, Status::new(5, 5, 4), text)
}

fn bad_value(a: &Attribute) -> Reply {
    bad(format!("Bad {} syntax: {}", a.name, a.value))
}

/// `IPv6:2001:db8::1` or `192.0.2.1`.
fn address(text: &str) -> Option<IpAddr> {
    match text.get(..5) {
        Some(p) if p.eq_ignore_ascii_case("IPv6:") => {
            text.get(5..).filter(|t| valid_ipv6(t)).and_then(|t| t.parse().ok())
        }
        _ => Some(text).filter(|t| valid_ipv4(t)).and_then(|t| t.parse().ok()),
    }
}

fn port(a: &Attribute) -> Result<u16, Reply> {
    if a.is_unavailable() {
        return Ok(0);
    }
    let digits = !a.value.is_empty() && a.value.len() <= 5 && a.value.bytes().all(|b| b.is_ascii_digit());
    let n: u32 = a.value.parse().ok().filter(|_| digits).ok_or_else(|| bad_value(a))?;
    Ok(u16::try_from(n).unwrap_or(0))
}

fn neutral(text: &str) -> String {
    let odd = |c: char| c.is_control() || " <>()\\\";@".contains(c);
    text.chars().map(|c| if odd(c) { '?' } else { c }).collect()
}

impl Connection {
    /// XCLIENT: another client from now on, greeted anew.
    pub(crate) async fn xclient(&mut self, attributes: Vec<Attribute>) -> Result<Next, NetError> {
        let mut peer = self.peer.clone();
        let mut port_number = self.port;
        let mut login = self.login.clone();
        let mut server_port = self.server_port;
        let (mut helo, mut esmtp) = (None, None);
        for a in &attributes {
            let result = match a.name.as_str() {
                "NAME" => set_name(&mut peer, a),
                "REVERSE_NAME" => set_reverse_name(&mut peer, a),
                "ADDR" => set_addr(&mut peer, a, self.shared.config.protocols),
                "PORT" => port(a).map(|n| port_number = n),
                "PROTO" => protocol(a).map(|yes| esmtp = Some(yes)),
                "DESTADDR" => set_server(&mut peer, a),
                "DESTPORT" => port(a).map(|n| server_port = n),
                "LOGIN" => {
                    login = (!a.is_unavailable())
                        .then(|| Login { method: "XCLIENT".into(), username: login_name(&a.value) });
                    Ok(())
                }
                "HELO" => {
                    helo = (!a.is_unavailable()).then(|| neutral(&a.value));
                    Ok(())
                }
                _ => Err(bad(format!("Bad XCLIENT attribute name: {}", a.name))),
            };
            if let Err(reply) = result {
                return Ok(self.session.answer(Verdict::Refuse(reply)));
            }
        }
        self.peer = peer;
        (self.port, self.server_port) = (port_number, server_port);
        self.show_port();
        self.memory = Default::default();
        self.login = login;
        // Who we are to write for stays as it was.
        let rewrite_local = self.rewrite_local;
        self.settle().await?;
        self.rewrite_local = rewrite_local;
        self.session.assume(helo, esmtp);
        let (reply, flow) = self.greeting(Stage::Xclient).await;
        Ok(match flow {
            Flow::Continue => Next::Reply(reply),
            Flow::Close => Next::Close { reply, too_many_errors: None },
        })
    }

    /// XFORWARD: attributes add up until the message is in.
    pub(crate) fn xforward(&mut self, attributes: Vec<Attribute>) -> Verdict {
        let mut f = self.forwarded.as_deref().cloned().unwrap_or_else(|| Forwarded {
            client: ClientInfo { name: "unknown".into(), addr: "unknown".into(), ..ClientInfo::default() },
            ..Forwarded::default()
        });
        for a in attributes {
            if let Err(reply) = forward(&mut f, a) {
                return Verdict::Refuse(reply);
            }
        }
        self.forwarded = Some(Box::new(f));
        Verdict::Accept
    }
}

/// For logs and header fields.
fn login_name(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

type Set = Result<(), Reply>;

fn set_name(peer: &mut mail_restrict::Peer, a: &Attribute) -> Set {
    (peer.name, peer.name_status) = host(a)?;
    if peer.name_status == HostStatus::Ok {
        peer.reverse_name.clone_from(&peer.name);
        peer.reverse_status = HostStatus::Ok;
    }
    Ok(())
}

fn set_reverse_name(peer: &mut mail_restrict::Peer, a: &Attribute) -> Set {
    (peer.reverse_name, peer.reverse_status) = host(a)?;
    Ok(())
}

fn host(a: &Attribute) -> Result<(String, HostStatus), Reply> {
    if a.is_temporarily_unavailable() {
        return Ok(("unknown".into(), HostStatus::TryAgain));
    }
    if a.is_unavailable() {
        return Ok(("unknown".into(), HostStatus::Unknown));
    }
    if !valid_hostname(&a.value) {
        return Err(bad_value(a));
    }
    Ok((a.value.clone(), HostStatus::Ok))
}

fn set_addr(peer: &mut mail_restrict::Peer, a: &Attribute, protocols: Protocols) -> Set {
    if a.is_unavailable() {
        peer.addr = "unknown".into();
        // Not that of the trusted client, which may be in mynetworks.
        peer.ip = Some(Ipv4Addr::UNSPECIFIED.into());
        return Ok(());
    }
    let ip = address(&a.value).filter(|ip| protocols.allows(*ip)).ok_or_else(|| bad_value(a))?;
    peer.addr = ip.to_string();
    peer.ip = Some(ip);
    Ok(())
}

fn set_server(peer: &mut mail_restrict::Peer, a: &Attribute) -> Set {
    if !a.is_unavailable() {
        peer.server_ip = Some(address(&a.value).ok_or_else(|| bad_value(a))?);
    }
    Ok(())
}

/// Whether it is ESMTP.
fn protocol(a: &Attribute) -> Result<bool, Reply> {
    match a.value.to_ascii_uppercase().as_str() {
        "ESMTP" => Ok(true),
        "SMTP" => Ok(false),
        _ => Err(bad_value(a)),
    }
}

fn forward(f: &mut Forwarded, a: Attribute) -> Set {
    let a = &Attribute { value: neutral(&a.value), ..a };
    if !Settings::XFORWARD.contains(&a.name.as_str()) {
        return Err(bad(format!("Bad XFORWARD attribute name: {}", a.name)));
    }
    let gone = a.is_unavailable();
    let text = |none: &str| if gone { none.to_owned() } else { a.value.clone() };
    let c = &mut f.client;
    match a.name.as_str() {
        "NAME" if !gone && !valid_hostname(&a.value) => return Err(bad_value(a)),
        "NAME" => c.name = text("unknown"),
        "ADDR" if gone => c.addr = text("unknown"),
        "ADDR" => c.addr = address(&a.value).ok_or_else(|| bad_value(a))?.to_string(),
        "PORT" => c.port = port(a)?,
        "HELO" => c.helo = text(""),
        "PROTO" => c.protocol = text(""),
        "IDENT" => f.ident = text(""),
        "SOURCE" => {
            f.local = match a.value.to_ascii_uppercase().as_str() {
                "LOCAL" => Some(true),
                "REMOTE" => Some(false),
                _ if gone => None,
                _ => return Err(bad_value(a)),
            };
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, want) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("IPv6:2001:db8::1", Some("2001:db8::1")),
            ("2001:db8::1", None),
            ("1.2.3", None),
        ] {
            assert_eq!(address(text).map(|a| a.to_string()).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn forwarded_attributes() {
        let mut f = Forwarded::default();
        let mut set = |word: &str| {
            forward(&mut f, Attribute::parse(word).expect("attribute")).map_err(|r| r.one_line())
        };
        assert_eq!(set("NAME=spike.example.net"), Ok(()));
        assert_eq!(set("SOURCE=BAD"), Err("501 5.5.4 Bad SOURCE syntax: BAD".into()));
        assert_eq!(set("FOO=x"), Err("501 5.5.4 Bad XFORWARD attribute name: FOO".into()));
        assert_eq!(set("PORT=bar"), Err("501 5.5.4 Bad PORT syntax: bar".into()));
        assert_eq!(set("HELO=y+20z"), Ok(()));
        assert_eq!((f.client.name.as_str(), f.client.helo.as_str()), ("spike.example.net", "y?z"));
    }
}
