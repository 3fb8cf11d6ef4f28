//! `smtp_send_xforward_command`: tells a content filter who the client of the message is (XFORWARD_README).
//!
//! Up to two commands before MAIL, with what the server asked for in its EHLO reply and what is known. A server that refuses
//! them gets a warning in the log and the message all the same.

use super::{
    config::ClientConfig,
    session::{Broken, Session},
};
use crate::report::Reporter;
use base_calls::{ClientInfo, Delivery};
use proto_smtp::{Features, Keyword, client::Stage, xattr::xforward_text};

/// Sends what the server wants to know. An error tells the stage.
pub(crate) async fn send(
    session: &mut Session,
    cfg: &ClientConfig,
    log: &Reporter<'_>,
) -> Result<(), (Stage, Broken)> {
    if !cfg.send_xforward || !session.features.has(Keyword::Xforward) {
        return Ok(());
    }
    for (stage, attributes) in attributes(log.delivery) {
        let Some(line) = command(&session.features, &attributes) else { continue };
        session.begin(cfg, stage);
        session.stream.output().extend_from_slice(line.as_bytes());
        let reply = session.reply(log).await.map_err(|how| (stage, how))?;
        if reply.class() != 2 {
            let (host, command) = (session.peer.namaddrport(), stage.command());
            log.warning(&format!("host {host} said: {} (in reply to {command})", reply.text));
        }
    }
    Ok(())
}

type Attributes = Vec<(&'static str, String)>;

/// What is known, by command.
fn attributes(delivery: &Delivery) -> [(Stage, Attributes); 2] {
    let envelope = &delivery.message.envelope;
    let client = &envelope.client;
    let source = if envelope.rewrite_local { "LOCAL" } else { "REMOTE" };
    let mut said = vec![("SOURCE", source.to_owned())];
    if client.addr.is_empty() && client.name.is_empty() {
        return [(Stage::XforwardName, Vec::new()), (Stage::XforwardHelo, said)];
    }
    let own = delivery.message.id.to_string();
    let ident = envelope.attribute("log_ident").map_or(own, str::to_owned);
    said.splice(0..0, [("PROTO", client.protocol.clone()), ("HELO", client.helo.clone()), ("IDENT", ident)]);
    let names = vec![("NAME", known(&client.name)), ("ADDR", address(client)), ("PORT", port(client))];
    [(Stage::XforwardName, names), (Stage::XforwardHelo, said)]
}

/// `unknown` is how this server writes that it does not know.
fn known(name: &str) -> String {
    if name.eq_ignore_ascii_case("unknown") { String::new() } else { name.to_owned() }
}

fn address(client: &ClientInfo) -> String {
    if client.addr.contains(':') { format!("IPv6:{}", client.addr) } else { known(&client.addr) }
}

fn port(client: &ClientInfo) -> String {
    if client.port == 0 { String::new() } else { client.port.to_string() }
}

/// The command, when the server asks for any of it.
fn command(features: &Features, attributes: &[(&'static str, String)]) -> Option<String> {
    let mut line = String::from("XFORWARD");
    for (name, value) in attributes {
        if features.xforward.iter().any(|f| f.eq_ignore_ascii_case(name)) {
            line.extend([" ", name, "="]);
            match value.as_str() {
                "" => line.push_str("[UNAVAILABLE]"),
                value => line.push_str(&xforward_text(value)),
            }
        }
    }
    line.push_str("\r\n");
    (line.len() > "XFORWARD\r\n".len()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for() {
        let features = |line: &str| Features::parse(&["x".into(), line.into()]);
        let known = [("NAME", "a+b.test".to_owned()), ("ADDR", String::new()), ("PORT", "25".to_owned())];
        for (offer, want) in [
            ("XFORWARD NAME ADDR PORT", Some("XFORWARD NAME=a+2Bb.test ADDR=[UNAVAILABLE] PORT=25\r\n")),
            ("XFORWARD PORT", Some("XFORWARD PORT=25\r\n")),
            ("XFORWARD HELO", None),
            ("XFORWARD", None),
        ] {
            assert_eq!(command(&features(offer), &known).as_deref(), want, "{offer}");
        }
    }
}
