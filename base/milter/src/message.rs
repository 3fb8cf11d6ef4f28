//! A whole message through the chain: headers, body and end, once for each milter; what one changes the next one sees.
//!
//! The header field Received: that this server has put on top is not shown, as Sendmail does. Content is read from the spool in pieces;
//! a piece of a new body goes back there at once.

use crate::{
    Chain,
    chain::{Edits, Warn},
};
use base_calls::{Content, Filtered};
use proto_message::{Header, HeaderStream, Limits, Sink};
use proto_milter::{BODY_CHUNK, Edit, Event, Verdict, steps};

/// Bytes of changes that one milter may ask for in one message, beside a new body.
pub const MAX_EDITS: usize = 16 << 20;

/// How many header fields a milter is told of.
const MAX_HEADERS: usize = 100_000;

/// Where the header fields of a message are.
#[derive(Default)]
struct Found {
    headers: Vec<Vec<u8>>,
    ended: bool,
    body: u64,
}

impl Sink for Found {
    fn header(&mut self, header: Header<'_>) {
        self.body += header.raw().len() as u64;
        if self.headers.len() < MAX_HEADERS {
            self.headers.push(header.raw().to_vec());
        }
    }

    fn end_of_headers(&mut self, separator_missing: bool) {
        self.ended = true;
        if !separator_missing {
            self.body += 2;
        }
    }

    fn body(&mut self, _: &[u8]) {}
}

pub(crate) async fn run(chain: &mut Chain, message: &mut dyn Filtered) -> Verdict {
    let mut held = false;
    for i in 0..chain.all.len() {
        let verdict = one(chain, i, message).await;
        match verdict {
            Verdict::Continue => {}
            Verdict::Hold => held = true,
            other => return other,
        }
        if let Some(refused) = message.finish_edits().await {
            return refused;
        }
    }
    if held { Verdict::Hold } else { Verdict::Continue }
}

async fn one(chain: &mut Chain, i: usize, message: &mut dyn Filtered) -> Verdict {
    chain.set("i", Some(message.queue_id()));
    chain.forget_empty("{mail_addr}");
    let (content, log) = (message.content(), message.log());
    let warn: Warn<'_> = &move |text: &str| log(text);
    let mut edits = Edits { message: Some(&mut *message), ..Edits::default() };
    let verdict = show(chain, i, &content, &mut edits, warn).await;
    let edits = edits.list;
    drop(content);
    if !matches!(verdict, Verdict::Continue | Verdict::Hold) {
        return verdict;
    }
    let mut held = verdict == Verdict::Hold;
    let spaces = chain.all.get(i).is_some_and(|m| m.keeps_spaces());
    for mut edit in edits {
        if !spaces {
            edit.add_space();
        }
        held |= matches!(edit, Edit::Quarantine(_));
        message.edit(edit).await;
    }
    if held { Verdict::Hold } else { Verdict::Continue }
}

async fn show(
    chain: &mut Chain,
    i: usize,
    content: &Content,
    edits: &mut Edits<'_>,
    warn: Warn<'_>,
) -> Verdict {
    let Ok(found) = headers(content) else { return unreadable() };
    let spaces = chain.all.get(i).is_some_and(|m| m.keeps_spaces());
    let mut own = true;
    for raw in &found.headers {
        let Some(header) = Header::parse(raw) else { continue };
        if own && header.name().eq_ignore_ascii_case(b"received") {
            own = false;
            continue;
        }
        let value = value(&header, spaces);
        let verdict =
            chain.exchange(i, &Event::Header { name: header.name(), value: &value }, edits, warn).await;
        if verdict != Verdict::Continue {
            return verdict;
        }
    }
    let mut verdict = chain.exchange(i, &Event::EndOfHeaders, edits, warn).await;
    let mut at = found.body;
    while verdict == Verdict::Continue {
        let Ok(chunk) = content.chunk(at, BODY_CHUNK) else { return unreadable() };
        if chunk.is_empty() {
            break;
        }
        at += chunk.len() as u64;
        verdict = chain.exchange(i, &Event::Body(&chunk), edits, warn).await;
    }
    if verdict != Verdict::Continue {
        return verdict;
    }
    chain.exchange(i, &Event::EndOfMessage, edits, warn).await
}

fn unreadable() -> Verdict {
    Verdict::Refuse("451 4.3.0 Error: queue file read error".to_owned())
}

fn headers(content: &Content) -> std::io::Result<Found> {
    let mut found = Found::default();
    let mut stream = HeaderStream::new(Limits { header_size: 1 << 20, ..Limits::default() });
    let mut at = 0;
    while !found.ended {
        let chunk = content.chunk(at, 64 << 10)?;
        if chunk.is_empty() {
            stream.finish(&mut found);
            found.body = content.len();
            break;
        }
        at += chunk.len() as u64;
        stream.push_headers(&chunk, &mut found);
    }
    Ok(found)
}

/// The value as milters see it: lines separated by LF; blanks in front only for those that asked for them.
fn value(header: &Header<'_>, spaces: bool) -> Vec<u8> {
    let raw = header.from_colon().get(1..).unwrap_or_default();
    let raw = raw.strip_suffix(b"\r\n").unwrap_or(raw);
    let start =
        if spaces { 0 } else { raw.iter().position(|b| !matches!(b, b' ' | b'\t')).unwrap_or(raw.len()) };
    let mut out = Vec::with_capacity(raw.len());
    let raw = raw.get(start..).unwrap_or_default();
    for (i, b) in raw.iter().enumerate() {
        if *b == b'\r' && raw.get(i + 1) == Some(&b'\n') {
            continue;
        }
        out.push(*b);
    }
    out
}

impl crate::chain::One {
    fn keeps_spaces(&self) -> bool {
        self.agreed().has(steps::LEADING_SPACE)
    }
}
