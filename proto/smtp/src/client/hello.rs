//! From the greeting to a ready session: EHLO with fallback to HELO, or LHLO (RFC 5321 4.1.1.1, RFC 2033 4.1).

use super::{ServerReply, Stage};
use crate::{Features, Keyword, ehlo::Keywords};

/// How to say hello.
#[derive(Debug, Clone, Default)]
pub struct HelloOptions {
    /// Speak LMTP.
    pub lmtp: bool,
    /// `smtp_helo_name`, `lmtp_lhlo_name`.
    pub name: String,
    /// `smtp_always_send_ehlo`: also when the greeting does not say ESMTP.
    pub always_ehlo: bool,
    /// `smtp_never_send_ehlo`.
    pub never_ehlo: bool,
    /// `smtp_discard_ehlo_keywords`.
    pub discard: Keywords,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HelloStep {
    /// Send this line and wait for a reply.
    Send(String),
    /// The session is ready.
    Ready(Features),
    /// The server does not talk to us. 4xx: another host may; 5xx and everything else: final.
    Refused(ServerReply),
}

/// The state of the handshake.
#[derive(Debug)]
pub struct Hello<'a> {
    options: &'a HelloOptions,
    stage: Stage,
    server_name: String,
    /// HELO, whatever the greeting says.
    plain: bool,
}

impl<'a> Hello<'a> {
    /// Waits for the greeting.
    pub fn new(options: &'a HelloOptions) -> Self {
        Self { options, stage: Stage::Greeting, server_name: String::new(), plain: false }
    }

    /// Once more, on an encrypted connection (RFC 3207 4.2): the line to send.
    pub fn again(options: &'a HelloOptions) -> (Self, String) {
        let mut hello = Self::new(options);
        let step = match options.lmtp {
            true => hello.send(Stage::Lhlo, "LHLO"),
            false => hello.send(Stage::Ehlo, "EHLO"),
        };
        let line = if let HelloStep::Send(line) = step { line } else { String::new() };
        (hello, line)
    }

    /// Without ESMTP: HELO is what follows the greeting.
    pub fn set_plain(&mut self, plain: bool) {
        self.plain = plain;
    }

    /// What the next reply answers.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The name with which the server greeted us, then the one of its EHLO reply.
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// Takes a reply; `lines` are its lines with their codes.
    pub fn reply(&mut self, reply: ServerReply, lines: &[String]) -> HelloStep {
        match self.stage {
            Stage::Greeting => self.greeted(reply),
            Stage::Ehlo | Stage::Lhlo if reply.class() == 2 => self.offered(lines),
            Stage::Ehlo if reply.code != 421 => self.send(Stage::Helo, "HELO"),
            Stage::Helo if reply.class() == 2 => HelloStep::Ready(Features::default()),
            _ => HelloStep::Refused(reply),
        }
    }

    fn greeted(&mut self, reply: ServerReply) -> HelloStep {
        if reply.class() != 2 {
            return HelloStep::Refused(reply);
        }
        let mut words = reply.text.split([' ', '-', '\t']).skip(1);
        self.server_name = words.next().unwrap_or_default().to_owned();
        let esmtp = reply.text.split_ascii_whitespace().any(|w| w.eq_ignore_ascii_case("ESMTP"));
        let o = self.options;
        match (o.lmtp, (o.always_ehlo || esmtp) && !o.never_ehlo && !self.plain) {
            (true, _) => self.send(Stage::Lhlo, "LHLO"),
            (false, true) => self.send(Stage::Ehlo, "EHLO"),
            (false, false) => self.send(Stage::Helo, "HELO"),
        }
    }

    fn send(&mut self, stage: Stage, verb: &str) -> HelloStep {
        self.stage = stage;
        HelloStep::Send(format!("{verb} {}\r\n", self.options.name))
    }

