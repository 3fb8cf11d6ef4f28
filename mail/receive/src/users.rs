//! Limits per user (an extension): messages and recipients in a time unit, for each login and for each sender. Who has stolen a
//! password or a session of a web mailer sends no more than these, from however many addresses.
//!
//! `smtpd_sasl_login_message_rate_limit`, `smtpd_sasl_login_recipient_rate_limit`, `smtpd_sender_message_rate_limit`,
//! `smtpd_sender_recipient_rate_limit`, `smtpd_user_rate_time_unit`, `smtpd_user_event_limit_exceptions`. What is over a limit gets
//! a 4xx and one warning. Nothing is counted where no limit is set; the null sender never is.

use crate::{anvil::Event, connection::Connection};
use base_conf::{Config, Error};
use base_tables::MatchList;
use proto_dsn::Status;
use proto_smtp::Reply;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The limits of one kind of user; 0: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rates {
    messages: u32,
    recipients: u32,
}

impl Rates {
    fn of(self, event: Event) -> u32 {
        if event == Event::Message { self.messages } else { self.recipients }
    }
}

/// All of them.
#[derive(Debug, Clone)]
pub(crate) struct UserLimits {
    login: Rates,
    sender: Rates,
    unit: Duration,
}

impl UserLimits {
    /// `None`: there is no limit.
    pub(crate) fn from_config(cfg: &Config) -> Result<Option<Self>, Error> {
        let limit = |name: &str| cfg.int(name).map(|n| u32::try_from(n).unwrap_or(0));
        let login = Rates {
            messages: limit("smtpd_sasl_login_message_rate_limit")?,
            recipients: limit("smtpd_sasl_login_recipient_rate_limit")?,
        };
        let sender = Rates {
            messages: limit("smtpd_sender_message_rate_limit")?,
            recipients: limit("smtpd_sender_recipient_rate_limit")?,
        };
        let unit = cfg.time("smtpd_user_rate_time_unit")?.max(Duration::from_secs(1));
        let none = Rates { messages: 0, recipients: 0 };
        Ok((login != none || sender != none).then_some(Self { login, sender, unit }))
    }
}

/// A list that cannot be asked excepts nobody.
async fn is_excepted(exceptions: &MatchList, name: &str) -> bool {
    !exceptions.is_empty() && exceptions.matches(name).await.unwrap_or(false)
}

impl Connection {
    /// Counts a message or a recipient of this sender. `Some`: there are too many.
    pub(crate) async fn user_has_too_many(&mut self, event: Event, sender: &str) -> Option<Reply> {
        let shared = Arc::clone(&self.shared);
        let limits = shared.config.user_limits.as_ref()?;
        let login = self.login.as_ref().map(|l| l.username.to_lowercase()).unwrap_or_default();
        for (kind, name, rates) in
            [("login", login, limits.login), ("sender", sender.to_lowercase(), limits.sender)]
        {
            let limit = rates.of(event);
            if limit == 0 || name.is_empty() || is_excepted(&shared.lists.user_exceptions, &name).await {
                continue;
            }
            let value = shared.deps.users.event(kind, &name, event, limits.unit, Instant::now());
            if value > limit {
                return Some(self.user_over_limit(event, value, kind, &name));
            }
        }
        None
    }

    fn user_over_limit(&self, event: Event, value: u32, kind: &str, name: &str) -> Reply {
        let (what, of) = match event {
            Event::Message => ("Message delivery request rate", "much mail"),
            _ => ("Recipient address rate", "many recipients"),
        };
        let from = self.peer.namaddr();
        self.warning(format_args!("{what} limit exceeded: {value} from {from} for {kind} {name}"));
        Reply::new(450, Status::new(4, 7, 1), format!("Error: too {of} from {kind} {name}"))
    }
}
