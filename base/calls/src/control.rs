//! The line protocol of `private/control`: postsuper and postcat ask the running worker about its queue.
//!
//! One connection, any number of requests, each answered before the next is read (a client may send ahead).
//! A request is one line: `VERB ID|ALL QUEUE,QUEUE…` (`*` for all queues); see [`ControlRequest`]. The answer is zero or
//! more lines `+ID`, one for each message that was acted on, then `ok COUNT` or `error TEXT`. For `cat` the answer is
//! `ok ENVELOPE CHANGES CONTENT` (three byte counts) and then that many bytes of each: the envelope and the changes as
//! [`crate::codec`] writes them, the content in wire form. For `stat` it is one `+NAME VALUE` line a count, then `ok 0`.
//! Lines end with LF and are at most [`MAX_LINE`] bytes. The worker logs what it did; the client prints.
//! Manual pages: postsuper(1), postcat(1).

use crate::QueueName;
use std::fmt;

/// The longest line of this protocol, without its LF.
pub const MAX_LINE: usize = 256;

/// What is done to the selected messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlAction {
    /// `postsuper -d`: remove, no notice.
    Delete,
    /// `postsuper -h`: put on hold.
    Hold,
    /// `postsuper -H`: release from hold.
    Release,
    /// `postsuper -r`: put through cleanup again.
    Requeue,
    /// `postsuper -e`: treat as expired.
    Expire,
    /// `postsuper -f`: treat as expired, and release from hold.
    ForceExpire,
}

impl ControlAction {
    const WORDS: [(Self, &'static str); 6] = [
        (Self::Delete, "delete"),
        (Self::Hold, "hold"),
        (Self::Release, "release"),
        (Self::Requeue, "requeue"),
        (Self::Expire, "expire"),
        (Self::ForceExpire, "force-expire"),
    ];

    /// The verb of the protocol.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(a, _)| *a == self).map_or("", |(_, w)| w)
    }
}

/// Which of the queues a request looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSet(u8);

impl QueueSet {
    /// All of them.
    pub const ALL: Self = Self(0b1111);

    const NAMES: [QueueName; 4] = [QueueName::Incoming, QueueName::Active, QueueName::Deferred, QueueName::Hold];

    /// A set of these.
    pub fn of(names: &[QueueName]) -> Self {
        Self(names.iter().fold(0, |set, n| set | Self::bit(*n)))
    }

    fn bit(name: QueueName) -> u8 {
        1 << Self::NAMES.iter().position(|n| *n == name).unwrap_or(0)
    }

    /// Whether `name` is in it.
    pub fn contains(self, name: QueueName) -> bool {
        self.0 & Self::bit(name) != 0
    }

    /// `*`, or names separated by commas.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::ALL);
        }
        text.split(',').try_fold(Self(0), |set, word| {
            let name = Self::NAMES.iter().find(|n| n.as_str() == word)?;
            Some(Self(set.0 | Self::bit(*name)))
        })
    }
}

impl fmt::Display for QueueSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("*");
        }
        let names: Vec<&str> = Self::NAMES.iter().filter(|n| self.contains(**n)).map(|n| n.as_str()).collect();
        f.write_str(&names.join(","))
    }
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlRequest {
    /// Act on one message, or on all (`id: None`), that are in one of `queues`.
    Act {
        /// What to do.
        action: ControlAction,
        /// Printed queue id; `None` is `ALL`.
        id: Option<String>,
        /// Where to look.
        queues: QueueSet,
    },
    /// The whole message, for postcat.
    Cat {
        /// Printed queue id.
        id: String,
    },
    /// Counts of spool and scheduler.
    Stat,
}

impl ControlRequest {
    /// Parses a line without its LF. `None` for anything else.
    pub fn parse(line: &str) -> Option<Self> {
        if line.len() > MAX_LINE {
            return None;
        }
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["stat"] => Some(Self::Stat),
            ["cat", id] => Some(Self::Cat { id: plain(id)? }),
            [verb, id, queues] => {
                let (action, _) = ControlAction::WORDS.iter().find(|(_, w)| *w == verb)?;
                let id = if id == "ALL" { None } else { Some(plain(id)?) };
                Some(Self::Act { action: *action, id, queues: QueueSet::parse(queues)? })
            }
            _ => None,
        }
    }
}

