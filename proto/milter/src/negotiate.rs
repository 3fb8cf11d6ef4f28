//! Option negotiation: the server offers versions, actions and steps, the filter takes what it needs.

use crate::{
    BadPacket, MacroStage,
    answer::{number, string},
    packet,
};

/// Steps of the protocol, as bits.
pub mod steps {
    #![allow(missing_docs)]
    pub const NO_CONNECT: u32 = 0x1;
    pub const NO_HELO: u32 = 0x2;
    pub const NO_MAIL: u32 = 0x4;
    pub const NO_RCPT: u32 = 0x8;
    pub const NO_BODY: u32 = 0x10;
    pub const NO_HEADERS: u32 = 0x20;
    pub const NO_EOH: u32 = 0x40;
    pub const NR_HEADER: u32 = 0x80;
    pub const NO_UNKNOWN: u32 = 0x100;
    pub const NO_DATA: u32 = 0x200;
    pub const SKIP: u32 = 0x400;
    /// Rejected recipients are told too.
    pub const RCPT_REJECTED: u32 = 0x800;
    pub const NR_CONNECT: u32 = 0x1000;
    pub const NR_HELO: u32 = 0x2000;
    pub const NR_MAIL: u32 = 0x4000;
    pub const NR_RCPT: u32 = 0x8000;
    pub const NR_DATA: u32 = 0x1_0000;
    pub const NR_UNKNOWN: u32 = 0x2_0000;
    pub const NR_EOH: u32 = 0x4_0000;
    pub const NR_BODY: u32 = 0x8_0000;
    /// Blanks at the start of a header value belong to it.
    pub const LEADING_SPACE: u32 = 0x10_0000;
}

/// Bits for changes up to version 5, and from 6 on: sender, recipients with parameters, lists of macros.
const ACTIONS_2: u32 = 0x3f;
const ACTIONS_6: u32 = 0x1ff;

/// What the server offers (`milter_protocol`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    version: u32,
    /// The filter is known not to answer headers.
    no_header_reply: bool,
}

impl Offer {
    /// Reads `milter_protocol`: a version, and `no_header_reply`. `None`: neither.
    pub fn parse(text: &str) -> Option<Self> {
        let mut offer = Self { version: 0, no_header_reply: false };
        for word in text.split([',', ' ', '\t']).filter(|w| !w.is_empty()) {
            match word {
                "2" | "3" | "4" | "6" => offer.version = word.parse().ok()?,
                "no_header_reply" => offer.no_header_reply = true,
                _ => return None,
            }
        }
        (offer.version > 0).then_some(offer)
    }

    fn steps(self) -> u32 {
        let base = 0x7f;
        base | match self.version {
            2 => 0,
            3 => steps::NO_UNKNOWN,
            4 => steps::NO_UNKNOWN | steps::NO_DATA,
            _ => 0x1f_ff80,
        }
    }

    /// Appends the first packet of a connection.
    pub fn write(self, out: &mut Vec<u8>) {
        let actions = if self.version >= 6 { ACTIONS_6 } else { ACTIONS_2 };
        let numbers = [self.version, actions, self.steps()].map(u32::to_be_bytes);
        packet(b'O', numbers.as_flattened(), out);
    }

    /// Reads the filter's answer.
    pub fn agree(self, data: &[u8]) -> Result<Agreed, BadPacket> {
        let (version, rest) = number(data)?;
        let (_actions, rest) = number(rest)?;
        let (asked, mut rest) = number(rest)?;
        if version > self.version {
            return Err(BadPacket("protocol version that was not offered"));
        }
        let quiet = if self.no_header_reply { steps::NR_HEADER } else { 0 };
        let mut agreed =
            Agreed { version, steps: (asked & self.steps()) | quiet, macros: Default::default() };
        while self.version >= 6 && !rest.is_empty() {
            let (stage, after) = number(rest)?;
            let (names, after) = string(after)?;
            rest = after;
            let names = String::from_utf8_lossy(names);
            let names = names.split([',', ' ', '\t']).filter(|n| !n.is_empty()).map(str::to_owned).collect();
            if let Some(slot) = usize::try_from(stage).ok().and_then(|s| agreed.macros.get_mut(s)) {
                *slot = Some(names);
            }
        }
        Ok(agreed)
    }
}

/// What both sides speak.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Agreed {
    pub(crate) version: u32,
    pub(crate) steps: u32,
    /// Names of macros that the filter wants in place of the configured ones.
    macros: [Option<Vec<String>>; MacroStage::COUNT],
}

impl Agreed {
    /// Whether a step was asked for.
    pub fn has(&self, step: u32) -> bool {
        self.steps & step != 0
    }

    /// The macros that the filter wants at a stage, if it has said so.
    pub fn macros(&self, stage: MacroStage) -> Option<&[String]> {
        self.macros.get(stage as usize)?.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers() {
        for (text, bytes) in [
            ("6", [0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x1f, 0xff, 0xff]),
            ("2", [0, 0, 0, 2, 0, 0, 0, 0x3f, 0, 0, 0, 0x7f]),
            ("4, no_header_reply", [0, 0, 0, 4, 0, 0, 0, 0x3f, 0, 0, 3, 0x7f]),
        ] {
            let mut out = Vec::new();
            Offer::parse(text).unwrap().write(&mut out);
            assert_eq!(out.get(5..), Some(bytes.as_slice()), "{text}");
        }
        assert!(["", "9", "x", "no_header_reply"].iter().all(|t| Offer::parse(t).is_none()));
    }

    #[test]
    fn agreement() {
        let offer = Offer::parse("6").unwrap();
        let data = b"\0\0\0\x06\0\0\0\x01\xff\0\x02\x01\0\0\0\x02i {mail_addr}\0\0\0\0\x99x\0";
        let agreed = offer.agree(data).unwrap();
        assert_eq!((agreed.version, agreed.steps), (6, 0x201));
        assert_eq!(
            agreed.macros(MacroStage::Mail),
            Some(["i".to_owned(), "{mail_addr}".to_owned()].as_slice())
        );
        assert_eq!(agreed.macros(MacroStage::Connect), None);
        assert!(offer.agree(b"\0\0\0\x07\0\0\0\0\0\0\0\0").is_err());
        assert!(offer.agree(b"\0\0\0\x06").is_err());
    }
}
