//! Postfix's queue files, as `postcat -od` shows them: records of a type letter, a length in groups of seven bits, and data.
//!
//! Reads the envelope up to the message (`M`), hands the content out in pieces, then the rest (`X` to `E`). A pointer record
//! (`p`, made when a milter changed something) goes on elsewhere in the file. Everything is bounded; a file that does not end
//! properly is an error.

use anyhow::{Context, Result, anyhow};
use base_calls::{BodyType, Envelope, Notify, Origin, Recipient, Ret, Timestamp};
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

/// Longest record.
const MAX_RECORD: u64 = 1 << 20;
/// Most pointer records that are followed.
const MAX_JUMPS: u32 = 100_000;
/// Bits of `trace_flags`, and the attributes that we have for them: a probe, `sendmail -bv`, `sendmail -v`.
const TRACE_FLAGS: [(u32, &str); 3] =
    [(0x100, "verify_probe"), (0x200, "verify_only"), (0x400, "report_delivery")];
/// Most recipients and attributes of a message.
const MAX_ITEMS: usize = 1_000_000;

/// A recipient and where its record stands: the bounce and defer logs name it by that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The recipient.
    pub recipient: Recipient,
    /// Nothing is left to deliver.
    pub done: bool,
    /// Offset in the file.
    pub offset: u64,
}

/// What a file says besides the content.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Without recipients.
    pub envelope: Envelope,
    /// Recipients in order.
    pub entries: Vec<Entry>,
    /// `sender_fullname`, of a maildrop file.
    pub full_name: String,
    /// The time of the delay warning, when there is to be one still.
    pub warns: bool,
    /// Who gets the message instead of its recipients.
    redirect: Option<String>,
    notify: Notify,
    orcpt: String,
    original: String,
    items: usize,
}

/// A queue file that is being read.
pub struct QueueFile<R: Read + Seek> {
    input: BufReader<R>,
    at: u64,
    jumps: u32,
}

impl<R: Read + Seek> QueueFile<R> {
    /// Starts at the beginning of `input`.
    pub fn new(input: R) -> Self {
        Self { input: BufReader::with_capacity(64 << 10, input), at: 0, jumps: 0 }
    }

    /// The next record: its type, offset and data.
    fn record(&mut self) -> Result<(u8, u64, Vec<u8>)> {
        loop {
            let start = self.at;
            let kind = self.byte()?;
            let len = self.length()?;
            let mut data = Vec::new();
            self.input.by_ref().take(len).read_to_end(&mut data)?;
            if data.len() as u64 != len {
                return Err(anyhow!("the file ends in a record"));
            }
            self.at += len;
            match kind {
                b'p' => self.jump(&data)?,
                // Room for later changes.
                b'w' => {}
                _ => return Ok((kind, start, data)),
            }
        }
    }

    fn byte(&mut self) -> Result<u8> {
        let next = self.input.fill_buf()?.first().copied();
        let byte = next.context("the file has no end record")?;
        self.input.consume(1);
        self.at += 1;
        Ok(byte)
    }

    fn length(&mut self) -> Result<u64> {
        let mut len = 0u64;
        for shift in (0..28).step_by(7) {
            let byte = self.byte()?;
            len |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return if len <= MAX_RECORD { Ok(len) } else { Err(anyhow!("a record is too long")) };
            }
        }
        Err(anyhow!("a length makes no sense"))
    }

    /// Zero goes on behind the pointer.
    fn jump(&mut self, data: &[u8]) -> Result<()> {
        let bad = || anyhow!("a pointer makes no sense");
        let to: u64 = std::str::from_utf8(data).map_err(|_| bad())?.trim().parse().map_err(|_| bad())?;
        if to == 0 {
            return Ok(());
        }
        self.jumps += 1;
        if self.jumps > MAX_JUMPS {
            return Err(bad());
        }
        self.at = self.input.seek(SeekFrom::Start(to))?;
        Ok(())
    }

    /// Everything before the message.
    pub fn envelope(&mut self, parsed: &mut Parsed) -> Result<()> {
        loop {
            let (kind, offset, data) = self.record()?;
            match kind {
                b'M' => return Ok(()),
                b'X' | b'E' => return Err(anyhow!("the file has no message")),
                _ => parsed.take(kind, offset, &data)?,
            }
        }
    }

    /// The message, line by line with CRLF; lines without an end come in pieces.
    pub fn content<E>(
        &mut self,
        mut each: impl FnMut(&[u8]) -> std::result::Result<(), E>,
    ) -> Result<std::result::Result<(), E>> {
        loop {
            let (kind, _, mut data) = self.record()?;
            match kind {
                b'N' => data.extend_from_slice(b"\r\n"),
                b'L' => {}
                b'X' => return Ok(Ok(())),
                b'E' => return Err(anyhow!("the message has no end")),
                _ => continue,
            }
            if let Err(e) = each(&data) {
                return Ok(Err(e));
            }
        }
    }

    /// Everything behind the message. From here on the recipients are complete.
    pub fn rest(&mut self, parsed: &mut Parsed) -> Result<()> {
        loop {
            let (kind, offset, data) = self.record()?;
            if kind == b'E' {
                parsed.redirect();
                return Ok(());
            }
            parsed.take(kind, offset, &data)?;
        }
    }

    /// Everything but the content, from the beginning on.
    pub fn all(&mut self, parsed: &mut Parsed) -> Result<()> {
        self.envelope(parsed)?;
        let Ok(()) = self.content(|_| Ok::<_, Infallible>(()))?;
        self.rest(parsed)
    }
}

