//! Milters of an SMTP session (smtpd(8), MILTER_README): the connection and each command are told to them, after our own restrictions;
//! the whole message is theirs in cleanup.
//!
//! `smtpd_milters`, `smtpd_milter_maps` (a list of its own for a client, or DISABLE), `receive_override_options = no_milters`. What
//! milters say is logged as `milter-reject`, `milter-hold`, `milter-discard`.

use crate::{connection::Connection, server::Shared};
use base_calls::{MessageAction, Route};
use base_conf::{Config, Error};
use base_log::lines::Reject;
use base_milter::{Chain, Event, Family, Lists, Settings, Shared as Milters, Verdict as Said};
use base_tables::{Maps, Tables};
use mail_restrict::{HostStatus, Stage};
use proto_address::external;
use proto_dsn::Status;
use proto_smtp::{
    Reply,
    server::{MailParams, Next, RcptParams, Verdict},
};
use std::{net::IpAddr, sync::Arc};

/// The parameters.
#[derive(Debug, Clone)]
pub(crate) struct MilterConfig {
    milters: Vec<Settings>,
    lists: Arc<Lists>,
    maps: String,
    cfg: Config,
}

impl MilterConfig {
    /// `None`: there are no milters. `off`: `no_milters`.
    pub fn from_config(cfg: &Config, off: bool) -> Result<Option<Self>, Error> {
        let (list, maps) = (cfg.str("smtpd_milters")?, cfg.str("smtpd_milter_maps")?);
        if off || (list.is_empty() && maps.is_empty()) {
            return Ok(None);
        }
        let milters = Settings::list(cfg, &list)?;
        Ok(Some(Self { milters, lists: Arc::new(Lists::from_config(cfg)?), maps, cfg: cfg.clone() }))
    }

    /// Opens `smtpd_milter_maps`.
    pub fn maps(config: Option<&Self>, tables: &Tables) -> Maps {
        Maps::open(tables, "smtpd_milter_maps", config.map_or("", |c| &c.maps))
    }
}

/// The milters for a client.
async fn chain(shared: &Shared, address: &str, warn: &(dyn Fn(&str) + Sync)) -> Option<Chain> {
    let config = shared.config.milters.as_ref()?;
    let own = match shared.lists.milter_maps.find(address).await {
        Ok(Some(list)) if list.eq_ignore_ascii_case("DISABLE") => return None,
        Ok(Some(list)) => match Settings::list(&config.cfg, &list) {
            Ok(milters) => Some(milters),
            Err(e) => {
                warn(&format!("smtpd_milter_maps: {e}"));
                None
            }
        },
        _ => None,
    };
    let milters = own.as_ref().unwrap_or(&config.milters);
    (!milters.is_empty()).then(|| Chain::new(milters, Arc::clone(&config.lists)))
}

/// A milter's reply: `550 5.7.1 text`, lines separated by CRLF.
fn reply(text: &str) -> Reply {
    let code = text.get(..3).and_then(|c| c.parse().ok()).unwrap_or(451);
    let mut out = Reply::plain(code, "");
    out.lines.clear();
    for line in text.split("\r\n") {
        let rest = line.get(4..).unwrap_or_default();
        match Status::split_prefix(rest) {
            Some((status, words)) => {
                out.status = Some(status);
                out.lines.push(words.to_owned());
            }
            None => out.lines.push(rest.to_owned()),
        }
    }
    out
}

fn closing() -> String {
    "421 4.7.0 Server closing connection".to_owned()
}

/// What milters have to say about a command.
pub(crate) enum Word {
    Nothing,
    Refused(String),
}

impl Connection {
    /// A new client: its milters are connected to and told.
    pub(crate) async fn milter_connect(&mut self) -> Word {
        self.milter_quit().await;
        let shared = Arc::clone(&self.shared);
        if shared.config.milters.is_none() {
            return Word::Nothing;
        }
        let warn = self.milter_warn();
        let Some(mut chain) = chain(&shared, &self.peer.addr, &warn).await else { return Word::Nothing };
        self.connect_macros(&mut chain);
        let peer = &self.peer;
        let named = peer.name_status == HostStatus::Ok && peer.name != "unknown";
        let host = if named { peer.name.clone() } else { format!("[{}]", peer.addr) };
        let family = match peer.ip {
            Some(IpAddr::V4(_)) => Family::Inet,
            Some(IpAddr::V6(_)) => Family::Inet6,
            None => Family::Unknown,
        };
        let event = Event::Connect { host: &host, family, port: self.port, address: &peer.addr };
        let said = chain.tell(&event, &warn).await;
        self.milters = Some(Milters::new(chain));
        self.heed(said, Stage::Connect.name(), None, None)
    }

