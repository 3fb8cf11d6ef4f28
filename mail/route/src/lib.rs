//! trivial-rewrite(8): the standard form of addresses, address classes, and transport and next hop of a recipient.
//!
//! [`Router`] implements `base_calls::Route` for everybody else. [`rewrite`] is pure; [`resolve`] asks tables.
//! A table that is down gives a temporary error, never another route. Manual pages: trivial-rewrite(8),
//! transport(5), relocated(5), ADDRESS_CLASS_README, postconf(5).

mod class;
mod config;
mod resolve;
mod rewrite;
mod unlisted;

pub use config::RouteConfig;
pub use rewrite::RewriteRules;

use base_calls::{AddressClass, Fut, Resolution, RewriteContext, Route, RouteError};
use base_log::{Log, Source};
use base_tables::TableError;
use proto_dsn::Status;
use std::sync::Arc;

/// Routing by one configuration.
pub struct Router {
    config: Arc<RouteConfig>,
    log: Log,
    source: Source,
}

impl Router {
    /// A router; `log` gets warnings about tables and impossible settings, as postfix/trivial-rewrite.
    pub fn new(config: Arc<RouteConfig>, log: Log) -> Self {
        let source = log.session_source(format!("{}/trivial-rewrite", config.syslog_name));
        Self { config, log, source }
    }

    /// A table failed: a temporary error, with a warning that names it.
    fn table_down(&self, error: &TableError) -> RouteError {
        self.log.warning(&self.source, format!("{}: table lookup problem: {}", error.table, error.reason));
        RouteError { status: Status::new(4, 3, 0), text: "address resolver failure".into() }
    }
}

impl Route for Router {
    fn rewrite(&self, context: RewriteContext, address: &str) -> String {
        self.config.rewrite.rewrite(context, address)
    }

    fn resolve<'a>(&'a self, sender: &'a str, recipient: &'a str) -> Fut<'a, Result<Resolution, RouteError>> {
        Box::pin(async move {
            let found = resolve::resolve(&self.config, sender, recipient).await;
            found.map_err(|e| self.table_down(&e))
        })
    }

    fn unlisted<'a>(&'a self, recipient: &'a str) -> Fut<'a, Result<Option<AddressClass>, RouteError>> {
        Box::pin(async move {
            let found = unlisted::unlisted(&self.config, recipient).await;
            found.map_err(|e| self.table_down(&e))
        })
    }
}
