//! `smtpd_sasl_*`: what a service wants of clients that log in, and which mechanisms a session may use (SASL_README).
//!
//! A service whose options are wrong must not start; a session that could use no mechanism at all ends
//! before its banner, as Postfix does it, since a client that is not asked to log in would be told that it may not relay.

use crate::{connection::Connection, server::StartError};
use base_conf::{Config, Error};
use base_net::NetError;
use base_sasl::{Backend, Mechanism, Places, Properties, Security};
use base_sys::opener::Opener;
use base_tables::{MatchKind, MatchList, Tables};
use proto_smtp::server::{Auth, Settings};
use std::{path::PathBuf, sync::Arc};

/// The parameters as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SaslConfig {
    enabled: bool,
    kind: String,
    path: String,
    config_path: String,
    queue_directory: PathBuf,
    security: String,
    tls_security: String,
    filter: String,
    exceptions: String,
    parent_exceptions: bool,
    broken_clients: bool,
    /// `smtpd_tls_auth_only`.
    auth_only: bool,
    local_domain: String,
    host: String,
    config_directory: PathBuf,
    pub(crate) service: String,
    pub(crate) authenticated_header: bool,
    pub(crate) response_limit: usize,
}

impl SaslConfig {
    pub(crate) fn from_config(cfg: &Config) -> Result<Self, Error> {
        let parents = cfg.list("parent_domain_matches_subdomains")?;
        let limit = usize::try_from(cfg.int("smtpd_sasl_response_limit")?).unwrap_or(usize::MAX);
        Ok(Self {
            enabled: cfg.bool("smtpd_sasl_auth_enable")?,
            kind: cfg.str("smtpd_sasl_type")?,
            path: cfg.str("smtpd_sasl_path")?,
            config_path: cfg.str("cyrus_sasl_config_path")?,
            queue_directory: cfg.str("queue_directory")?.into(),
            security: cfg.str("smtpd_sasl_security_options")?,
            tls_security: cfg.str("smtpd_sasl_tls_security_options")?,
            filter: cfg.str("smtpd_sasl_mechanism_filter")?,
            exceptions: cfg.str("smtpd_sasl_exceptions_networks")?,
            parent_exceptions: parents.iter().any(|p| p == "smtpd_sasl_exceptions_networks"),
            broken_clients: cfg.bool("broken_sasl_auth_clients")?,
            auth_only: cfg.bool("smtpd_tls_auth_only")?,
            local_domain: cfg.str("smtpd_sasl_local_domain")?,
            host: cfg.str("myhostname")?,
            config_directory: cfg.dir().to_owned(),
            service: cfg.str("smtpd_sasl_service")?,
            authenticated_header: cfg.bool("smtpd_sasl_authenticated_header")?,
            response_limit: limit.clamp(12288, 1 << 20),
        })
    }
}

/// What the sessions of a service share.
pub(crate) struct Sasl {
    pub(crate) backend: Arc<dyn Backend>,
    security: Security,
    tls_security: Security,
    filter: MatchList,
    exceptions: MatchList,
    broken_clients: bool,
    auth_only: bool,
}

impl Sasl {
    /// `None`: nobody can log in here.
    pub(crate) fn open(
        c: &SaslConfig,
        tables: &Arc<Tables>,
        files: Arc<dyn Opener>,
    ) -> Result<Option<Self>, StartError> {
        if !c.enabled {
            return Ok(None);
        }
        let places = Places {
            path: c.path.clone(),
            config_path: c.config_path.clone(),
            queue_directory: c.queue_directory.clone(),
            local_domain: c.local_domain.clone(),
            host: c.host.clone(),
            config_directory: c.config_directory.clone(),
            opener: Some(files),
            tables: Some(Arc::clone(tables)),
        };
        let backend =
            base_sasl::backend(&c.kind, &places).map_err(|e| StartError::Sasl(vec![e.to_string()]))?;
        let options = |text: &str| Security::parse(text).map_err(|e| StartError::Parameter(e.to_string()));
        let list = |name: &str, text: &str, kind, parents| MatchList::open(tables, name, text, kind, parents);
        Ok(Some(Self {
            backend,
            security: options(&c.security)?,
            tls_security: options(&c.tls_security)?,
            filter: list("smtpd_sasl_mechanism_filter", &c.filter, MatchKind::String, false),
            exceptions: list(
                "smtpd_sasl_exceptions_networks",
                &c.exceptions,
                MatchKind::Host,
                c.parent_exceptions,
            ),
            broken_clients: c.broken_clients,
            auth_only: c.auth_only,
        }))
    }

    /// Whether a session can log in as it stands.
    fn is_open(&self, settings: &Settings) -> bool {
        settings.encrypted || !(self.auth_only || settings.must_encrypt)
    }

    fn allows(&self, m: &Mechanism, encrypted: bool) -> bool {
        let security = if encrypted { self.tls_security } else { self.security };
        security.allows(m.properties) && !m.properties.has(Properties::PRIVATE)
    }

    /// The words after `AUTH`.
    async fn announced(&self, mechanisms: &[Mechanism]) -> String {
        let mut words: Vec<&str> = Vec::new();
        for m in mechanisms {
            if self.filter.matches(&m.name).await.unwrap_or(false) {
                words.push(&m.name);
            }
        }
        words.join(" ")
    }
}

impl Connection {
    /// Finds the mechanisms of this session out. An error: there are none, and the log knows why.
    pub(crate) async fn activate_sasl(&mut self, settings: &mut Settings) -> Result<(), NetError> {
        let shared = Arc::clone(&self.shared);
        self.mechanisms.clear();
        let Some(sasl) = shared.sasl.as_ref().filter(|s| s.is_open(settings)) else { return Ok(()) };
        let all = sasl.backend.mechanisms().await.unwrap_or_else(|e| {
            self.warning(format_args!("{e}"));
            Vec::new()
        });
        self.mechanisms = all.into_iter().filter(|m| sasl.allows(m, settings.encrypted)).collect();
        if self.mechanisms.is_empty() {
            shared.deps.log.fatal(&self.source, "no SASL authentication mechanisms");
            self.silent_end = true;
            return Err(NetError::Closed);
        }
        let hidden =
            !sasl.exceptions.is_empty() && crate::greeting::matches(&self.peer, &sasl.exceptions).await;
        let mechanisms = if hidden { String::new() } else { sasl.announced(&self.mechanisms).await };
        settings.auth = Some(Auth { mechanisms, broken_clients: sasl.broken_clients });
        Ok(())
    }
}
