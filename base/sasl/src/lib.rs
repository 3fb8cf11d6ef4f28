//! Who knows passwords: the implementations behind `smtpd_sasl_type` (postconf(5), SASL_README).
//!
//! mail/receive asks a [`Backend`] for its mechanisms and runs an [`Exchange`] for each AUTH command; everything is
//! base64 as it crosses the line, so that what a client sends is decoded where it is understood. One file
//! per implementation. An exchange never fails: trouble is a [`Step::Failed`] that says whether it may pass.

mod argon;
mod auxprop;
mod cyrus;
mod dovecot;
mod internal;
mod local;
mod passwords;
mod sql;
mod users_file;

pub use cyrus::{Cyrus, SmtpdConf};
pub use dovecot::Dovecot;
pub use internal::{Internal, Keep, random_password};
pub use passwords::{BadDatabase, DEFAULT_PATH, Passwords, User};
pub use proto_sasl::{BadOption, Mechanism, Properties, Security};
pub use users_file::{BadName, UsersFile, check_name};

use base_calls::Fut;
use base_sys::opener::Opener;
use base_tables::Tables;
use std::{path::PathBuf, sync::Arc};

/// Who wants to log in, and over what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// As the client wrote it.
    pub mechanism: String,
    /// `smtpd_sasl_service`.
    pub service: String,
    /// Our address, without brackets; empty when there is none.
    pub local: String,
    /// The client's.
    pub remote: String,
    /// The session is encrypted.
    pub secured: bool,
}

/// Where an exchange stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The client is to answer this (base64; may be empty).
    Challenge(String),
    /// The client is who it says.
    Success {
        /// Its login name.
        user: String,
    },
    /// It is not.
    Failed(Failure),
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failure {
    /// The login name, if it is known.
    pub user: Option<String>,
    /// Words for the client and the log.
    pub reason: Option<String>,
    /// It may work later.
    pub temporary: bool,
    /// What the administrator should know besides.
    pub warnings: Vec<String>,
    /// A name of an earlier exchange is not to be shown in place of `user`.
    pub fresh: bool,
}

impl Failure {
    /// A failure for this reason.
    pub fn because(reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..Self::default() }
    }

    /// Somebody who should know is not there.
    pub fn temporary(reason: &str) -> Self {
        Self { temporary: true, ..Self::because(reason) }
    }
}

/// The mechanisms cannot be found out; the text is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// One AUTH command in progress.
pub trait Exchange: Send {
    /// The next step. The first time: the initial response, if there was one; later the client's answers.
    fn step<'a>(&'a mut self, response: Option<&'a str>) -> Fut<'a, Step>;
}

/// Where an implementation finds what it needs.
#[derive(Clone, Default)]
pub struct Places {
    /// `smtpd_sasl_path`.
    pub path: String,
    /// `cyrus_sasl_config_path`.
    pub config_path: String,
    /// `queue_directory`.
    pub queue_directory: PathBuf,
    /// `smtpd_sasl_local_domain`: the realm of a login name without one.
    pub local_domain: String,
    /// `myhostname`.
    pub host: String,
    /// `config_directory`.
    pub config_directory: PathBuf,
    /// Opens files that may be readable by root only.
    pub opener: Option<Arc<dyn Opener>>,
    /// How tables are opened, for passwords in databases.
    pub tables: Option<Arc<Tables>>,
}

impl Places {
    /// The content of a file.
    pub(crate) fn read(&self, path: &std::path::Path) -> std::io::Result<Vec<u8>> {
        match &self.opener {
            Some(opener) => opener.read(path, MAX_FILE),
            None => base_sys::opener::Plain.read(path, MAX_FILE),
        }
    }
}

/// The largest database that is read.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// The values of `smtpd_sasl_type`, sorted (`postconf -a`).
pub const TYPES: &[&str] = &["cyrus", "dovecot", "internal"];

/// There is no such implementation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unsupported SASL server implementation: {0}")]
pub struct UnknownType(pub String);

/// The implementation that `smtpd_sasl_type` names.
pub fn backend(kind: &str, places: &Places) -> Result<Arc<dyn Backend>, UnknownType> {
    match kind {
        "dovecot" => Ok(Arc::new(Dovecot::new(&places.path, &places.queue_directory))),
        "cyrus" => Ok(Arc::new(Cyrus::open(places))),
        "internal" => Ok(Arc::new(Internal::new(places))),
        _ => Err(UnknownType(kind.to_owned())),
    }
}

/// An implementation.
pub trait Backend: Send + Sync {
    /// What it offers now.
    fn mechanisms(&self) -> Fut<'_, Result<Vec<Mechanism>, Unavailable>>;

    /// The failure of a mechanism that this session cannot use.
    fn unknown_mechanism(&self, name: &str) -> Failure {
        let _ = name;
        Failure::because("Invalid authentication mechanism")
    }

    /// Begins an exchange. Nothing happens before its first step.
    fn start(&self, request: Request) -> Box<dyn Exchange>;
}
