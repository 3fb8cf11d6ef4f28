//! Parameters of MAIL and RCPT, written as Postfix writes them (RFC 1870, 3461, 6152, 6531).

use crate::{Features, Keyword};
use proto_address::{external, xtext_encode};

/// Of a MAIL command.
#[derive(Debug, Clone, Copy, Default)]
pub struct MailParams<'a> {
    /// Sender, unquoted.
    pub sender: &'a str,
    /// Size in bytes.
    pub size: u64,
    /// `BODY=8BITMIME` is due.
    pub eight_bit: bool,
    /// SMTPUTF8 is due.
    pub smtputf8: bool,
    /// REQUIRETLS is due.
    pub requiretls: bool,
    /// `AUTH=<>` is due.
    pub dummy_auth: bool,
    /// `ENVID=`, decoded; empty when none.
    pub envid: &'a str,
    /// `RET=`: `FULL`, `HDRS`, or empty.
    pub ret: &'static str,
}

/// Of a RCPT command.
#[derive(Debug, Clone, Copy, Default)]
pub struct RcptParams<'a> {
    /// Recipient, unquoted.
    pub address: &'a str,
    /// The recipient as first given, for an ORCPT of our own; empty when it is `address`.
    pub original: &'a str,
    /// `ORCPT=` as `type;decoded`; empty when none.
    pub orcpt: &'a str,
    /// `NOTIFY=NEVER`.
    pub never: bool,
    /// `NOTIFY=SUCCESS`.
    pub success: bool,
    /// `NOTIFY=FAILURE`.
    pub failure: bool,
    /// `NOTIFY=DELAY`.
    pub delay: bool,
}

/// `<path>`: quoted as the wire wants it. What would break the command line is made a question mark.
fn put_path(address: &str, quote: bool, out: &mut Vec<u8>) {
    out.push(b'<');
    if quote {
        put_clean(&external(address), out);
    } else {
        put_clean(address, out);
    }
    out.push(b'>');
}

fn put_clean(text: &str, out: &mut Vec<u8>) {
    out.extend(text.bytes().map(|b| if matches!(b, b'\r' | b'\n' | 0) { b'?' } else { b }));
}

/// `utf-8-addr-unitext` and `-xtext` in one (RFC 6533 3): what is no plain character becomes `\\x{HEX}`, so that the
/// result is ASCII.
fn unitext(address: &str) -> String {
    let mut out = String::with_capacity(address.len() + 8);
    for c in address.chars() {
        match c {
            '!'..='~' if !matches!(c, '\\' | '+' | '=') => out.push(c),
            c => out.push_str(&format!("\\x{{{:02X}}}", u32::from(c))),
        }
    }
    out
}

