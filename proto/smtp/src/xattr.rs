//! XCLIENT and XFORWARD attributes: `NAME=value` words with xtext values (XCLIENT_README, XFORWARD_README).

use crate::command::Syntax;
use proto_address::{xtext_decode, xtext_encode};

/// A value for an XFORWARD command as Postfix writes it: xtext in which `=` stands for itself.
pub fn xforward_text(value: &str) -> String {
    value.split('=').map(|part| xtext_encode(part.as_bytes())).collect::<Vec<_>>().join("=")
}

/// One attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// In upper case.
    pub name: String,
    /// Decoded, if it is xtext; bytes that are no UTF-8 are `?`. `[UNAVAILABLE]` and `[TEMPUNAVAIL]` as they are.
    pub value: String,
}

impl Attribute {
    /// Reads one word.
    pub fn parse(word: &str) -> Result<Self, Syntax> {
        let (name, value) =
            word.split_once('=').filter(|(n, v)| !n.is_empty() && !v.is_empty()).ok_or(Syntax::Attribute)?;
        let value = match xtext_decode(value.as_bytes()) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).replace('\u{fffd}', "?"),
            Err(_) => value.to_owned(),
        };
        Ok(Self { name: name.to_ascii_uppercase(), value })
    }

    /// The host has no such information.
    pub fn is_unavailable(&self) -> bool {
        self.value.eq_ignore_ascii_case("[UNAVAILABLE]")
    }

    /// The host has no such information now: said of names.
    pub fn is_temporarily_unavailable(&self) -> bool {
        self.value.eq_ignore_ascii_case("[TEMPUNAVAIL]")
    }
}
