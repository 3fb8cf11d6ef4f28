//! Certificates of authorities: `*_tls_CAfile`, `*_tls_CApath`, `tls_append_default_CA` (postconf(5)).

use crate::{Files, Problem, keys};
use rustls::pki_types::{CertificateDer, TrustAnchor, pem::PemObject};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Debian's file of all authorities.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";
/// The most files that are read of a folder, and certificates of all.
const MAX_FILES: usize = 2000;
const MAX_CERTIFICATES: usize = 10_000;

/// Where they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Authorities {
    /// A PEM file with any number of certificates.
    pub file: Option<PathBuf>,
    /// A folder of PEM files (with or without `c_rehash` names).
    pub path: Option<PathBuf>,
    /// The system's, too.
    pub system: bool,
    /// `*_verifydepth`: one less than the most certificates between a peer's own and the authority's, as Postfix counts; `None`: any
    /// number.
    pub depth: Option<u32>,
}

/// The certificates, read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Anchors {
    pub(crate) ders: Vec<CertificateDer<'static>>,
    pub(crate) anchors: Vec<TrustAnchor<'static>>,
    pub(crate) depth: Option<u32>,
}

impl Authorities {
    /// Those of a file, or the system's where none is named (empty).
    pub fn file_or_system(file: &str) -> Self {
        match file.is_empty() {
            true => Self { system: true, ..Self::default() },
            false => Self { file: Some(file.into()), ..Self::default() },
        }
    }

    /// Nobody is trusted.
    pub fn is_nobody(&self) -> bool {
        self.file.is_none() && self.path.is_none() && !self.system
    }

    /// Files whose change matters.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.file.as_deref().into_iter().chain(self.path.as_deref())
    }

    /// Reads all. A file that cannot be read is a problem; single certificates that make no sense are left out.
    pub(crate) fn read(&self, files: &Files) -> Result<Anchors, Problem> {
        let mut all = Anchors { depth: self.depth, ..Anchors::default() };
        if let Some(file) = &self.file {
            let pem = keys::read(files, file).map_err(|e| self.unreadable(&e))?;
            if all.add_pem(&pem) == 0 {
                return Err(self.unreadable(&std::io::Error::other("no certificate found")));
            }
        }
        if let Some(path) = &self.path {
            for file in folder(path) {
                if let Ok(pem) = keys::read(files, &file) {
                    all.add_pem(&pem);
                }
            }
        }
        if self.system
            && let Ok(pem) = fs::read(SYSTEM)
        {
            all.add_pem(&pem);
        }
        Ok(all)
    }

    fn unreadable(&self, e: &std::io::Error) -> Problem {
        let text = |p: &Option<PathBuf>| p.as_ref().map_or(String::new(), |p| p.display().to_string());
        Problem::new(format!(
            "cannot load Certification Authority data, CAfile=\"{}\", CApath=\"{}\": {}: disabling TLS support",
            text(&self.file),
            text(&self.path),
            base_net::os_text(e)
        ))
    }
}

fn folder(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).take(MAX_FILES).collect();
    files.sort();
    files.retain(|f| f.is_file());
    files
}

impl Anchors {
    /// One certificate; none when it makes no sense.
    pub(crate) fn of(der: &[u8]) -> Self {
        let der = CertificateDer::from(der.to_vec());
        let anchor = webpki::anchor_from_trusted_cert(&der).map(|a| a.to_owned()).ok();
        Self { anchors: anchor.into_iter().collect(), ders: vec![der], depth: None }
    }

    /// With others.
    pub(crate) fn add(&mut self, others: Self) {
        self.anchors.extend(others.anchors);
        self.ders.extend(others.ders);
    }

    /// Adds what a PEM text holds; how many there were.
    fn add_pem(&mut self, pem: &[u8]) -> usize {
        let mut n = 0;
        for der in CertificateDer::pem_slice_iter(pem).filter_map(Result::ok) {
            let Ok(anchor) = webpki::anchor_from_trusted_cert(&der) else { continue };
            if self.ders.len() < MAX_CERTIFICATES && !self.ders.contains(&der) {
                self.anchors.push(anchor.to_owned());
                self.ders.push(der);
            }
            n += 1;
        }
        n
    }

    /// Subjects, for a server that asks for certificates.
    pub(crate) fn subjects(&self) -> Vec<rustls::DistinguishedName> {
        self.anchors.iter().map(|a| rustls::DistinguishedName::in_sequence(&a.subject)).collect()
    }
}
