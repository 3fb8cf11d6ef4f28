//! A message as the records of Postfix's queue file format, and their printed form (postcat(1)).
//!
//! Each record has a type letter, its text, and the offset that it would have in a queue file. Pure.

use super::Message;
use base_calls::{BodyType, ClientInfo, Envelope, Notify, Origin, Recipient, RecipientState, Ret, Timestamp};
use std::io::{self, Write};

/// Which parts to print.
#[derive(Debug, Clone, Copy)]
pub struct Show {
    /// `-e`
    pub envelope: bool,
    /// `-h`
    pub header: bool,
    /// `-b`
    pub body: bool,
}

/// How to print.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Parts.
    pub show: Show,
    /// `-d`: with the decimal record type.
    pub types: bool,
    /// `-o`: with the offset.
    pub offsets: bool,
    /// `-s`: from this offset on.
    pub from: u64,
}

/// What a record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Envelope,
    Header,
    Body,
}

struct Record {
    kind: u8,
    part: Part,
    text: Vec<u8>,
    /// Length of the data in a queue file.
    len: usize,
}

/// Attributes that stand among those of the client.
const SERVER: [&str; 2] = ["server_address", "server_port"];

/// The attribute that is a record of its own.
const FULL_NAME: &str = "full_name";

/// Length of the size record's data in a queue file.
const SIZE_LEN: usize = 95;

fn record(kind: u8, label: &str, value: &str) -> Record {
    let text = format!("{label}: {value}").into_bytes();
    Record { kind, part: Part::Envelope, text, len: value.len() }
}

fn attribute(name: &str, value: &str) -> Record {
    record(b'A', "named_attribute", &format!("{name}={value}"))
}

fn marker(kind: u8, label: &str, message: &Message) -> Record {
    let text = format!("*** {label} {}/{} ***", message.folder, message.id).into_bytes();
    Record { kind, part: Part::Envelope, text, len: 0 }
}

/// Prints the message.
pub fn show(message: &Message, view: &View, out: &mut impl Write) -> io::Result<()> {
    let contents = contents(&message.content);
    let data_len: u64 = contents.iter().map(size).sum();
    let envelope = envelope(message);
    let data_at = (2 + SIZE_LEN) as u64 + envelope.iter().map(size).sum::<u64>() + 2;
    let mut printer = Printer { out, view, at: 0 };
    printer.heading(&marker(b' ', "ENVELOPE RECORDS", message))?;
    printer.record(&size_record(message, data_len, data_at))?;
    for r in &envelope {
        printer.record(r)?;
    }
    printer.record(&marker(b'M', "MESSAGE CONTENTS", message))?;
    for r in &contents {
        printer.record(r)?;
    }
    printer.record(&marker(b'X', "HEADER EXTRACTED", message))?;
    if let Some(encoding) = encoding(message.envelope.body) {
        printer.record(&attribute("encoding", encoding))?;
    }
    printer.record(&marker(b'E', "MESSAGE FILE END", message))
}

struct Printer<'a, W> {
    out: &'a mut W,
    view: &'a View,
    at: u64,
}

impl<W: Write> Printer<'_, W> {
    /// A line without offset and type.
    fn heading(&mut self, r: &Record) -> io::Result<()> {
        if !self.view.show.envelope {
            return Ok(());
        }
        self.out.write_all(&r.text)?;
        self.out.write_all(b"\n")
    }

    fn record(&mut self, r: &Record) -> io::Result<()> {
        let at = self.at;
        self.at += size(r);
        let show = self.view.show;
        let wanted = match r.part {
            Part::Envelope => show.envelope,
            Part::Header => show.header,
            Part::Body => show.body,
        };
        if !wanted || at < self.view.from {
            return Ok(());
        }
        if self.view.offsets {
            write!(self.out, "{at:9} ")?;
        }
        if self.view.types {
            write!(self.out, "{:3} ", r.kind)?;
        }
        self.out.write_all(&r.text)?;
        self.out.write_all(b"\n")
    }
}

/// Bytes of a record in a queue file: type, length in base 128, data.
fn size(r: &Record) -> u64 {
    let mut len_bytes = 1;
    let mut rest = r.len >> 7;
    while rest > 0 {
        len_bytes += 1;
        rest >>= 7;
    }
    (1 + len_bytes + r.len) as u64
}

fn size_record(message: &Message, data_len: u64, data_at: u64) -> Record {
    let e = &message.envelope;
    let size = if e.size > 0 { e.size } else { data_len };
    let count = e.recipients.len();
    let utf8 = u8::from(e.smtputf8);
    let text = format!("message_size: {size:>15} {data_at:>15} {count:>15} {:>15} {size:>15} {utf8:>15}", 0);
    Record { kind: b'C', part: Part::Envelope, text: text.into_bytes(), len: SIZE_LEN }
}

