//! Certificates by ACME (RFC 8555), an extension: `tls_acme_domains` names the hosts, the rest follows.
//!
//! The worker runs [`Acme::run`] beside everything else, and gives connections of `tls_acme_listen` to [`Answers::serve`]. The
//! certificate is at [`chain_file`], where the SMTP server finds it as one of `smtpd_tls_chain_files` and notices a new one. It
//! is renewed when a third of its life is left; a failure costs a line in the log and some waiting, never mail.

mod answers;
mod client;
mod error;
mod jws;
mod responder;
mod store;
mod timing;

pub use answers::{Answers, Challenge};
pub use error::AcmeError;
pub use store::chain_file;

use base_conf::{Config, Error};
use base_https::Https;
use base_log::{Log, Source};
use base_tls::{Authorities, Certificate, Files};
use client::Client;
use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use store::Store;

/// For one request to the server.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest answer.
const MAX_ANSWER: usize = 256 * 1024;
/// The most names of a certificate.
const MAX_NAMES: usize = 100;
/// A clock that was set is noticed in this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// What main.cf says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    names: Vec<String>,
    directory: String,
    contact: Vec<String>,
    challenge: Challenge,
    authorities: Authorities,
    data_directory: PathBuf,
}

impl Settings {
    /// `None`: no `tls_acme_domains`.
    pub fn from_config(cfg: &Config) -> Result<Option<Self>, Error> {
        let mut names: Vec<String> = Vec::new();
        for name in cfg.list("tls_acme_domains")?.iter().map(|n| n.to_ascii_lowercase()) {
            // The authority names each once in the certificate.
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.is_empty() {
            return Ok(None);
        }
        if names.len() > MAX_NAMES {
            return Err(Error::new(format!("tls_acme_domains: more than {MAX_NAMES} names")));
        }
        let word = cfg.str("tls_acme_challenge")?;
        let challenge = Challenge::named(&word)
            .ok_or_else(|| Error::new(format!("bad parameter value: tls_acme_challenge = {word}")))?;
        Ok(Some(Self {
            names,
            directory: cfg.str("tls_acme_directory")?,
            contact: cfg.list("tls_acme_contact")?,
            challenge,
            authorities: Authorities::file_or_system(&cfg.str("tls_acme_CAfile")?),
            data_directory: cfg.str("data_directory")?.into(),
        }))
    }
}

/// Obtains and renews the certificate.
pub struct Acme {
    /// What main.cf says.
    pub settings: Settings,
    /// Shared with who serves `tls_acme_listen`.
    pub answers: Answers,
    /// Opens the file of authorities.
    pub files: Files,
    /// Gets a line for each certificate and each failure.
    pub log: Log,
    /// Who says so.
    pub source: Source,
}

impl Acme {
    /// Works until it is dropped.
    pub async fn run(self) {
        let mut failures = 0;
        loop {
            if let Some(left) = self.current().and_then(|c| until_renewal(&c)) {
                failures = 0;
                tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
                continue;
            }
            let names = self.settings.names.join(", ");
            let result = self.obtain().await;
            self.answers.clear();
            match result {
                Ok(certificate) => {
                    failures = 0;
                    let days = (certificate.not_after - now()) / 86_400;
                    self.log.info(&self.source, format!("certificate for {names} obtained: {days} days"));
                }
                Err(e) => {
                    failures += 1;
                    let pause = timing::pause(failures, rand::random());
                    let next = pause.as_secs().div_ceil(60);
                    let text = format!("no certificate for {names}: {e}; next attempt in {next} minutes");
                    self.log.warning(&self.source, text);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// The certificate that is there, when it is for the names that it should be for.
    fn current(&self) -> Option<Certificate> {
        let store = Store::open(&self.settings.data_directory).ok()?;
        store.certificate().filter(|c| is_for(c, &self.settings.names))
    }

    async fn obtain(&self) -> Result<Certificate, AcmeError> {
        let s = &self.settings;
        let store = Store::open(&s.data_directory)?;
        let key = store.account()?;
        let https =
            Https::new(&s.authorities, &self.files, PATIENCE, MAX_ANSWER).map_err(AcmeError::Authorities)?;
        let mut client = Client::open(&https, &s.directory, &key, &s.contact).await?;
        let issued = client.certificate(&s.names, s.challenge, &self.answers).await?;
        let certificate = store::first_certificate(issued.chain.as_bytes());
        let certificate = certificate
            .filter(|c| is_for(c, &s.names) && until_renewal(c).is_some())
            .ok_or(AcmeError::Odd("a certificate that is not for us, or not for now"))?;
        store.keep(&issued.key, &issued.chain)?;
        Ok(certificate)
    }
}

fn is_for(certificate: &Certificate, names: &[String]) -> bool {
    let has = |name: &String| certificate.dns_names.iter().any(|n| n.eq_ignore_ascii_case(name));
    certificate.dns_names.len() == names.len() && names.iter().all(has)
}

/// `None`: it is due.
fn until_renewal(certificate: &Certificate) -> Option<Duration> {
    let left = timing::renewal(certificate.not_before, certificate.not_after) - now();
    u64::try_from(left).ok().filter(|s| *s > 0).map(Duration::from_secs)
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_listed_twice_is_one() {
        let cfg = Config::from_text("tls_acme_domains = b.test, A.test, B.TEST, a.test\n");
        let settings = Settings::from_config(&cfg).expect("parameters").expect("names");
        assert_eq!(settings.names, ["b.test", "a.test"]);
    }
}
