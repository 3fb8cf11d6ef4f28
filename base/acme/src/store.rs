//! What is kept of ACME on disk, in a folder of its own below `data_directory`: the key of the account, and the certificate with
//! its key. Both are for the server's user alone; a file is there whole or as it was before.

use crate::{AcmeError, jws::AccountKey};
use base_tls::Certificate;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The folder below `data_directory`.
const FOLDER: &str = "acme";
const ACCOUNT: &str = "account.key";
const CHAIN: &str = "chain.pem";

/// The file with the certificate and its key, in the form of `smtpd_tls_chain_files`.
pub fn chain_file(data_directory: &Path) -> PathBuf {
    data_directory.join(FOLDER).join(CHAIN)
}

/// The folder.
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    /// Makes the folder when there is none.
    pub fn open(data_directory: &Path) -> Result<Self, AcmeError> {
        let folder = data_directory.join(FOLDER);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(broken(&folder, &e)),
            _ => Ok(Self { folder }),
        }
    }

    /// The account's key, made when there is none. One that cannot be read is an error: the account would be lost.
    pub fn account(&self) -> Result<AccountKey, AcmeError> {
        let path = self.folder.join(ACCOUNT);
        match fs::read_to_string(&path) {
            Ok(pem) => AccountKey::from_pem(&pem),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let key = AccountKey::generate()?;
                self.put(ACCOUNT, key.pem())?;
                Ok(key)
            }
            Err(e) => Err(broken(&path, &e)),
        }
    }

    /// The certificate that is there, if there is one that can be read.
    pub fn certificate(&self) -> Option<Certificate> {
        let pem = fs::read(self.folder.join(CHAIN)).ok()?;
        first_certificate(&pem)
    }

    /// Puts another certificate in its place.
    pub fn keep(&self, key: &str, chain: &str) -> Result<(), AcmeError> {
        self.put(CHAIN, &format!("{}\n{chain}", key.trim_end()))
    }

    fn put(&self, name: &str, text: &str) -> Result<(), AcmeError> {
        let (path, new) = (self.folder.join(name), self.folder.join(format!("{name}.new")));
        let write = || {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(|e: io::Error| broken(&path, &e))
    }
}

/// Of a text in PEM.
pub(crate) fn first_certificate(pem: &[u8]) -> Option<Certificate> {
    let der = CertificateDer::pem_slice_iter(pem).next()?.ok()?;
    Certificate::parse(&der)
}

fn broken(path: &Path, error: &io::Error) -> AcmeError {
    AcmeError::File { path: path.to_owned(), why: base_net::os_text(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn private_and_lasting() {
        let dir = tempfile::tempdir().expect("folder");
        let store = Store::open(dir.path()).expect("folder");
        let key = store.account().expect("key");
        let again = Store::open(dir.path()).expect("folder").account().expect("key");
        assert_eq!(key.pem(), again.pem());
        assert!(store.certificate().is_none());
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("certificate");
        store.keep(&made.signing_key.serialize_pem(), &made.cert.pem()).expect("kept");
        assert_eq!(store.certificate().expect("certificate").dns_names, ["a.example"]);
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&dir.path().join("acme")), 0o700);
        assert_eq!(mode(&dir.path().join("acme/account.key")), 0o600);
        assert_eq!(mode(&chain_file(dir.path())), 0o600);
        fs::write(dir.path().join("acme/account.key"), "junk").expect("written");
        assert!(store.account().is_err());
    }
}