impl MailParams<'_> {
    /// Appends the command. `quote`: `smtp_quote_rfc821_envelope`.
    pub fn write(&self, features: &Features, quote: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"MAIL FROM:");
        put_path(self.sender, quote, out);
        if features.has(Keyword::Size) {
            out.extend_from_slice(format!(" SIZE={}", self.size).as_bytes());
        }
        if self.eight_bit && features.has(Keyword::EightBitMime) {
            out.extend_from_slice(b" BODY=8BITMIME");
        }
        if features.has(Keyword::Dsn) {
            if !self.envid.is_empty() {
                out.extend_from_slice(b" ENVID=");
                out.extend_from_slice(xtext_encode(self.envid.as_bytes()).as_bytes());
            }
            if !self.ret.is_empty() {
                out.extend_from_slice(b" RET=");
                out.extend_from_slice(self.ret.as_bytes());
            }
        }
        if self.smtputf8 && features.has(Keyword::SmtpUtf8) {
            out.extend_from_slice(b" SMTPUTF8");
        }
        if self.requiretls && features.has(Keyword::RequireTls) {
            out.extend_from_slice(b" REQUIRETLS");
        }
        if self.dummy_auth && features.has(Keyword::Auth) {
            out.extend_from_slice(b" AUTH=<>");
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl RcptParams<'_> {
    /// Appends the command.
    pub fn write(&self, features: &Features, quote: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"RCPT TO:");
        put_path(self.address, quote, out);
        if features.has(Keyword::Dsn) {
            self.write_orcpt(out);
            self.write_notify(out);
        }
        out.extend_from_slice(b"\r\n");
    }

    fn write_orcpt(&self, out: &mut Vec<u8>) {
        let original = if self.original.is_empty() { self.address } else { self.original };
        let external = external(original);
        let (kind, address) = match self.orcpt.split_once(';') {
            Some(given) => given,
            None if original.is_ascii() => ("rfc822", external.as_ref()),
            None => ("utf-8", external.as_ref()),
        };
        out.extend_from_slice(b" ORCPT=");
        put_clean(kind, out);
        out.push(b';');
        if kind.eq_ignore_ascii_case("utf-8") {
            out.extend_from_slice(unitext(address).as_bytes());
        } else {
            out.extend_from_slice(xtext_encode(address.as_bytes()).as_bytes());
        }
    }

    fn write_notify(&self, out: &mut Vec<u8>) {
        let words = [
            (self.never, "NEVER"),
            (self.success, "SUCCESS"),
            (self.failure, "FAILURE"),
            (self.delay, "DELAY"),
        ];
        let mut before: &[u8] = b" NOTIFY=";
        for word in words.iter().filter(|w| w.0) {
            out.extend_from_slice(before);
            out.extend_from_slice(word.1.as_bytes());
            before = b",";
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ehlo::Keywords;

    fn features(words: &[Keyword]) -> Features {
        Features { keywords: Keywords::of(words), ..Features::default() }
    }

    #[test]
    fn mail() {
        use Keyword::{Auth, Dsn, EightBitMime, Size, SmtpUtf8};
        let m = MailParams {
            sender: "odd sender@example.com",
            size: 392,
            eight_bit: true,
            smtputf8: true,
            requiretls: true,
            dummy_auth: true,
            envid: "a+b",
            ret: "FULL",
        };
        for (offered, want) in [
            (&[] as &[Keyword], "MAIL FROM:<\"odd sender\"@example.com>"),
            (&[Size, Dsn], "MAIL FROM:<\"odd sender\"@example.com> SIZE=392 ENVID=a+2Bb RET=FULL"),
            (&[EightBitMime, SmtpUtf8], "MAIL FROM:<\"odd sender\"@example.com> BODY=8BITMIME SMTPUTF8"),
            (
                &[Dsn, SmtpUtf8, Auth],
                "MAIL FROM:<\"odd sender\"@example.com> ENVID=a+2Bb RET=FULL SMTPUTF8 AUTH=<>",
            ),
        ] {
            let mut out = Vec::new();
            m.write(&features(offered), true, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{want}\r\n"));
        }
        let mut out = Vec::new();
        MailParams::default().write(&features(&[Size]), true, &mut out);
        assert_eq!(out, b"MAIL FROM:<> SIZE=0\r\n");
    }

    #[test]
    fn rcpt() {
        let plain = RcptParams { address: "x@a.test", ..RcptParams::default() };
        let all =
            RcptParams { success: true, failure: true, delay: true, orcpt: "rfc822;o+x@b.test", ..plain };
        let odd = RcptParams { address: "a b@a.test", never: true, ..plain };
        let utf8 = RcptParams { address: "x@a.test", original: "j\u{fc}@a.test", ..plain };
        let evil = RcptParams { address: "x\r\nDATA@a.test", ..plain };
        for (r, dsn, want) in [
            (plain, false, "RCPT TO:<x@a.test>"),
            (plain, true, "RCPT TO:<x@a.test> ORCPT=rfc822;x@a.test"),
            (all, false, "RCPT TO:<x@a.test>"),
            (all, true, "RCPT TO:<x@a.test> ORCPT=rfc822;o+2Bx@b.test NOTIFY=SUCCESS,FAILURE,DELAY"),
            (odd, true, "RCPT TO:<\"a b\"@a.test> ORCPT=rfc822;\"a+20b\"@a.test NOTIFY=NEVER"),
            (utf8, true, "RCPT TO:<x@a.test> ORCPT=utf-8;j\\x{FC}@a.test"),
            (evil, false, "RCPT TO:<\"x\\??DATA\"@a.test>"),
        ] {
            let mut out = Vec::new();
            let offered: &[Keyword] = if dsn { &[Keyword::Dsn] } else { &[] };
            r.write(&features(offered), true, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{want}\r\n"));
        }
    }
}
