//! The protocol between the worker (mail/deliver's courier client) and programs/courier on `private/courier`.
//!
//! A stream socket, one request at a time, many after each other. A request is a length (4 bytes, little-endian), the
//! encoded [`CourierRequest`], then the content when it is inline; when it is a file, the descriptor comes with the first
//! byte (SCM_RIGHTS, `base_sys::fds::send_with_fd`). The answer is a length and the encoded [`CourierAnswer`]. The
//! courier believes only what master.cf and main.cf say of `service`; the request names no user and no command. Either
//! end closes on [`Malformed`]; the recipients of a request without an answer are deferred by the worker.

use crate::{
    Diagnosis, Envelope, Target,
    codec::{
        Malformed, decode_diagnosis, decode_envelope, encode_diagnosis, encode_envelope, put_uint, take_uint,
    },
};
use proto_dsn::Status;

/// Longest request or answer without the content.
pub const MAX_FRAME: usize = 1 << 20;

/// Longest inline content; longer ones go as a file (the spool's, or `base_sys::fds::memory_file`).
pub const MAX_INLINE: u64 = 1 << 20;

/// Where the content of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentPlace {
    /// Right after the request.
    Inline {
        /// Its length, at most [`MAX_INLINE`].
        len: u64,
    },
    /// In the file whose descriptor came with the first byte.
    File {
        /// Where it starts.
        offset: u64,
        /// Its length.
        len: u64,
    },
}

/// Deposit one message for one or several recipients of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CourierRequest {
    /// Service name in master.cf; its command must be local, virtual or pipe.
    pub service: String,
    /// Next hop (pipe's `${nexthop}`).
    pub nexthop: String,
    /// Printed queue id (`${queue_id}`, log lines, the unique name in a Maildir).
    pub queue_id: String,
    /// The envelope, with only the recipients of this request, in the order of `targets`.
    pub envelope: Envelope,
    /// The recipients: index in the queued message's envelope, and resolved address.
    pub targets: Vec<Target>,
    /// For each target, the members of its alias that earlier attempts are done with ([`Deposit::member`]).
    pub done: Vec<Vec<String>>,
    /// The content.
    pub content: ContentPlace,
}

/// What became of one final address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Done; the text for the log: `delivered to mailbox`.
    Sent(Status, String),
    /// Try again later.
    Deferred(Diagnosis),
    /// Never.
    Failed(Diagnosis),
    /// Local(8) hands the address to another transport (`mailbox_transport`, `fallback_transport`): `transport:nexthop`.
    HandOver(String),
}

/// One final address of a recipient: what one `to=<…>` log line says. For plain recipients there is one and it is the
/// recipient itself; an alias has one for each local member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deposit {
    /// The address of the log line and of the notice (`<member>` "expanded from" `<alias>` when it differs).
    pub address: String,
    /// The member of an alias as it is told from others: the address in lower case; for a command or file also whose it is:
    /// `alias@domain |command`, `alias@domain /file`.
    pub member: String,
    /// What became of it.
    pub verdict: Verdict,
}

/// Members of an alias that are not delivered here: the worker submits the message anew (`Delivered-To:` on top, after
/// the Received: line) and logs the alias as `sent (forwarded as QUEUEID)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The alias address that was expanded: the `to=` of the log line.
    pub address: String,
    /// Envelope sender: the original one, or `owner-alias`.
    pub sender: String,
    /// Value of the `Delivered-To:` header to prepend.
    pub delivered_to: String,
    /// Recipients.
    pub recipients: Vec<String>,
}

/// The answer for one target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetAnswer {
    /// Index in the queued message's envelope.
    pub index: u32,
    /// Final addresses, in the order of delivery.
    pub deposits: Vec<Deposit>,
    /// What is to be forwarded; nothing was forwarded yet.
    pub forwards: Vec<Forward>,
    /// An alias or a .forward file stood in its place.
    pub expanded: bool,
}

/// The answer: one entry for each target. A target that is missing counts as deferred.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CourierAnswer {
    /// By target.
    pub targets: Vec<TargetAnswer>,
}

impl TargetAnswer {
    /// An answer for a recipient that is its own final address.
    pub fn single(index: u32, address: impl Into<String>, verdict: Verdict) -> Self {
        let address = address.into();
        let deposits = vec![Deposit { member: address.to_lowercase(), address, verdict }];
        Self { index, deposits, forwards: Vec::new(), expanded: false }
    }
}

fn put_bytes(out: &mut Vec<u8>, value: &[u8]) {
    put_uint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn put_nested(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::with_capacity(128);
    fill(&mut inner);
    put_bytes(out, &inner);
}

fn take_bytes<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let len = usize::try_from(take_uint(input)?).map_err(|_| Malformed)?;
    let (value, rest) = input.split_at_checked(len).ok_or(Malformed)?;
    *input = rest;
    Ok(value)
}

fn take_text(input: &mut &[u8]) -> Result<String, Malformed> {
    std::str::from_utf8(take_bytes(input)?).map(str::to_owned).map_err(|_| Malformed)
}

