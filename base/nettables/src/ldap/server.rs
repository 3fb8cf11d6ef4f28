//! Reaching an LDAP server: the list of `server_host`, TLS, binding.
//!
//! Servers are tried in the order given; one that let us wait for a time-out is left alone for some seconds.

use super::words;
use crate::NetOpen;
use crate::hosts::{Hosts, Trouble};
use crate::settings::Settings;
use crate::tls::{self, Check, Files};
use base_tables::{OpenError, Warn};
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError};
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;

/// How long a server that did not answer is left alone, when there are others.
const RETRY: Duration = Duration::from_secs(10);

enum Bind {
    None,
    Simple,
    External,
}

/// The servers of a table.
pub struct Servers {
    hosts: Hosts<String>,
    /// All of them, for messages.
    list: String,
    bind: Bind,
    dn: String,
    password: String,
    start_tls: bool,
    config: Arc<ClientConfig>,
    verify: bool,
    /// The limit of each operation.
    pub timeout: Duration,
    warn: Warn,
}

impl Servers {
    /// Reads the settings.
    pub fn read(net: &NetOpen<'_>, settings: &Settings) -> Result<Servers, OpenError> {
        let port = settings.number("server_port", 389, 0)?;
        let hosts = settings.or("server_host", "localhost");
        let hosts: Vec<_> =
            base_conf::list::split(&hosts).into_iter().map(|word| (uri(word, port), false)).collect();
        let list = hosts.iter().map(|(uri, _)| uri.as_str()).collect::<Vec<_>>().join(" ");
        let verify = settings.flag("tls_require_cert", false)?;
        let files = Files {
            ca_file: settings.or("tls_ca_cert_file", ""),
            ca_dir: settings.or("tls_ca_cert_dir", ""),
            cert: settings.or("tls_cert", ""),
            key: settings.or("tls_key", ""),
        };
        let check = if verify { Check::Name } else { Check::Nothing };
        let opener = &net.open.tables.options().opener;
        let config = tls::config(&files, check, opener).map_err(OpenError::new)?;
        Ok(Servers {
            hosts: Hosts::in_order(hosts, RETRY),
            list,
            bind: bind(settings)?,
            dn: settings.or("bind_dn", ""),
            password: settings.or("bind_pw", ""),
            start_tls: settings.flag("start_tls", false)?,
            config,
            verify,
            timeout: settings.time("timeout", 10)?.max(Duration::from_secs(1)),
            warn: net.open.tables.options().warn.clone(),
        })
    }

    /// Connects to the first server that lets us.
    pub async fn connect(&self) -> Result<Ldap, String> {
        let mut trouble = ("-1", "Can't contact LDAP server");
        for number in self.hosts.order() {
            let Some(uri) = self.hosts.get(number) else { continue };
            // Time enough for the connection, for TLS and for binding.
            match tokio::time::timeout(self.timeout, self.connect_to(uri)).await {
                Ok(Ok(ldap)) => {
                    self.hosts.works(number);
                    return Ok(ldap);
                }
                Ok(Err(Some(reason))) => return Err(reason),
                Ok(Err(None)) => (),
                Err(_) => {
                    trouble = ("-5", "Timed out");
                    self.hosts.failed(number, Trouble::Silent);
                }
            }
        }
        Err(self.cannot_bind(trouble.0, trouble.1))
    }

    /// The error is the reason when another server would not help, and warned about.
    async fn connect_to(&self, uri: &str) -> Result<Ldap, Option<String>> {
        let settings = LdapConnSettings::new()
            .set_starttls(self.start_tls)
            .set_config(Arc::clone(&self.config))
            .set_no_tls_verify(!self.verify);
        let (connection, mut ldap) =
            LdapConnAsync::with_settings(settings, uri).await.map_err(|error| match error {
                LdapError::LdapResult { result } => {
                    let text = format!("Unable to set STARTTLS: {}: {}", result.rc, words(result.rc));
                    (self.warn)(&format!("dict_ldap_connect: {text}"));
                    Some(text)
                }
                _ => None,
            })?;
        tokio::spawn(async move {
            let _ = connection.drive().await;
        });
        let bound = match self.bind {
            Bind::None => return Ok(ldap),
            Bind::Simple => ldap.simple_bind(&self.dn, &self.password).await,
            Bind::External => ldap.sasl_external_bind().await,
        };
        match bound {
            Ok(result) if result.rc == 0 => Ok(ldap),
            Ok(result) => Err(Some(self.cannot_bind(&result.rc.to_string(), words(result.rc)))),
            Err(_) => Err(None),
        }
    }

    fn cannot_bind(&self, code: &str, text: &str) -> String {
        let uri = &self.list;
        let dn = if self.dn.is_empty() { "empty or implicit" } else { &self.dn };
        let text = format!("Unable to bind to server {uri} with dn {dn}: {code} ({text})");
        (self.warn)(&format!("dict_ldap_connect: {text}"));
        text
    }
}

/// A word of `server_host` as a URI.
fn uri(word: &str, port: i64) -> String {
    match word {
        _ if word.contains("://") => word.to_owned(),
        _ if word.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']')) => {
            format!("ldap://{word}")
        }
        _ if word.contains(':') && !word.starts_with('[') => format!("ldap://[{word}]:{port}"),
        _ => format!("ldap://{word}:{port}"),
    }
}

fn bind(settings: &Settings) -> Result<Bind, OpenError> {
    let value = settings.or("bind", "yes");
    match value.to_ascii_lowercase().as_str() {
        "no" | "none" => Ok(Bind::None),
        "yes" | "simple" => Ok(Bind::Simple),
        "sasl" => {
            let mechanisms = settings.or("sasl_mechs", "EXTERNAL");
            match mechanisms.split_whitespace().any(|m| m.eq_ignore_ascii_case("EXTERNAL")) {
                true => Ok(Bind::External),
                false => {
                    let name = &settings.name;
                    let text = format!("{name}: unsupported parameter value: sasl_mechs = {mechanisms}");
                    Err(OpenError::new(text))
                }
            }
        }
        _ => Err(OpenError::new(format!("{}: unsupported parameter value: bind = {value}", settings.name))),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn uris() {
        let cases = [
            ("h", "ldap://h:389"),
            ("h:1444", "ldap://h:1444"),
            ("::1", "ldap://[::1]:389"),
            ("[::1]", "ldap://[::1]:389"),
            ("[::1]:7", "ldap://[::1]:7"),
            ("ldaps://h", "ldaps://h"),
            ("ldapi://%2Frun%2Fs", "ldapi://%2Frun%2Fs"),
        ];
        for (word, want) in cases {
            assert_eq!(super::uri(word, 389), want, "{word}");
        }
    }
}
