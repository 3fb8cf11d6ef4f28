//! The file that `sendmail` hands to `postdrop`, `postdrop` puts into the maildrop folder, and pickup reads.
//!
//! A magic line, then records: type (one byte), length (LEB128, at most [`MAX_RECORD`]), bytes. The envelope comes
//! first, then content chunks in wire form, then the end record with the CRC-32 of all before it. `postdrop` copies
//! what it gets through [`MaildropReader`] into a [`MaildropWriter`], so nothing else than this grammar reaches the
//! folder; pickup parses it again, since the folder is writable for a whole group. Every length is bounded, nothing
//! panics, unknown envelope records are an error (writer and reader are installed together).
//! What only the system knows (the submitter's uid, the time) is not in the file: pickup takes them from its owner
//! and modification time. A file is taken when its owner has all of [`READY_MODE`]'s bits and its name does not start
//! with a dot; `postdrop` sets that mode (`fchmod`) last, after the file is complete and synced.

use crate::{BodyType, Notify, Recipient, Ret, codec};
use std::io::{self, Read, Write};

/// First bytes of each file.
pub const MAGIC: &[u8; 8] = b"HKMAIL1\n";
/// Mode of a complete file: the execute bit says that it is; pickup must be able to read it.
pub const READY_MODE: u32 = 0o744;
/// Longest record; content is cut into chunks of at most this size.
pub const MAX_RECORD: usize = 64 * 1024;
/// Upper bound for all envelope records together.
pub const MAX_ENVELOPE: usize = 32 * 1024 * 1024;

/// What `sendmail` was told on its command line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Maildrop {
    /// `-f`, or the submitter's login name; empty for the null sender. Unquoted form, not yet rewritten.
    pub sender: String,
    /// `-F`, `$NAME` or the GECOS field; for a missing `From:` header. Empty when unknown.
    pub full_name: String,
    /// Recipients, with the DSN options given by `-N`; `address` in unquoted form.
    pub recipients: Vec<Recipient>,
    /// `-V ENVID` (not `-XV`).
    pub envid: String,
    /// `-R`.
    pub ret: Option<Ret>,
    /// `-B`.
    pub body: BodyType,
    /// `-O SMTPUTF8` or an address that needs it.
    pub smtputf8: bool,
    /// `-t`: take recipients from the header too.
    pub recipients_from_header: bool,
    /// `-XV` with its delimiters (two characters), empty without VERP.
    pub verp: String,
    /// `-v`: report each delivery to the sender.
    pub report_delivery: bool,
    /// `-bv`: deliver nothing, report what would happen.
    pub verify_only: bool,
}

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
pub enum MaildropError {
    /// Reading or writing failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Not of this format, damaged, or cut off.
    #[error("malformed maildrop file: {0}")]
    Malformed(&'static str),
}

const SENDER: u8 = b'S';
const FULL_NAME: u8 = b'F';
const RECIPIENT: u8 = b'R';
const ENVID: u8 = b'V';
const OPTIONS: u8 = b'O';
const VERP: u8 = b'X';
const CONTENT: u8 = b'C';
const END: u8 = b'E';

/// Bits of the options record.
const RET_FULL: u64 = 1;
const RET_HDRS: u64 = 2;
const BODY_7BIT: u64 = 4;
const BODY_8BIT: u64 = 8;
const SMTPUTF8: u64 = 16;
const FROM_HEADER: u64 = 32;
const REPORT: u64 = 64;
const VERIFY: u64 = 128;
const ALL_OPTIONS: u64 = 255;

fn options(m: &Maildrop) -> u64 {
    let on = |yes: bool, bit: u64| if yes { bit } else { 0 };
    on(m.ret == Some(Ret::Full), RET_FULL)
        | on(m.ret == Some(Ret::Hdrs), RET_HDRS)
        | on(m.body == BodyType::SevenBit, BODY_7BIT)
        | on(m.body == BodyType::EightBitMime, BODY_8BIT)
        | on(m.smtputf8, SMTPUTF8)
        | on(m.recipients_from_header, FROM_HEADER)
        | on(m.report_delivery, REPORT)
        | on(m.verify_only, VERIFY)
}

fn set_options(m: &mut Maildrop, bits: u64) {
    let on = |bit: u64| bits & bit != 0;
    m.ret = if on(RET_FULL) { Some(Ret::Full) } else { on(RET_HDRS).then_some(Ret::Hdrs) };
    m.body = match (on(BODY_7BIT), on(BODY_8BIT)) {
        (true, false) => BodyType::SevenBit,
        (_, true) => BodyType::EightBitMime,
        _ => BodyType::Unknown,
    };
    m.smtputf8 = on(SMTPUTF8);
    m.recipients_from_header = on(FROM_HEADER);
    m.report_delivery = on(REPORT);
    m.verify_only = on(VERIFY);
}

/// Writes one file. Without [`MaildropWriter::finish`] the file is incomplete, and every reader says so.
pub struct MaildropWriter<W: Write> {
    out: W,
    crc: crc32fast::Hasher,
    content_len: u64,
    at_line_start: bool,
    after_cr: bool,
}

impl<W: Write> MaildropWriter<W> {
    /// Writes the envelope.
    pub fn new(out: W, envelope: &Maildrop) -> Result<Self, MaildropError> {
        let crc = crc32fast::Hasher::new();
        let mut w = Self { out, crc, content_len: 0, at_line_start: true, after_cr: false };
        w.put(MAGIC)?;
        w.record(SENDER, envelope.sender.as_bytes())?;
        w.optional(FULL_NAME, &envelope.full_name)?;
        w.optional(ENVID, &envelope.envid)?;
        w.optional(VERP, &envelope.verp)?;
        let mut bits = Vec::with_capacity(2);
        codec::put_uint(&mut bits, options(envelope));
        w.record(OPTIONS, &bits)?;
        for r in &envelope.recipients {
            w.record(RECIPIENT, &encode_recipient(r))?;
        }
        Ok(w)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), MaildropError> {
        self.crc.update(bytes);
        Ok(self.out.write_all(bytes)?)
    }

