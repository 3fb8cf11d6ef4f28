//! Takes any certificate as long as the peer has its key, and notes how it signed. Judging comes later, see [`crate::trust`];
//! for those who cannot judge later ([`crate::library_config`]) a [`Demand`] has it done within the handshake.

use crate::{
    ca::Anchors,
    certs::Certificate,
    signing::Signed,
    trust::{Trust, Usage, judge},
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerMisbehaved,
    SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::WebPkiSupportedAlgorithms,
    pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use std::sync::Arc;

/// For both sides; one for each handshake where it matters how the peer signed.
#[derive(Debug)]
pub(crate) struct Verifier {
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
    pub(crate) hints: Vec<DistinguishedName>,
    pub(crate) signed: Signed,
    /// None: anyone is welcome.
    pub(crate) demand: Option<Demand>,
}

/// What a server's certificate must be for the handshake to go on.
#[derive(Debug)]
pub(crate) struct Demand {
    /// It leads to one of these.
    pub(crate) anchors: Anchors,
    /// And it has the server's name.
    pub(crate) name: bool,
}

impl Demand {
    fn check(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), Error> {
        if let Trust::Untrusted(why) = judge(chain, &self.anchors, algorithms, Usage::Server) {
            let why = Arc::new(std::io::Error::other(why));
            return Err(CertificateError::Other(OtherError(why)).into());
        }
        let has_name = || {
            let own = chain.first().and_then(|own| webpki::EndEntityCert::try_from(own).ok());
            own.is_some_and(|own| own.verify_is_valid_for_subject_name(name).is_ok())
        };
        if self.name && !has_name() {
            return Err(CertificateError::NotValidForName.into());
        }
        Ok(())
    }
}

impl Verifier {
    /// The signature is right for the key of the certificate. Also for certificates that webpki does not read.
    fn check(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
        one_only: bool,
    ) -> Result<HandshakeSignatureValid, Error> {
        let bad = || Error::PeerMisbehaved(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme);
        let spki = Certificate::of(cert).map(|c| c.spki).ok_or_else(bad)?;
        let spki = SubjectPublicKeyInfoDer::from(spki);
        let key = webpki::RawPublicKeyEntity::try_from(&spki).map_err(|_| bad())?;
        let algorithms = self.algorithms.mapping.iter().find(|(s, _)| *s == dss.scheme).map(|(_, a)| *a);
        let limit = if one_only { 1 } else { usize::MAX };
        let right = algorithms
            .unwrap_or_default()
            .iter()
            .take(limit)
            .any(|a| key.verify_signature(*a, message, dss.signature()).is_ok());
        if !right {
            return Err(CertificateError::BadSignature.into());
        }
        self.signed.set(dss.scheme);
        Ok(HandshakeSignatureValid::assertion())
    }

    fn check13(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // RFC 8446 4.2.3: no PKCS#1 signatures in TLS 1.3.
        let old = matches!(
            dss.scheme,
            SignatureScheme::RSA_PKCS1_SHA1
                | SignatureScheme::RSA_PKCS1_SHA256
                | SignatureScheme::RSA_PKCS1_SHA384
                | SignatureScheme::RSA_PKCS1_SHA512
                | SignatureScheme::ECDSA_SHA1_Legacy
        );
        if old {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        self.check(message, cert, dss, true)
    }
}

/// The half of both interfaces that is the same.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.check(message, cert, dss, false)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.check13(message, cert, dss)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(demand) = &self.demand {
            let chain: Vec<_> = std::iter::once(own).chain(issuers).cloned().collect();
            demand.check(&chain, name, &self.algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    signatures!();
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        // Who must show one is told so after the handshake, in words.
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    signatures!();
}
