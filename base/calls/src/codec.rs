//! The binary form of [`Envelope`] and [`Change`], as the spool stores them.
//!
//! A value is a run of fields: tag (one byte), length (LEB128, at most 2^32-1), bytes. Unknown tags are skipped, so a
//! newer writer's records are readable; a missing field has its default. Decoding bounds every length by the input
//! and never panics. Integers are LEB128. Tags are never reused.

use crate::{BodyType, Change, ClientInfo, Diagnosis, Envelope, Notify, Origin, Recipient, Ret, Timestamp};
use proto_dsn::Status;

/// The bytes are not what an encoder wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed queue record")]
pub struct Malformed;

/// Appends `n` as LEB128.
pub fn put_uint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Takes a LEB128 number off the front of `input`.
pub fn take_uint(input: &mut &[u8]) -> Result<u64, Malformed> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let (&b, rest) = input.split_first().ok_or(Malformed)?;
        *input = rest;
        let bits = u64::from(b & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(Malformed);
        }
        n |= bits << shift;
        if b & 0x80 == 0 {
            return Ok(n);
        }
    }
    Err(Malformed)
}

/// Writes fields.
struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn bytes(&mut self, tag: u8, value: &[u8]) {
        if !value.is_empty() {
            self.always(tag, value);
        }
    }

    fn always(&mut self, tag: u8, value: &[u8]) {
        self.0.push(tag);
        put_uint(self.0, value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn text(&mut self, tag: u8, value: &str) {
        self.bytes(tag, value.as_bytes());
    }

    fn uint(&mut self, tag: u8, value: u64) {
        if value != 0 {
            let mut b = Vec::with_capacity(10);
            put_uint(&mut b, value);
            self.always(tag, &b);
        }
    }

    fn nested(&mut self, tag: u8, fill: impl FnOnce(&mut Writer<'_>)) {
        let mut b = Vec::with_capacity(64);
        fill(&mut Writer(&mut b));
        self.always(tag, &b);
    }
}

/// Takes one field off the front.
fn take_field<'a>(input: &mut &'a [u8]) -> Result<(u8, &'a [u8]), Malformed> {
    let (&tag, rest) = input.split_first().ok_or(Malformed)?;
    *input = rest;
    let len = usize::try_from(take_uint(input)?).map_err(|_| Malformed)?;
    let (value, rest) = input.split_at_checked(len).ok_or(Malformed)?;
    *input = rest;
    Ok((tag, value))
}

fn text(value: &[u8]) -> Result<String, Malformed> {
    std::str::from_utf8(value).map(str::to_owned).map_err(|_| Malformed)
}

fn uint(mut value: &[u8]) -> Result<u64, Malformed> {
    let n = take_uint(&mut value)?;
    if value.is_empty() { Ok(n) } else { Err(Malformed) }
}

fn uint32(value: &[u8]) -> Result<u32, Malformed> {
    u32::try_from(uint(value)?).map_err(|_| Malformed)
}

/// Calls `each` for every field of `input`.
fn fields<'a>(
    mut input: &'a [u8],
    mut each: impl FnMut(u8, &'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    while !input.is_empty() {
        let (tag, value) = take_field(&mut input)?;
        each(tag, value)?;
    }
    Ok(())
}

/// Appends the encoded envelope to `out`.
pub fn encode_envelope(e: &Envelope, out: &mut Vec<u8>) {
    let mut w = Writer(out);
    w.uint(1, e.arrival.0);
    w.text(2, &e.sender);
    w.text(3, &e.envid);
    w.uint(4, e.ret.map_or(0, |r| if r == Ret::Full { 1 } else { 2 }));
    w.uint(
        5,
        match e.body {
            BodyType::Unknown => 0,
            BodyType::SevenBit => 1,
            BodyType::EightBitMime => 2,
        },
    );
    w.uint(6, u64::from(e.smtputf8));
    w.uint(
        7,
        match e.origin {
            Origin::Smtpd => 0,
            Origin::Pickup => 1,
            Origin::Internal => 2,
            Origin::Forwarded => 3,
        },
    );
    w.nested(8, |w| encode_client(&e.client, w));
    for r in &e.recipients {
        w.nested(9, |w| encode_recipient(r, w));
    }
    w.text(10, &e.content_filter);
    w.uint(11, u64::from(e.rewrite_local));
    w.text(12, &e.verp);
    w.uint(13, e.size);
    w.text(14, &e.submitter);
    w.text(15, &e.message_id);
    for (name, value) in &e.attributes {
        w.nested(16, |w| {
            w.text(1, name);
            w.text(2, value);
        });
    }
}

