//! STARTTLS in postscreen's own conversation, in the place of tlsproxy(8) and with its parameters and log lines.
//!
//! `postscreen_tls_security_level` and its old forms say what is offered and demanded, `tlsproxy_tls_*` with what. Certificates
//! that are missing or wrong: STARTTLS is answered with 454.

use super::visit::Visit;
use crate::{
    starttls::encrypt,
    tls::{Level, Tls, TlsConfig, level},
};
use base_conf::{Config, Error};
use base_log::Log;
use std::{sync::Arc, time::Duration};

/// What is offered and demanded.
const POSTSCREEN: [&str; 3] =
    ["postscreen_tls_security_level", "postscreen_enforce_tls", "postscreen_use_tls"];

/// Each stands for the parameter of smtpd that ends like it.
const TLSPROXY: &[&str] = &[
    "tlsproxy_enforce_tls",
    "tlsproxy_tls_CAfile",
    "tlsproxy_tls_CApath",
    "tlsproxy_tls_ask_ccert",
    "tlsproxy_tls_ccert_verifydepth",
    "tlsproxy_tls_cert_file",
    "tlsproxy_tls_chain_files",
    "tlsproxy_tls_eccert_file",
    "tlsproxy_tls_eckey_file",
    "tlsproxy_tls_exclude_ciphers",
    "tlsproxy_tls_fingerprint_digest",
    "tlsproxy_tls_key_file",
    "tlsproxy_tls_loglevel",
    "tlsproxy_tls_mandatory_exclude_ciphers",
    "tlsproxy_tls_mandatory_protocols",
    "tlsproxy_tls_protocols",
    "tlsproxy_tls_req_ccert",
    "tlsproxy_tls_security_level",
    "tlsproxy_use_tls",
];

/// What postscreen reads from main.cf.
#[derive(Debug, Clone)]
pub(crate) struct ScreenTls {
    /// What is offered and demanded.
    pub(super) level: Level,
    proxy: TlsConfig,
    time_limit: Duration,
}

impl ScreenTls {
    pub(super) fn from_config(cfg: &Config) -> Result<Self, Error> {
        let level = level(cfg, POSTSCREEN, false, &mut Vec::new(), &mut None)?;
        let mut own = vec![("smtpd_tls_wrappermode".to_owned(), "no".to_owned())];
        for name in TLSPROXY {
            own.push((name.replacen("tlsproxy", "smtpd", 1), cfg.str(name)?));
        }
        let time_limit = cfg.time("postscreen_starttls_timeout")?.max(Duration::from_secs(1));
        Ok(Self { level, proxy: TlsConfig::from_config(&cfg.with(own))?, time_limit })
    }

    /// `None`: nobody is offered TLS, or the server's part of it is switched off.
    pub(super) fn open(&self, deps: &crate::Deps, syslog_name: &str) -> Option<Tls> {
        if self.level == Level::None {
            return None;
        }
        let source = deps.log.session_source(format!("{syslog_name}/tlsproxy"));
        let warn = |text: &str| deps.log.warning(&source, text);
        let opened = Tls::open(&self.proxy, &deps.tables, Arc::clone(&deps.opener), &warn);
        opened.unwrap_or_else(|e| {
            warn(&e.to_string());
            None
        })
    }
}

/// How STARTTLS went.
pub(super) enum Started {
    Yes,
    /// There is none for now; the conversation goes on.
    Unavailable,
    /// The connection is of no use any more.
    Failed,
}

impl Visit<'_> {
    /// The handshake after STARTTLS. Nothing that was read before it is believed (RFC 3207 4.2).
    pub(super) async fn start_tls(&mut self, limit: Duration) -> Started {
        let screen = self.screen;
        let log = &screen.deps.log;
        let source = log.session_source(Arc::clone(&screen.tls_name));
        let Some(tls) = &screen.tls else { return Started::Unavailable };
        let (ready, complaints) = tls.server.ready();
        complaints.iter().for_each(|line| log.warning(&source, line));
        let ready = match ready {
            Ok(ready) => ready,
            Err(problem) => {
                problem.lines.iter().for_each(|line| log.warning(&source, line));
                return Started::Unavailable;
            }
        };
        let (config, time_limit) = (&screen.config.tls.proxy, screen.config.tls.time_limit);
        let said = self.say("220 2.0.0 Ready to start TLS").await;
        if said.is_err() || self.stream.flush().await.is_err() {
            return Started::Failed;
        }
        log.info(&source, format!("CONNECT from {}", self.from));
        self.stream.consume(usize::MAX);
        match encrypt(&tls.server, &ready, self.stream, limit, time_limit).await {
            Ok(session) => {
                if config.log_level >= 1 {
                    let text = format!(
                        "Anonymous TLS connection established from {}: {}",
                        self.from,
                        session.summary()
                    );
                    log.info(&source, text);
                }
                self.encrypted = Some(Encrypted { log: log.clone(), source, from: self.from.clone() });
                Started::Yes
            }
            Err(_) => {
                let service = &screen.config.smtpd_service;
                log.info(&source, format!("TLS handshake failed for service={service} peer={}", self.from));
                log.info(&source, format!("DISCONNECT {}", self.from));
                Started::Failed
            }
        }
    }
}

/// An encrypted conversation; its end is logged.
pub(super) struct Encrypted {
    log: Log,
    source: base_log::Source,
    from: String,
}

impl Drop for Encrypted {
    fn drop(&mut self) {
        self.log.info(&self.source, format!("DISCONNECT {}", self.from));
    }
}
