//! What tools ask of the worker over `private/control` (postsuper, postcat, `postfix explain`) and `public/qmgr`,
//! `public/flush` (postqueue), and what it answers.
//!
//! Each request and each reply is one frame ([`crate::wire`]). After a request come any number of replies, the last
//! of which is [`ControlReply::End`] or [`ControlReply::Error`]; then the next request may follow on the same
//! connection. A connection that closes earlier means that the server went away: nothing is known of the request.
//!
//! postsuper(1), postcat(1), postqueue(1).

use crate::codec::{self, Malformed};
use crate::{Change, Envelope, QueueName};

/// What to do with messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlAction {
    /// `postsuper -d`: remove.
    Delete,
    /// `postsuper -h`: put on hold.
    Hold,
    /// `postsuper -H`: release from hold.
    Release,
    /// `postsuper -r`: forget earlier attempts and resolve again.
    Requeue,
    /// `postsuper -e`: return to the sender at the next attempt.
    Expire,
    /// `postsuper -f`: the same, and release from hold.
    ExpireForced,
    /// `postqueue -i`: deliver now (`public/flush`).
    Deliver,
}

/// Which messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Select {
    /// One, by its printed queue id, in any queue of the list (empty: in any).
    Id(String, Vec<QueueName>),
    /// All in these queues (empty: all queues).
    All(Vec<QueueName>),
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlRequest {
    /// Do something; each message that was changed is answered with [`ControlReply::Done`].
    Act(ControlAction, Select),
    /// `postqueue -f`: try everything that waits now.
    FlushAll,
    /// `postqueue -s`, `ETRN`: try what waits for this domain now.
    FlushSite(String),
    /// `postcat -q`: one [`ControlReply::Message`], then [`ControlReply::Content`] until all is sent. No reply before
    /// the end when there is no such message.
    Cat(String),
    /// `postfix explain`: the last decisions (at most so many) about this queue id or address, each a [`ControlReply::Decision`].
    Explain(u32, String),
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlReply {
    /// This message was changed.
    Done {
        /// Its id as printed.
        id: String,
        /// The queue it was in.
        queue: QueueName,
    },
    /// A message: its id, queue, envelope, and what happened to it so far.
    Message(Box<ControlMessage>),
    /// A part of the content, in wire form.
    Content(Vec<u8>),
    /// A decision of the past, in the form of mail/restrict.
    Decision(Vec<u8>),
    /// The request failed after the replies so far; the text is for the user.
    Error(String),
    /// All done.
    End,
}

/// See [`ControlReply::Message`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ControlMessage {
    /// Id as printed.
    pub id: String,
    /// Queue.
    pub queue: QueueName,
    /// Envelope.
    pub envelope: Envelope,
    /// Its progress as a list of changes over the fresh state.
    pub changes: Vec<Change>,
    /// Length of the content that follows.
    pub content_len: u64,
}

const ACTIONS: [ControlAction; 7] = [
    ControlAction::Delete,
    ControlAction::Hold,
    ControlAction::Release,
    ControlAction::Requeue,
    ControlAction::Expire,
    ControlAction::ExpireForced,
    ControlAction::Deliver,
];
const QUEUES: [QueueName; 4] = [QueueName::Incoming, QueueName::Active, QueueName::Deferred, QueueName::Hold];

fn queue_bits(queues: &[QueueName]) -> u8 {
    queues.iter().filter_map(|q| QUEUES.iter().position(|p| p == q)).fold(0, |bits, i| bits | 1 << i)
}

fn queues(bits: u8) -> Vec<QueueName> {
    QUEUES.into_iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1).map(|(_, q)| q).collect()
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed)
}

impl ControlRequest {
    /// The payload of its frame.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Act(action, select) => {
                let action = ACTIONS.iter().position(|a| a == action).unwrap_or_default() as u8;
                let (kind, bits, id) = match select {
                    Select::Id(id, q) => (0, queue_bits(q), id.as_str()),
                    Select::All(q) => (1, queue_bits(q), ""),
                };
                [&[b'A', action, kind, bits], id.as_bytes()].concat()
            }
            Self::FlushAll => vec![b'F'],
            Self::FlushSite(site) => [b"S", site.as_bytes()].concat(),
            Self::Cat(id) => [b"C", id.as_bytes()].concat(),
            Self::Explain(most, what) => [b"X", &most.to_le_bytes()[..], what.as_bytes()].concat(),
        }
    }

    /// Decodes a frame's payload.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        match payload {
            [b'A', action, kind, bits, id @ ..] => {
                let action = *ACTIONS.get(usize::from(*action)).ok_or(Malformed)?;
                let select = match kind {
                    0 => Select::Id(text(id)?, queues(*bits)),
                    1 => Select::All(queues(*bits)),
                    _ => return Err(Malformed),
                };
                Ok(Self::Act(action, select))
            }
            [b'F'] => Ok(Self::FlushAll),
            [b'S', site @ ..] => Ok(Self::FlushSite(text(site)?)),
            [b'C', id @ ..] => Ok(Self::Cat(text(id)?)),
            [b'X', a, b, c, d, what @ ..] => {
                Ok(Self::Explain(u32::from_le_bytes([*a, *b, *c, *d]), text(what)?))
            }
            _ => Err(Malformed),
        }
    }
}

