//! The SMTP server that postscreen(8) plays itself: it takes no mail, and watches how the client talks.

use super::{
    Refused, Visit,
    config::{Action, Deep},
};
use crate::escape::escaped;
use base_net::{Ending, Excess, NetError};
use proto_smtp::{Keyword, server::Settings};
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
}

/// What a line leads to.
enum Reply {
    Say(String),
    Close(String),
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
        self.stream.set_time_limit(config.command_time_limit.max(Duration::from_secs(1)));
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
            let text = String::from_utf8_lossy(&line).into_owned();
            talk.commands += 1;
            if talk.commands > config.command_count_limit {
                let (from, last) = (self.from.clone(), talk.last.clone());
                self.log(format!("COMMAND COUNT LIMIT from {from} after {last}"));
                return self.say("421 4.7.0 Error: too many commands").await;
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
                let text = refused.dropped();
                return self.say(&text).await;
            }
            let reply = self.reply(&verb, &text, refused, talk);
            talk.last = verb.clone();
            match reply {
                Reply::Say(text) => self.say(&text).await?,
                Reply::Close(text) => return self.say(&text).await,
            }
        }
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
                        self.ehlo()
                    } else {
                        format!("250 {}", self.screen.config.myhostname)
                    })
                }
            },
            "MAIL" if talk.sender.is_some() => say("503 5.5.1 Error: nested MAIL command"),
            "MAIL" => match address(line) {
                Some(sender) => {
                    talk.sender = Some(sender);
                    say("250 2.1.0 Ok")
                }
                None => say("501 5.5.4 Syntax: MAIL FROM:<address>"),
            },
            "RCPT" => match (&talk.sender, address(line)) {
                (None, _) => say("503 5.5.1 Error: need MAIL command"),
                (_, None) => say("501 5.5.4 Syntax: RCPT TO:<address>"),
                (Some(sender), Some(recipient)) => {
                    let (from, text) = (&self.from, refused.text());
                    let proto = if talk.esmtp { "ESMTP" } else { "SMTP" };
                    let helo = &talk.helo;
                    self.log(format!(
                        "NOQUEUE: reject: RCPT from {from}: {text}; from=<{sender}>, to=<{recipient}>, proto={proto}, helo=<{helo}>"
                    ));
                    talk.proven = true;
                    Reply::Say(text)
                }
            },
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
            "VRFY" => Reply::Say(refused.text()),
            "ETRN" => say("458 Unable to queue messages"),
            "STARTTLS" => say("502 5.5.1 Error: command not implemented"),
            "QUIT" => Reply::Close("221 2.0.0 Bye".to_owned()),
            _ => say("502 5.5.2 Error: command not recognized"),
        }
    }

    /// What smtpd would announce, without what only it can do.
    fn ehlo(&self) -> String {
        let config = &self.screen.config;
        let mut discarded = config.discarded;
        for keyword in [Keyword::Pipelining, Keyword::StartTls, Keyword::Auth] {
            discarded.insert(keyword);
        }
        if config.disable_vrfy {
            discarded.insert(Keyword::Vrfy);
        }
        let settings = Settings {
            hostname: config.myhostname.clone(),
            size_limit: config.size_limit,
            smtputf8: true,
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
