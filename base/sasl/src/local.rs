//! Exchanges that are held here, for implementations that know passwords or can ask for one: the mechanisms of
//! proto/sasl over a [`Source`].

use crate::{Exchange, Failure, Step};
use base_calls::Fut;
use base64::{Engine, engine::general_purpose::STANDARD};
use proto_sasl::server::{self, Scene, Secret};
use std::{
    sync::{Arc, LazyLock},
    time::{SystemTime, UNIX_EPOCH},
};

/// Nobody can tell now.
pub(crate) struct Trouble {
    pub reason: &'static str,
    pub warnings: Vec<String>,
}

/// Who knows.
pub(crate) trait Source: Send + Sync {
    /// Whether this is the user's password.
    fn verify<'a>(&'a self, user: &'a str, password: &'a str) -> Fut<'a, Result<bool, Trouble>>;

    /// What is known of a user; `None`: nothing.
    fn secret<'a>(&'a self, user: &'a str) -> Fut<'a, Result<Option<Secret>, Trouble>>;

    /// What is logged when a client of this mechanism was wrong.
    fn wrong(&self, mechanism: &str) -> Option<&'static str> {
        let _ = mechanism;
        None
    }

    /// What is logged when a client wants to act as somebody else.
    fn foreign(&self) -> Option<&'static str> {
        None
    }

    /// The name as the rest of the server sees it.
    fn full_name(&self, user: &str) -> String {
        user.to_owned()
    }
}

/// Random text.
pub(crate) fn nonce() -> String {
    STANDARD.encode(rand::random::<[u8; 18]>())
}

/// One AUTH command.
pub(crate) struct Local {
    source: Arc<dyn Source>,
    exchange: Option<Box<dyn server::Exchange>>,
    mechanism: String,
}

impl Local {
    pub fn new(source: Arc<dyn Source>, mechanism: &str, host: &str, realm: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        static KEY: LazyLock<[u8; 32]> = LazyLock::new(rand::random);
        let scene = Scene { host: host.to_owned(), realm: realm.to_owned(), nonce: nonce(), now, key: *KEY };
        let exchange = server::start(mechanism, scene);
        Self { source, exchange, mechanism: mechanism.to_ascii_uppercase() }
    }

    async fn go_on(&mut self, response: Option<&str>) -> Step {
        let source = Arc::clone(&self.source);
        let warning = source.wrong(&self.mechanism);
        let failed = |user: Option<String>, warning: Option<&str>| {
            Step::Failed(Failure {
                user: user.map(|u| source.full_name(&u)),
                warnings: warning.map(str::to_owned).into_iter().collect(),
                fresh: true,
                ..Failure::because("authentication failure")
            })
        };
        let Some(exchange) = &mut self.exchange else {
            return Step::Failed(Failure::because("no mechanism available"));
        };
        // RFC 4954 4: `=` is an initial response that is empty.
        let decoded = match response {
            None => None,
            Some("=") => Some(Vec::new()),
            Some(text) => match STANDARD.decode(text) {
                Ok(bytes) => Some(bytes),
                Err(_) => return Step::Failed(Failure::because("Invalid base64 data in continued response")),
            },
        };
        let mut step = exchange.response(decoded.as_deref());
        loop {
            step = match step {
                server::Step::Challenge(text) => return Step::Challenge(STANDARD.encode(text)),
                server::Step::Success { user } => {
                    return Step::Success { user: self.source.full_name(&user) };
                }
                server::Step::Failure { user } => return failed(user, warning),
                server::Step::Foreign { user } => return failed(Some(user), source.foreign()),
                server::Step::Verify { user, password } => match self.source.verify(&user, &password).await {
                    Ok(right) => exchange.verified(right),
                    Err(trouble) => return Self::trouble(user, trouble),
                },
                server::Step::Secret { user } => match self.source.secret(&user).await {
                    Ok(secret) => exchange.secret(secret),
                    Err(trouble) => return Self::trouble(user, trouble),
                },
            };
        }
    }

    fn trouble(user: String, t: Trouble) -> Step {
        let warnings = t.warnings;
        Step::Failed(Failure { user: Some(user), warnings, fresh: true, ..Failure::temporary(t.reason) })
    }
}

impl Exchange for Local {
    fn step<'a>(&'a mut self, response: Option<&'a str>) -> Fut<'a, Step> {
        Box::pin(self.go_on(response))
    }
}