fn envelope(message: &Message) -> Vec<Record> {
    let e = &message.envelope;
    let mut out = Vec::new();
    if !e.content_filter.is_empty() {
        out.push(record(b'L', "content_filter", &e.content_filter));
    }
    let time = ctime(e.arrival);
    let stored = format!("{:10} {:6}", e.arrival.secs(), e.arrival.micros()).len();
    out.push(Record { len: stored, ..record(b'T', "message_arrival_time", &time) });
    let stored = format!("create_time={}", e.arrival.secs()).len();
    out.push(Record { len: stored, ..record(b'A', "create_time", &time) });
    if e.origin == Origin::Smtpd {
        out.push(attribute("log_ident", &message.id));
    }
    out.push(attribute("rewrite_context", if e.rewrite_local { "local" } else { "remote" }));
    optional(&mut out, "envelope_id", &e.envid);
    if let Some(ret) = e.ret {
        out.push(attribute("ret_flags", if ret == Ret::Full { "1" } else { "2" }));
    }
    if let Some((_, name)) = e.attributes.iter().find(|(n, _)| n == FULL_NAME) {
        out.push(record(b'F', "sender_fullname", name));
    }
    out.push(record(b'S', "sender", &e.sender));
    if let Some(encoding) = encoding(e.body) {
        out.push(attribute("encoding", encoding));
    }
    if !e.verp.is_empty() {
        out.push(record(b'V', "verp_sender", &e.verp));
    }
    if e.origin == Origin::Smtpd {
        client(e, &mut out);
    }
    let elsewhere = |name: &str| SERVER.contains(&name) || name == FULL_NAME;
    for (name, value) in e.attributes.iter().filter(|(n, _)| !elsewhere(n)) {
        out.push(attribute(name, value));
    }
    for (i, r) in e.recipients.iter().enumerate() {
        recipient(r, message.progress.recipients.get(i), &mut out);
    }
    out
}

fn optional(out: &mut Vec<Record>, name: &str, value: &str) {
    if !value.is_empty() {
        out.push(attribute(name, value));
    }
}

fn encoding(body: BodyType) -> Option<&'static str> {
    match body {
        BodyType::Unknown => None,
        BodyType::SevenBit => Some("7bit"),
        BodyType::EightBitMime => Some("8bit"),
    }
}

fn client(e: &Envelope, out: &mut Vec<Record>) {
    let c: &ClientInfo = &e.client;
    let port = if c.port == 0 { "unknown".to_owned() } else { c.port.to_string() };
    let listed = |name: &str| e.attributes.iter().any(|(n, _)| n == name);
    out.push(attribute("log_client_name", &c.name));
    out.push(attribute("log_client_address", &c.addr));
    out.push(attribute("log_client_port", &port));
    out.push(attribute("log_message_origin", &format!("{}[{}]", c.name, c.addr)));
    optional(out, "log_helo_name", &c.helo);
    out.push(attribute("log_protocol_name", &c.protocol));
    out.push(attribute("client_name", &c.name));
    out.push(attribute("reverse_client_name", &c.reverse_name));
    out.push(attribute("client_address", &c.addr));
    out.push(attribute("client_port", &port));
    for (name, value) in e.attributes.iter().filter(|(n, _)| SERVER.contains(&n.as_str())) {
        out.push(attribute(name, value));
    }
    optional(out, "helo_name", &c.helo);
    out.push(attribute("protocol_name", &c.protocol));
    if !listed("client_address_type") {
        out.push(attribute("client_address_type", if c.addr.contains(':') { "10" } else { "2" }));
    }
    optional(out, "sasl_method", &c.sasl_method);
    optional(out, "sasl_username", &c.sasl_username);
    optional(out, "sasl_sender", &c.sasl_sender);
}

fn recipient(r: &Recipient, state: Option<&RecipientState>, out: &mut Vec<Record>) {
    let n: Notify = r.notify;
    let flags =
        u8::from(n.never) | u8::from(n.success) << 1 | u8::from(n.failure) << 2 | u8::from(n.delay) << 3;
    if flags != 0 {
        out.push(attribute("notify_flags", &flags.to_string()));
    }
    optional(out, "dsn_orig_rcpt", &r.orcpt);
    if !r.original.is_empty() {
        out.push(record(b'O', "original_recipient", &r.original));
    }
    match state {
        Some(RecipientState::Done) => out.push(record(b'D', "done_recipient", &r.address)),
        _ => out.push(record(b'R', "recipient", &r.address)),
    }
}

/// The content line by line, without the line ends.
fn contents(content: &[u8]) -> Vec<Record> {
    let mut part = Part::Header;
    let lines = content.split_inclusive(|b| *b == b'\n');
    lines
        .map(|line| {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if part == Part::Header && !is_header(line) {
                part = Part::Body;
            }
            Record { kind: b'N', part, text: line.to_vec(), len: line.len() }
        })
        .collect()
}

