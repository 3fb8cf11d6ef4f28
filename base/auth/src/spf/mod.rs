//! SPF: may this client send for that domain (RFC 7208)?
//!
//! [`check`] judges an identity of the SMTP session. It never fails: what cannot be found out is a result of its own. Ten terms that ask
//! DNS, two answers without records, ten names of an MX or PTR answer: what asks for more is `permerror`; what takes more than
//! twenty seconds is `temperror` (4.6.4).

mod evaluate;
mod expand;
mod record;

use crate::lookup::Dns;
use std::{net::IpAddr, time::Duration};

/// For one judgement, with all its questions.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// What SPF says (RFC 7208 2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpfResult {
    /// The domain says nothing, or there is none.
    None,
    /// It does not want to say.
    Neutral,
    /// It may.
    Pass,
    /// It may not.
    Fail,
    /// It probably may not.
    SoftFail,
    /// Nobody knows for now.
    TempError,
    /// The domain's records make no sense.
    PermError,
}

impl SpfResult {
    /// As in headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Neutral => "neutral",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// What is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The sender of the envelope; with the null sender, `postmaster` at the HELO name.
    MailFrom,
    /// The HELO name.
    Helo,
}

/// A client and what it says.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// Its address.
    pub ip: IpAddr,
    /// HELO name.
    pub helo: &'a str,
    /// Sender of the envelope, empty for the null sender.
    pub sender: &'a str,
    /// Our name.
    pub receiver: &'a str,
}

impl Client<'_> {
    /// Who is judged: local part and domain.
    pub(crate) fn subject(&self, identity: Identity) -> (String, String) {
        let address = match identity {
            Identity::MailFrom if !self.sender.is_empty() => self.sender,
            _ => self.helo,
        };
        let (local, domain) = address.rsplit_once('@').unwrap_or(("", address));
        let local = if local.is_empty() { "postmaster" } else { local };
        (local.to_owned(), domain.trim_end_matches('.').to_owned())
    }
}

/// The judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spf {
    /// The result.
    pub result: SpfResult,
    /// Whose records were asked.
    pub domain: String,
    /// What the domain says to whoever fails (`exp=`).
    pub explanation: Option<String>,
    /// What is wrong with its records.
    pub problem: Option<&'static str>,
}

/// Parses a record, for the fuzz target.
pub(crate) fn check_record(text: &[u8]) {
    if record::is_spf(text) {
        let _ = record::parse(text);
    }
}

/// Judges an identity.
pub async fn check(dns: &dyn Dns, client: &Client<'_>, identity: Identity) -> Spf {
    let judged = tokio::time::timeout(TIME_LIMIT, evaluate::check(dns, client, identity)).await;
    judged.unwrap_or_else(|_| Spf {
        result: SpfResult::TempError,
        domain: client.subject(identity).1,
        explanation: None,
        problem: None,
    })
}

/// The value of a Received-SPF: header (RFC 7208 9.1).
pub fn received_spf(spf: &Spf, client: &Client<'_>, identity: Identity) -> String {
    let who = match spf.result {
        SpfResult::Pass => "permits this client",
        SpfResult::Fail => "does not permit this client",
        SpfResult::SoftFail => "does probably not permit this client",
        SpfResult::None => "has no SPF record",
        SpfResult::Neutral => "does not say whether it permits this client",
        SpfResult::TempError | SpfResult::PermError => "cannot be asked",
    };
    let name = match identity {
        Identity::MailFrom => "mailfrom",
        Identity::Helo => "helo",
    };
    format!(
        "{} ({}: domain {} {who})\r\n\treceiver={}; identity={name}; client-ip={};\r\n\tenvelope-from={}; helo={}",
        spf.result.name(),
        crate::results::word(client.receiver),
        crate::results::comment(&spf.domain),
        crate::results::word(client.receiver),
        client.ip,
        crate::results::quoted(client.sender),
        crate::results::word(client.helo),
    )
}

#[cfg(test)]
mod tests;
