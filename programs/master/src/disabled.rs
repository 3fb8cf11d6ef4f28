//! `master_service_disable`: services of master.cf whose listeners stay closed (postconf(5)).
//!
//! A list of types (`inet`) and `name/type` words, `!` before a word makes an exception; the first that matches counts. Files and tables
//! are no part of it.

use base_conf::{Config, Error, Service};

/// The words, with whether they disable.
pub struct Disabled(Vec<(String, bool)>);

impl Disabled {
    /// Reads the parameter.
    pub fn from_config(config: &Config) -> Result<Self, Error> {
        let words = config.list("master_service_disable")?;
        Ok(Self(words.iter().map(|w| (w.trim_start_matches('!').to_owned(), !w.starts_with('!'))).collect()))
    }

    /// Whether this service is to have no listener.
    pub fn has(&self, service: &Service) -> bool {
        let kind = service.kind.name();
        let matches = |word: &str| match word.rsplit_once('/') {
            Some((name, of)) => name.eq_ignore_ascii_case(&service.name) && of.eq_ignore_ascii_case(kind),
            None => word.eq_ignore_ascii_case(kind),
        };
        self.0.iter().find(|(word, _)| matches(word)).is_some_and(|(_, disables)| *disables)
    }
}