    fn connect_macros(&self, chain: &mut Chain) {
        let peer = &self.peer;
        let known = |text: &str| (text != "unknown").then(|| text.to_owned());
        let forged = if peer.name_status == HostStatus::Ok { "" } else { " (may be forged)" };
        let origin = match known(&peer.reverse_name) {
            Some(name) => format!("{name} [{}]{forged}", peer.addr),
            None => format!("[{}]", peer.addr),
        };
        let resolve = match (peer.name_status, peer.reverse_status) {
            (HostStatus::Ok, _) => "OK",
            (HostStatus::TryAgain, _) | (_, HostStatus::TryAgain) => "TEMP",
            (_, HostStatus::Ok) => "FORGED",
            _ => "FAIL",
        };
        let open = Some(self.open_connections.to_string());
        for (name, value) in [
            ("j", Some(self.hostname().to_owned())),
            ("_", Some(origin)),
            ("{client_addr}", Some(peer.addr.clone())),
            ("{client_name}", Some(peer.name.clone())),
            ("{client_ptr}", Some(peer.reverse_name.clone())),
            ("{client_port}", Some(self.port.to_string())),
            ("{client_resolve}", Some(resolve.to_owned())),
            ("{client_connections}", open),
            ("{daemon_addr}", peer.server_ip.map(|ip| ip.to_string())),
            ("{daemon_port}", Some(self.server_port.to_string())),
        ] {
            chain.set(name, value);
        }
    }

    /// What the session has become since: TLS and login.
    fn session_macros(&self, chain: &mut Chain) {
        let tls = self.tls.as_ref();
        let cert = tls.and_then(|t| t.client.as_ref()).filter(|c| c.trusted);
        let login = self.login.as_ref();
        let author = self.session.transaction().map(|t| t.mail.auth.clone()).filter(|a| !a.is_empty());
        for (name, value) in [
            ("{tls_version}", tls.map(|t| t.protocol.clone())),
            ("{cipher}", tls.map(|t| t.cipher.clone())),
            ("{cipher_bits}", tls.map(|t| t.keysize.to_string())),
            ("{cert_subject}", cert.map(|c| c.subject.clone())),
            ("{cert_issuer}", cert.map(|c| c.issuer.clone())),
            ("{auth_type}", login.map(|l| l.method.clone())),
            ("{auth_authen}", login.map(|l| l.username.clone())),
            ("{auth_author}", author.filter(|_| login.is_some())),
        ] {
            chain.set(name, value);
        }
    }

    fn milter_warn(&self) -> impl Fn(&str) + Sync + use<> {
        let (log, source) = (self.shared.deps.log.clone(), self.source.clone());
        move |text: &str| {
            log.metrics().milters.failures.add_one();
            log.warning(&source, text);
        }
    }

    /// Tells an event, and heeds the answer.
    async fn tell(
        &mut self,
        event: &Event<'_>,
        macros: &[(&str, String)],
        stage: &str,
        sender: Option<&str>,
        recipient: Option<&str>,
    ) -> Word {
        let Some(milters) = self.milters.clone() else { return Word::Nothing };
        let warn = self.milter_warn();
        let said = {
            let mut chain = milters.lock().await;
            self.session_macros(&mut chain);
            chain.set("i", self.message.as_ref().and_then(|m| m.id()).map(|id| id.to_string()));
            macros.iter().for_each(|(name, value)| chain.set(name, Some(value.clone())));
            chain.tell(event, &warn).await
        };
        self.heed(said, stage, sender, recipient)
    }

