//! `smtp_header_checks` and family, and the way from 8 bits to 7 for a server without 8BITMIME: what is done to content
//! while it is sent. header_checks(5) FILTERS WHILE DELIVERING MAIL, RFC 6152 3.
//!
//! The message in the queue stays as it is. A table that fails is an error: the delivery is tried again later.

use super::config::ClientConfig;
use crate::{Deps, report::Reporter};
use base_conf::{Config, Error};
use base_log::lines::ContentAction;
use base_tables::{Maps, TableError, Usage};
use proto_message::{
    Header, Limits,
    checks::{self, Action, Use},
    mime::{Class, Cut, MimeOptions, MimeStream, Piece, Pieces, Section},
};

/// The tables of a client service.
pub(crate) struct Checks {
    header: Maps,
    mime: Maps,
    nested: Maps,
    body: Maps,
    size_limit: u64,
    options: MimeOptions,
    /// `disable_mime_output_conversion`
    pub keep_eight_bit: bool,
}

impl Checks {
    /// Opens the tables; `prefix` is `smtp` or `lmtp`.
    pub fn open(prefix: &str, cfg: &Config, deps: &Deps) -> Result<Self, Error> {
        let maps = |suffix: &str| -> Result<Maps, Error> {
            let name = format!("{prefix}_{suffix}");
            Ok(Maps::open_for(&deps.tables, &name, &cfg.str(&name)?, Usage::CONTENT))
        };
        let count = |name: &str| -> Result<usize, Error> {
            Ok(usize::try_from(cfg.int(name)?.max(0)).unwrap_or(usize::MAX))
        };
        let body = maps("body_checks")?;
        let limits =
            Limits { header_size: count("header_size_limit")?, line_length: count("line_length_limit")? };
        let options = MimeOptions {
            limits,
            structure: true,
            convert: false,
            nesting: count("mime_nesting_limit")?,
            report_nesting: false,
            boundary: count("mime_boundary_length_limit")?,
            pieces: if body.is_empty() { Pieces::Any } else { Pieces::Lines },
            strict_headers: false,
            strict_body: false,
            strict_domain: false,
        };
        Ok(Self {
            header: maps("header_checks")?,
            mime: maps("mime_header_checks")?,
            nested: maps("nested_header_checks")?,
            body,
            size_limit: u64::try_from(count("body_checks_size_limit")?).unwrap_or(u64::MAX),
            options,
            keep_eight_bit: cfg.bool("disable_mime_output_conversion")?,
        })
    }

    fn is_empty(&self) -> bool {
        [&self.header, &self.mime, &self.nested, &self.body].into_iter().all(Maps::is_empty)
    }
}

/// Content on its way through the checks.
pub(crate) struct Filter<'a> {
    checks: &'a Checks,
    stream: MimeStream,
}

impl<'a> Filter<'a> {
    /// `None` when content goes out as it is. `convert`: the server takes 7 bits only, the message may have more.
    pub fn new(cfg: &'a ClientConfig, convert: bool) -> Option<Self> {
        let checks = &cfg.checks;
        let convert = convert && !checks.keep_eight_bit;
        if checks.is_empty() && !convert {
            return None;
        }
        Some(Self { checks, stream: MimeStream::new(MimeOptions { convert, ..checks.options }) })
    }

    /// More content; what is to be sent is appended to `out`.
    pub async fn push(
        &mut self,
        chunk: &[u8],
        log: &Reporter<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), TableError> {
        let mut cut = Cut::default();
        self.stream.push(chunk, &mut cut);
        self.pass(&cut, log, out).await
    }

    /// The end of the content.
    pub async fn finish(&mut self, log: &Reporter<'_>, out: &mut Vec<u8>) -> Result<(), TableError> {
        let mut cut = Cut::default();
        self.stream.finish(&mut cut);
        self.pass(&cut, log, out).await
    }

    async fn pass(&self, cut: &Cut, log: &Reporter<'_>, out: &mut Vec<u8>) -> Result<(), TableError> {
        for (piece, text) in cut.pieces() {
            match piece {
                Piece::Header(section) => {
                    self.check(self.header_maps(section, text), "header", text, log, out).await?;
                }
                Piece::Body(offset) if offset < self.checks.size_limit && !self.checks.body.is_empty() => {
                    self.check(&self.checks.body, "body", text, log, out).await?;
                }
                Piece::Body(_) => out.extend_from_slice(text),
                Piece::EndOfHeaders(true) => out.extend_from_slice(b"\r\n"),
                Piece::EndOfHeaders(false) | Piece::Error(_) => {}
            }
        }
        Ok(())
    }

    fn header_maps(&self, section: Section, text: &[u8]) -> &Maps {
        let id = Header::parse(text).and_then(|header| header.known()).map(|known| known.id);
        match section.class(id) {
            Class::Header => &self.checks.header,
            Class::Mime => &self.checks.mime,
            Class::Nested => &self.checks.nested,
        }
    }

    async fn check(
        &self,
        maps: &Maps,
        what: &str,
        text: &[u8],
        log: &Reporter<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), TableError> {
        let key = if maps.is_empty() { Vec::new() } else { checks::key(text) };
        let result = if key.is_empty() { None } else { maps.find_content(&key).await? };
        let used = Use { title: maps.title(), header: what == "header", delivering: true };
        let command = match result.map(|result| checks::parse(&result, used)) {
            None => {
                out.extend_from_slice(text);
                return Ok(());
            }
            Some(Err(complaint)) => {
                log.warning(&complaint);
                out.extend_from_slice(text);
                return Ok(());
            }
            Some(Ok(command)) => command,
        };
        if !command.word.is_empty() {
            let said = String::from_utf8_lossy(&command.text);
            let (action, content) = (command.word, key.as_slice());
            let id = log.delivery.message.id;
            let line = ContentAction { id, action, what, content, origin: "", context: &[], text: &said };
            log.identity.log.line(&log.source, &line);
        }
        match command.action {
            Action::Ignore | Action::Strip => {}
            Action::Replace(line) => out.extend_from_slice(&checks::wire(&line)),
            Action::Prepend(line) => {
                out.extend_from_slice(&checks::wire(&line));
                out.extend_from_slice(text);
            }
            _ => out.extend_from_slice(text),
        }
        Ok(())
    }
}
