//! What a session needs to know of the configuration and of its client; fixed until the next HELO, XCLIENT or STARTTLS.

use super::Limits;
use crate::{Keyword, Keywords};

/// Settings of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `myhostname`.
    pub hostname: String,
    /// Keywords for EHLO, without those discarded for this client.
    pub offer: Keywords,
    /// Keywords that `smtpd_discard_ehlo_keywords` took away: what they stand for is refused.
    pub discarded: Keywords,
    /// `message_size_limit`; 0: none.
    pub size_limit: u64,
    /// `smtpd_helo_required`.
    pub helo_required: bool,
    /// `strict_rfc821_envelopes`.
    pub strict_envelopes: bool,
    /// `smtputf8_enable`.
    pub smtputf8: bool,
    /// `strict_smtputf8`.
    pub strict_smtputf8: bool,
    /// `disable_vrfy_command`.
    pub disable_vrfy: bool,
    /// The client is in `smtpd_authorized_xclient_hosts`.
    pub xclient: bool,
    /// The client is in `smtpd_authorized_xforward_hosts`.
    pub xforward: bool,
    /// The client is in `smtpd_authorized_verp_clients`.
    pub verp: bool,
    /// `default_verp_delimiters` and `verp_delimiter_filter`.
    pub verp_delimiters: (String, String),
    /// Clients can log in (RFC 4954).
    pub auth: Option<Auth>,
    /// STARTTLS is offered.
    pub starttls: bool,
    /// The session is encrypted.
    pub encrypted: bool,
    /// Without encryption there is no service (`smtpd_tls_security_level = encrypt`).
    pub must_encrypt: bool,
    /// Error and recipient limits.
    pub limits: Limits,
}

/// What EHLO says of AUTH.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Auth {
    /// Mechanisms with blanks between them; empty: AUTH works, but is not announced.
    pub mechanisms: String,
    /// `broken_sasl_auth_clients`: also with `=`.
    pub broken_clients: bool,
}

impl Settings {
    /// The names that XCLIENT takes.
    pub const XCLIENT: &[&str] =
        &["NAME", "ADDR", "PROTO", "HELO", "REVERSE_NAME", "PORT", "LOGIN", "DESTADDR", "DESTPORT"];
    /// The names that XFORWARD takes.
    pub const XFORWARD: &[&str] = &["NAME", "ADDR", "PROTO", "HELO", "SOURCE", "PORT", "IDENT"];

    /// The lines of the EHLO reply after the host name, in Postfix's order. A keyword whose feature is not there is
    /// not in [`Settings::offer`].
    pub fn ehlo_lines(&self) -> Vec<String> {
        let order = [
            Keyword::Pipelining,
            Keyword::Size,
            Keyword::Vrfy,
            Keyword::Etrn,
            Keyword::StartTls,
            Keyword::Auth,
            Keyword::Xverp,
            Keyword::Xclient,
            Keyword::Xforward,
            Keyword::EnhancedStatusCodes,
            Keyword::EightBitMime,
            Keyword::Dsn,
            Keyword::SmtpUtf8,
            Keyword::Chunking,
            Keyword::RequireTls,
        ];
        let mut lines = Vec::with_capacity(order.len());
        for k in order.into_iter().filter(|&k| self.announces(k)) {
            lines.push(self.ehlo_line(k));
            if let Some(auth) = self.auth.as_ref().filter(|a| k == Keyword::Auth && a.broken_clients) {
                lines.push(format!("AUTH={}", auth.mechanisms));
            }
        }
        lines
    }

    pub(super) fn announces(&self, k: Keyword) -> bool {
        let allowed = match k {
            Keyword::Xclient => self.xclient,
            Keyword::Xforward => self.xforward,
            Keyword::Xverp => self.verp,
            Keyword::SmtpUtf8 => self.smtputf8,
            Keyword::Vrfy => !self.disable_vrfy,
            Keyword::Auth => self.auth.as_ref().is_some_and(|a| !a.mechanisms.is_empty()),
            Keyword::StartTls => self.starttls && !self.encrypted,
            // RFC 8689 4.1: the client that says it has come over TLS.
            Keyword::RequireTls => self.encrypted,
            _ => true,
        };
        allowed && self.offer.has(k) && !self.discarded.has(k)
    }

    fn ehlo_line(&self, k: Keyword) -> String {
        match k {
            Keyword::Size if self.size_limit > 0 => format!("SIZE {}", self.size_limit),
            Keyword::Auth => format!("AUTH {}", self.auth.as_ref().map_or("", |a| &a.mechanisms)),
            Keyword::Xclient => format!("XCLIENT {}", Self::XCLIENT.join(" ")),
            Keyword::Xforward => format!("XFORWARD {}", Self::XFORWARD.join(" ")),
            _ => k.name().to_owned(),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hostname: "localhost".into(),
            offer: Keywords::of(&[
                Keyword::Pipelining,
                Keyword::Size,
                Keyword::Vrfy,
                Keyword::Etrn,
                Keyword::StartTls,
                Keyword::Auth,
                Keyword::Xverp,
                Keyword::Xclient,
                Keyword::Xforward,
                Keyword::EnhancedStatusCodes,
                Keyword::EightBitMime,
                Keyword::Dsn,
                Keyword::SmtpUtf8,
                Keyword::Chunking,
            ]),
            discarded: Keywords::NONE,
            size_limit: 10_240_000,
            helo_required: false,
            strict_envelopes: false,
            smtputf8: true,
            strict_smtputf8: false,
            disable_vrfy: false,
            xclient: false,
            xforward: false,
            verp: false,
            verp_delimiters: ("+=".into(), "-=+".into()),
            auth: None,
            starttls: false,
            encrypted: false,
            must_encrypt: false,
            limits: Limits::default(),
        }
    }
}
