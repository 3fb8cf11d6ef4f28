//! `check_policy_service`: other programs decide (SMTPD_POLICY_README).
//!
//! [`Server`] is the argument of the restriction: where it is and how patient we are. [`request`](self::request) knows the
//! attributes. A server that does not answer gives the default action; it never blocks a session for longer than its
//! time-out times its tries.

mod request;
mod talk;

use base_conf::{Config, Error, list};
use base_net::Endpoint;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use talk::Pool;

/// How a server is talked to (`smtpd_policy_service_*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manner {
    default_action: String,
    max_idle: Duration,
    max_ttl: Duration,
    /// Requests of one connection; 0: any number.
    request_limit: u32,
    retry_delay: Duration,
    timeout: Duration,
    try_limit: u32,
    context: String,
}

impl Manner {
    pub(crate) fn from_config(cfg: &Config) -> Result<Self, Error> {
        let count = |name: &str| cfg.int(name).map(|n| u32::try_from(n).unwrap_or(0));
        Ok(Self {
            default_action: cfg.str("smtpd_policy_service_default_action")?,
            max_idle: cfg.time("smtpd_policy_service_max_idle")?,
            max_ttl: cfg.time("smtpd_policy_service_max_ttl")?,
            request_limit: count("smtpd_policy_service_request_limit")?,
            retry_delay: cfg.time("smtpd_policy_service_retry_delay")?,
            timeout: cfg.time("smtpd_policy_service_timeout")?,
            try_limit: count("smtpd_policy_service_try_limit")?.max(1),
            context: cfg.str("smtpd_policy_service_policy_context")?,
        })
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let unknown = || format!("unknown option: \"{name} = {value}\"");
        let time = || base_conf::value::time(name, value, 's', 1, 0).map_err(|e| e.to_string());
        let number = || value.parse::<u32>().map_err(|_| format!("bad {name} option value: \"{value}\""));
        match name {
            "default_action" => self.default_action = value.to_owned(),
            "max_idle" => self.max_idle = time()?,
            "max_ttl" => self.max_ttl = time()?,
            "request_limit" => self.request_limit = number()?,
            "retry_delay" => self.retry_delay = time()?,
            "timeout" => self.timeout = time()?,
            "try_limit" => self.try_limit = number()?.max(1),
            "policy_context" => self.context = value.to_owned(),
            _ => return Err(unknown()),
        }
        Ok(())
    }
}

/// A policy server.
pub(crate) struct Server {
    /// As configured.
    pub(crate) spec: String,
    /// For messages: without the transport.
    name: String,
    endpoint: Endpoint,
    manner: Manner,
    pool: Arc<Mutex<Pool>>,
}

impl Server {
    /// `inet:host:port`, `unix:path`, `{ server, name=value … }`. `Err`: what is wrong, for the log.
    pub(crate) fn parse(text: &str, defaults: &Manner) -> Result<Self, String> {
        let mut manner = defaults.clone();
        let inside = list::unbrace(text);
        let words = if inside.len() == text.len() { vec![text] } else { list::split(inside) };
        let (spec, options) = words.split_first().ok_or("policy service without a server")?;
        let (transport, name) = spec
            .split_once(':')
            .filter(|(t, n)| ["inet", "unix", "local"].contains(t) && !n.is_empty())
            .ok_or_else(|| format!("need service transport:endpoint instead of \"{spec}\""))?;
        for option in options {
            let (key, value) = list::unbrace(option)
                .split_once('=')
                .ok_or_else(|| format!("malformed option: missing '=' after attribute name: \"{option}\""))?;
            manner.set(key.trim(), value.trim())?;
        }
        let endpoint = Endpoint::parse(&format!("{transport}:{name}"), None).map_err(|e| e.to_string())?;
        let (spec, name) = ((*spec).to_owned(), name.to_owned());
        Ok(Self { spec, name, endpoint, manner, pool: Arc::default() })
    }

    /// What is done when there is no answer.
    pub(crate) fn default_action(&self) -> &str {
        &self.manner.default_action
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Server, String> {
        let defaults = Manner::from_config(&Config::from_text("")).expect("defaults");
        Server::parse(text, &defaults)
    }

    #[test]
    fn servers() {
        let s = parse("{ inet:127.0.0.1:10041, timeout=3s, {default_action=450 4.7.9 own default} }")
            .expect("server");
        assert_eq!((s.name.as_str(), s.default_action()), ("127.0.0.1:10041", "450 4.7.9 own default"));
        assert_eq!((s.manner.timeout, s.manner.try_limit), (Duration::from_secs(3), 2));
        assert!(parse("unix:private/policy").is_ok());
        for (text, want) in [
            ("junk", "need service transport:endpoint instead of \"junk\""),
            ("{ inet:127.0.0.1:1, foo=bar }", "unknown option: \"foo = bar\""),
            (
                "{ inet:127.0.0.1:1, timeout }",
                "malformed option: missing '=' after attribute name: \"timeout\"",
            ),
        ] {
            assert_eq!(parse(text).err().as_deref(), Some(want));
        }
    }
}
