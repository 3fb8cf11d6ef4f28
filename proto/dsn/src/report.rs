//! A notice as a MIME multipart/report: text for people, fields for programs, the message or its header.
//!
//! RFC 6522 (multipart/report), RFC 3464 (message/delivery-status), RFC 6533 (the SMTPUTF8 forms). Output is in wire form (CRLF). The
//! returned message follows [`Report::head`] as the caller has it, then [`Report::tail`].

use crate::Status;
use std::fmt::Write;

/// Longest line of a folded reason (RFC 5322 2.1.1 recommends 78).
const LINE: usize = 79;
const INDENT: &str = "    ";

/// What of the message comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// All of it.
    Full,
    /// Its header.
    Headers,
}

/// One recipient of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRecipient {
    /// Address in external (quoted) form.
    pub address: String,
    /// Address as the client gave it, when it differs; empty otherwise.
    pub expanded_from: String,
    /// `type;address` of `Original-Recipient:`.
    pub original: String,
    /// `Action:`
    pub action: String,
    /// `Status:`
    pub status: Status,
    /// The human text.
    pub reason: String,
    /// Name for `Remote-MTA: dns;`.
    pub remote_mta: Option<String>,
    /// `Diagnostic-Code:` type and text.
    pub diagnostic: (String, String),
    /// `Will-Retry-Until:` date.
    pub retry_until: Option<String>,
}

/// Everything that stands in a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The part boundary.
    pub boundary: String,
    /// `$myhostname`.
    pub reporting_mta: String,
    /// `$mail_name`.
    pub mail_name: String,
    /// Queue id of the message.
    pub queue_id: String,
    /// Queue id of the notice.
    pub own_id: String,
    /// Date of the notice.
    pub date: String,
    /// Arrival date of the message.
    pub arrival: String,
    /// Sender of the message in external form.
    pub sender: String,
    /// `ENVID=`, empty when none.
    pub envid: String,
    /// `From:`
    pub from: String,
    /// `Subject:`
    pub subject: String,
    /// `To:` in external form.
    pub to: String,
    /// Message-ID of the message for `References:` and `In-Reply-To:`; empty for none.
    pub thread: String,
    /// `Auto-Submitted:` value: `auto-replied`, or `auto-generated` for postmaster.
    pub auto_submitted: String,
    /// `charset=` of the text.
    pub charset: String,
    /// The text, LF lines; empty in copies for postmaster.
    pub text: String,
    /// RFC 6533 forms.
    pub utf8: bool,
    /// `7bit` or `8bit`: what the message holds.
    pub encoding: &'static str,
    /// `Undelivered Message`, `Message` …
    pub description: &'static str,
    /// What comes back.
    pub returned: Returned,
    /// In the order of the envelope.
    pub recipients: Vec<ReportRecipient>,
}

impl Report {
    /// Everything in front of the returned message.
    pub fn head(&self) -> Vec<u8> {
        let mut out = String::with_capacity(2048);
        self.header(&mut out);
        self.people(&mut out);
        self.fields(&mut out);
        self.returned_header(&mut out);
        out.replace('\n', "\r\n").into_bytes()
    }

    /// Everything after it.
    pub fn tail(&self) -> Vec<u8> {
        format!("\r\n--{}--\r\n", self.boundary).into_bytes()
    }

    fn header(&self, out: &mut String) {
        let thread = match self.thread.as_str() {
            "" => String::new(),
            id => format!("References: {id}\nIn-Reply-To: {id}\n"),
        };
        let _ = write!(
            out,
            "Received: by {} ({})\n\tid {}; {}\nDate: {}\nFrom: {}\nSubject: {}\nTo: {}\n{thread}Auto-Submitted: {}\nMIME-Version: 1.0\n\
             Content-Type: multipart/report; report-type=delivery-status;\n\tboundary=\"{}\"\nContent-Transfer-Encoding: {}\n\n\
             This is a MIME-encapsulated message.\n",
            self.reporting_mta,
            self.mail_name,
            self.own_id,
            self.date,
            self.date,
            self.from,
            self.subject,
            self.to,
            self.auto_submitted,
            self.boundary,
            self.encoding
        );
    }

    fn people(&self, out: &mut String) {
        let _ = write!(
            out,
            "\n--{}\nContent-Description: Notification\nContent-Type: text/plain; charset={}\n\
             Content-Transfer-Encoding: {}\n\n{}",
            self.boundary, self.charset, self.encoding, self.text
        );
        for r in &self.recipients {
            let origin = match r.expanded_from.as_str() {
                "" => String::new(),
                from => format!(" (expanded from <{from}>)"),
            };
            out.push('\n');
            fold(&format!("<{}>{origin}: {}", r.address, r.reason), out);
        }
    }

