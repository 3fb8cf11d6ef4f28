//! ESMTP parameters of MAIL and RCPT: SIZE, BODY, SMTPUTF8, RET, ENVID, AUTH, XVERP; NOTIFY, ORCPT.
//!
//! Each error is the reply that Postfix gives, in the order in which the client wrote them. RFC 1870, 3461, 4954, 6152,
//! 6531, VERP_README.

use super::Settings;
use crate::{Keyword, Reply, command::Param};
use proto_address::xtext_decode;
use proto_dsn::Status;

/// What MAIL said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailParams {
    /// Internal form; empty: the null sender.
    pub sender: String,
    /// As the client wrote it.
    pub text: String,
    /// `SIZE=`.
    pub size: u64,
    /// `BODY=`: 7BIT (false) or 8BITMIME (true).
    pub eight_bit: Option<bool>,
    /// `SMTPUTF8`.
    pub smtputf8: bool,
    /// `REQUIRETLS`.
    pub requiretls: bool,
    /// `RET=`: FULL (true) or HDRS (false).
    pub ret_full: Option<bool>,
    /// `ENVID=`, decoded.
    pub envid: String,
    /// `AUTH=`, decoded; `<>` as it is.
    pub auth: String,
    /// VERP delimiters, two characters.
    pub verp: String,
}

/// What RCPT said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RcptParams {
    /// Internal form.
    pub recipient: String,
    /// As the client wrote it.
    pub text: String,
    /// `NOTIFY=NEVER`.
    pub never: bool,
    /// `NOTIFY=SUCCESS`.
    pub success: bool,
    /// `NOTIFY=FAILURE`.
    pub failure: bool,
    /// `NOTIFY=DELAY`.
    pub delay: bool,
    /// `ORCPT=` as `type;decoded`.
    pub orcpt: String,
}

/// A refused parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BadParam {
    /// Answer this.
    Reply(Reply),
    /// Answer this about NOTIFY, and log the word and the whole value.
    Notify(Reply, String, String),
}

impl From<Reply> for BadParam {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

fn bad(text: &str) -> Reply {
    Reply::new(501, Status::new(5, 5, 4), text)
}

fn unsupported(p: &Param<'_>) -> Reply {
    Reply::new(555, Status::new(5, 5, 4), format!("Unsupported option: {}", p.text))
}

fn dsn_allowed(s: &Settings) -> Result<(), Reply> {
    if s.discarded.has(Keyword::Dsn) {
        return Err(Reply::new(501, Status::new(5, 7, 1), "DSN support is disabled"));
    }
    Ok(())
}

impl MailParams {
    /// Takes in one parameter.
    pub(super) fn add(&mut self, p: &Param<'_>, s: &Settings) -> Result<(), Reply> {
        match p.value {
            Some(v) if p.is("BODY") => self.body(v, p),
            Some(v) if p.is("SIZE") => self.set_size(v),
            Some(v) if p.is("AUTH") => self.set_auth(v),
            Some(v) if p.is("RET") => dsn_allowed(s).and_then(|()| self.set_ret(v)),
            Some(v) if p.is("ENVID") => dsn_allowed(s).and_then(|()| self.set_envid(v)),
            None if p.is("SMTPUTF8") && s.smtputf8 && !s.discarded.has(Keyword::SmtpUtf8) => {
                self.smtputf8 = true;
                Ok(())
            }
            None if p.is("REQUIRETLS") && s.announces(Keyword::RequireTls) => {
                self.requiretls = true;
                Ok(())
            }
            v if p.is("XVERP") && s.verp => self.set_verp(v, s),
            _ => Err(unsupported(p)),
        }
    }

    fn body(&mut self, value: &str, p: &Param<'_>) -> Result<(), Reply> {
        self.eight_bit = match value {
            v if v.eq_ignore_ascii_case("7BIT") => Some(false),
            v if v.eq_ignore_ascii_case("8BITMIME") => Some(true),
            _ => return Err(unsupported(p)),
        };
        Ok(())
    }