fn plain(id: &str) -> Option<String> {
    let ok = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric());
    ok.then(|| id.to_owned())
}

/// The request line without its LF. An id that holds anything but letters and digits makes a line that
/// [`ControlRequest::parse`] refuses; callers check ids first.
impl fmt::Display for ControlRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Act { action, id, queues } => {
                write!(f, "{} {} {queues}", action.as_str(), id.as_deref().unwrap_or("ALL"))
            }
            Self::Cat { id } => write!(f, "cat {id}"),
            Self::Stat => f.write_str("stat"),
        }
    }
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlReply {
    /// `+ID`: this message was acted on; `+NAME VALUE` for `stat`.
    Item(String),
    /// `ok COUNT`: done, so many messages.
    Done(u64),
    /// `ok ENVELOPE CHANGES CONTENT`: the lengths of what follows (`cat`).
    Message(u64, u64, u64),
    /// `error TEXT`: not done. `not found` for `cat` of an unknown id.
    Error(String),
}

impl ControlReply {
    /// Parses a line without its LF.
    pub fn parse(line: &str) -> Option<Self> {
        if line.len() > MAX_LINE {
            return None;
        }
        if let Some(item) = line.strip_prefix('+') {
            return Some(Self::Item(item.to_owned()));
        }
        if let Some(text) = line.strip_prefix("error ") {
            return Some(Self::Error(text.to_owned()));
        }
        let numbers: Option<Vec<u64>> = line.strip_prefix("ok ")?.split(' ').map(|w| w.parse().ok()).collect();
        match numbers?[..] {
            [count] => Some(Self::Done(count)),
            [envelope, changes, content] => Some(Self::Message(envelope, changes, content)),
            _ => None,
        }
    }
}

/// The line without its LF; control characters in texts become `?`, and long ones are cut.
impl fmt::Display for ControlReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clean = |text: &str, max: usize| -> String {
            let cut = text.char_indices().map(|(i, c)| i + c.len_utf8()).take_while(|end| *end <= max).last();
            let text = text.get(..cut.unwrap_or(0)).unwrap_or_default();
            text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
        };
        match self {
            Self::Item(item) => write!(f, "+{}", clean(item, MAX_LINE - 1)),
            Self::Done(count) => write!(f, "ok {count}"),
            Self::Message(envelope, changes, content) => write!(f, "ok {envelope} {changes} {content}"),
            Self::Error(text) => write!(f, "error {}", clean(text, MAX_LINE - 6)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_replies_parse_back() {
        for line in [
            "delete 3F2A110001 *",
            "hold ALL deferred",
            "force-expire ALL incoming,hold",
            "requeue 4Xyz1c0GvQz2 incoming,active,deferred",
            "cat 3F2A110001",
            "stat",
        ] {
            assert_eq!(ControlRequest::parse(line).expect(line).to_string(), line);
        }
        for line in ["+3F2A110001", "ok 3", "ok 120 0 99999", "error not found", "+messages 12"] {
            assert_eq!(ControlReply::parse(line).expect(line).to_string(), line);
        }
    }

    #[test]
    fn junk_is_refused() {
        for line in ["", "delete", "delete ALL", "delete ../x *", "delete A B", "cat", "drop ALL *", "hold  ALL *"] {
            assert_eq!(ControlRequest::parse(line), None, "{line}");
        }
        for line in ["", "ok", "ok x", "ok 1 2", "ok -1", "what"] {
            assert_eq!(ControlReply::parse(line), None, "{line}");
        }
        assert_eq!(ControlReply::Error("a\nb".into()).to_string(), "error a?b");
        assert!(ControlReply::parse(&ControlReply::Error("\u{e9}".repeat(300)).to_string()).is_some());
    }
}