impl Parsed {
    fn take(&mut self, kind: u8, offset: u64, data: &[u8]) -> Result<()> {
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err(anyhow!("too many records"));
        }
        let text = String::from_utf8_lossy(data).into_owned();
        let e = &mut self.envelope;
        match kind {
            b'C' => e.size = text.split_ascii_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0),
            b'T' => e.arrival = time(&text).context("the arrival time makes no sense")?,
            b'S' => e.sender = text,
            b'F' => self.full_name = text,
            b'V' => e.verp = text,
            b'L' => e.content_filter = text,
            b'O' => self.original = text,
            b'W' => self.warns = true,
            b'>' => self.redirect = Some(text),
            b'R' | b'D' => {
                let recipient = Recipient {
                    address: text,
                    original: std::mem::take(&mut self.original),
                    orcpt: std::mem::take(&mut self.orcpt),
                    notify: std::mem::take(&mut self.notify),
                    id: 0,
                };
                self.entries.push(Entry { recipient, done: kind == b'D', offset });
            }
            b'A' => {
                let (name, value) = text.split_once('=').context("an attribute has no value")?;
                self.attribute(name, value);
            }
            _ => {}
        }
        Ok(())
    }

    /// With a redirection one copy goes there, in the name of the first recipient that is not done.
    fn redirect(&mut self) {
        let Some(to) = self.redirect.take() else { return };
        let mut waiting = self.entries.iter_mut().filter(|e| !e.done);
        if let Some(first) = waiting.next() {
            first.recipient.address = to;
        }
        waiting.for_each(|e| e.done = true);
    }

    fn attribute(&mut self, name: &str, value: &str) {
        let e = &mut self.envelope;
        let flags = || value.parse::<u32>().unwrap_or(0);
        match name {
            "envelope_id" => e.envid = value.to_owned(),
            "ret_flags" => {
                e.ret = [None, Some(Ret::Full), Some(Ret::Hdrs)].get(flags() as usize).copied().flatten()
            }
            "encoding" => {
                e.body = if value == "8bit" { BodyType::EightBitMime } else { BodyType::SevenBit };
            }
            "smtputf8" => e.smtputf8 = flags() != 0,
            "rewrite_context" => e.rewrite_local = value == "local",
            "notify_flags" => {
                let has = |bit: u32| flags() & bit != 0;
                self.notify = Notify { never: has(1), success: has(2), failure: has(4), delay: has(8) };
            }
            "trace_flags" => {
                let set = |(bit, name): &(u32, &str)| {
                    (flags() & bit != 0).then(|| ((*name).to_owned(), "yes".to_owned()))
                };
                e.attributes.extend(TRACE_FLAGS.iter().filter_map(set));
            }
            "dsn_orig_rcpt" => self.orcpt = value.to_owned(),
            "log_ident" => e.origin = Origin::Smtpd,
            "client_name" => e.client.name = value.to_owned(),
            "reverse_client_name" => e.client.reverse_name = value.to_owned(),
            "client_address" => e.client.addr = value.to_owned(),
            "client_port" => e.client.port = value.parse().unwrap_or(0),
            "helo_name" => e.client.helo = value.to_owned(),
            "protocol_name" => e.client.protocol = value.to_owned(),
            "sasl_method" => e.client.sasl_method = value.to_owned(),
            "sasl_username" => e.client.sasl_username = value.to_owned(),
            "sasl_sender" => e.client.sasl_sender = value.to_owned(),
            // What is said by other means, or only about the old file.
            "create_time" | "log_message_origin" | "client_address_type" => {}
            _ => e.attributes.push((name.to_owned(), value.to_owned())),
        }
    }
}