    /// Logs what milters say, and does it.
    fn heed(&mut self, said: Said, stage: &str, sender: Option<&str>, recipient: Option<&str>) -> Word {
        let (action, text) = match said {
            Said::Continue => return Word::Nothing,
            Said::Refuse(text) => ("milter-reject", text),
            Said::Shutdown => ("milter-reject", closing()),
            Said::Hold => ("milter-hold", "milter triggers HOLD action".to_owned()),
            Said::Discard => ("milter-discard", "milter triggers DISCARD action".to_owned()),
        };
        let facts = self.facts(Stage::Connect);
        let sender = sender.or(facts.sender).map(external);
        let recipient = recipient.map(external);
        let id = self.queue_id_text();
        let line = Reject {
            id: &id,
            action,
            stage,
            restriction: "",
            client: &self.peer.namaddr(),
            text: &text.replace("\r\n", "??"),
            context: &[
                ("from", sender.as_deref()),
                ("to", recipient.as_deref()),
                ("proto", Some(facts.protocol)),
                ("helo", facts.helo.or(self.greeted_as.as_deref())),
            ],
        };
        self.shared.deps.log.line(&self.source, &line);
        match action {
            "milter-hold" => self.milter_action(MessageAction::Hold),
            "milter-discard" => self.milter_action(MessageAction::Discard),
            _ => return Word::Refused(text),
        }
        Word::Nothing
    }

    /// Unlike what access tables say, this does not end the restrictions.
    fn milter_action(&mut self, action: MessageAction) {
        match &mut self.message {
            Some(m) => m.action(action),
            None => self.actions.push(action),
        }
    }

    /// HELO and EHLO: a client that is not welcome is told so at its next command, but gets no features.
    pub(crate) async fn milter_helo(&mut self, name: &str, esmtp: bool) -> Verdict {
        if self.milters.is_none() {
            return Verdict::Accept;
        }
        self.greeted_as = Some(name.to_owned());
        let stage = if esmtp { Stage::Ehlo } else { Stage::Helo };
        let word = self.tell(&Event::Helo(name), &[], stage.name(), None, None).await;
        self.greeted_as = None;
        match word {
            Word::Refused(text) if text.starts_with("421") => Verdict::Refuse(reply(&text)),
            Word::Refused(text) if text.starts_with('5') => {
                let mut only = Reply::plain(250, self.hostname());
                only.lines.extend(esmtp.then(|| "ENHANCEDSTATUSCODES".to_owned()));
                Verdict::Say(only)
            }
            _ => Verdict::Accept,
        }
    }

    /// MAIL.
    pub(crate) async fn milter_mail(&mut self, mail: &MailParams) -> Verdict {
        if self.milters.is_none() {
            return Verdict::Accept;
        }
        let (mailer, host) = way_of(Arc::clone(&self.shared.deps.route), "", &mail.sender).await;
        let macros = [
            ("{mail_addr}", external(&mail.sender).into_owned()),
            ("{mail_host}", host),
            ("{mail_mailer}", mailer),
        ];
        let address = format!("<{}>", external(&mail.sender));
        let command = self.mail_command.clone();
        let args = arguments(&address, &command);
        let stage = Stage::Mail.name();
        of_word(self.tell(&Event::Mail(&args), &macros, stage, Some(&mail.sender), None).await)
    }

    /// RCPT.
    pub(crate) async fn milter_rcpt(&mut self, rcpt: &RcptParams, command: &str) -> Verdict {
        if self.milters.is_none() {
            return Verdict::Accept;
        }
        let sender = self.session.transaction().map_or(String::new(), |t| t.mail.sender.clone());
        let (mailer, host) = way_of(Arc::clone(&self.shared.deps.route), &sender, &rcpt.recipient).await;
        let macros = [
            ("{rcpt_addr}", external(&rcpt.recipient).into_owned()),
            ("{rcpt_host}", host),
            ("{rcpt_mailer}", mailer),
        ];
        let address = format!("<{}>", external(&rcpt.recipient));
        let args = arguments(&address, command);
        let stage = Stage::Rcpt.name();
        of_word(self.tell(&Event::Rcpt(&args), &macros, stage, None, Some(&rcpt.recipient)).await)
    }