fn take_u32(input: &mut &[u8]) -> Result<u32, Malformed> {
    u32::try_from(take_uint(input)?).map_err(|_| Malformed)
}

/// A count of things of which each takes at least one byte.
fn take_count(input: &mut &[u8]) -> Result<usize, Malformed> {
    usize::try_from(take_uint(input)?).ok().filter(|&n| n <= input.len()).ok_or(Malformed)
}

fn take_list<T>(
    input: &mut &[u8],
    mut one: impl FnMut(&mut &[u8]) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    (0..take_count(input)?).map(|_| one(input)).collect()
}

fn all_read<T>(input: &[u8], value: T) -> Result<T, Malformed> {
    if input.is_empty() { Ok(value) } else { Err(Malformed) }
}

/// Puts the length before an encoded request or answer.
fn framed(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 4);
    out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(body);
    out
}

/// The length that a frame's first four bytes announce; an error when it is over [`MAX_FRAME`].
pub fn frame_len(header: [u8; 4]) -> Result<usize, Malformed> {
    usize::try_from(u32::from_le_bytes(header)).ok().filter(|&n| n <= MAX_FRAME).ok_or(Malformed)
}

impl CourierRequest {
    /// The frame: length and request. An error when it would be over [`MAX_FRAME`] or the parts do not fit each other.
    pub fn to_frame(&self) -> Result<Vec<u8>, Malformed> {
        let mut out = Vec::with_capacity(512);
        put_bytes(&mut out, self.service.as_bytes());
        put_bytes(&mut out, self.nexthop.as_bytes());
        put_bytes(&mut out, self.queue_id.as_bytes());
        put_nested(&mut out, |o| encode_envelope(&self.envelope, o));
        put_uint(&mut out, self.targets.len() as u64);
        for t in &self.targets {
            put_uint(&mut out, u64::from(t.index));
            put_bytes(&mut out, t.address.as_bytes());
        }
        let (kind, offset, len) = match self.content {
            ContentPlace::Inline { len } => (0, 0, len),
            ContentPlace::File { offset, len } => (1, offset, len),
        };
        for n in [kind, offset, len] {
            put_uint(&mut out, n);
        }
        put_uint(&mut out, self.done.len() as u64);
        for members in &self.done {
            put_uint(&mut out, members.len() as u64);
            members.iter().for_each(|m| put_bytes(&mut out, m.as_bytes()));
        }
        if out.len() > MAX_FRAME || !self.is_sound() {
            return Err(Malformed);
        }
        Ok(framed(&out))
    }

    /// Decodes a request without its length.
    pub fn parse(mut input: &[u8]) -> Result<Self, Malformed> {
        let input = &mut input;
        let request = Self {
            service: take_text(input)?,
            nexthop: take_text(input)?,
            queue_id: take_text(input)?,
            envelope: decode_envelope(take_bytes(input)?)?,
            targets: take_list(input, |i| Ok(Target { index: take_u32(i)?, address: take_text(i)? }))?,
            content: match (take_uint(input)?, take_uint(input)?, take_uint(input)?) {
                (0, 0, len) => ContentPlace::Inline { len },
                (1, offset, len) => ContentPlace::File { offset, len },
                _ => return Err(Malformed),
            },
            done: take_list(input, |i| take_list(i, take_text))?,
        };
        if !request.is_sound() {
            return Err(Malformed);
        }
        all_read(input, request)
    }

    fn is_sound(&self) -> bool {
        let inline_fits = match self.content {
            ContentPlace::Inline { len } => len <= MAX_INLINE,
            ContentPlace::File { offset, len } => offset.checked_add(len).is_some(),
        };
        let count = self.targets.len();
        inline_fits && count > 0 && count == self.envelope.recipients.len() && self.done.len() <= count
    }
}

fn put_verdict(out: &mut Vec<u8>, v: &Verdict) {
    match v {
        Verdict::Sent(status, text) => {
            put_uint(out, 1);
            put_bytes(out, status.to_string().as_bytes());
            put_bytes(out, text.as_bytes());
        }
        Verdict::Deferred(d) => {
            put_uint(out, 2);
            put_nested(out, |o| encode_diagnosis(d, o));
        }
        Verdict::Failed(d) => {
            put_uint(out, 3);
            put_nested(out, |o| encode_diagnosis(d, o));
        }
        Verdict::HandOver(to) => {
            put_uint(out, 4);
            put_bytes(out, to.as_bytes());
        }
    }
}

fn take_verdict(input: &mut &[u8]) -> Result<Verdict, Malformed> {
    Ok(match take_uint(input)? {
        1 => Verdict::Sent(take_text(input)?.parse().map_err(|_| Malformed)?, take_text(input)?),
        2 => Verdict::Deferred(decode_diagnosis(take_bytes(input)?)?),
        3 => Verdict::Failed(decode_diagnosis(take_bytes(input)?)?),
        4 => Verdict::HandOver(take_text(input)?),
        _ => return Err(Malformed),
    })
}

