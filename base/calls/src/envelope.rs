//! The envelope of a message: everything that is known of it apart from its content.

use crate::Timestamp;

/// What the content may hold (RFC 6152, postconf(5) `disable_mime_output_conversion`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyType {
    /// Not said by the client; treated as it looks.
    #[default]
    Unknown,
    /// `BODY=7BIT`, or seen to be pure ASCII.
    SevenBit,
    /// `BODY=8BITMIME`.
    EightBitMime,
}

/// `RET=` (RFC 3461 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ret {
    /// Return the whole message.
    Full,
    /// Return the header only.
    Hdrs,
}

/// `NOTIFY=` (RFC 3461 4.1); all false means that the client said nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Notify {
    /// `NEVER`.
    pub never: bool,
    /// `SUCCESS`.
    pub success: bool,
    /// `FAILURE`.
    pub failure: bool,
    /// `DELAY`.
    pub delay: bool,
}

impl Notify {
    /// No NOTIFY was given.
    pub fn is_unset(self) -> bool {
        self == Self::default()
    }

    /// Whether a failure is to be reported: asked for, or nothing was said (RFC 3461 4.1).
    pub fn wants_failure(self) -> bool {
        self.failure || self.is_unset()
    }

    /// Whether a delay is to be reported: asked for, or nothing was said.
    pub fn wants_delay(self) -> bool {
        self.delay || self.is_unset()
    }
}

/// How the message came in, for rewriting (`local_header_rewrite_clients`) and logging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// By SMTP.
    #[default]
    Smtpd,
    /// From the maildrop (`sendmail`).
    Pickup,
    /// Made by this server: notices, probes.
    Internal,
    /// Re-sent by local(8) for an alias or .forward file.
    Forwarded,
}

/// The client of a message: what `$client_name` … say, for XFORWARD, policy, milters and logs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientInfo {
    /// Verified host name, or `unknown`.
    pub name: String,
    /// Unverified PTR name, or `unknown`.
    pub reverse_name: String,
    /// Address without brackets, `IPv6:`-less; empty for local submission.
    pub addr: String,
    /// TCP port, 0 when there is none.
    pub port: u16,
    /// HELO/EHLO argument, empty when none was given.
    pub helo: String,
    /// `SMTP` or `ESMTP`.
    pub protocol: String,
    /// SASL method, login name and `AUTH=` sender (RFC 4954), empty without AUTH.
    pub sasl_method: String,
    /// SASL login name.
    pub sasl_username: String,
    /// `MAIL FROM … AUTH=`.
    pub sasl_sender: String,
}

/// One envelope recipient.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recipient {
    /// Address to deliver to, after rewriting and aliases.
    pub address: String,
    /// Address as the client gave it, before virtual aliases (`X-Original-To:`, `orig_to=`).
    pub original: String,
    /// `ORCPT=` (RFC 3461 4.2) as `type;xtext-decoded`; empty when none.
    pub orcpt: String,
    /// `NOTIFY=`.
    pub notify: Notify,
    /// Offset of this recipient's record, used only for display; 0 when unknown.
    pub id: u32,
}

/// Whether a message is to be delivered, and who is told how (sendmail(1) `-v`, `-bv`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Delivered.
    #[default]
    Deliver,
    /// Delivered, and each attempt is reported to the sender.
    Report,
    /// Not delivered: what would become of it is reported to the sender.
    Verify,
}

