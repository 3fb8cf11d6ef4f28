//! The SMTP server that postscreen(8) plays itself: it takes no mail, and watches how the client talks.

use super::{
    Refused,
    config::{Action, Deep},
    tls::Started,
    visit::Visit,
};
use crate::{
    config::{discard_for, discard_text},
    escape::escaped,
    reply::with_footer,
    tls::Level,
};
use base_net::{Ending, Excess, NetError};
use mail_restrict::Decision;
use proto_smtp::{Keyword, Keywords, Reply as Full, server::Settings};
use std::time::Duration;

/// Which tests are due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub(super) pipelining: bool,
    pub(super) non_smtp: bool,
    pub(super) bare_newline: bool,
}

/// How the conversation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Without fault, as far as a recipient.
    Clean,
    /// With a fault, or too early to tell.
    NotProven,
}

/// The conversation so far.
#[derive(Default)]
struct Talk {
    esmtp: bool,
    helo: String,
    sender: Option<String>,
    last: String,
    fault: bool,
    /// It has come to a recipient.
    proven: bool,
    commands: u32,
    /// What EHLO does not announce.
    discarded: Keywords,
}

/// What a line leads to.
enum Reply {
    Say(String),
    Close(String),
    /// The handshake, should there be a certificate.
    StartTls,
}