    /// A recipient that we have refused: milters may want to count it.
    pub(crate) async fn milter_rcpt_refused(&mut self, rcpt: &RcptParams, command: &str, refusal: &Verdict) {
        let (Some(milters), Verdict::Refuse(reply)) = (self.milters.clone(), refusal) else { return };
        let warn = self.milter_warn();
        let address = format!("<{}>", external(&rcpt.recipient));
        let text = reply.lines.join(" ");
        // The words alone, without the address in front.
        let words = text.strip_prefix(&format!("{address}: ")).unwrap_or(&text).to_owned();
        let mut chain = milters.lock().await;
        chain.set("{rcpt_addr}", Some(words));
        chain.set("{rcpt_host}", reply.status.map(|s| s.to_string()));
        chain.set("{rcpt_mailer}", Some("error".to_owned()));
        chain.tell_refused(&Event::Rcpt(&arguments(&address, command)), &warn).await;
    }

    /// DATA, or the first BDAT.
    pub(crate) async fn milter_data(&mut self) -> Option<Reply> {
        self.milters.as_ref()?;
        let only = self.message.as_ref().and_then(|m| m.only_recipient()).map(str::to_owned);
        match self.tell(&Event::Data, &[], Stage::Data.name(), None, only.as_deref()).await {
            Word::Refused(text) => Some(reply(&text)),
            Word::Nothing => None,
        }
    }

    /// A command that there is not; the milters may have another answer.
    pub(crate) async fn milter_unknown(&mut self, line: &[u8], next: Next) -> Next {
        if self.milters.is_none() {
            return next;
        }
        let line = String::from_utf8_lossy(line).into_owned();
        let word = line.split_ascii_whitespace().next().unwrap_or_default();
        match (self.tell(&Event::Unknown(word), &[], "UNKNOWN", None, None).await, next) {
            (Word::Refused(text), Next::Reply(_)) => Next::Reply(reply(&text)),
            (Word::Refused(text), Next::Close { too_many_errors, .. }) => {
                Next::Close { reply: reply(&text), too_many_errors }
            }
            (_, next) => next,
        }
    }

    /// The answer to commands that milters are not told of, when they have refused the client.
    pub(crate) async fn milter_standing(&mut self) -> Option<Reply> {
        let milters = self.milters.clone()?;
        let said = milters.lock().await.standing();
        match said {
            Said::Refuse(text) => Some(reply(&text)),
            Said::Shutdown => Some(reply(&closing())),
            _ => None,
        }
    }

    /// The transaction has ended.
    pub(crate) async fn milter_end(&mut self) {
        if let Some(milters) = self.milters.clone() {
            milters.lock().await.end_message().await;
        }
    }

    /// The connection has ended.
    pub(crate) async fn milter_quit(&mut self) {
        if let Some(milters) = self.milters.take() {
            milters.lock().await.quit().await;
        }
    }
}

/// Transport and next hop of an address, for macros.
async fn way_of(route: Arc<dyn Route>, sender: &str, address: &str) -> (String, String) {
    let address = route.rewrite(base_calls::RewriteContext::Local, address);
    match route.resolve(sender, &address).await {
        Ok(r) => (r.transport.to_string(), r.nexthop.to_string()),
        Err(_) => (String::new(), String::new()),
    }
}

fn of_word(word: Word) -> Verdict {
    match word {
        Word::Refused(text) => Verdict::Refuse(reply(&text)),
        Word::Nothing => Verdict::Accept,
    }
}

/// The address and the ESMTP parameters of a command.
fn arguments<'a>(address: &'a str, command: &'a str) -> Vec<&'a str> {
    let rest = command.rsplit_once('>').map_or("", |(_, rest)| rest);
    std::iter::once(address).chain(rest.split_ascii_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies() {
        let r = reply("554-5.7.1 one\r\n554 5.7.1 two");
        assert_eq!(
            (r.code, r.status, r.lines.as_slice()),
            (554, Some(Status::new(5, 7, 1)), ["one".to_owned(), "two".to_owned()].as_slice())
        );
        let r = reply("550 no code");
        assert_eq!((r.code, r.status, r.lines.as_slice()), (550, None, ["no code".to_owned()].as_slice()));
    }

    #[test]
    fn command_arguments() {
        assert_eq!(arguments("<a@b>", "MAIL FROM:<a@b> SIZE=1  BODY=7BIT"), ["<a@b>", "SIZE=1", "BODY=7BIT"]);
        assert_eq!(arguments("<a@b>", "MAIL FROM:a@b"), ["<a@b>"]);
    }
}
