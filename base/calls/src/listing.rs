//! One entry of the queue listing, as the worker streams it over `public/showq` and postqueue prints it.
//!
//! Each entry is one frame ([`crate::wire`]); an empty frame ends the listing, so that a listing cut off in the middle
//! is noticed. Unknown fields are skipped.
//!
//! showq(8), postqueue(1).

use crate::codec::{Malformed, put_uint, take_uint};
use crate::wire::{put_frame, take_frame};
use crate::{Diagnosis, Envelope, Progress, QueueId, QueueName, RecipientState, Timestamp};

/// A queued message as listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListedMessage {
    /// Queue.
    pub queue: QueueName,
    /// Id as printed.
    pub id: String,
    /// Arrival time.
    pub arrival: Timestamp,
    /// Size as Postfix counts it.
    pub size: u64,
    /// `postsuper -e` or `-f` was used.
    pub forced_expire: bool,
    /// Envelope sender; empty for the null sender.
    pub sender: String,
    /// Recipients that are not finished: address and the reason of the last delay.
    pub recipients: Vec<(String, Option<String>)>,
}

impl ListedMessage {
    /// The entry for a message. Reasons are left out while it is being delivered.
    pub fn new(queue: QueueName, id: QueueId, envelope: &Envelope, progress: &Progress) -> Self {
        let state = |i: usize| progress.recipients.get(i).unwrap_or(&RecipientState::Pending);
        let reason = |d: &Diagnosis| (queue != QueueName::Active).then(|| d.reason.clone());
        let open = |(i, r): (usize, &crate::Recipient)| match state(i) {
            RecipientState::Pending => Some((r.address.clone(), None)),
            RecipientState::Deferred(d) | RecipientState::Failed(d) => Some((r.address.clone(), reason(d))),
            RecipientState::Done | RecipientState::Delivered(_) => None,
        };
        Self {
            queue,
            id: id.to_string(),
            arrival: envelope.arrival,
            size: envelope.size,
            forced_expire: progress.expired.is_some(),
            sender: envelope.sender.clone(),
            recipients: envelope.recipients.iter().enumerate().filter_map(open).collect(),
        }
    }

    /// Appends its frame to `out`.
    pub fn put(&self, out: &mut Vec<u8>) {
        let mut b = Vec::with_capacity(128);
        b.push(QUEUES.iter().position(|q| *q == self.queue).unwrap_or_default() as u8);
        b.push(u8::from(self.forced_expire));
        put_uint(&mut b, self.arrival.0);
        put_uint(&mut b, self.size);
        put_frame(&mut b, self.id.as_bytes());
        put_frame(&mut b, self.sender.as_bytes());
        for (address, reason) in &self.recipients {
            b.push(u8::from(reason.is_some()));
            put_frame(&mut b, address.as_bytes());
            put_frame(&mut b, reason.as_deref().unwrap_or_default().as_bytes());
        }
        put_frame(out, &b);
    }

    /// Appends the frame that ends a listing.
    pub fn put_end(out: &mut Vec<u8>) {
        put_frame(out, b"");
    }

    /// Decodes a frame's payload; `None` for the end of the listing.
    pub fn decode(payload: &[u8]) -> Result<Option<Self>, Malformed> {
        let [queue, forced, rest @ ..] = payload else {
            return if payload.is_empty() { Ok(None) } else { Err(Malformed) };
        };
        let mut rest = rest;
        let mut m = Self {
            queue: *QUEUES.get(usize::from(*queue)).ok_or(Malformed)?,
            forced_expire: *forced != 0,
            arrival: Timestamp(take_uint(&mut rest)?),
            size: take_uint(&mut rest)?,
            id: text(&mut rest)?,
            sender: text(&mut rest)?,
            recipients: Vec::new(),
        };
        while let Some((&has_reason, after)) = rest.split_first() {
            rest = after;
            let address = text(&mut rest)?;
            let reason = text(&mut rest)?;
            m.recipients.push((address, (has_reason != 0).then_some(reason)));
        }
        Ok(Some(m))
    }
}

const QUEUES: [QueueName; 5] =
    [QueueName::Incoming, QueueName::Active, QueueName::Deferred, QueueName::Hold, QueueName::Maildrop];

fn text(rest: &mut &[u8]) -> Result<String, Malformed> {
    let bytes = take_frame(rest, crate::wire::MAX_FRAME)?.ok_or(Malformed)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed)
}

/// `Progress` as the changes that lead to it from the fresh state (for [`crate::control::ControlMessage`]).
pub fn progress_changes(p: &Progress) -> Vec<crate::Change> {
    use crate::Change;
    let mut out = Vec::new();
    for (i, state) in p.recipients.iter().enumerate() {
        let Ok(i) = u32::try_from(i) else { break };
        match state {
            RecipientState::Pending => {}
            RecipientState::Deferred(d) => out.push(Change::Deferred(i, d.clone())),
            RecipientState::Done => out.push(Change::Done(i)),
            RecipientState::Failed(d) => out.push(Change::Failed(i, d.clone())),
            RecipientState::Delivered(d) => out.push(Change::Delivered(i, d.clone())),
        }
    }
    if p.retry_at != Timestamp::default() {
        out.push(Change::RetryAt(p.retry_at));
    }
    if p.delay_warned {
        out.push(Change::DelayWarned);
    }
    if p.held {
        out.push(Change::Held(true));
    }
    if let Some(forced) = p.expired {
        out.push(Change::Expired(forced));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ListedMessage {
        ListedMessage {
            queue: QueueName::Hold,
            id: "ABCDE41".into(),
            arrival: Timestamp(1_700_000_000_000_000),
            size: 12_345,
            forced_expire: true,
            sender: "a@b".into(),
            recipients: vec![
                ("c@d".into(), None),
                ("e@f".into(), Some("refused".into())),
                ("g".into(), Some(String::new())),
            ],
        }
    }

    #[test]
    fn round_trip_and_truncation() {
        let mut wire = Vec::new();
        sample().put(&mut wire);
        ListedMessage::put_end(&mut wire);
        let mut input = wire.as_slice();
        let first = take_frame(&mut input, 1000).unwrap().unwrap();
        assert_eq!(ListedMessage::decode(first).unwrap(), Some(sample()));
        assert_eq!(ListedMessage::decode(take_frame(&mut input, 1000).unwrap().unwrap()).unwrap(), None);
        for cut in 0..first.len() {
            let _ = ListedMessage::decode(&first[..cut]);
        }
    }

    #[test]
    fn only_open_recipients_are_listed() {
        let r = |a: &str| crate::Recipient { address: a.into(), ..crate::Recipient::default() };
        let envelope = Envelope { recipients: vec![r("a"), r("b"), r("c")], ..Envelope::default() };
        let mut p = Progress::new(3);
        p.apply(&crate::Change::Done(0));
        p.apply(&crate::Change::Deferred(1, Box::new(Diagnosis::new(Default::default(), "why"))));
        let id = QueueId { time: Timestamp(1), slot: 2, long: false };
        let m = ListedMessage::new(QueueName::Deferred, id, &envelope, &p);
        assert_eq!(m.recipients, [("b".into(), Some("why".into())), ("c".into(), None)]);
        let m = ListedMessage::new(QueueName::Active, id, &envelope, &p);
        assert_eq!(m.recipients, [("b".into(), None), ("c".into(), None)]);
        let mut again = Progress::new(3);
        progress_changes(&p).iter().for_each(|c| again.apply(c));
        assert_eq!(again, p);
    }
}
