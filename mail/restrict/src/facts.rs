//! What is known of a session when a restriction is asked.

use crate::Refusal;
use base_calls::QueueId;
use base_log::Source;
use std::net::IpAddr;

/// Where in the dialogue we are; the word of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The client has connected.
    Connect,
    /// HELO or EHLO.
    Helo,
    /// EHLO.
    Ehlo,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA, or the first BDAT.
    Data,
    /// The content is in.
    EndOfMessage,
    /// VRFY.
    Vrfy,
    /// ETRN.
    Etrn,
}

impl Stage {
    /// As logged, and as `protocol_state` of the policy protocol.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Helo => "HELO",
            Self::Ehlo => "EHLO",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::EndOfMessage => "END-OF-MESSAGE",
            Self::Vrfy => "VRFY",
            Self::Etrn => "ETRN",
        }
    }
}

/// How a name lookup of the client went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostStatus {
    /// Found (and verified).
    #[default]
    Ok,
    /// There is none, or it does not belong to the address.
    Unknown,
    /// Nobody knows for now.
    TryAgain,
}

/// The client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Verified name, or `unknown`.
    pub name: String,
    /// How that went.
    pub name_status: HostStatus,
    /// Unverified name, or `unknown`.
    pub reverse_name: String,
    /// How that went.
    pub reverse_status: HostStatus,
    /// Address as text.
    pub addr: String,
    /// Address; `None` for a local submission.
    pub ip: Option<IpAddr>,
    /// Our own address.
    pub server_ip: Option<IpAddr>,
    /// `:port` when it is to be shown (`smtpd_client_port_logging`), else empty.
    pub port_shown: String,
}

impl Peer {
    /// `name[address]`, with the port when it is to be shown.
    pub fn namaddr(&self) -> String {
        format!("{}[{}]{}", self.name, self.addr, self.port_shown)
    }
}

/// A session at one stage.
#[derive(Clone)]
pub struct Facts<'a> {
    /// Whose log lines these are.
    pub source: &'a Source,
    /// The stage.
    pub stage: Stage,
    /// The client.
    pub client: &'a Peer,
    /// HELO name.
    pub helo: Option<&'a str>,
    /// `SMTP` or `ESMTP`.
    pub protocol: &'a str,
    /// Sender in internal form, from MAIL on.
    pub sender: Option<&'a str>,
    /// The recipient in question (or the only one, at DATA and later), in internal form.
    pub recipient: Option<&'a str>,
    /// Recipients accepted before.
    pub recipients: u32,
    /// ETRN argument.
    pub etrn: Option<&'a str>,
    /// The message, once it has a queue id.
    pub queue_id: Option<QueueId>,
    /// The client did not wait where it must.
    pub pipelined: bool,
    /// SASL login name of an authenticated client.
    pub sasl_username: Option<&'a str>,
    /// The session is encrypted.
    pub encrypted: bool,
    /// `SIZE=`, or the size of the content at the end.
    pub size: u64,
    /// An access table has put the message on hold.
    pub held: bool,
    /// An access table throws the message away: nothing is asked any more.
    pub discarded: bool,
}

/// What has to be remembered between stages: deferrals that wait for a permission, by the stage that made them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Made when the client connected.
    pub client: Option<Refusal>,
    /// Made at HELO; forgotten with the next one.
    pub helo: Option<Refusal>,
    /// Made at MAIL; forgotten at the end of the transaction.
    pub sender: Option<Refusal>,
}
