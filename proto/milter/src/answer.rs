//! Answers of a filter, and the changes it asks for at the end of a message.

use crate::BadPacket;

/// What a filter says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Continue,
    /// No more questions about this message (or connection).
    Accept,
    /// 5xx.
    Reject,
    /// 4xx.
    Tempfail,
    /// Take the message and throw it away.
    Discard,
    /// No more of this kind (body pieces).
    Skip,
    /// A reply of its own: `550 5.7.1 text`, lines separated by CRLF.
    Code(String),
    /// 421 and hang up.
    Shutdown,
    /// The connection cannot be served.
    ConnectionFailed,
    /// It is still at work.
    Progress,
    /// A change to the message.
    Edit(Edit),
    /// Options, before anything else.
    Options(Vec<u8>),
}

/// A change to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// A header behind the last one.
    AddHeader {
        /// Name.
        name: Vec<u8>,
        /// Value, lines separated by LF.
        value: Vec<u8>,
    },
    /// A header in front of the `index`th, counted from 0.
    InsertHeader {
        /// Position.
        index: u32,
        /// Name.
        name: Vec<u8>,
        /// Value.
        value: Vec<u8>,
    },
    /// Another value for the `index`th header of this name, counted from 1; an empty one removes it.
    ChangeHeader {
        /// Position among those of the name.
        index: u32,
        /// Name.
        name: Vec<u8>,
        /// Value.
        value: Vec<u8>,
    },
    /// A piece of the new body.
    ReplaceBody(Vec<u8>),
    /// One recipient more.
    AddRecipient {
        /// Address, as it came.
        address: String,
        /// ESMTP parameters.
        parameters: String,
    },
    /// One recipient less.
    DeleteRecipient(String),
    /// Another envelope sender.
    ChangeSender {
        /// Address, as it came.
        address: String,
        /// ESMTP parameters.
        parameters: String,
    },
    /// HOLD, with a reason.
    Quarantine(String),
}

impl Edit {
    /// Puts a blank in front of a header's value, as filters want it that do not keep blanks themselves.
    pub fn add_space(&mut self) {
        match self {
            Self::ChangeHeader { value, .. } if value.is_empty() => {}
            Self::AddHeader { value, .. }
            | Self::InsertHeader { value, .. }
            | Self::ChangeHeader { value, .. } => {
                value.insert(0, b' ');
            }
            _ => {}
        }
    }
}

/// Reads the packet with this letter.
pub fn parse(letter: u8, data: &[u8]) -> Result<Answer, BadPacket> {
    Ok(match letter {
        b'c' => Answer::Continue,
        b'a' => Answer::Accept,
        b'r' => Answer::Reject,
        b't' => Answer::Tempfail,
        b'd' => Answer::Discard,
        b's' => Answer::Skip,
        b'4' => Answer::Shutdown,
        b'f' => Answer::ConnectionFailed,
        b'p' => Answer::Progress,
        b'O' => Answer::Options(data.to_vec()),
        b'y' => Answer::Code(text(string(data)?.0)),
        b'h' | b'i' | b'm' | b'b' | b'+' | b'2' | b'-' | b'e' | b'q' => Answer::Edit(edit(letter, data)?),
        _ => return Err(BadPacket("unexpected reply")),
    })
}

fn edit(letter: u8, data: &[u8]) -> Result<Edit, BadPacket> {
    let pair = |data| -> Result<(Vec<u8>, Vec<u8>), BadPacket> {
        let (name, rest) = string(data)?;
        Ok((name.to_vec(), string(rest)?.0.to_vec()))
    };
    let with_parameters = |data| -> Result<(String, String), BadPacket> {
        let (address, rest) = string(data)?;
        let parameters = if rest.is_empty() { &[] } else { string(rest)?.0 };
        Ok((text(address), text(parameters)))
    };
    Ok(match letter {
        b'h' => pair(data).map(|(name, value)| Edit::AddHeader { name, value })?,
        b'i' | b'm' => {
            let (index, rest) = number(data)?;
            let (name, value) = pair(rest)?;
            match letter {
                b'i' => Edit::InsertHeader { index, name, value },
                _ => Edit::ChangeHeader { index, name, value },
            }
        }
        b'b' => Edit::ReplaceBody(data.to_vec()),
        b'+' => Edit::AddRecipient { address: text(string(data)?.0), parameters: String::new() },
        b'2' => {
            with_parameters(data).map(|(address, parameters)| Edit::AddRecipient { address, parameters })?
        }
        b'-' => Edit::DeleteRecipient(text(string(data)?.0)),
        b'e' => {
            with_parameters(data).map(|(address, parameters)| Edit::ChangeSender { address, parameters })?
        }
        _ => Edit::Quarantine(text(string(data)?.0)),
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A string up to its NUL, and what follows.
pub(crate) fn string(data: &[u8]) -> Result<(&[u8], &[u8]), BadPacket> {
    let end = data.iter().position(|b| *b == 0).ok_or(BadPacket("string without end"))?;
    Ok((data.get(..end).unwrap_or_default(), data.get(end + 1..).unwrap_or_default()))
}

/// A number of 4 bytes, and what follows.
pub(crate) fn number(data: &[u8]) -> Result<(u32, &[u8]), BadPacket> {
    let (bytes, rest) = data.split_first_chunk().ok_or(BadPacket("number without end"))?;
    Ok((u32::from_be_bytes(*bytes), rest))
}

/// Check function for arbitrary input, a letter and its data: nothing panics, an answer holds no more than the packet did, and
/// what follows the last string is not read.
pub fn check(packet: &[u8]) {
    let Some((letter, data)) = packet.split_first() else { return };
    let Ok(answer) = parse(*letter, data) else { return };
    match &answer {
        Answer::Options(options) => {
            for offer in ["2", "4", "6", "6, no_header_reply"].into_iter().filter_map(crate::Offer::parse) {
                let _ = offer.agree(options);
            }
        }
        Answer::Edit(
            Edit::AddHeader { name, value }
            | Edit::InsertHeader { name, value, .. }
            | Edit::ChangeHeader { name, value, .. },
        ) => {
            assert!(name.len() + value.len() + 2 <= data.len());
            assert!(!name.contains(&0) && !value.contains(&0));
        }
        _ => {}
    }
    // Options and pieces of a body are all that there is, and parameters may be missing.
    if !matches!(letter, b'O' | b'b' | b'2' | b'e') {
        assert_eq!(parse(*letter, &[data, b"more\0"].concat()), Ok(answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(packet: &[u8], expect: &str) {
        let (letter, data) = packet.split_first().unwrap();
        let shown = parse(*letter, data).map_or_else(|e| e.to_string(), |a| format!("{a:?}"));
        assert_eq!(shown, expect);
    }

    #[test]
    fn answers() {
        check(b"c", "Continue");
        check(b"y550 5.7.1 no\0", r#"Code("550 5.7.1 no")"#);
        check(b"y550", "string without end");
        check(b"hA\0b\0", "Edit(AddHeader { name: [65], value: [98] })");
        check(b"hA\0b", "string without end");
        check(b"i\0\0\0\x02A\0b\0", "Edit(InsertHeader { index: 2, name: [65], value: [98] })");
        check(b"m\0\0", "number without end");
        check(b"bxyz", "Edit(ReplaceBody([120, 121, 122]))");
        check(
            b"2a@b\0NOTIFY=NEVER\0",
            r#"Edit(AddRecipient { address: "a@b", parameters: "NOTIFY=NEVER" })"#,
        );
        check(b"e<>\0", r#"Edit(ChangeSender { address: "<>", parameters: "" })"#);
        check(b"?", "unexpected reply");
    }
}
