//! TLS towards servers of tables: certificates to trust and to show, from files as the settings name them.
//!
//! Without verification any certificate is taken, as the clients of Postfix do by default; the connection is then
//! private, but its other end is not proven. ldap_table(5), the PostgreSQL URI's `ssl…` settings.

pub use base_tls::Check;

use base_sys::opener::Opener;
use base_tls::{Authorities, KeyFiles, library_config};
use rustls::ClientConfig;
use std::path::PathBuf;
use std::sync::Arc;

/// The files that the settings name; empty for none.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// Authorities.
    pub ca_file: String,
    /// A folder of authorities; without both the system's are trusted.
    pub ca_dir: String,
    /// Our certificate.
    pub cert: String,
    /// Its key; when empty it is in the same file.
    pub key: String,
}

/// Puts a configuration together; the error says which file is wrong.
pub fn config(files: &Files, check: Check, opener: &Arc<dyn Opener>) -> Result<Arc<ClientConfig>, String> {
    let path = |name: &str| (!name.is_empty()).then(|| PathBuf::from(name));
    let (file, folder) = (path(&files.ca_file), path(&files.ca_dir));
    let authorities = Authorities {
        system: file.is_none() && folder.is_none(),
        path: folder.filter(|_| file.is_none()),
        file,
        depth: None,
    };
    let own = path(&files.cert).map(|cert| {
        let key = path(&files.key).unwrap_or_else(|| cert.clone());
        KeyFiles::Pair { kind: "client", cert, key }
    });
    library_config(own.as_slice(), &authorities, check, opener).map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::Mutex;

    /// Knows nothing, and remembers what it was asked for.
    #[derive(Default)]
    struct Asked(Mutex<Vec<PathBuf>>);

    impl Opener for Asked {
        fn open(&self, path: &Path) -> std::io::Result<std::fs::File> {
            self.0.lock().unwrap().push(path.to_owned());
            Err(std::io::ErrorKind::NotFound.into())
        }
    }

    #[test]
    fn every_file_comes_from_the_opener() {
        let asked = Arc::new(Asked::default());
        let opener: Arc<dyn Opener> = asked.clone();
        for (files, name) in [
            (Files { cert: "/secret/cert".into(), ..Files::default() }, "/secret/cert"),
            (Files { ca_file: "/secret/ca".into(), ..Files::default() }, "/secret/ca"),
        ] {
            let e = config(&files, Check::Name, &opener).map(drop).unwrap_err();
            assert!(e.contains(name), "{e}");
            assert_eq!(std::mem::take(&mut *asked.0.lock().unwrap()), [PathBuf::from(name)]);
        }
        assert!(config(&Files::default(), Check::Nothing, &opener).is_ok());
    }
}