impl ControlReply {
    /// The payload of its frame.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Done { id, queue } => [&[b'D', queue_bits(&[*queue])], id.as_bytes()].concat(),
            Self::Message(m) => m.encode(),
            Self::Content(bytes) => [b"B", bytes.as_slice()].concat(),
            Self::Decision(bytes) => [b"X", bytes.as_slice()].concat(),
            Self::Error(text) => [b"E", text.as_bytes()].concat(),
            Self::End => vec![b'.'],
        }
    }

    /// Decodes a frame's payload.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        match payload {
            [b'D', bits, id @ ..] => {
                Ok(Self::Done { id: text(id)?, queue: *queues(*bits).first().ok_or(Malformed)? })
            }
            [b'M', rest @ ..] => Ok(Self::Message(Box::new(ControlMessage::decode(rest)?))),
            [b'B', bytes @ ..] => Ok(Self::Content(bytes.to_vec())),
            [b'X', bytes @ ..] => Ok(Self::Decision(bytes.to_vec())),
            [b'E', reason @ ..] => Ok(Self::Error(text(reason)?)),
            [b'.'] => Ok(Self::End),
            _ => Err(Malformed),
        }
    }
}

impl ControlMessage {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![b'M', queue_bits(&[self.queue])];
        codec::put_uint(&mut out, self.content_len);
        crate::wire::put_frame(&mut out, self.id.as_bytes());
        let mut envelope = Vec::new();
        codec::encode_envelope(&self.envelope, &mut envelope);
        crate::wire::put_frame(&mut out, &envelope);
        for change in &self.changes {
            codec::encode_change(change, &mut out);
        }
        out
    }

    fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let (&bits, mut rest) = payload.split_first().ok_or(Malformed)?;
        let queue = *queues(bits).first().ok_or(Malformed)?;
        let content_len = codec::take_uint(&mut rest)?;
        let id = text(crate::wire::take_frame(&mut rest, 64)?.ok_or(Malformed)?)?;
        let envelope = crate::wire::take_frame(&mut rest, crate::wire::MAX_FRAME)?.ok_or(Malformed)?;
        Ok(Self {
            id,
            queue,
            envelope: codec::decode_envelope(envelope)?,
            changes: codec::decode_changes(rest)?,
            content_len,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Diagnosis, Recipient};

    #[test]
    fn requests_round_trip() {
        let some = vec![QueueName::Incoming, QueueName::Hold];
        for r in [
            ControlRequest::Act(ControlAction::Delete, Select::Id("4ABC".into(), some.clone())),
            ControlRequest::Act(ControlAction::Deliver, Select::All(some)),
            ControlRequest::FlushAll,
            ControlRequest::FlushSite("example.com".into()),
            ControlRequest::Cat("4ABC".into()),
            ControlRequest::Explain(300, "192.0.2.1".into()),
        ] {
            assert_eq!(ControlRequest::decode(&r.encode()), Ok(r));
        }
        for junk in [&b""[..], b"A", b"A\x09\x00\x00x", b"A\x00\x02\x00", b"Fx", b"S\xff", b"?"] {
            assert_eq!(ControlRequest::decode(junk), Err(Malformed), "{junk:?}");
        }
    }

    #[test]
    fn replies_round_trip() {
        let message = ControlMessage {
            id: "4ABC".into(),
            queue: QueueName::Deferred,
            envelope: Envelope {
                sender: "a@b".into(),
                recipients: vec![Recipient { address: "c@d".into(), ..Recipient::default() }],
                ..Envelope::default()
            },
            changes: vec![Change::Deferred(0, Box::<Diagnosis>::default()), Change::DelayWarned],
            content_len: 300,
        };
        for r in [
            ControlReply::Done { id: "4ABC".into(), queue: QueueName::Active },
            ControlReply::Message(Box::new(message)),
            ControlReply::Content(vec![0, 1, 255]),
            ControlReply::Decision(vec![0, 1, 255]),
            ControlReply::Error("no".into()),
            ControlReply::End,
        ] {
            let wire = r.encode();
            assert_eq!(ControlReply::decode(&wire), Ok(r));
            for cut in 0..wire.len() {
                let _ = ControlReply::decode(&wire[..cut]);
            }
        }
    }
}
