//! The words of failures, as Postfix logs them and as notices quote them.

use super::session::{Broken, Peer};
use base_calls::Diagnosis;
use base_dns::DnsError;
use proto_dsn::Status;
use proto_smtp::client::{Rejection, ServerReply, Stage};

/// The server said no.
pub(crate) fn rejected(peer: &Peer, r: &Rejection) -> Diagnosis {
    let prefix = if r.is_protocol_error() { "Protocol error: " } else { "" };
    let text =
        format!("{prefix}host {} said: {} (in reply to {})", peer.namaddr(), r.reply.text, r.stage.command());
    from_server(peer, r.reply.failure_status(), text, &r.reply)
}

/// The server does not talk to us. `soft`: a 5xx greeting counts as temporary (`smtp_skip_5xx_greeting`).
pub(crate) fn refused(peer: &Peer, reply: &ServerReply, soft: bool) -> Diagnosis {
    let status = reply.failure_status();
    let status = if soft && reply.class() == 5 { status.with_class(4) } else { status };
    from_server(peer, status, format!("host {} refused to talk to me: {}", peer.namaddr(), reply.text), reply)
}

fn from_server(peer: &Peer, status: Status, text: String, reply: &ServerReply) -> Diagnosis {
    Diagnosis {
        remote_mta: Some(peer.name.clone()),
        diagnostic: Some(("smtp".into(), reply.text.clone())),
        ..Diagnosis::new(status, text)
    }
}

/// The connection ended, or nothing came.
pub(crate) fn broken(peer: &Peer, stage: Stage, how: Broken) -> Diagnosis {
    let (host, doing) = (peer.namaddr(), stage.doing());
    match how {
        Broken::Lost => {
            Diagnosis::new(Status::new(4, 4, 2), format!("lost connection with {host} while {doing}"))
        }
        Broken::TimedOut => {
            Diagnosis::new(Status::new(4, 4, 2), format!("conversation with {host} timed out while {doing}"))
        }
        Broken::Local => local(peer),
    }
}

/// What a server lacks of a message that demands TLS all the way (RFC 8689 4.2.1): the mail goes back.
pub(crate) fn no_requiretls(peer: &Peer, missing: &str) -> Diagnosis {
    let text = format!("REQUIRETLS is required, but {missing} host {}", peer.namaddr());
    Diagnosis::new(super::requiretls::NEEDED, text)
}

/// Something here failed: the content could not be read, a table is down.
pub(crate) fn local(peer: &Peer) -> Diagnosis {
    Diagnosis::new(Status::new(4, 3, 0), format!("local data error while talking to {}", peer.namaddr()))
}

/// Nobody answered.
pub(crate) fn unreachable(peer: &Peer, why: &str) -> Diagnosis {
    Diagnosis::new(Status::new(4, 4, 1), format!("connect to {}: {why}", peer.namaddrport()))
}

/// The name service has no answer.
pub(crate) fn dns(error: &DnsError, name: &str, kind: &str) -> Diagnosis {
    let status = match error {
        DnsError::Filtered => Status::new(4, 7, 0),
        DnsError::TempFail(_) | DnsError::FilterFailed => Status::new(4, 4, 3),
        DnsError::NotFound | DnsError::NoData => Status::new(5, 4, 4),
        DnsError::Invalid(_) | DnsError::Refused(_) => Status::new(5, 4, 3),
    };
    Diagnosis::new(status, error.text(name, kind))
}

/// Mail goes in circles.
pub(crate) fn loops(nexthop: &str) -> Diagnosis {
    Diagnosis::new(Status::new(5, 4, 6), format!("mail for {nexthop} loops back to myself"))
}

/// Over the server's SIZE.
pub(crate) fn too_big(peer: &Peer, size: u64, limit: u64) -> Diagnosis {
    let text = format!("message size {size} exceeds size limit {limit} of server {}", peer.namaddr());
    Diagnosis::new(Status::new(5, 3, 4), text)
}

/// SMTPUTF8 was not offered.
pub(crate) fn no_utf8(peer: &Peer) -> Diagnosis {
    let text = format!("SMTPUTF8 is required, but was not offered by host {}", peer.namaddr());
    Diagnosis::new(Status::new(5, 6, 7), text)
}

/// The notice of a success: the reply to the end of the data.
pub(crate) fn relayed(
    peer: &Peer,
    reply: &ServerReply,
    status: Status,
    text: &str,
    action: &str,
) -> Diagnosis {
    let text = format!("delivery via {}: {text}", peer.relay);
    Diagnosis { action: Some(action.into()), ..from_server(peer, status, text, reply) }
}