fn encode_client(c: &ClientInfo, w: &mut Writer<'_>) {
    w.text(1, &c.name);
    w.text(2, &c.reverse_name);
    w.text(3, &c.addr);
    w.uint(4, u64::from(c.port));
    w.text(5, &c.helo);
    w.text(6, &c.protocol);
    w.text(7, &c.sasl_method);
    w.text(8, &c.sasl_username);
    w.text(9, &c.sasl_sender);
}

fn encode_recipient(r: &Recipient, w: &mut Writer<'_>) {
    w.text(1, &r.address);
    w.text(2, &r.original);
    w.text(3, &r.orcpt);
    let n = r.notify;
    let bits = [n.never, n.success, n.failure, n.delay];
    w.uint(4, bits.iter().enumerate().map(|(i, &b)| u64::from(b) << i).sum());
    w.uint(5, u64::from(r.id));
}

/// Decodes an envelope.
pub fn decode_envelope(input: &[u8]) -> Result<Envelope, Malformed> {
    let mut e = Envelope::default();
    fields(input, |tag, v| {
        match tag {
            1 => e.arrival = Timestamp(uint(v)?),
            2 => e.sender = text(v)?,
            3 => e.envid = text(v)?,
            4 => {
                e.ret = match uint(v)? {
                    1 => Some(Ret::Full),
                    2 => Some(Ret::Hdrs),
                    _ => None,
                }
            }
            5 => {
                e.body = match uint(v)? {
                    1 => BodyType::SevenBit,
                    2 => BodyType::EightBitMime,
                    _ => BodyType::Unknown,
                }
            }
            6 => e.smtputf8 = uint(v)? != 0,
            7 => {
                e.origin = match uint(v)? {
                    1 => Origin::Pickup,
                    2 => Origin::Internal,
                    3 => Origin::Forwarded,
                    _ => Origin::Smtpd,
                }
            }
            8 => e.client = decode_client(v)?,
            9 => e.recipients.push(decode_recipient(v)?),
            10 => e.content_filter = text(v)?,
            11 => e.rewrite_local = uint(v)? != 0,
            12 => e.verp = text(v)?,
            13 => e.size = uint(v)?,
            14 => e.submitter = text(v)?,
            15 => e.message_id = text(v)?,
            16 => e.attributes.push(decode_attribute(v)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(e)
}

fn decode_client(input: &[u8]) -> Result<ClientInfo, Malformed> {
    let mut c = ClientInfo::default();
    fields(input, |tag, v| {
        match tag {
            1 => c.name = text(v)?,
            2 => c.reverse_name = text(v)?,
            3 => c.addr = text(v)?,
            4 => c.port = u16::try_from(uint(v)?).map_err(|_| Malformed)?,
            5 => c.helo = text(v)?,
            6 => c.protocol = text(v)?,
            7 => c.sasl_method = text(v)?,
            8 => c.sasl_username = text(v)?,
            9 => c.sasl_sender = text(v)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(c)
}

fn decode_recipient(input: &[u8]) -> Result<Recipient, Malformed> {
    let mut r = Recipient::default();
    fields(input, |tag, v| {
        match tag {
            1 => r.address = text(v)?,
            2 => r.original = text(v)?,
            3 => r.orcpt = text(v)?,
            4 => {
                let bits = uint(v)?;
                let on = |i: u32| bits >> i & 1 == 1;
                r.notify = Notify { never: on(0), success: on(1), failure: on(2), delay: on(3) };
            }
            5 => r.id = uint32(v)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(r)
}

fn decode_attribute(input: &[u8]) -> Result<(String, String), Malformed> {
    let mut pair = (String::new(), String::new());
    fields(input, |tag, v| {
        match tag {
            1 => pair.0 = text(v)?,
            2 => pair.1 = text(v)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(pair)
}

/// Appends the encoded diagnosis to `out`.
pub fn encode_diagnosis(d: &Diagnosis, out: &mut Vec<u8>) {
    let mut w = Writer(out);
    w.text(1, &d.status.to_string());
    w.text(2, &d.reason);
    if let Some(m) = &d.remote_mta {
        w.always(3, m.as_bytes());
    }
    if let Some((kind, code)) = &d.diagnostic {
        w.always(4, kind.as_bytes());
        w.always(5, code.as_bytes());
    }
    if let Some(a) = &d.action {
        w.always(6, a.as_bytes());
    }
    if let Some(a) = &d.address {
        w.always(7, a.as_bytes());
    }
    for one in &d.more {
        w.nested(8, |w| encode_diagnosis(&Diagnosis { more: Vec::new(), ..one.clone() }, w.0));
    }
    for member in &d.done {
        w.always(9, member.as_bytes());
    }
}

/// Decodes a diagnosis.
pub fn decode_diagnosis(input: &[u8]) -> Result<Diagnosis, Malformed> {
    decode_one_diagnosis(input, true)
}

/// `outer`: it may have others in it.
fn decode_one_diagnosis(input: &[u8], outer: bool) -> Result<Diagnosis, Malformed> {
    let mut d = Diagnosis::default();
    let mut kind = String::new();
    fields(input, |tag, v| {
        match tag {
            1 => d.status = text(v)?.parse::<Status>().map_err(|_| Malformed)?,
            2 => d.reason = text(v)?,
            3 => d.remote_mta = Some(text(v)?),
            4 => kind = text(v)?,
            5 => d.diagnostic = Some((std::mem::take(&mut kind), text(v)?)),
            6 => d.action = Some(text(v)?),
            7 => d.address = Some(text(v)?),
            9 => d.done.push(text(v)?),
            8 if outer => d.more.push(decode_one_diagnosis(v, false)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(d)
}

/// Appends one encoded change to `out`; several follow each other without separators.
pub fn encode_change(c: &Change, out: &mut Vec<u8>) {
    let number = |n: u64| {
        let mut b = Vec::with_capacity(10);
        put_uint(&mut b, n);
        b
    };
    let about = |i: u32, d: &Diagnosis| {
        let mut b = number(u64::from(i));
        encode_diagnosis(d, &mut b);
        b
    };
    let (tag, value) = match c {
        Change::Done(i) => (1, number(u64::from(*i))),
        Change::Delivered(i, d) => (2, about(*i, d)),
        Change::Failed(i, d) => (3, about(*i, d)),
        Change::Deferred(i, d) => (4, about(*i, d)),
        Change::RetryAt(t) => (5, number(t.0)),
        Change::DelayWarned => (6, Vec::new()),
        Change::Noticed => (7, Vec::new()),
        Change::Held(h) => (8, number(u64::from(*h))),
        Change::Expired(f) => (9, number(u64::from(*f))),
        Change::Requeued => (10, Vec::new()),
    };
    Writer(out).always(tag, &value);
}

/// Decodes a run of changes. Unknown kinds are skipped.
pub fn decode_changes(input: &[u8]) -> Result<Vec<Change>, Malformed> {
    let mut out = Vec::new();
    fields(input, |tag, v| {
        if let Some(change) = decode_change(tag, v)? {
            out.push(change);
        }
        Ok(())
    })?;
    Ok(out)
}

fn decode_change(tag: u8, mut v: &[u8]) -> Result<Option<Change>, Malformed> {
    let about = |v: &mut &[u8]| -> Result<(u32, Box<Diagnosis>), Malformed> {
        let i = u32::try_from(take_uint(v)?).map_err(|_| Malformed)?;
        Ok((i, Box::new(decode_diagnosis(v)?)))
    };
    Ok(Some(match tag {
        1 => Change::Done(uint32(v)?),
        2 => about(&mut v).map(|(i, d)| Change::Delivered(i, d))?,
        3 => about(&mut v).map(|(i, d)| Change::Failed(i, d))?,
        4 => about(&mut v).map(|(i, d)| Change::Deferred(i, d))?,
        5 => Change::RetryAt(Timestamp(uint(v)?)),
        6 => Change::DelayWarned,
        7 => Change::Noticed,
        8 => Change::Held(uint(v)? != 0),
        9 => Change::Expired(uint(v)? != 0),
        10 => Change::Requeued,
        _ => return Ok(None),
    }))
}
