//! `*_delivery_status_filter`: other words, or another status, for the result of a delivery (postconf(5)
//! default_delivery_status_filter).
//!
//! [`crate::report`] asks it once for each result, before it is logged and reported. A success stays a success and a
//! failure a failure; whatever else a table answers, and a table that fails, is a warning, and the result stays as it is.

use crate::Deps;
use base_conf::{Config, Error};
use base_tables::Maps;
use proto_dsn::Status;

/// The agents that have such a filter.
const AGENTS: &[&str] = &["lmtp", "local", "pipe", "smtp", "virtual"];

/// The tables of one agent.
pub(crate) struct StatusFilter {
    maps: Maps,
}

/// What is said instead; no text: the given one stays.
type Instead = Option<(Status, Option<String>)>;

impl StatusFilter {
    /// Of the agent of this command; `None` when there is nothing to ask.
    pub fn open(command: &str, cfg: &Config, deps: &Deps) -> Result<Option<Self>, Error> {
        if !AGENTS.contains(&command) {
            return Ok(None);
        }
        let name = format!("{command}_delivery_status_filter");
        let tables = cfg.str(&name)?;
        Ok((!tables.is_empty()).then(|| Self { maps: Maps::open(&deps.tables, &name, &tables) }))
    }

    /// What to say instead. The error is for the log, after `warning: `.
    pub async fn instead(&self, status: Status, text: &str) -> Result<Instead, String> {
        let query = format!("{status} {text}");
        let found = self.maps.find(&query).await;
        let found = found.map_err(|e| format!("{} lookup error for \"{query}\"", e.table))?;
        let Some(found) = found else { return Ok(None) };
        let bad = || format!("{}: bad status code: {found}", self.maps.title());
        let (new, text) = Status::split_prefix(&found).ok_or_else(bad)?;
        if (new.class() == 2) != (status.class() == 2) {
            return Err(bad());
        }
        Ok(Some((new, Some(text.to_owned()).filter(|t| !t.is_empty()))))
    }
}