    fn record(&mut self, kind: u8, value: &[u8]) -> Result<(), MaildropError> {
        if value.len() > MAX_RECORD {
            return Err(MaildropError::Malformed("record too long"));
        }
        let mut head = Vec::with_capacity(4);
        head.push(kind);
        codec::put_uint(&mut head, value.len() as u64);
        self.put(&head)?;
        self.put(value)
    }

    fn optional(&mut self, kind: u8, value: &str) -> Result<(), MaildropError> {
        if value.is_empty() { Ok(()) } else { self.record(kind, value.as_bytes()) }
    }

    /// Adds content in wire form: every line ends with CRLF, no bare LF (an error otherwise).
    pub fn content(&mut self, bytes: &[u8]) -> Result<(), MaildropError> {
        for chunk in bytes.chunks(MAX_RECORD) {
            self.after_cr = check_line_ends(chunk, self.after_cr)?;
            self.at_line_start = chunk.ends_with(b"\n");
            self.content_len += chunk.len() as u64;
            self.record(CONTENT, chunk)?;
        }
        Ok(())
    }

    /// Bytes of content so far, in wire form.
    pub fn content_len(&self) -> u64 {
        self.content_len
    }

    /// Completes the last line and the file; the caller flushes and syncs.
    pub fn finish(mut self) -> Result<W, MaildropError> {
        if !self.at_line_start {
            let rest: &[u8] = if self.after_cr { b"\n" } else { b"\r\n" };
            self.content(rest)?;
        }
        let sum = self.crc.clone().finalize().to_le_bytes();
        self.record(END, &sum)?;
        Ok(self.out)
    }
}

/// Refuses a bare LF; says whether the chunk ends with CR. `after_cr`: the previous chunk did.
fn check_line_ends(chunk: &[u8], after_cr: bool) -> Result<bool, MaildropError> {
    let mut previous = if after_cr { b'\r' } else { 0 };
    for &b in chunk {
        if b == b'\n' && previous != b'\r' {
            return Err(MaildropError::Malformed("bare newline"));
        }
        previous = b;
    }
    Ok(previous == b'\r')
}

fn encode_recipient(r: &Recipient) -> Vec<u8> {
    let n = r.notify;
    let bits = [n.never, n.success, n.failure, n.delay];
    let mut out = vec![bits.iter().enumerate().map(|(i, &b)| u8::from(b) << i).sum::<u8>()];
    codec::put_uint(&mut out, r.orcpt.len() as u64);
    out.extend_from_slice(r.orcpt.as_bytes());
    out.extend_from_slice(r.address.as_bytes());
    out
}

fn decode_recipient(value: &[u8]) -> Result<Recipient, MaildropError> {
    const BAD: MaildropError = MaildropError::Malformed("recipient record");
    let (&bits, mut rest) = value.split_first().ok_or(BAD)?;
    let len = codec::take_uint(&mut rest).ok().and_then(|n| usize::try_from(n).ok()).ok_or(BAD)?;
    let (orcpt, address) = rest.split_at_checked(len).ok_or(BAD)?;
    if bits > 15 {
        return Err(BAD);
    }
    let on = |i: u8| bits >> i & 1 == 1;
    Ok(Recipient {
        address: text(address)?,
        orcpt: text(orcpt)?,
        notify: Notify { never: on(0), success: on(1), failure: on(2), delay: on(3) },
        ..Recipient::default()
    })
}

/// Text without control characters that could forge records, log lines or headers later.
fn text(value: &[u8]) -> Result<String, MaildropError> {
    let s = std::str::from_utf8(value).map_err(|_| MaildropError::Malformed("text is not UTF-8"))?;
    if s.contains(['\0', '\r', '\n']) {
        return Err(MaildropError::Malformed("control character in text"));
    }
    Ok(s.to_owned())
}

/// Reads one file: the envelope at once, the content in chunks.
pub struct MaildropReader<R: Read> {
    input: R,
    crc: crc32fast::Hasher,
    /// The first record after the envelope.
    pending: Option<(u8, Vec<u8>)>,
    after_cr: bool,
    last: u8,
    finished: bool,
}

impl<R: Read> MaildropReader<R> {
    /// Reads the envelope.
    pub fn open(input: R) -> Result<(Maildrop, Self), MaildropError> {
        let crc = crc32fast::Hasher::new();
        let mut r = Self { input, crc, pending: None, after_cr: false, last: b'\n', finished: false };
        let mut magic = [0; MAGIC.len()];
        r.fill(&mut magic)?;
        if magic != *MAGIC {
            return Err(MaildropError::Malformed("not a maildrop file"));
        }
        let mut m = Maildrop::default();
        let (mut total, mut sender, mut options) = (0usize, false, false);
        loop {
            let before = r.crc.clone();
            let (kind, value) = r.record()?;
            total += value.len() + 64;
            if total > MAX_ENVELOPE {
                return Err(MaildropError::Malformed("envelope too large"));
            }
            match kind {
                SENDER => (m.sender, sender) = (text(&value)?, true),
                OPTIONS => {
                    options = {
                        read_options(&mut m, &value)?;
                        true
                    }
                }
                FULL_NAME => m.full_name = text(&value)?,
                ENVID => m.envid = text(&value)?,
                VERP => m.verp = text(&value)?,
                RECIPIENT => m.recipients.push(decode_recipient(&value)?),
                CONTENT | END if sender && options => {
                    r.pending = Some((kind, value));
                    if kind == END {
                        r.crc = before;
                    }
                    return Ok((m, r));
                }
                _ => return Err(MaildropError::Malformed("unexpected record")),
            }
        }
    }