/// A header line, or the continuation of one.
fn is_header(line: &[u8]) -> bool {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return line.iter().any(|b| !b.is_ascii_whitespace());
    }
    let name = line.split(|b| *b == b':').next().unwrap_or_default();
    name.len() < line.len() && !name.is_empty() && name.trim_ascii_end().iter().all(|b| (33..127).contains(b))
}

fn ctime(t: Timestamp) -> String {
    let secs = i64::try_from(t.secs()).unwrap_or_default();
    let Ok(t) = jiff::Timestamp::from_second(secs) else { return "?".into() };
    t.to_zoned(jiff::tz::TimeZone::system()).strftime("%a %b %e %H:%M:%S %Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_calls::{Change, Progress, QueueName};

    fn message() -> Message {
        let envelope = Envelope {
            arrival: Timestamp(1_700_000_000_000_007),
            sender: "bob@example.com".into(),
            envid: "a+b".into(),
            ret: Some(Ret::Full),
            body: BodyType::EightBitMime,
            rewrite_local: true,
            client: ClientInfo {
                name: "localhost".into(),
                reverse_name: "localhost".into(),
                addr: "127.0.0.1".into(),
                port: 34706,
                helo: "c".into(),
                protocol: "ESMTP".into(),
                ..ClientInfo::default()
            },
            recipients: vec![
                Recipient {
                    address: "alice@example.com".into(),
                    original: "alice@example.com".into(),
                    orcpt: "rfc822;alice@example.com".into(),
                    notify: Notify { success: true, delay: true, ..Notify::default() },
                    id: 0,
                },
                Recipient { address: "done@example.com".into(), ..Recipient::default() },
            ],
            size: 337,
            ..Envelope::default()
        };
        let mut progress = Progress::new(2);
        progress.apply(&Change::Done(1));
        let content = b"Subject: one\r\nX-Long: aaaa\r\n\tbbbb\r\n\r\nline one\r\n.dot\r\n".to_vec();
        Message {
            id: "4ABCDE".into(),
            queue: QueueName::Hold,
            folder: "hold".into(),
            envelope,
            progress,
            content,
        }
    }

    fn check(options: &str, from: u64, expect: &str) {
        let has = |c| options.contains(c);
        let all = !(has('b') || has('e') || has('h'));
        let show_parts = Show { envelope: all || has('e'), header: all || has('h'), body: all || has('b') };
        let view = View { show: show_parts, types: has('d'), offsets: has('o'), from };
        let mut out = Vec::new();
        show(&message(), &view, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let text: Vec<&str> = text.lines().filter(|l| !l.contains("_time: ")).collect();
        assert_eq!(text.join("\n"), expect, "{options}");
    }

    #[test]
    fn parts() {
        check("h", 0, "Subject: one\nX-Long: aaaa\n\tbbbb");
        check("b", 0, "\nline one\n.dot");
        check("bh", 0, "Subject: one\nX-Long: aaaa\n\tbbbb\n\nline one\n.dot");
    }

    #[test]
    fn envelope_with_offsets() {
        let expect = "\
*** ENVELOPE RECORDS hold/4ABCDE ***
        0 message_size:             337             654               2               0             337               0
      140 named_attribute: log_ident=4ABCDE
      158 named_attribute: rewrite_context=local
      181 named_attribute: envelope_id=a+b
      198 named_attribute: ret_flags=1
      211 sender: bob@example.com
      228 named_attribute: encoding=8bit
      243 named_attribute: log_client_name=localhost
      270 named_attribute: log_client_address=127.0.0.1
      300 named_attribute: log_client_port=34706
      323 named_attribute: log_message_origin=localhost[127.0.0.1]
      364 named_attribute: log_helo_name=c
      381 named_attribute: log_protocol_name=ESMTP
      406 named_attribute: client_name=localhost
      429 named_attribute: reverse_client_name=localhost
      460 named_attribute: client_address=127.0.0.1
      486 named_attribute: client_port=34706
      505 named_attribute: helo_name=c
      518 named_attribute: protocol_name=ESMTP
      539 named_attribute: client_address_type=2
      562 named_attribute: notify_flags=10
      579 named_attribute: dsn_orig_rcpt=rfc822;alice@example.com
      619 original_recipient: alice@example.com
      638 recipient: alice@example.com
      657 done_recipient: done@example.com
      675 *** MESSAGE CONTENTS hold/4ABCDE ***
      730 *** HEADER EXTRACTED hold/4ABCDE ***
      732 named_attribute: encoding=8bit
      747 *** MESSAGE FILE END hold/4ABCDE ***";
        check("eo", 0, &expect.replace("654", "677"));
        check(
            "eod",
            747,
            "*** ENVELOPE RECORDS hold/4ABCDE ***\n      747  69 *** MESSAGE FILE END hold/4ABCDE ***",
        );
    }
}
