//! The header section of a message and where its body starts, read once for all methods.
//!
//! Bounded: a section with more than [`MAX_BYTES`] or [`MAX_FIELDS`] is not judged at all ([`Unreadable::TooLarge`]), so that memory and
//! time do not depend on the sender. The Received: field of this server, which the sender did not write, is left out.

use crate::canonical::{BodyHash, Canon};
use base_calls::Content;
use proto_message::{Header, HeaderStream, Limits, Sink};

/// The most bytes of a header section.
const MAX_BYTES: u64 = 1 << 20;
/// The most fields.
const MAX_FIELDS: usize = 10_000;
/// The most words of From: that are looked at.
const MAX_TOKENS: usize = 1000;
/// Bytes read at a time.
const CHUNK: usize = 64 << 10;

/// Why a message is not judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Its header section is too large.
    #[error("the header section is too large")]
    TooLarge,
    /// The spool cannot be read.
    #[error("the message cannot be read")]
    Io,
}

/// The header fields of a message, as they stand there.
#[derive(Debug, Default)]
pub struct Section {
    fields: Vec<Field>,
    /// Where the body starts.
    body: u64,
}

#[derive(Debug)]
pub(crate) struct Field {
    /// In lower case.
    pub name: String,
    /// All lines with the last CRLF.
    pub raw: Vec<u8>,
}

impl Field {
    /// What follows the colon.
    pub fn value(&self) -> &[u8] {
        Header::parse(&self.raw).map(|h| h.value()).unwrap_or_default()
    }
}

/// How a body is to be hashed: its form and `l=`.
pub(crate) type BodyForm = (Canon, Option<u64>);

struct Reading {
    section: Section,
    /// The first Received: is still to come.
    skip_received: bool,
    ended: bool,
    too_large: bool,
}

impl Sink for Reading {
    fn header(&mut self, header: Header<'_>) {
        self.section.body += header.raw().len() as u64;
        if self.section.fields.len() >= MAX_FIELDS || self.section.body > MAX_BYTES {
            self.too_large = true;
            return;
        }
        let name = String::from_utf8_lossy(header.name()).to_ascii_lowercase();
        if name == "received" && std::mem::take(&mut self.skip_received) {
            return;
        }
        self.section.fields.push(Field { name, raw: header.raw().to_vec() });
    }

    fn end_of_headers(&mut self, separator_missing: bool) {
        if !separator_missing {
            self.section.body += 2;
        }
        self.ended = true;
    }

    fn body(&mut self, _: &[u8]) {}
}

impl Section {
    /// Reads it; with `own_received`, the first Received: field is ours.
    pub fn read(content: &Content, own_received: bool) -> Result<Self, Unreadable> {
        let mut reading = Reading {
            section: Section::default(),
            skip_received: own_received,
            ended: false,
            too_large: false,
        };
        let mut stream = HeaderStream::new(Limits { header_size: 1 << 20, ..Limits::default() });
        let mut at = 0;
        while !reading.ended && !reading.too_large {
            let chunk = content.chunk(at, CHUNK).map_err(|_| Unreadable::Io)?;
            if chunk.is_empty() {
                stream.finish(&mut reading);
                break;
            }
            at += chunk.len() as u64;
            stream.push_headers(&chunk, &mut reading);
        }
        match reading.too_large {
            true => Err(Unreadable::TooLarge),
            false => Ok(reading.section),
        }
    }

    /// The values of all fields of a name (in lower case), from the top.
    pub fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s [u8]> + 's {
        self.named(name).map(Field::value)
    }

    /// All fields of a name (in lower case), from the top.
    pub(crate) fn named<'s>(&'s self, name: &'s str) -> impl DoubleEndedIterator<Item = &'s Field> + 's {
        self.fields.iter().filter(move |f| f.name == name)
    }

    /// The canonical form of the fields that `names` (in lower case) tell: of those with one name the last first (RFC 6376 5.4.2).
    pub(crate) fn selected<'n>(&self, names: impl Iterator<Item = &'n str>, canon: Canon) -> Vec<u8> {
        let mut left: std::collections::HashMap<&str, Vec<&Field>> = std::collections::HashMap::new();
        for field in &self.fields {
            left.entry(&field.name).or_default().push(field);
        }
        let mut out = Vec::new();
        for name in names {
            if let Some(field) = left.get_mut(name).and_then(Vec::pop) {
                canon.header(&field.raw, &mut out);
            }
        }
        out
    }

    /// The hashes of the body in each form, with the length of the whole canonical body. Lets other tasks run in between.
    pub(crate) async fn body_hashes(
        &self,
        content: &Content,
        forms: &[BodyForm],
    ) -> Result<Vec<(Vec<u8>, u64)>, Unreadable> {
        let mut hashes: Vec<_> = forms.iter().map(|(canon, limit)| BodyHash::new(*canon, *limit)).collect();
        let mut at = self.body;
        while !hashes.is_empty() {
            let chunk = content.chunk(at, CHUNK).map_err(|_| Unreadable::Io)?;
            if chunk.is_empty() {
                break;
            }
            at += chunk.len() as u64;
            for hash in &mut hashes {
                hash.push(&chunk);
            }
            tokio::task::yield_now().await;
        }
        Ok(hashes.into_iter().map(BodyHash::finish).collect())
    }

    /// The domain of the one address in From: (RFC 7489 6.6.1); `None`: there is none, or more than one.
    pub fn author_domain(&self) -> Option<String> {
        let mut from = self.named("from");
        let field = from.next().filter(|_| from.next().is_none())?;
        let text = String::from_utf8_lossy(field.value()).into_owned();
        let parsed = proto_address::Tree::parse(&text, MAX_TOKENS);
        let mut domains = parsed.addresses().filter_map(|a| Some(a.rsplit_once('@')?.1.to_lowercase()));
        let domain = domains.next()?;
        let domain = proto_address::to_ascii(domain.trim_end_matches('.'))?;
        domains.next().is_none().then_some(domain)
    }
}
