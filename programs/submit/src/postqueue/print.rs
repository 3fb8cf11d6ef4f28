//! The listing's two forms: the table of `mailq` and one JSON object per line (postqueue(1)).

use base_calls::listing::ListedMessage;
use base_calls::{QueueName, Timestamp, Wanted};
use base_conf::Config;
use proto_address::external;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Prints entries as they come.
pub struct Printer {
    wanted: Wanted,
    now: Timestamp,
    json: bool,
    long_ids: bool,
    null_sender: String,
    messages: u64,
    bytes: u64,
}

const SHORT_HEAD: &str = "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------";
const LONG_HEAD: &str = "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------";
/// Reasons end in this column.
const REASON_WIDTH: usize = 78;

impl Printer {
    /// A printer for this instance.
    pub fn new(cfg: &Config, json: bool, wanted: &Wanted) -> Self {
        let null_sender = cfg.str("empty_address_recipient").unwrap_or_else(|_| "MAILER-DAEMON".into());
        Self {
            wanted: wanted.clone(),
            now: Timestamp::now(),
            json,
            long_ids: cfg.bool("enable_long_queue_ids").unwrap_or(false),
            null_sender,
            messages: 0,
            bytes: 0,
        }
    }

    /// Prints one entry, if it is wanted.
    pub fn message(&mut self, m: &ListedMessage, out: &mut impl Write) -> io::Result<()> {
        if !self.wanted.matches(m, self.now) {
            return Ok(());
        }
        if self.json {
            return out.write_all(self.object(m).as_bytes());
        }
        if self.messages == 0 {
            writeln!(out, "{}", if self.long_ids { LONG_HEAD } else { SHORT_HEAD })?;
        }
        self.messages += 1;
        self.bytes += m.size;
        out.write_all(self.rows(m).as_bytes())
    }

    /// Prints what follows the last entry.
    pub fn end(&self, out: &mut impl Write) -> io::Result<()> {
        match self.messages {
            _ if self.json => Ok(()),
            0 => writeln!(out, "Mail queue is empty"),
            n => {
                let s = if n == 1 { "" } else { "s" };
                writeln!(out, "-- {} Kbytes in {n} Request{s}.", self.bytes / 1024)
            }
        }
    }

    fn rows(&self, m: &ListedMessage) -> String {
        let mark = match m.queue {
            QueueName::Active => "*",
            QueueName::Hold => "!",
            _ => "",
        };
        let id = format!("{}{mark}{}", m.id, if m.forced_expire { "#" } else { "" });
        let (time, sender) = (local_time(m.arrival), plain(&self.sender(m)));
        let mut text = match self.long_ids {
            true => format!("{id:<17} {:>8} {time} {sender}\n", m.size),
            false => format!("{id:<11}{:>8} {time}  {sender}\n", m.size),
        };
        let indent = if self.long_ids { 47 } else { 41 };
        let mut last: Option<&str> = None;
        let delayed = m.recipients.iter().filter(|r| r.1.is_some());
        for (address, reason) in delayed.chain(m.recipients.iter().filter(|r| r.1.is_none())) {
            if let Some(reason) = reason.as_deref().filter(|r| last != Some(*r)) {
                let _ = writeln!(text, "{:>REASON_WIDTH$}", format!("({})", plain(reason)));
            }
            last = reason.as_deref();
            let _ = writeln!(text, "{:indent$}{}", "", plain(&external(address)));
        }
        text.push('\n');
        text
    }

    fn sender<'a>(&'a self, m: &'a ListedMessage) -> Cow<'a, str> {
        if m.sender.is_empty() { Cow::Borrowed(&self.null_sender) } else { external(&m.sender) }
    }

    fn object(&self, m: &ListedMessage) -> String {
        let mut text = String::with_capacity(256);
        text.push_str("{\"queue_name\": ");
        quote(m.queue.as_str(), &mut text);
        text.push_str(", \"queue_id\": ");
        quote(&m.id, &mut text);
        let _ = write!(text, ", \"arrival_time\": {}, \"message_size\": {}", m.arrival.secs(), m.size);
        let _ = write!(text, ", \"forced_expire\": {}, \"sender\": ", m.forced_expire);
        quote(&self.sender(m), &mut text);
        text.push_str(", \"recipients\": [");
        for (i, (address, reason)) in m.recipients.iter().enumerate() {
            text.push_str(if i == 0 { "{\"address\": " } else { ", {\"address\": " });
            quote(&external(address), &mut text);
            if let Some(reason) = reason {
                text.push_str(", \"delay_reason\": ");
                quote(reason, &mut text);
            }
            text.push('}');
        }
        text.push_str("]}\n");
        text
    }
}