    fn offered(&mut self, lines: &[String]) -> HelloStep {
        let texts: Vec<String> = lines.iter().map(|l| l.get(4..).unwrap_or_default().to_owned()).collect();
        if let Some(name) = texts.first().and_then(|t| t.split_ascii_whitespace().next()) {
            self.server_name = name.to_owned();
        }
        let mut features = Features::parse(&texts);
        features.keywords = features.keywords.minus(self.options.discard);
        if !features.has(Keyword::Size) {
            features.size = None;
        }
        HelloStep::Ready(features)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{ReplyReader, Taken};

    /// Plays the server's replies; the commands sent, then how it ended.
    fn play(options: &HelloOptions, replies: &[&str]) -> Vec<String> {
        let mut hello = Hello::new(options);
        let mut log = Vec::new();
        for reply in replies {
            let mut reader = ReplyReader::default();
            let lines: Vec<String> = reply.lines().map(String::from).collect();
            let mut last = Taken::More;
            for l in &lines {
                last = reader.line(l.as_bytes()).unwrap();
            }
            let Taken::Reply(r) = last else { panic!("{reply}") };
            match hello.reply(r, &lines) {
                HelloStep::Send(s) => log.push(s.trim_end().to_owned()),
                HelloStep::Ready(f) => log.push(format!("ready {:?}", f.keywords)),
                HelloStep::Refused(r) => log.push(format!("refused {} {}", r.text, r.failure_status())),
            }
        }
        log
    }

    #[test]
    fn dialogues() {
        let smtp = HelloOptions { name: "c".into(), always_ehlo: true, ..HelloOptions::default() };
        let polite = HelloOptions { always_ehlo: false, ..smtp.clone() };
        let never = HelloOptions { never_ehlo: true, ..smtp.clone() };
        let lmtp = HelloOptions { lmtp: true, ..smtp.clone() };
        let discard = HelloOptions { discard: Keywords::of(&[Keyword::Pipelining]), ..smtp.clone() };
        let offer = "250-h\n250-PIPELINING\n250 DSN";
        for (options, replies, want) in [
            (&smtp, &["220 h", offer] as &[&str], &["EHLO c", "ready {\"PIPELINING\", \"DSN\"}"] as &[&str]),
            (&discard, &["220 h", offer], &["EHLO c", "ready {\"DSN\"}"]),
            (&smtp, &["220 h", "502 no", "250 h"], &["EHLO c", "HELO c", "ready {}"]),
            (&smtp, &["220 h", "450 4.5.1 no", "250 h"], &["EHLO c", "HELO c", "ready {}"]),
            (&smtp, &["220 h", "421 4.5.1 no"], &["EHLO c", "refused 421 4.5.1 no 4.5.1"]),
            (
                &smtp,
                &["220 h", "502 no", "550 5.5.2 no"],
                &["EHLO c", "HELO c", "refused 550 5.5.2 no 5.5.2"],
            ),
            (&smtp, &["354 strange"], &["refused 354 strange 5.5.0"]),
            (&smtp, &["450 4.7.0 go"], &["refused 450 4.7.0 go 4.7.0"]),
            (&polite, &["220 h SMTP"], &["HELO c"]),
            (&polite, &["220 h ESMTP x"], &["EHLO c"]),
            (&never, &["220 h ESMTP", "250 h"], &["HELO c", "ready {}"]),
            (&lmtp, &["220 h", "502 5.5.1 no lhlo"], &["LHLO c", "refused 502 5.5.1 no lhlo 5.5.1"]),
            (&lmtp, &["220 h", offer], &["LHLO c", "ready {\"PIPELINING\", \"DSN\"}"]),
        ] {
            assert_eq!(play(options, replies), want, "{replies:?}");
        }
    }

    #[test]
    fn who_the_server_says_it_is() {
        let o = HelloOptions { name: "c".into(), always_ehlo: true, ..HelloOptions::default() };
        let mut h = Hello::new(&o);
        h.reply(ServerReply { code: 220, status: None, text: "220 one.example ESMTP".into() }, &[]);
        assert_eq!(h.server_name(), "one.example");
        h.reply(
            ServerReply { code: 250, status: None, text: "250 two".into() },
            &["250 two.example hi".into()],
        );
        assert_eq!(h.server_name(), "two.example");
    }
}