    fn fields(&self, out: &mut String) {
        let kind = if self.utf8 {
            "global-delivery-status\nContent-Transfer-Encoding: 8bit"
        } else {
            "delivery-status"
        };
        let _ = write!(
            out,
            "\n--{}\nContent-Description: Delivery report\nContent-Type: message/{kind}\n\nReporting-MTA: dns; {}\n",
            self.boundary, self.reporting_mta
        );
        if !self.envid.is_empty() {
            fold(&format!("Original-Envelope-Id: {}", self.envid), out);
        }
        let _ = write!(
            out,
            "X-{0}-Queue-ID: {1}\nX-{0}-Sender: {2}; {3}\nArrival-Date: {4}\n",
            self.mail_name,
            self.queue_id,
            address_type(&self.sender, self.utf8),
            self.sender,
            self.arrival
        );
        for r in &self.recipients {
            self.recipient_fields(r, out);
        }
    }

    fn recipient_fields(&self, r: &ReportRecipient, out: &mut String) {
        let kind = address_type(&r.address, self.utf8);
        let _ = write!(out, "\nFinal-Recipient: {kind}; {}\n", r.address);
        if !r.original.is_empty() {
            let _ = writeln!(out, "Original-Recipient: {}", r.original);
        }
        let _ = write!(out, "Action: {}\nStatus: {}\n", r.action, r.status);
        if let Some(host) = &r.remote_mta {
            let _ = writeln!(out, "Remote-MTA: dns; {host}");
        }
        let (kind, text) = &r.diagnostic;
        fold(&format!("Diagnostic-Code: {kind}; {text}"), out);
        if let Some(date) = &r.retry_until {
            let _ = writeln!(out, "Will-Retry-Until: {date}");
        }
    }

    fn returned_header(&self, out: &mut String) {
        let (headers, kind) = match (self.returned, self.utf8) {
            (Returned::Full, false) => ("", "message/rfc822"),
            (Returned::Full, true) => ("", "message/global"),
            (Returned::Headers, false) => (" Headers", "text/rfc822-headers"),
            (Returned::Headers, true) => (" Headers", "message/global-headers"),
        };
        let _ = write!(
            out,
            "\n--{}\nContent-Description: {}{headers}\nContent-Type: {kind}\nContent-Transfer-Encoding: {}\n\nReturn-Path: <{}>\n",
            self.boundary, self.description, self.encoding, self.sender
        );
    }
}

/// The address type of RFC 3464 and RFC 6533.
fn address_type(address: &str, utf8: bool) -> &'static str {
    if utf8 && !address.is_ascii() { "utf-8" } else { "rfc822" }
}

/// Appends `text` in lines of at most [`LINE`] characters, broken at blanks; later lines are indented.
fn fold(text: &str, out: &mut String) {
    let mut column = 0;
    for (i, word) in text.trim_end().split([' ', '\n', '\r']).enumerate() {
        let width = word.chars().count();
        if i > 0 {
            if column + 1 + width > LINE {
                out.push('\n');
                out.push_str(INDENT);
                column = INDENT.len();
            } else {
                out.push(' ');
                column += 1;
            }
        }
        out.push_str(word);
        column += width;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        let mut out = String::new();
        fold(text, &mut out);
        out
    }

    #[test]
    fn reasons_fold_at_blanks() {
        assert_eq!(
            folded(
                "Diagnostic-Code: X-Postfix; connect to dead.example[198.51.100.77]:25: Connection refused"
            ),
            "Diagnostic-Code: X-Postfix; connect to dead.example[198.51.100.77]:25:\n    Connection refused\n"
        );
        assert_eq!(folded("short"), "short\n");
        assert_eq!(folded("blanks at the end "), "blanks at the end\n");
        let long = "x".repeat(200);
        assert_eq!(folded(&format!("a {long} b")), format!("a\n    {long}\n    b\n"));
    }

    #[test]
    fn address_types() {
        assert_eq!(address_type("j\u{fc}rgen@example.com", true), "utf-8");
        assert_eq!(address_type("j\u{fc}rgen@example.com", false), "rfc822");
        assert_eq!(address_type("a@b", true), "rfc822");
    }
}