/// Everything known of a message besides its content. Immutable once queued; what happens later is a [`crate::Change`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envelope {
    /// When it came in (the start of the transaction, as Postfix counts delays).
    pub arrival: Timestamp,
    /// Return path; empty for the null sender.
    pub sender: String,
    /// `ENVID=` xtext-decoded; empty when none.
    pub envid: String,
    /// `RET=`.
    pub ret: Option<Ret>,
    /// `BODY=`.
    pub body: BodyType,
    /// The client said SMTPUTF8, or the message needs it.
    pub smtputf8: bool,
    /// Where it came from.
    pub origin: Origin,
    /// The client.
    pub client: ClientInfo,
    /// Recipients, in the order of arrival; a recipient is named by its index.
    pub recipients: Vec<Recipient>,
    /// `transport:nexthop` of content_filter or a FILTER action; empty when none.
    pub content_filter: String,
    /// `local` or `remote`: the rewriting context for headers (postconf(5) `local_header_rewrite_clients`).
    pub rewrite_local: bool,
    /// VERP delimiters (two characters), empty without VERP.
    pub verp: String,
    /// `size=` as Postfix counts content: see cleanup's size step.
    pub size: u64,
    /// Login or host that submitted it, for the trace (`sendmail` full name is in the header already).
    pub submitter: String,
    /// Message-ID header value, for the log and duplicates; empty when none.
    pub message_id: String,
    /// More named attributes (name, value), for milters, XFORWARD idents and filters that come later.
    pub attributes: Vec<(String, String)>,
}

/// The attribute of a message with a header beyond ASCII, its own or one of an attached message: with SMTPUTF8 it can
/// only go where that is offered.
pub const UTF8_HEADER: &str = "utf8_header";

/// The attribute of a message whose sender demands TLS all the way (REQUIRETLS, RFC 8689).
pub const REQUIRETLS: &str = "requiretls";

/// The attribute of a message whose sender wants it delivered even without TLS (`TLS-Required: no`, RFC 8689).
pub const TLS_OPTIONAL: &str = "tls_optional";

impl Envelope {
    /// Whether the sender demands TLS all the way.
    pub fn requires_tls(&self) -> bool {
        self.attribute(REQUIRETLS).is_some()
    }

    /// Whether the sender would rather have the message delivered than protected. REQUIRETLS overrules it (RFC 8689 4.1).
    pub fn tls_is_optional(&self) -> bool {
        self.attribute(TLS_OPTIONAL).is_some() && !self.requires_tls()
    }

    /// A named attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// An address verification probe.
    pub fn is_probe(&self) -> bool {
        self.attribute("verify_probe") == Some("yes")
    }

    /// By the attributes that pickup sets.
    pub fn mode(&self) -> Mode {
        let yes = |name| self.attribute(name) == Some("yes");
        if yes("verify_only") || self.is_probe() {
            Mode::Verify
        } else if yes("report_delivery") {
            Mode::Report
        } else {
            Mode::Deliver
        }
    }

    /// The sender for one recipient with VERP (postconf(5) `default_verp_delimiters`): `owner+user=domain@origin`.
    pub fn verp_sender(&self, recipient: &str) -> Option<String> {
        let mut delimiters = self.verp.chars();
        let (first, second) = (delimiters.next()?, delimiters.next()?);
        let (local, domain) = self.sender.rsplit_once('@')?;
        let mut out = format!("{local}{first}");
        match recipient.rsplit_once('@') {
            Some((user, host)) => out.extend([user, second.encode_utf8(&mut [0; 4]), host]),
            None => out.push_str(recipient),
        }
        Some(format!("{out}@{domain}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verp_senders() {
        let e = |sender: &str, verp: &str| Envelope {
            sender: sender.into(),
            verp: verp.into(),
            ..Envelope::default()
        };
        let check = |s, v, to, want: Option<&str>| {
            assert_eq!(e(s, v).verp_sender(to).as_deref(), want, "{s} {v} {to}")
        };
        check("list@a.b", "+=", "u1@c.d", Some("list+u1=c.d@a.b"));
        check("list@a.b", "-=", "u1", Some("list-u1@a.b"));
        check("list@a.b", "", "u1@c.d", None);
        check("", "+=", "u1@c.d", None);
    }

    #[test]
    fn modes() {
        let with =
            |name: &str| Envelope { attributes: vec![(name.into(), "yes".into())], ..Envelope::default() };
        assert_eq!(with("x").mode(), Mode::Deliver);
        assert_eq!(with("report_delivery").mode(), Mode::Report);
        assert_eq!(with("verify_only").mode(), Mode::Verify);
        assert_eq!(with("verify_probe").mode(), Mode::Verify);
    }
}
