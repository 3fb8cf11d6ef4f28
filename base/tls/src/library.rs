//! Configurations of rustls for libraries that shake hands themselves: the clients of databases and directories.
//!
//! Certificates and keys are read as for our own connections, through the caller's opener. Such a library cannot ask afterwards
//! whom it talked to, so that the server is judged within the handshake, as far as [`Check`] says.

use crate::{
    Authorities, Files, KeyFiles, Problem,
    client::Own,
    keys,
    signing::Signed,
    verifier::{Demand, Verifier},
};
use rustls::{ClientConfig, crypto::aws_lc_rs};
use std::sync::Arc;

/// How far the server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Not at all: the connection is private, but its other end is not proven.
    Nothing,
    /// An authority that we trust made it.
    Authority,
    /// That, and it has the server's name.
    Name,
}

/// A client with these certificates of its own. The error says which file is wrong.
pub fn library_config(
    own: &[KeyFiles],
    authorities: &Authorities,
    check: Check,
    files: &Files,
) -> Result<ClientConfig, String> {
    // The words are those of a server that then does without TLS.
    let text = |p: Problem| p.to_string().trim_end_matches(": disabling TLS support").to_owned();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let keys = keys::load(own, files, &provider).map_err(text)?;
    let demand = match check {
        Check::Nothing => None,
        Check::Authority | Check::Name => {
            Some(Demand { anchors: authorities.read(files).map_err(text)?, name: check == Check::Name })
        }
    };
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Verifier { algorithms, hints: Vec::new(), signed: Signed::default(), demand };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(Own { keys, signed: Signed::default() }));
    Ok(config)
}
