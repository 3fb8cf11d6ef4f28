//! Where mail goes: addresses to standard form, recipients to transport and next hop (trivial-rewrite(8)).
//!
//! Used by receive (relay control, unknown recipients), cleanup (rewriting) and schedule (routing), through
//! [`base_calls::Route`]. [`Router`] is built once per configuration and answers from tables; a table that fails is a
//! [`RouteError`], never a wrong answer. An address that makes no sense resolves to the `error` transport with
//! `invalid` set.
//!
//! - [`rewrite`] puts addresses in standard form; pure
//! - [`classes`] finds the class of a domain (ADDRESS_CLASS_README)
//! - [`resolve`] peels routing off local addresses and chooses transport and next hop (transport(5))
//! - [`relocated`] answers for users who have moved (relocated(5))
//! - [`unlisted`] says whether a recipient exists

mod classes;
mod config;
mod relocated;
mod resolve;
#[cfg(test)]
mod resolve_tests;
pub mod rewrite;
mod transport;
mod unlisted;
mod way;

pub use config::RouteConfig;

use base_calls::{Fut, Resolution, RewriteContext, Route, RouteError, Unlisted};
use base_tables::{Maps, Tables};
use classes::Classes;
use std::sync::Arc;
use way::Way;

/// What the names of the parameters for probes start with.
pub(crate) const PROBES: &str = "address_verify_";

/// Rewriting and routing by one configuration.
pub struct Router {
    config: Arc<RouteConfig>,
    tables: Arc<Tables>,
    classes: Classes,
    mail: Way,
    /// `None`: probes go where mail goes.
    probes: Option<Way>,
    relocated: Maps,
    lists: unlisted::Lists,
}

impl Router {
    /// Opens the tables that `config` names. `asked`: those of smtpd, for [`Route::unlisted`] is its question, and its log
    /// that gets the warnings.
    pub fn new(config: Arc<RouteConfig>, tables: Arc<Tables>, asked: &Tables) -> Self {
        let c = &config;
        Self {
            classes: Classes::new(c, &tables),
            mail: Way::open("", &c.mail, &tables),
            probes: (c.probes != c.mail).then(|| Way::open(PROBES, &c.probes, &tables)),
            relocated: Maps::open(&tables, "relocated_maps", &c.relocated_maps),
            lists: unlisted::Lists::new(c, asked),
            tables,
            config,
        }
    }

    /// A warning for the log.
    fn warn(&self, text: &str) {
        (self.tables.options().warn)(text);
    }
}

/// The answer when a table does not: the client gets 451, the queue manager tries again later.
pub(crate) fn failure() -> RouteError {
    RouteError { status: proto_dsn::Status::new(4, 3, 0), text: "address resolver failure".to_owned() }
}

impl Route for Router {
    fn rewrite(&self, context: RewriteContext, address: &str) -> String {
        let rules = match context {
            RewriteContext::Local => &self.config.local_rules,
            RewriteContext::Remote => &self.config.remote_rules,
        };
        rewrite::rewrite(rules, address)
    }

    fn resolve<'a>(&'a self, sender: &'a str, recipient: &'a str) -> Fut<'a, Result<Resolution, RouteError>> {
        Box::pin(self.resolve_address(&self.mail, sender, recipient))
    }

    fn resolve_probe<'a>(
        &'a self,
        sender: &'a str,
        recipient: &'a str,
    ) -> Fut<'a, Result<Resolution, RouteError>> {
        Box::pin(self.resolve_address(self.probes.as_ref().unwrap_or(&self.mail), sender, recipient))
    }

    fn unlisted<'a>(&'a self, recipient: &'a str) -> Fut<'a, Result<Option<Unlisted>, RouteError>> {
        Box::pin(self.find_unlisted(recipient))
    }
}
