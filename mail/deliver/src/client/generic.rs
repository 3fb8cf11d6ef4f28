//! `smtp_generic_maps`: addresses of this machine become public ones on the way out (generic(5)).
//!
//! Envelope and address headers; each address is looked up once. Only what is sent changes, the message in the queue does
//! not. A table that fails is an error: the delivery is tried again later.

use crate::Deps;
use base_calls::{Content, Delivery, Target};
use base_conf::{Config, Error};
use base_tables::{AddressForms, Maps, MatchKind, MatchList, TableError};
use bytes::Bytes;
use proto_address::{Tree, external, join, split_domain, with_extension};
use proto_message::{AddressHeader, Header};

/// Header bytes that are looked at; what follows goes out as it is.
const MAX_HEADER: usize = 1 << 20;
const CHUNK: usize = 64 * 1024;

/// The tables and what belongs to them.
pub(crate) struct Generic {
    maps: Maps,
    destinations: MatchList,
    origin: String,
    delimiters: String,
    propagate: bool,
    token_limit: usize,
}

/// What is sent of a message: maybe another header, then the content from some byte on.
pub(crate) struct Body<'a> {
    head: Bytes,
    content: &'a Content,
    from: u64,
}

/// A message with public addresses.
pub(crate) struct Public<'a> {
    pub sender: String,
    /// One for each target.
    pub recipients: Vec<String>,
    pub body: Body<'a>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GenericError {
    #[error("{} lookup error", .0.table)]
    Table(TableError),
    #[error("{0}")]
    Content(#[from] std::io::Error),
}

impl<'a> Body<'a> {
    /// The message as it is.
    pub fn whole(content: &'a Content) -> Self {
        Self { head: Bytes::new(), content, from: 0 }
    }

    /// Its length.
    pub fn len(&self) -> u64 {
        self.head.len() as u64 + self.content.len().saturating_sub(self.from)
    }

    /// Up to `max` bytes at `at`.
    pub fn chunk(&self, at: u64, max: usize) -> std::io::Result<Bytes> {
        let head = self.head.len() as u64;
        match usize::try_from(at) {
            Ok(at) if at < self.head.len() => {
                Ok(self.head.slice(at..self.head.len().min(at.saturating_add(max))))
            }
            _ => self.content.chunk(self.from + at.saturating_sub(head), max),
        }
    }
}

impl Generic {
    /// `None` without tables. `name` is the parameter.
    pub fn open(name: &str, cfg: &Config, deps: &Deps) -> Result<Option<Self>, Error> {
        let maps = Maps::open(&deps.tables, name, &cfg.str(name)?);
        if maps.is_empty() {
            return Ok(None);
        }
        let local = cfg.str("mydestination")?;
        Ok(Some(Self {
            maps,
            destinations: MatchList::open(&deps.tables, "mydestination", &local, MatchKind::Domain, false),
            origin: base_conf::computed::myorigin(cfg)?,
            delimiters: cfg.str("recipient_delimiter")?,
            propagate: cfg.list("propagate_unmatched_extensions")?.iter().any(|w| w == "generic"),
            token_limit: usize::try_from(cfg.int("header_address_token_limit")?).unwrap_or(usize::MAX),
        }))
    }

    /// The message as the world sees it.
    pub async fn public<'a>(
        &self,
        delivery: &'a Delivery,
        targets: &[&Target],
    ) -> Result<Public<'a>, GenericError> {
        let mut recipients = Vec::with_capacity(targets.len());
        for target in targets {
            recipients.push(self.address(target.address.clone()).await.map_err(GenericError::Table)?);
        }
        let sender = self.address(delivery.sender().to_owned()).await.map_err(GenericError::Table)?;
        Ok(Public { sender, recipients, body: self.body(&delivery.message.content).await? })
    }

    async fn address(&self, address: String) -> Result<String, TableError> {
        if address.is_empty() {
            return Ok(address);
        }
        let (local, domain) = split_domain(&address);
        let forms = AddressForms::rewriting(self.is_local(domain).await?);
        let Some((value, extension)) = self.maps.find_address(&address, &self.delimiters, forms).await?
        else {
            return Ok(address);
        };
        let Some(new) = Tree::parse(&value, self.token_limit).addresses().next() else { return Ok(address) };
        if let Some(domain) = new.strip_prefix('@').filter(|d| !d.is_empty()) {
            return Ok(join(local, Some(domain)));
        }
        Ok(match extension.filter(|_| self.propagate) {
            Some(extension) => with_extension(&new, &extension),
            None => new,
        })
    }

    async fn is_local(&self, domain: Option<&str>) -> Result<bool, TableError> {
        match domain {
            None => Ok(true),
            Some(d) if d.eq_ignore_ascii_case(&self.origin) => Ok(true),
            Some(d) => self.destinations.matches(d).await,
        }
    }

    /// The content with its address headers rewritten.
    async fn body<'a>(&self, content: &'a Content) -> Result<Body<'a>, GenericError> {
        let header = header_of(content)?;
        let mut head = Vec::with_capacity(header.len() + 256);
        for raw in logical(&header) {
            match self.header(raw).await.map_err(GenericError::Table)? {
                Some(new) => head.extend_from_slice(&new),
                None => head.extend_from_slice(raw),
            }
        }
        Ok(Body { head: head.into(), content, from: header.len() as u64 })
    }

    /// A header's new text, if it changes.
    async fn header(&self, raw: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        let Some(header) = Header::parse(raw) else { return Ok(None) };
        if !header.known().is_some_and(|k| k.sender || k.recipient) {
            return Ok(None);
        }
        let mut parsed = AddressHeader::parse(header.value(), self.token_limit);
        let mut changed = false;
        for mut address in parsed.addresses_mut() {
            let given = address.internal();
            let new = self.address(given.clone()).await?;
            if new != given {
                address.replace(&external(&new));
                changed = true;
            }
        }
        Ok(changed.then(|| parsed.print(header.name())))
    }
}

