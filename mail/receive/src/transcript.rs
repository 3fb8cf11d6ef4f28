//! The transcript of a session, for the notice to postmaster (`notify_classes`, `error_notice_recipient`, `bounce_notice_recipient`).
//!
//! What went wrong before a message that was accepted is shown, but is no reason for a notice.
//! Lines are kept only while some class could ask for them, and at most [`MAX`] bytes.

use crate::connection::Connection;
use base_calls::{Envelope, Origin, Recipient, SubmitOptions, Timestamp};
use proto_smtp::Reply;
use std::fmt::Write;

/// The most that is kept of a session.
const MAX: usize = 16 * 1024;
/// Lines of the notice are wrapped before this column.
const WIDTH: usize = 80;

/// What is said of addresses that nobody has.
const NOBODY: [&str; 2] = [" rejected: User unknown in ", " rejected: User has moved to "];

/// Kinds of trouble.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Classes {
    bounce: bool,
    policy: bool,
    protocol: bool,
    resource: bool,
    software: bool,
}

impl Classes {
    fn any(self) -> bool {
        self != Self::default()
    }

    fn and(self, o: Self) -> Self {
        Self {
            bounce: self.bounce && o.bounce,
            policy: self.policy && o.policy,
            protocol: self.protocol && o.protocol,
            resource: self.resource && o.resource,
            software: self.software && o.software,
        }
    }
}

/// What was said so far.
pub(crate) struct Transcript {
    wanted: Classes,
    seen: Classes,
    /// The lines, each with its line end.
    text: String,
    /// What was said, also of what is not kept.
    bytes: usize,
    reason: &'static str,
    /// The reply at hand as it goes out; kept for its memory.
    wire: Vec<u8>,
}

impl Transcript {
    pub(crate) fn new(notify: &[String]) -> Self {
        let has = |name: &str| notify.iter().any(|n| n == name);
        let wanted = Classes {
            bounce: has("bounce"),
            policy: has("policy"),
            protocol: has("protocol"),
            resource: has("resource"),
            software: has("software"),
        };
        Self { wanted, seen: Classes::default(), text: String::new(), bytes: 0, reason: "", wire: Vec::new() }
    }

    pub(crate) fn client(&mut self, line: &[u8]) {
        if self.wanted.any() {
            self.push(" In:  ", &base_log::mask(&String::from_utf8_lossy(line)));
        }
    }

    pub(crate) fn server(&mut self, reply: &Reply) {
        if !self.wanted.any() {
            return;
        }
        self.classify(reply);
        let mut wire = std::mem::take(&mut self.wire);
        wire.clear();
        reply.write_to(&mut wire);
        for line in String::from_utf8_lossy(&wire).lines() {
            self.push(" Out: ", line);
        }
        self.wire = wire;
    }

    fn classify(&mut self, reply: &Reply) {
        let subject = reply.status.map_or((0, 0), |s| (s.subject(), s.detail()));
        let text = reply.lines.first().map_or("", String::as_str);
        match (reply.code, subject) {
            // 459: no list of that domain's mail is kept (ETRN).
            (..400 | 459, _) => {}
            _ if text.starts_with('<') && NOBODY.iter().any(|n| text.contains(n)) => self.seen.bounce = true,
            // A restriction about somebody: it is meant, whatever the reason.
            _ if text.starts_with('<') => self.seen.policy = true,
            (421, _) => self.seen.protocol = true,
            (_, (3, 5)) => self.seen.software = true,
            (..=499, (3, _)) => self.seen.resource = true,
            (501, (1, _)) | (_, (5, _)) => self.seen.protocol = true,
            // SIZE= over the limit.
            (552, (3, 4)) if text.starts_with("Message size ") => self.seen.policy = true,
            (_, (3, _)) => {}
            _ => self.seen.policy = true,
        }
    }

    /// A message was accepted.
    pub(crate) fn accepted(&mut self) {
        self.seen = Classes::default();
    }

    /// Something here does not work, whatever the reply looks like.
    pub(crate) fn local_trouble(&mut self) {
        self.seen.software = true;
    }

    /// The session did not end with QUIT.
    pub(crate) fn aborted(&mut self, reason: &'static str) {
        self.reason = reason;
    }

    fn push(&mut self, who: &str, line: &str) {
        self.bytes += who.len() + line.len();
        if self.bytes <= MAX {
            self.text.extend([who, line, "\n"]);
        }
    }

    fn is_due(&self) -> bool {
        self.wanted.and(self.seen).any()
    }

    fn text(&self) -> String {
        let mut out = String::from("Transcript of session follows.\r\n\r\n");
        for line in self.text.lines() {
            wrap(line, &mut out);
        }
        out.push_str("\r\n");
        if !self.reason.is_empty() {
            let _ = write!(out, "Session aborted, reason: {}\r\n", self.reason);
        }
        out.push_str("\r\nFor other details, see the local mail logfile\r\n");
        out
    }
}

