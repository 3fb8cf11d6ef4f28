//! What is known of a session when a restriction is asked.

use crate::{Answers, Refusal, Tape};
use base_calls::QueueId;
use base_log::Source;
use std::net::IpAddr;

/// Where in the dialogue we are; the word of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The client has connected.
    Connect,
    /// A trusted client has said who it speaks for.
    Xclient,
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
            Self::Xclient => "XCLIENT",
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
    /// Address; `None` for a local submission, 0.0.0.0 when a trusted client does not know it.
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

/// How an authenticated client logged in (RFC 4954).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Login {
    /// SASL mechanism; `XCLIENT` when a trusted client vouches for it.
    pub method: String,
    /// Login name.
    pub username: String,
}

/// An encrypted session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// `TLSv1.3` …
    pub protocol: String,
    /// Cipher suite as OpenSSL calls it.
    pub cipher: String,
    /// Bits of the session key.
    pub keysize: u32,
    /// The server name that the client asked for (SNI); empty: none.
    pub sni: String,
    /// The client's certificate, or raw public key.
    pub client: Option<ClientCert>,
}

/// What a client has shown of itself. Fingerprints are upper-case hexadecimal with colons (`smtpd_tls_fingerprint_digest`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientCert {
    /// Signed by somebody we trust.
    pub trusted: bool,
    /// Common name.
    pub subject: String,
    /// Common name of the issuer.
    pub issuer: String,
    /// Digest of the certificate; empty for a raw public key.
    pub fingerprint: String,
    /// Digest of the public key.
    pub pubkey_fingerprint: String,
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
    /// How the client logged in.
    pub login: Option<&'a Login>,
    /// `AUTH=` of MAIL FROM (RFC 4954 5).
    pub sasl_sender: Option<&'a str>,
    /// Clients can log in here (`smtpd_sasl_auth_enable`).
    pub sasl_offered: bool,
    /// The encrypted session.
    pub tls: Option<&'a Tls>,
    /// Client certificates are asked for (`smtpd_tls_ask_ccert`, `smtpd_tls_req_ccert`).
    pub ccert_asked: bool,
    /// The client's port, 0 when it has none.
    pub client_port: u16,
    /// Ours, 0 when there is none.
    pub server_port: u16,
    /// Of the transaction; different for each.
    pub instance: u64,
    /// The service has reached its process limit (STRESS_README).
    pub stressed: bool,
    /// What DNS has said in this session.
    pub answers: &'a Answers,
    /// `SIZE=`, or the size of the content at the end.
    pub size: u64,
    /// An access table has put the message on hold.
    pub held: bool,
    /// An access table throws the message away: nothing is asked any more.
    pub discarded: bool,
    /// Where the steps to a decision are recorded.
    pub tape: Option<&'a Tape>,
}

impl<'a> Facts<'a> {
    /// Login name of an authenticated client.
    pub fn sasl_username(&self) -> Option<&'a str> {
        self.login.map(|l| l.username.as_str())
    }

    /// What the client has shown of itself.
    pub fn client_cert(&self) -> Option<&'a ClientCert> {
        self.tls.and_then(|t| t.client.as_ref())
    }
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