/// A JSON string.
fn quote(value: &str, out: &mut String) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Text from outside on a terminal: control characters become `?`.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// `Sat Nov 21 23:14:07` in local time.
fn local_time(t: Timestamp) -> String {
    let secs = i64::try_from(t.secs()).unwrap_or(i64::MAX);
    let Ok(t) = jiff::Timestamp::from_second(secs) else { return "?".repeat(19) };
    t.to_zoned(jiff::tz::TimeZone::system()).strftime("%a %b %e %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> ListedMessage {
        ListedMessage {
            queue: QueueName::Deferred,
            id: "ABCDE1234".into(),
            arrival: Timestamp::from_secs(1_700_000_000),
            size: 2233,
            forced_expire: false,
            sender: String::new(),
            recipients: vec![
                ("waits@x".into(), None),
                ("a@x".into(), Some("refused".into())),
                ("b@x".into(), Some("refused".into())),
                ("c@x".into(), Some("other \"reason\"".into())),
            ],
        }
    }

    fn printed(main: &str, json: bool, messages: &[ListedMessage]) -> String {
        let mut p = Printer::new(&Config::from_text(main), json, &Wanted::default());
        let mut out = Vec::new();
        messages.iter().for_each(|m| p.message(m, &mut out).expect("memory"));
        p.end(&mut out).expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn table() {
        let held = ListedMessage {
            queue: QueueName::Hold,
            forced_expire: true,
            sender: "s@\u{7}x".into(),
            recipients: vec![],
            ..message()
        };
        let time = local_time(message().arrival);
        assert_eq!(time.len(), 19);
        let want = format!(
            "{SHORT_HEAD}\n\
             ABCDE1234      2233 {time}  MAILER-DAEMON\n\
             {:>78}\n{pad}a@x\n{pad}b@x\n{:>78}\n{pad}c@x\n{pad}waits@x\n\n\
             ABCDE1234!#    2233 {time}  s@?x\n\n\
             -- 4 Kbytes in 2 Requests.\n",
            "(refused)",
            "(other \"reason\")",
            pad = " ".repeat(41)
        );
        assert_eq!(printed("enable_long_queue_ids = no", false, &[message(), held]), want);
    }

    #[test]
    fn long_ids() {
        let m = ListedMessage {
            id: "4jX8MW2CGGz9d".into(),
            sender: "a@b".into(),
            recipients: vec![("c@d".into(), None)],
            queue: QueueName::Active,
            ..message()
        };
        let time = local_time(m.arrival);
        let want = format!(
            "{LONG_HEAD}\n4jX8MW2CGGz9d*        2233 {time} a@b\n{}c@d\n\n-- 2 Kbytes in 1 Request.\n",
            " ".repeat(47)
        );
        assert_eq!(printed("enable_long_queue_ids = yes", false, &[m]), want);
    }

    #[test]
    fn empty() {
        assert_eq!(printed("", false, &[]), "Mail queue is empty\n");
        assert_eq!(printed("", true, &[]), "");
    }

    #[test]
    fn json() {
        let m = ListedMessage {
            recipients: vec![("a b@x".into(), None), ("b@x".into(), Some("why\t\u{1}".into()))],
            ..message()
        };
        assert_eq!(
            printed("", true, &[m]),
            "{\"queue_name\": \"deferred\", \"queue_id\": \"ABCDE1234\", \"arrival_time\": 1700000000, \"message_size\": 2233, \"forced_expire\": false, \"sender\": \"MAILER-DAEMON\", \"recipients\": [{\"address\": \"\\\"a b\\\"@x\"}, {\"address\": \"b@x\", \"delay_reason\": \"why\\t\\u0001\"}]}\n"
        );
    }
}