    /// The next chunk of content; `None` after the end record was seen and its checksum is right. A caller that
    /// stops earlier must not treat the message as complete.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, MaildropError> {
        if self.finished {
            return Ok(None);
        }
        let before = self.crc.clone();
        let ((kind, value), before) = match self.pending.take() {
            Some(p) => (p, before),
            None => (self.record()?, before),
        };
        match kind {
            CONTENT => {
                self.after_cr = check_line_ends(&value, self.after_cr)?;
                self.last = value.last().copied().unwrap_or(self.last);
                Ok(Some(value))
            }
            END => self.end(&value, &before).map(|()| None),
            _ => Err(MaildropError::Malformed("unexpected record")),
        }
    }

    fn end(&mut self, value: &[u8], before: &crc32fast::Hasher) -> Result<(), MaildropError> {
        if value != before.clone().finalize().to_le_bytes() {
            return Err(MaildropError::Malformed("checksum mismatch"));
        }
        if self.last != b'\n' {
            return Err(MaildropError::Malformed("incomplete last line"));
        }
        if self.input.read(&mut [0])? != 0 {
            return Err(MaildropError::Malformed("data after the end"));
        }
        self.finished = true;
        Ok(())
    }

    fn fill(&mut self, buf: &mut [u8]) -> Result<(), MaildropError> {
        self.input.read_exact(buf).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => MaildropError::Malformed("cut off"),
            _ => e.into(),
        })?;
        self.crc.update(buf);
        Ok(())
    }

    fn record(&mut self) -> Result<(u8, Vec<u8>), MaildropError> {
        let mut kind = [0];
        self.fill(&mut kind)?;
        let mut value = vec![0; self.length()?];
        self.fill(&mut value)?;
        let [kind] = kind;
        Ok((kind, value))
    }

    fn length(&mut self) -> Result<usize, MaildropError> {
        let mut n = 0usize;
        for shift in [0, 7, 14] {
            let mut b = [0u8];
            self.fill(&mut b)?;
            let [b] = b;
            n |= usize::from(b & 0x7f) << shift;
            if b & 0x80 == 0 {
                return if n <= MAX_RECORD {
                    Ok(n)
                } else {
                    Err(MaildropError::Malformed("record too long"))
                };
            }
        }
        Err(MaildropError::Malformed("record too long"))
    }
}