/// The header with the last header's line end, at most [`MAX_HEADER`] bytes of whole lines.
fn header_of(content: &Content) -> std::io::Result<Vec<u8>> {
    let mut seen = Vec::new();
    loop {
        let chunk = content.chunk(seen.len() as u64, CHUNK)?;
        seen.extend_from_slice(&chunk);
        if seen.starts_with(b"\r\n") {
            return Ok(Vec::new());
        }
        if let Some(end) = memchr::memmem::find(&seen, b"\r\n\r\n") {
            seen.truncate(end + 2);
            return Ok(seen);
        }
        if chunk.is_empty() || seen.len() >= MAX_HEADER {
            let whole = memchr::memmem::rfind(&seen, b"\r\n").map_or(0, |n| n + 2);
            seen.truncate(whole);
            return Ok(seen);
        }
    }
}

/// The header in pieces: each a line with its continuation lines.
fn logical(header: &[u8]) -> Vec<&[u8]> {
    let mut out = Vec::new();
    let mut start = 0;
    for end in memchr::memmem::find_iter(header, b"\r\n").map(|n| n + 2) {
        if !matches!(header.get(end), Some(b' ' | b'\t')) {
            out.extend(header.get(start..end));
            start = end;
        }
    }
    out.extend(header.get(start..).filter(|rest| !rest.is_empty()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, delivery_of};

    async fn check(main: &str, content: &str, expect: &[&str]) {
        let bench = Bench::new(main);
        let generic = Generic::open("smtp_generic_maps", &bench.config, &bench.deps).unwrap().unwrap();
        let delivery = delivery_of("x", &["bob@example.com", "x@example.org"], content);
        let targets: Vec<&Target> = delivery.targets.iter().collect();
        let public = generic.public(&delivery, &targets).await.unwrap();
        let mut text = public.sender.clone();
        text += &format!(" -> {}\n", public.recipients.join(", "));
        let mut at = 0;
        while at < public.body.len() {
            let chunk = public.body.chunk(at, 7).unwrap();
            at += chunk.len() as u64;
            text += std::str::from_utf8(&chunk).unwrap();
        }
        assert_eq!(text.replace("\r\n", "\n").lines().collect::<Vec<_>>(), expect, "{content}");
    }

    #[tokio::test]
    async fn envelope_and_headers() {
        let main = "mydestination = example.com\nrecipient_delimiter = +\npropagate_unmatched_extensions = generic\n\
            smtp_generic_maps = inline:{{s@example.com=me@isp.example},{bob@example.com=bob@isp.example},{@example.com=all@isp.example}}\n";
        check(
            main,
            "From: Me <s+tag@example.com>\r\nTo: x@example.org,\r\n bob@example.com\r\nSubject: s@example.com\r\n\r\nTo: s@example.com\r\n",
            &[
                "me@isp.example -> bob@isp.example, x@example.org",
                "From: Me <me+tag@isp.example>",
                "To: x@example.org, bob@isp.example",
                "Subject: s@example.com",
                "",
                "To: s@example.com",
            ],
        )
        .await;
        check(
            main,
            "\r\nonly a body\r\n",
            &["me@isp.example -> bob@isp.example, x@example.org", "", "only a body"],
        )
        .await;
        check(
            main,
            "Cc: y@example.com\r\n",
            &["me@isp.example -> bob@isp.example, x@example.org", "Cc: all@isp.example"],
        )
        .await;
    }
}