impl CourierAnswer {
    /// The frame: length and answer.
    pub fn to_frame(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        put_uint(&mut out, self.targets.len() as u64);
        for t in &self.targets {
            put_uint(&mut out, u64::from(t.index));
            put_uint(&mut out, t.deposits.len() as u64);
            for d in &t.deposits {
                put_bytes(&mut out, d.address.as_bytes());
                put_bytes(&mut out, d.member.as_bytes());
                put_verdict(&mut out, &d.verdict);
            }
            put_uint(&mut out, t.forwards.len() as u64);
            for f in &t.forwards {
                put_forward(&mut out, f);
            }
            put_uint(&mut out, u64::from(t.expanded));
        }
        framed(&out)
    }

    /// Decodes an answer without its length.
    pub fn parse(mut input: &[u8]) -> Result<Self, Malformed> {
        let input = &mut input;
        let targets = take_list(input, |i| {
            Ok(TargetAnswer {
                index: take_u32(i)?,
                deposits: take_list(i, |i| {
                    Ok(Deposit { address: take_text(i)?, member: take_text(i)?, verdict: take_verdict(i)? })
                })?,
                forwards: take_list(i, take_forward)?,
                expanded: take_uint(i)? != 0,
            })
        })?;
        all_read(input, Self { targets })
    }
}

fn put_forward(out: &mut Vec<u8>, f: &Forward) {
    put_bytes(out, f.address.as_bytes());
    put_bytes(out, f.sender.as_bytes());
    put_bytes(out, f.delivered_to.as_bytes());
    put_uint(out, f.recipients.len() as u64);
    for r in &f.recipients {
        put_bytes(out, r.as_bytes());
    }
}

fn take_forward(input: &mut &[u8]) -> Result<Forward, Malformed> {
    Ok(Forward {
        address: take_text(input)?,
        sender: take_text(input)?,
        delivered_to: take_text(input)?,
        recipients: take_list(input, take_text)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Recipient;

    fn request() -> CourierRequest {
        let recipient = Recipient { address: "alice@example.com".into(), ..Recipient::default() };
        CourierRequest {
            service: "local".into(),
            nexthop: "example.com".into(),
            queue_id: "4Yz1".into(),
            envelope: Envelope {
                sender: "a@example.net".into(),
                recipients: vec![recipient],
                ..Envelope::default()
            },
            targets: vec![Target { index: 3, address: "alice@example.com".into() }],
            done: vec![vec!["bob@example.com".into(), "|command".into()]],
            content: ContentPlace::File { offset: 512, len: 99 },
        }
    }

    fn answer() -> CourierAnswer {
        let deposit =
            |verdict| Deposit { address: "bob@example.com".into(), member: "|command".into(), verdict };
        CourierAnswer {
            targets: vec![TargetAnswer {
                index: 3,
                deposits: vec![
                    deposit(Verdict::Sent(Status::new(2, 0, 0), "delivered to mailbox".into())),
                    deposit(Verdict::Failed(Diagnosis::new(Status::new(5, 1, 1), "unknown user: \"x\""))),
                    deposit(Verdict::Deferred(Diagnosis::new(Status::new(4, 2, 2), "full"))),
                    deposit(Verdict::HandOver("smtp:[192.0.2.1]".into())),
                ],
                forwards: vec![Forward {
                    address: "list@example.com".into(),
                    sender: "owner-list@example.com".into(),
                    delivered_to: "list@example.com".into(),
                    recipients: vec!["x@example.org".into()],
                }],
                expanded: true,
            }],
        }
    }

    #[test]
    fn both_round_trip_and_no_part_of_them_does() {
        let frame = request().to_frame().unwrap();
        let (head, body) = frame.split_first_chunk::<4>().unwrap();
        assert_eq!(frame_len(*head).unwrap(), body.len());
        assert_eq!(CourierRequest::parse(body).unwrap(), request());
        for cut in 0..body.len() {
            assert!(CourierRequest::parse(&body[..cut]).is_err(), "{cut}");
        }
        let frame = answer().to_frame();
        let body = &frame[4..];
        assert_eq!(CourierAnswer::parse(body).unwrap(), answer());
        for cut in 0..body.len() {
            assert!(CourierAnswer::parse(&body[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_flipped_byte_never_panics() {
        let frame = request().to_frame().unwrap();
        for at in 4..frame.len() {
            for bit in 0..8 {
                let mut f = frame.clone();
                f[at] ^= 1 << bit;
                let _ = CourierRequest::parse(&f[4..]);
                let _ = CourierAnswer::parse(&f[4..]);
            }
        }
    }

    #[test]
    fn unsound_requests_are_not_sent() {
        let mut r = request();
        r.content = ContentPlace::Inline { len: MAX_INLINE + 1 };
        assert!(r.to_frame().is_err());
        let mut r = request();
        r.targets.clear();
        assert!(r.to_frame().is_err());
        assert!(frame_len([0xff; 4]).is_err());
    }
}