/// `1795328264 754690`, or seconds alone.
fn time(text: &str) -> Option<Timestamp> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<u64>);
    let secs = numbers.next()?.ok()?;
    let micros = numbers.next().and_then(Result::ok).filter(|n| *n < 1_000_000).unwrap_or(0);
    secs.checked_mul(1_000_000).map(|t| Timestamp(t + micros))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use base_calls::Mode;
    use std::io::Cursor;

    fn record(kind: char, data: &str) -> Vec<u8> {
        let (mut out, mut len) = (vec![kind as u8], data.len());
        while len > 0x7f {
            out.push((len & 0x7f) as u8 | 0x80);
            len >>= 7;
        }
        out.push(len as u8);
        out.extend_from_slice(data.as_bytes());
        out
    }

    /// A file of such records.
    pub fn file(records: &[(char, &str)]) -> Vec<u8> {
        records.iter().flat_map(|(kind, data)| record(*kind, data)).collect()
    }

    /// The records of a message as Debian's Postfix wrote it.
    fn sample() -> Vec<u8> {
        let long = "y".repeat(300);
        file(&[
            (
                'C',
                "            496             776               2              24             496               0",
            ),
            ('T', "1795328264 754690"),
            ('A', "create_time=1795328264"),
            ('A', "log_ident=BCB472B"),
            ('A', "rewrite_context=local"),
            ('A', "envelope_id=abc+x"),
            ('A', "ret_flags=2"),
            ('S', "bob@example.com"),
            ('A', "encoding=8bit"),
            ('A', "client_address=127.0.0.1"),
            ('A', "notify_flags=12"),
            ('A', "dsn_orig_rcpt=rfc822;x+y@example.com"),
            ('O', "x@example.com"),
            ('R', "alice@example.com"),
            ('D', "carol@example.com"),
            ('p', "              0"),
            ('M', ""),
            ('N', "Subject: x"),
            ('N', ""),
            ('L', &long),
            ('N', ".dot"),
            ('X', ""),
            ('A', "colour=blue"),
            ('E', ""),
        ])
    }

    fn read(bytes: &[u8]) -> Result<(Parsed, Vec<u8>)> {
        let mut file = QueueFile::new(Cursor::new(bytes));
        let (mut parsed, mut content) = (Parsed::default(), Vec::new());
        file.envelope(&mut parsed)?;
        let _: std::result::Result<(), Infallible> = file.content(|piece| {
            content.extend_from_slice(piece);
            Ok(())
        })?;
        file.rest(&mut parsed)?;
        Ok((parsed, content))
    }

    #[test]
    fn a_file_of_postfix() {
        let (p, content) = read(&sample()).expect("a whole file");
        let e = &p.envelope;
        assert_eq!((e.arrival, e.size), (Timestamp(1_795_328_264_754_690), 496));
        assert_eq!(
            (e.sender.as_str(), e.envid.as_str(), e.ret),
            ("bob@example.com", "abc+x", Some(Ret::Hdrs))
        );
        assert_eq!((e.body, e.rewrite_local, e.origin), (BodyType::EightBitMime, true, Origin::Smtpd));
        assert_eq!(e.attributes, [("colour".to_owned(), "blue".to_owned())]);
        let [alice, carol] = &p.entries[..] else { panic!("{:?}", p.entries) };
        assert_eq!((alice.done, carol.done), (false, true));
        let want = Notify { failure: true, delay: true, ..Notify::default() };
        assert_eq!((alice.recipient.notify, alice.recipient.original.as_str()), (want, "x@example.com"));
        assert_eq!(alice.recipient.orcpt, "rfc822;x+y@example.com");
        assert_eq!(sample()[alice.offset as usize], b'R');
        assert!(carol.recipient.notify.is_unset() && carol.recipient.original.is_empty());
        assert_eq!(content, format!("Subject: x\r\n\r\n{}.dot\r\n", "y".repeat(300)).as_bytes());
    }

    #[test]
    fn pointers_lead_elsewhere_and_never_in_circles() {
        let tail = file(&[('M', ""), ('X', ""), ('E', "")]);
        let head = record('S', "a@b");
        let to = head.len() + 17 + record('S', "wrong").len();
        let file = [head.clone(), record('p', &format!("{to:15}")), record('S', "wrong"), tail].concat();
        assert_eq!(read(&file).expect("read").0.envelope.sender, "a@b");
        let circle = [head.clone(), record('p', &format!("{:15}", head.len()))].concat();
        assert!(read(&circle).is_err());
    }

    #[test]
    fn a_redirection_replaces_all_recipients() {
        let check = |kinds: [char; 2], want: [(&str, bool); 2]| {
            let redirect = ('>', "carol@x");
            let records = [
                ('O', "al@x"),
                (kinds[0], "a@x"),
                (kinds[1], "b@x"),
                ('M', ""),
                ('X', ""),
                redirect,
                ('E', ""),
            ];
            let (p, _) = read(&file(&records)).expect("read");
            let got: Vec<_> = p.entries.iter().map(|e| (e.recipient.address.as_str(), e.done)).collect();
            assert_eq!(got, want);
            assert_eq!(p.entries[0].recipient.original, "al@x");
        };
        check(['R', 'R'], [("carol@x", false), ("b@x", true)]);
        check(['D', 'R'], [("a@x", true), ("carol@x", false)]);
        check(['D', 'D'], [("a@x", true), ("b@x", true)]);
    }

    #[test]
    fn messages_that_are_not_to_be_delivered_or_to_be_told_of() {
        for (flags, want) in
            [(0, Mode::Deliver), (0x100, Mode::Verify), (0x200, Mode::Verify), (0x400, Mode::Report)]
        {
            let records = [('A', &*format!("trace_flags={flags}")), ('M', ""), ('X', ""), ('E', "")];
            assert_eq!(read(&file(&records)).expect("read").0.envelope.mode(), want, "{flags}");
        }
        assert!(read(&file(&[('W', "1"), ('M', ""), ('X', ""), ('E', "")])).expect("read").0.warns);
    }

    #[test]
    fn cut_anywhere_is_an_error_and_nothing_worse() {
        let whole = sample();
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "{end}");
        }
    }
}