/// Breaks a line at blanks; what follows is indented.
fn wrap(line: &str, out: &mut String) {
    let mut column = 0;
    for (i, word) in line.split(' ').enumerate() {
        let len = word.chars().count();
        if i > 0 && column + 1 + len >= WIDTH {
            out.truncate(out.trim_end_matches(' ').len());
            out.push_str("\r\n     ");
            column = 5;
        } else if i > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += len;
    }
    out.push_str("\r\n");
}

impl Connection {
    /// Sends the notice that is due.
    pub(crate) async fn notify(&mut self) {
        if !self.transcript.is_due() {
            return;
        }
        let config = std::sync::Arc::clone(&self.shared.config);
        let envelope = Envelope {
            arrival: Timestamp::now(),
            sender: format!("{}@{}", config.double_bounce_sender, config.myhostname),
            origin: Origin::Internal,
            rewrite_local: true,
            recipients: Vec::new(),
            ..Envelope::default()
        };
        let options = SubmitOptions { filter: config.filter_notices, ..SubmitOptions::INTERNAL };
        let Ok(mut message) = self.shared.deps.submit.open(envelope, options) else { return };
        let recipient = match self.transcript.seen.bounce {
            true => &config.bounce_notice_recipient,
            false => &config.error_notice_recipient,
        };
        message.recipient(Recipient {
            address: recipient.clone(),
            original: recipient.clone(),
            ..Recipient::default()
        });
        let date = Timestamp::now().mail_date();
        let (host, name, id, client) =
            (&config.myhostname, &config.mail_name, message.queue_id(), self.peer.namaddr());
        let address = |name: &str, address: &str| match config.header_from_obsolete {
            true => format!("{address} ({name})"),
            false => format!("{name} <{address}>"),
        };
        let from = address("Mail Delivery System", &format!("MAILER-DAEMON@{host}"));
        let to = address("Postmaster", &config.error_notice_recipient);
        let text = format!(
            "Received: by {host} ({name})\r\n\tid {id}; {date}\r\n\
             Date: {date}\r\n\
             From: {from}\r\n\
             To: {to}\r\n\
             Subject: {name} SMTP server: errors from {client}\r\n\r\n{}",
            self.transcript.text()
        );
        let _ = message.content(text.as_bytes()).await;
        // Cleanup has told the log why it failed.
        let _ = message.finish().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto_dsn::Status;

    #[test]
    fn wraps_like_the_original() {
        let mut out = String::new();
        wrap(
            " Out: 451 4.3.5 <c@example.net>: Sender address rejected: Server configuration error",
            &mut out,
        );
        wrap(
            " Out: 550 5.1.1 <nosuch@example.com>: Recipient address rejected: User unknown in local recipient table",
            &mut out,
        );
        assert_eq!(
            out,
            " Out: 451 4.3.5 <c@example.net>: Sender address rejected: Server configuration\r\n     error\r\n \
             Out: 550 5.1.1 <nosuch@example.com>: Recipient address rejected: User unknown\r\n     in local recipient table\r\n"
        );
    }

    #[test]
    fn classes() {
        let words = ["bounce", "policy", "protocol", "resource", "software"];
        for (said, class) in [
            ("250 2.0.0 Ok", ""),
            (
                "550 5.1.1 <x@example.com>: Recipient address rejected: User unknown in local recipient table",
                "bounce",
            ),
            (
                "550 5.1.6 <x@example.com>: Recipient address rejected: User has moved to y@example.com",
                "bounce",
            ),
            ("550 5.1.1 <x@example.com>: Recipient address rejected: undeliverable address: no", "policy"),
            ("550 5.1.1 no", "policy"),
            ("450 4.7.1 Service unavailable - try again later", "policy"),
            ("552 5.3.4 Message size exceeds fixed limit", "policy"),
            ("552 5.3.4 Error: message file too big", ""),
            ("459 <example.com>: service unavailable", ""),
            ("501 5.1.7 Bad sender address syntax", "protocol"),
            ("503 5.5.1 Error: need MAIL command", "protocol"),
            ("452 4.3.1 Insufficient system storage", "resource"),
            ("451 4.3.5 Server configuration error", "software"),
        ] {
            let mut t = Transcript::new(&words.map(str::to_owned));
            let (code, text) = said.split_once(' ').unwrap();
            let (status, text) = Status::split_prefix(text).map_or((None, text), |(s, rest)| (Some(s), rest));
            t.server(&Reply { status, ..Reply::plain(code.parse().unwrap(), text) });
            let seen = [t.seen.bounce, t.seen.policy, t.seen.protocol, t.seen.resource, t.seen.software];
            let names: Vec<&str> = words.into_iter().zip(seen).filter(|(_, s)| *s).map(|(w, _)| w).collect();
            assert_eq!(names.join(" "), class, "{said}");
            assert_eq!(t.is_due(), !class.is_empty());
            t.accepted();
            assert!(!t.is_due(), "{said}");
        }
    }

    #[test]
    fn classes_that_nobody_wants() {
        let mut t = Transcript::new(&["software".into()]);
        t.server(&Reply::new(550, Status::new(5, 7, 1), "no"));
        assert!(!t.is_due());
    }
}