fn read_options(m: &mut Maildrop, mut value: &[u8]) -> Result<(), MaildropError> {
    let bits = codec::take_uint(&mut value).map_err(|_| MaildropError::Malformed("options"))?;
    if bits > ALL_OPTIONS || !value.is_empty() {
        return Err(MaildropError::Malformed("options"));
    }
    set_options(m, bits);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Maildrop {
        Maildrop {
            sender: "alice".into(),
            full_name: "Alice A.".into(),
            recipients: vec![
                Recipient {
                    address: "b c@example.com".into(),
                    orcpt: "rfc822;x@y".into(),
                    ..Default::default()
                },
                Recipient {
                    address: "ü@example.com".into(),
                    notify: Notify { success: true, delay: true, ..Default::default() },
                    ..Default::default()
                },
            ],
            envid: "id1".into(),
            ret: Some(Ret::Hdrs),
            body: BodyType::EightBitMime,
            smtputf8: true,
            recipients_from_header: true,
            verp: "+=".into(),
            report_delivery: true,
            verify_only: false,
        }
    }

    fn written(m: &Maildrop, content: &[u8]) -> Vec<u8> {
        let mut w = MaildropWriter::new(Vec::new(), m).unwrap();
        w.content(content).unwrap();
        w.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<(Maildrop, Vec<u8>), MaildropError> {
        let (m, mut r) = MaildropReader::open(bytes)?;
        let mut content = Vec::new();
        while let Some(c) = r.next_chunk()? {
            content.extend_from_slice(&c);
        }
        Ok((m, content))
    }

    #[test]
    fn round_trip() {
        for content in [&b""[..], b"Subject: x\r\n\r\nbody\rbare\r\n", &b"0123456789\r\n".repeat(20_000)] {
            for m in [sample(), Maildrop::default()] {
                let (m2, c2) = read(&written(&m, content)).unwrap();
                assert_eq!((&m2, &c2[..]), (&m, content));
            }
        }
    }

    #[test]
    fn last_line_is_completed() {
        assert_eq!(read(&written(&sample(), b"a")).unwrap().1, b"a\r\n");
        assert_eq!(read(&written(&sample(), b"a\r")).unwrap().1, b"a\r\n");
    }

    #[test]
    fn any_damage_is_seen() {
        let good = written(&sample(), b"Subject: x\r\n\r\nbody\r\n");
        for cut in 0..good.len() {
            assert!(read(&good[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x11;
            assert!(read(&bad).is_err(), "flip at {at}");
        }
        assert!(read(&[&good[..], b"x"].concat()).is_err());
    }

    #[test]
    fn bare_newline_is_refused() {
        let mut w = MaildropWriter::new(Vec::new(), &sample()).unwrap();
        assert!(w.content(b"a\nb\r\n").is_err());
        let mut w = MaildropWriter::new(Vec::new(), &sample()).unwrap();
        w.content(b"a\r").unwrap();
        w.content(b"\nb").unwrap();
        assert!(w.content(b"\n").is_err());
    }
}