impl Visit<'_> {
    /// Talks until the client goes. `refused`: what recipients hear.
    pub(super) async fn engine(&mut self, due: Due, mut refused: Refused) -> End {
        let mut talk = Talk::default();
        let end = self.conversation(due, &mut refused, &mut talk).await;
        if let Err(NetError::Closed | NetError::Io(_)) = end {
            let (took, from) = (self.took(), self.from.clone());
            self.log(format!("HANGUP after {took} from {from} in tests after SMTP handshake"));
        }
        if talk.proven && !talk.fault { End::Clean } else { End::NotProven }
    }

    async fn conversation(
        &mut self,
        due: Due,
        refused: &mut Refused,
        talk: &mut Talk,
    ) -> Result<(), NetError> {
        let config = self.screen.config.clone();
        let stressed = self.screen.places.is_stressed();
        let limit = if stressed { config.command_time_limit.1 } else { config.command_time_limit.0 };
        let limit = limit.max(Duration::from_secs(1));
        self.stream.set_time_limit(limit);
        loop {
            // For the whole command: a client that sends a byte now and then does not stay.
            self.stream.begin_request(None);
            let read = self.stream.read_line(config.line_limit, Excess::Skip).await;
            let read = read.map(|line| (line.bytes.to_vec(), line.ending));
            self.stream.end_request();
            let (line, ending) = match read {
                Ok(line) => line,
                Err(NetError::TimedOut) => {
                    let (from, last) = (self.from.clone(), talk.last.clone());
                    self.log(format!("COMMAND TIME LIMIT from {from} after {last}"));
                    return self.say("421 4.4.2 Error: command time limit exceeded").await;
                }
                Err(e) => return Err(e),
            };
            let text = self.filtered(String::from_utf8_lossy(&line).into_owned()).await;
            talk.commands += 1;
            if talk.commands > config.command_count_limit {
                let (from, last) = (self.from.clone(), talk.last.clone());
                self.log(format!("COMMAND COUNT LIMIT from {from} after {last}"));
                let text =
                    format!("421 {} Service unavailable - try again later", self.screen.config.myhostname);
                return self.say(&text).await;
            }
            if due.bare_newline && ending == Ending::Lf {
                self.fault(
                    talk,
                    refused,
                    config.bare_newline,
                    format!("BARE NEWLINE from {{}} after {text}"),
                );
            }
            let verb = text.split_ascii_whitespace().next().unwrap_or_default().to_ascii_uppercase();
            if due.non_smtp && self.screen.forbidden.matches(&verb).await.unwrap_or(false) {
                let last = if talk.last.is_empty() { "CONNECT" } else { &talk.last };
                let what = format!("NON-SMTP COMMAND from {{}} after {last}: {}", escaped(text.as_bytes()));
                self.fault(talk, refused, config.non_smtp, what);
                if config.non_smtp.action == Action::Drop {
                    return self.say("521 5.7.0 Error: I can break rules, too. Goodbye.").await;
                }
            }
            if due.pipelining && self.stream.has_buffered() {
                let more = escaped(self.stream.buffered());
                self.fault(
                    talk,
                    refused,
                    config.pipelining,
                    format!("COMMAND PIPELINING from {{}} after {verb}: {more}"),
                );
            }
            if refused.drops {
                let text = self.footed(refused.dropped()).await;
                self.refused(talk, &verb, &text);
                return self.say(&text).await;
            }
            if verb == "EHLO" {
                talk.discarded = self.discarded().await;
            }
            let mut reply = match self.unencrypted(&verb, talk) {
                Some(reply) => reply,
                None => self.reply(&verb, &text, refused, talk),
            };
            talk.last = verb.clone();
            if let Reply::StartTls = reply {
                match self.start_tls(limit).await {
                    Started::Yes => {
                        *talk = Talk { commands: talk.commands, fault: talk.fault, ..Talk::default() };
                        continue;
                    }
                    Started::Failed => return Err(NetError::Closed),
                    Started::Unavailable => {
                        reply = Reply::Say("454 4.7.0 TLS not available due to local problem".to_owned());
                    }
                }
            }
            match reply {
                Reply::Say(text) => {
                    let text = self.footed(text).await;
                    self.say(&text).await?;
                }
                Reply::Close(text) => {
                    let text = self.footed(text).await;
                    return self.say(&text).await;
                }
                Reply::StartTls => {}
            }
        }
    }

    /// `postscreen_command_filter`.
    async fn filtered(&mut self, line: String) -> String {
        let screen = self.screen;
        let filter = &screen.command_filter;
        if filter.is_empty() {
            return line;
        }
        match filter.find(&line).await {
            Ok(Some(new)) => {
                self.log(format!("{}: replacing command \"{line}\" with \"{new}\"", self.from));
                new
            }
            Ok(None) => line,
            Err(_) => {
                self.warn("postscreen_command_filter map lookup error");
                line
            }
        }
    }

    /// What EHLO does not announce to this client (`postscreen_discard_ehlo_keyword_address_maps`).
    async fn discarded(&mut self) -> Keywords {
        let (client, _) = self.ends();
        let own = match self.screen.discard.is_empty() {
            true => None,
            false => self.screen.discard.find(&client.ip().to_string()).await.unwrap_or_default(),
        };
        let (discarded, _) = discard_for(own, self.screen.config.discarded);
        if let Some(words) = discard_text(discarded) {
            self.log(format!("[{}]{}: discarding EHLO keywords: {words}", client.ip(), client.port()));
        }
        discarded
    }

    /// `postscreen_tls_security_level = encrypt`.
    fn unencrypted(&self, verb: &str, talk: &mut Talk) -> Option<Reply> {
        if self.screen.config.tls.level != Level::Encrypt || self.encrypted.is_some() {
            return None;
        }
        if !matches!(verb, "MAIL" | "RCPT" | "DATA" | "BDAT" | "RSET" | "VRFY" | "ETRN") {
            return None;
        }
        talk.proven |= verb == "RCPT";
        Some(Reply::Say("530 5.7.0 Must issue a STARTTLS command first".to_owned()))
    }

    /// With `postscreen_reject_footer` or what `postscreen_reject_footer_maps` has.
    async fn footed(&mut self, text: String) -> String {
        let screen = self.screen;
        let code = text.get(..3).and_then(|code| code.parse::<u16>().ok()).filter(|code| *code >= 400);
        let (Some(code), Some(rest)) = (code, text.get(4..)) else { return text };
        let own = match screen.footers.is_empty() {
            true => None,
            false => screen.footers.find(&text).await.unwrap_or_default(),
        };
        let footer = own.as_deref().unwrap_or(&screen.config.footer);
        if footer.is_empty() {
            return text;
        }
        let mut reply = Full::plain(code, rest);
        with_footer(&mut reply, footer, |text| self.filled(text));
        let mut out = Vec::new();
        reply.write_to(&mut out);
        String::from_utf8_lossy(&out).trim_end_matches(['\r', '\n']).to_owned()
    }

    /// With the values of the session in the places of their names.
    fn filled(&self, template: &str) -> Option<String> {
        let config = &self.screen.config;
        let (client, _) = self.ends();
        let value = |name: &str| {
            let text = match name {
                "client_address" => client.ip().to_string(),
                "client_port" => client.port().to_string(),
                "localtime" => base_calls::Timestamp::now().log_date(),
                "server_name" => config.myhostname.clone(),
                _ => return None,
            };
            Some(config.expansion_filter.apply(&text))
        };
        let filled = mail_restrict::fill(template, &value);
        filled.warnings.iter().for_each(|w| self.warn(w));
        filled.text
    }

    fn refused(&self, talk: &Talk, stage: &str, reply: &str) {
        let sender = talk.sender.as_ref().map_or(String::new(), |s| format!("<{s}>"));
        self.remember(Decision { stage, helo: &talk.helo, sender: &sender, reply, ..Decision::default() });
    }

    /// A test has failed. `text`: for the log, `{}` for the client.
    fn fault(&self, talk: &mut Talk, refused: &mut Refused, deep: Deep, text: String) {
        if talk.fault {
            return;
        }
        self.log(text.replacen("{}", &self.from, 1));
        talk.fault = true;
        if deep.action != Action::Ignore {
            *refused = Refused { drops: deep.action == Action::Drop, ..Refused::protocol_error() };
        }
    }

    fn reply(&self, verb: &str, line: &str, refused: &Refused, talk: &mut Talk) -> Reply {
        let say = |text: &str| Reply::Say(text.to_owned());
        match verb {
            "HELO" | "EHLO" => match line.split_ascii_whitespace().nth(1) {
                None => Reply::Say(format!("501 Syntax: {verb} hostname")),
                Some(name) => {
                    (talk.esmtp, talk.sender) = (verb == "EHLO", None);
                    talk.helo = name.to_owned();
                    Reply::Say(if talk.esmtp {
                        self.ehlo(talk.discarded)
                    } else {
                        format!("250 {}", self.screen.config.myhostname)
                    })
                }
            },
            "MAIL" if self.screen.config.helo_required && talk.helo.is_empty() => {
                say("503 5.5.1 Error: send HELO/EHLO first")
            }
            "MAIL" if talk.sender.is_some() => say("503 5.5.1 Error: nested MAIL command"),
            "MAIL" => match address(line) {
                Some(sender) => {
                    talk.sender = Some(sender);
                    say("250 2.1.0 Ok")
                }
                None => say("501 5.5.4 Syntax: MAIL FROM:<address>"),
            },
            "RCPT" => {
                talk.proven = true;
                match (&talk.sender, address(line)) {
                    (None, _) => say("503 5.5.1 Error: need MAIL command"),
                    (_, None) => say("501 5.5.4 Syntax: RCPT TO:<address>"),
                    (Some(sender), Some(recipient)) => {
                        let (from, text) = (&self.from, refused.text());
                        let proto = if talk.esmtp { "ESMTP" } else { "SMTP" };
                        let helo = &talk.helo;
                        self.log(format!(
                        "NOQUEUE: reject: RCPT from {from}: {text}; from=<{sender}>, to=<{recipient}>, proto={proto}, helo=<{helo}>"
                    ));
                        self.remember(Decision {
                            stage: "RCPT",
                            helo,
                            sender: &format!("<{sender}>"),
                            recipient: &format!("<{recipient}>"),
                            reply: &text,
                            ..Decision::default()
                        });
                        Reply::Say(text)
                    }
                }
            }
            "DATA" | "BDAT" => {
                self.log(format!("{verb} without valid RCPT from {}", self.from));
                Reply::Close(match (&talk.sender, verb) {
                    (Some(_), _) => "554 5.5.1 Error: no valid recipients".to_owned(),
                    (None, "DATA") => "503 5.5.1 Error: need RCPT command".to_owned(),
                    (None, _) => "554 5.5.1 Error: need MAIL command".to_owned(),
                })
            }
            "RSET" => {
                talk.sender = None;
                say("250 2.0.0 Ok")
            }
            "NOOP" => say("250 2.0.0 Ok"),
            "VRFY" if self.screen.config.disable_vrfy => say("502 5.5.1 VRFY command is disabled"),
            "VRFY" => Reply::Say(refused.text()),
            "ETRN" => say("458 Unable to queue messages"),
            "STARTTLS" if self.encrypted.is_some() => say("554 5.5.1 Error: TLS already active"),
            "STARTTLS" if self.screen.config.tls.level == Level::None => {
                say("502 5.5.1 Error: command not implemented")
            }
            "STARTTLS" if line.split_ascii_whitespace().nth(1).is_some() => say("501 Syntax: STARTTLS"),
            "STARTTLS" => Reply::StartTls,
            "QUIT" => Reply::Close("221 2.0.0 Bye".to_owned()),
            _ => say("502 5.5.2 Error: command not recognized"),
        }
    }

    /// What smtpd would announce, without what only it can do.
    fn ehlo(&self, mut discarded: Keywords) -> String {
        let config = &self.screen.config;
        for keyword in [Keyword::Pipelining, Keyword::Auth, Keyword::RequireTls] {
            discarded.insert(keyword);
        }
        let settings = Settings {
            hostname: config.myhostname.clone(),
            size_limit: config.size_limit,
            smtputf8: config.smtputf8,
            starttls: config.tls.level != Level::None,
            encrypted: self.encrypted.is_some(),
            discarded,
            ..Settings::default()
        };
        let lines: Vec<String> =
            std::iter::once(config.myhostname.clone()).chain(settings.ehlo_lines()).collect();
        let last = lines.len().saturating_sub(1);
        let numbered =
            lines.iter().enumerate().map(|(i, l)| format!("250{}{l}", if i == last { ' ' } else { '-' }));
        numbered.collect::<Vec<_>>().join("\r\n")
    }
}

/// What stands between `<` and `>`, or the word behind the colon.
fn address(line: &str) -> Option<String> {
    let (_, text) = line.split_once(':')?;
    let text = text.trim();
    match text.strip_prefix('<') {
        Some(rest) => rest.split_once('>').map(|(a, _)| a.to_owned()),
        None => text.split_ascii_whitespace().next().map(str::to_owned),
    }
}