    fn set_size(&mut self, value: &str) -> Result<(), Reply> {
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad("Bad message size syntax"));
        }
        let too_large =
            || Reply::new(552, Status::new(5, 3, 4), "Message size exceeds file system imposed limit");
        self.size = value.parse().ok().filter(|&n: &u64| i64::try_from(n).is_ok()).ok_or_else(too_large)?;
        Ok(())
    }

    fn set_auth(&mut self, value: &str) -> Result<(), Reply> {
        // Not more than a hint for the log: what cannot be decoded is kept as it is.
        self.auth = decoded(value).unwrap_or_else(|| value.to_owned());
        Ok(())
    }

    fn set_ret(&mut self, value: &str) -> Result<(), Reply> {
        let full = value.eq_ignore_ascii_case("FULL");
        if self.ret_full.is_some() || !full && !value.eq_ignore_ascii_case("HDRS") {
            return Err(bad("Bad RET parameter syntax"));
        }
        self.ret_full = Some(full);
        Ok(())
    }

    fn set_envid(&mut self, value: &str) -> Result<(), Reply> {
        let text = decoded(value).filter(|t| !t.is_empty() && self.envid.is_empty() && is_printable(t));
        self.envid = text.ok_or_else(|| bad("Bad ENVID parameter syntax"))?;
        Ok(())
    }

    fn set_verp(&mut self, value: Option<&str>, s: &Settings) -> Result<(), Reply> {
        let (default, allowed) = &s.verp_delimiters;
        let delimiters = value.unwrap_or(default);
        if delimiters.chars().count() != 2 || !delimiters.chars().all(|c| allowed.contains(c)) {
            return Err(bad(&format!("Error: XVERP needs two characters from {allowed}")));
        }
        self.verp = delimiters.to_owned();
        Ok(())
    }
}

impl RcptParams {
    /// Takes in one parameter.
    pub(super) fn add(&mut self, p: &Param<'_>, s: &Settings, smtputf8: bool) -> Result<(), BadParam> {
        match p.value {
            Some(v) if p.is("NOTIFY") => {
                dsn_allowed(s)?;
                self.set_notify(v)
            }
            Some(v) if p.is("ORCPT") => {
                dsn_allowed(s)?;
                self.set_orcpt(v, smtputf8)
            }
            _ => Err(unsupported(p).into()),
        }
    }

    fn set_notify(&mut self, value: &str) -> Result<(), BadParam> {
        let reply = bad("Error: Bad NOTIFY parameter syntax");
        if self.never || self.success || self.failure || self.delay || value.is_empty() {
            return Err(reply.into());
        }
        for word in value.split(',') {
            let flag = match word.to_ascii_uppercase().as_str() {
                "NEVER" => &mut self.never,
                "SUCCESS" => &mut self.success,
                "FAILURE" => &mut self.failure,
                "DELAY" => &mut self.delay,
                _ => return Err(BadParam::Notify(reply, word.to_owned(), value.to_owned())),
            };
            if *flag {
                return Err(reply.into());
            }
            *flag = true;
        }
        if self.never && (self.success || self.failure || self.delay) { Err(reply.into()) } else { Ok(()) }
    }

    fn set_orcpt(&mut self, value: &str, smtputf8: bool) -> Result<(), BadParam> {
        let reply = || bad("Error: Bad ORCPT parameter syntax");
        let (kind, address) = value.split_once(';').filter(|(k, _)| !k.is_empty()).ok_or_else(reply)?;
        let utf8 = kind.eq_ignore_ascii_case("utf-8");
        let text = if utf8 { utf8_address(address, smtputf8) } else { decoded(address) };
        let text = text.filter(|_| self.orcpt.is_empty()).ok_or_else(reply)?;
        self.orcpt = format!("{kind};{text}");
        Ok(())
    }
}

/// xtext that decodes to text.
fn decoded(value: &str) -> Option<String> {
    if value == "<>" {
        return Some(value.to_owned());
    }
    String::from_utf8(xtext_decode(value.as_bytes()).ok()?).ok()
}

/// `utf-8-addr-xtext` and `utf-8-addr-unitext` (RFC 6533 3): `\x{HEX}`, or characters as they are.
fn utf8_address(value: &str, _smtputf8: bool) -> Option<String> {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find("\\x{") {
        out.push_str(rest.get(..at)?);
        let (hex, after) = rest.get(at + 3..)?.split_once('}')?;
        out.push(u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)?);
        rest = after;
    }
    out.push_str(rest);
    is_printable(&out).then_some(out)
}

fn is_printable(text: &str) -> bool {
    !text.chars().any(char::is_control)
}
