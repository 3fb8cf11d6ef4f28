//! The AUTH command: the exchange between client and password service (RFC 4954, SASL_README).
//!
//! Whatever is wrong ends in a reply and a log line in the form that fail2ban's filters know. Responses are bounded by
//! `smtpd_sasl_response_limit`; what a client sends never reaches the transcript or the log.

use crate::{anvil::Event, connection::Connection};
use base_net::{Ending, Excess, NetError};
use base_sasl::{Failure, Request, Step};
use mail_restrict::Login;
use proto_dsn::Status;
use proto_smtp::{
    Reply,
    server::{Next, Session, Verdict},
};
use std::sync::Arc;

/// How an exchange ends.
enum End {
    Success(String),
    Failed(Failure),
    Aborted,
    TooLong,
}

impl Connection {
    pub(crate) async fn auth(&mut self, rest: &str) -> Result<Next, NetError> {
        if let Some(reply) = self.too_many(Event::Auth) {
            return Ok(self.session.answer(Verdict::Refuse(reply)));
        }
        let (mechanism, initial) = match self.session.auth_arguments(rest) {
            Ok(arguments) => arguments,
            Err(reply) => return Ok(self.session.answer(Verdict::Refuse(reply))),
        };
        let end = self.exchange(&mechanism, initial).await?;
        let verdict = match end {
            End::Success(user) => self.logged_in(mechanism, user).await,
            End::Failed(failure) => Verdict::Refuse(self.login_failed(&mechanism, failure)),
            End::Aborted => {
                let from = self.peer.namaddr();
                self.warning(format_args!("{from}: SASL {} authentication aborted", clean(&mechanism)));
                Verdict::Refuse(Reply::new(501, Status::new(5, 7, 0), "Authentication aborted"))
            }
            End::TooLong => {
                Verdict::Refuse(Reply::new(500, Status::new(5, 5, 6), "SASL response limit exceeded"))
            }
        };
        Ok(self.session.answer(verdict))
    }

    async fn exchange(&mut self, mechanism: &str, initial: Option<String>) -> Result<End, NetError> {
        let shared = Arc::clone(&self.shared);
        let known = self.mechanisms.iter().any(|m| m.name.eq_ignore_ascii_case(mechanism));
        let Some(sasl) = &shared.sasl else { return Ok(End::Aborted) };
        if !known {
            return Ok(End::Failed(sasl.backend.unknown_mechanism(mechanism)));
        }
        let mut exchange = sasl.backend.start(self.login_request(mechanism));
        let mut step = exchange.step(initial.as_deref()).await;
        loop {
            let challenge = match step {
                Step::Success { user } => return Ok(End::Success(user)),
                Step::Failed(failure) => return Ok(End::Failed(failure)),
                Step::Challenge(text) => text,
            };
            self.send(Reply::plain(334, challenge)).await?;
            let line = self.stream.read_line(shared.config.sasl.response_limit, Excess::Skip).await?;
            if line.ending == Ending::Cut {
                let shown: String = String::from_utf8_lossy(line.bytes).chars().take(30).collect();
                self.response_too_long(&shown);
                return Ok(End::TooLong);
            }
            let response = String::from_utf8_lossy(line.bytes).into_owned();
            if response == "*" {
                return Ok(End::Aborted);
            }
            step = exchange.step(Some(&response)).await;
        }
    }

    fn response_too_long(&self, shown: &str) {
        let (from, limit) = (self.peer.namaddr(), self.shared.config.sasl.response_limit);
        self.warning(format_args!("{from}: request longer than {limit}: {}...", clean(shown)));
    }

    fn login_request(&self, mechanism: &str) -> Request {
        Request {
            mechanism: mechanism.to_owned(),
            service: self.shared.config.sasl.service.clone(),
            local: self.peer.server_ip.map_or(String::new(), |ip| ip.to_string()),
            remote: self.peer.addr.clone(),
            secured: self.tls.is_some(),
        }
    }

    async fn logged_in(&mut self, mechanism: String, user: String) -> Verdict {
        self.login = Some(Login { method: mechanism, username: clean(&user) });
        self.session.set_authenticated(true);
        self.rewrite_local = self.rewrites_locally().await;
        Verdict::Say(Session::welcome())
    }

    fn login_failed(&mut self, mechanism: &str, failure: Failure) -> Reply {
        failure.warnings.iter().for_each(|w| self.warning(format_args!("{w}")));
        // A name that an earlier exchange has learned is still said, as by Postfix.
        if failure.user.is_some() || failure.fresh {
            self.last_login_name = failure.user;
        }
        let reason = failure.reason.as_deref().map_or("(reason unavailable)".to_owned(), clean);
        let user = self.last_login_name.as_deref().map_or("(unavailable)".to_owned(), clean);
        let (from, mechanism) = (self.peer.namaddr(), clean(mechanism));
        self.warning(format_args!(
            "{from}: SASL {mechanism} authentication failed: {reason}, sasl_username={user}"
        ));
        match failure.temporary {
            true => {
                Reply::new(454, Status::new(4, 7, 0), format!("Temporary authentication failure: {reason}"))
            }
            false => Reply::new(535, Status::new(5, 7, 8), format!("Error: authentication failed: {reason}")),
        }
    }
}

/// Text from outside for one line: control characters become `?`.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
