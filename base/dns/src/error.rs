//! Why a lookup gave no records, with the pieces of Postfix's error texts.

/// A lookup without an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The name does not exist (NXDOMAIN).
    #[error("Host not found")]
    NotFound,
    /// The name exists, without a record of this type.
    #[error("Host found but no data record of requested type")]
    NoData,
    /// No answer for now: time out, SERVFAIL, no server reachable. The field says what happened, for logs.
    #[error("Host not found, try again")]
    TempFail(String),
    /// The name cannot be asked for, or the answer makes no sense (a loop of aliases).
    #[error("Malformed or unexpected name server reply")]
    Invalid(String),
    /// The server refuses (REFUSED, NOTIMP, FORMERR).
    #[error("Non-recoverable error")]
    Refused(String),
    /// A reply filter dropped every record (`smtp_dns_reply_filter`).
    #[error("DNS reply filter drops all results")]
    Filtered,
    /// A reply filter gave no usable answer: its table failed, or holds an action that does not exist.
    #[error("Invalid DNS reply filter syntax")]
    FilterFailed,
}

impl DnsError {
    /// Postfix's whole text: `Host or domain name not found. Name service error for name=x type=MX: Host not found`.
    pub fn text(&self, name: &str, kind: &str) -> String {
        if self.is_our_filter() {
            return format!("Error looking up name={name} type={kind}: {self}");
        }
        format!("Host or domain name not found. Name service error for name={name} type={kind}: {self}")
    }

    /// The words of the C library's getaddrinfo, for lookups that Postfix leaves to it.
    pub fn native_text(&self) -> &'static str {
        match self {
            DnsError::TempFail(_) => "Temporary failure in name resolution",
            DnsError::NoData => "No address associated with hostname",
            _ => "Name or service not known",
        }
    }

    /// Worth trying again later.
    pub fn is_temporary(&self) -> bool {
        self.is_our_filter() || matches!(self, DnsError::TempFail(_))
    }

    /// A reply filter of ours says so, not DNS.
    pub fn is_our_filter(&self) -> bool {
        matches!(self, DnsError::Filtered | DnsError::FilterFailed)
    }

    /// The name or the record does not exist.
    pub fn is_absent(&self) -> bool {
        matches!(self, DnsError::NotFound | DnsError::NoData)
    }
}
