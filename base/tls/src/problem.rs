//! What goes wrong, in the words that logs and their filters know: Postfix's for files, OpenSSL's for handshakes.

use rustls::{AlertDescription, Error, InvalidMessage, PeerIncompatible};
use std::io;

/// Why TLS cannot be used at all: lines for the log, as warnings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines.join("; "))]
pub struct Problem {
    /// In the order of the log.
    pub lines: Vec<String>,
}

impl Problem {
    pub(crate) fn new(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()] }
    }

    pub(crate) fn library(code: &str, then: String) -> Self {
        Self { lines: vec![format!("TLS library problem: error:{code}:"), then] }
    }
}

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The peer has closed the connection.
    LostConnection,
    /// The time is over.
    TimedOut,
    /// `TLS library problem: …` for the log.
    Library(String),
}

impl Failure {
    /// What follows `SSL_accept error from …: `.
    pub fn words(&self) -> &'static str {
        match self {
            Self::LostConnection => "lost connection",
            Self::TimedOut => "Connection timed out",
            Self::Library(_) => "-1",
        }
    }

    /// The name that a client asks for cannot be looked up.
    pub(crate) fn no_certificate() -> Self {
        Self::Library(
            "TLS library problem: error:0A0000EA:SSL routines::callback failed:../ssl/statem/extensions.c:964:"
                .to_owned(),
        )
    }

    pub(crate) fn of(e: &io::Error) -> Self {
        match e.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(e) => Self::Library(format!("TLS library problem: {}", words(e))),
            None if e.kind() == io::ErrorKind::TimedOut => Self::TimedOut,
            None => Self::LostConnection,
        }
    }
}

/// OpenSSL 3.0's line for an error of rustls; its own words for one that OpenSSL does not have.
fn words(e: &Error) -> String {
    let line =
        |code: &str, reason: &str, place: &str| format!("error:{code}:SSL routines::{reason}:{place}:");
    match e {
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::InvalidEmptyPayload
            | InvalidMessage::MessageTooLarge,
        ) => line("0A00010B", "wrong version number", "../ssl/record/ssl3_record.c:350"),
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. } => {
            line("0A0000F4", "unexpected message", "../ssl/statem/statem_srvr.c:312")
        }
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => line("0A000102", "unsupported protocol", "../ssl/statem/statem_srvr.c:1657"),
        Error::PeerIncompatible(
            PeerIncompatible::NoCipherSuitesInCommon | PeerIncompatible::NoKxGroupsInCommon,
        ) => line("0A0000C1", "no shared cipher", "../ssl/statem/statem_srvr.c:2220"),
        Error::AlertReceived(alert) => alert_words(*alert),
        other => format!("error:0A000000:SSL routines::{}", other.to_string().replace('\n', " ")),
    }
}

fn alert_words(alert: AlertDescription) -> String {
    let number: u8 = alert.into();
    let (name, place) = match number {
        40 => ("sslv3 alert handshake failure", ""),
        42 => ("sslv3 alert bad certificate", ""),
        43 => ("sslv3 alert unsupported certificate", ""),
        44 => ("sslv3 alert certificate revoked", ""),
        45 => ("sslv3 alert certificate expired", ""),
        46 => ("sslv3 alert certificate unknown", ""),
        47 => ("sslv3 alert illegal parameter", ""),
        48 => ("tlsv1 alert unknown ca", ""),
        49 => ("tlsv1 alert access denied", ""),
        50 => ("tlsv1 alert decode error", ""),
        51 => ("tlsv1 alert decrypt error", ""),
        70 => ("tlsv1 alert protocol version", ""),
        71 => ("tlsv1 alert insufficient security", ""),
        80 => ("tlsv1 alert internal error", ""),
        112 => ("tlsv1 unrecognized name", ""),
        116 => ("tlsv13 alert certificate required", ""),
        _ => ("alert", ""),
    };
    let code = 0x0A00_0000u32 + 1000 + u32::from(number);
    format!(
        "error:{code:08X}:SSL routines::{name}:../ssl/record/rec_layer_s3.c:1588:SSL alert number {number}{place}:"
    )
}
