//! What a handshake has agreed, and who the peer is; the texts that logs and Received: header fields show of it.

use crate::{
    Certificate, Digest, Trust, TrustAnchors,
    certs::{key_kind, key_text},
    names,
};
use rustls::{CommonState, HandshakeKind, SignatureScheme, pki_types::CertificateDer};

/// An encrypted session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Session {
    /// `TLSv1.3`
    pub protocol: &'static str,
    /// As OpenSSL calls it.
    pub cipher: &'static str,
    /// Bits of its key.
    pub bits: u32,
    /// `X25519`; empty when an old session goes on.
    pub key_exchange: String,
    /// An earlier session goes on.
    pub resumed: bool,
    /// How the server has signed; when an earlier session goes on, with what key it had.
    pub server_signature: Option<Signature>,
    /// How the client has; when an earlier session goes on, only its server knows.
    pub client_signature: Option<Signature>,
    /// The name that the client asked for; empty: none.
    pub sni: String,
    /// The name is none of those that have certificates of their own.
    pub sni_unmatched: bool,
    /// The peer, when it has shown a certificate.
    pub peer: Option<Peer>,
}

/// The other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its certificate.
    pub certificate: Certificate,
    /// Certificates that came with it, from its issuer on.
    pub issuers: Vec<Vec<u8>>,
    /// Whether the chain leads to an authority.
    pub trust: Trust,
}

/// A signature of the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    kind: &'static str,
    key: String,
    digest: &'static str,
}

impl Signature {
    pub(crate) fn new(scheme: SignatureScheme, spki: &[u8]) -> Self {
        let (kind, digest) = names::signature(scheme);
        Self { kind, key: key_text(spki), digest }
    }

    /// How this key would have signed, where an earlier session goes on: no digest then.
    pub(crate) fn of_key(spki: &[u8]) -> Option<Self> {
        Some(Self { kind: key_kind(spki)?, key: key_text(spki), digest: "" })
    }

    /// ` server-signature RSA-PSS (2048 bits) server-digest SHA256`
    fn text(&self, who: &str, out: &mut String) {
        out.push_str(&format!(" {who}-signature {}", self.kind));
        if !self.key.is_empty() {
            out.push_str(&format!(" ({})", self.key));
        }
        if !self.digest.is_empty() {
            out.push_str(&format!(" {who}-digest {}", self.digest));
        }
    }
}

impl Session {
    pub(crate) fn of(c: &CommonState) -> Self {
        let (cipher, bits) = c.negotiated_cipher_suite().map_or(("unknown", 0), |s| names::cipher(s.suite()));
        Self {
            protocol: c.protocol_version().map_or("TLS", names::protocol),
            cipher,
            bits,
            key_exchange: c.negotiated_key_exchange_group().map_or(String::new(), |g| names::group(g.name())),
            resumed: c.handshake_kind() == Some(HandshakeKind::Resumed),
            ..Self::default()
        }
    }

    pub(crate) fn with_peer(
        mut self,
        chain: &[CertificateDer<'_>],
        judge: impl FnOnce(&[CertificateDer<'_>]) -> Trust,
    ) -> Self {
        if let Some((own, rest)) = chain.split_first() {
            let issuers = rest.iter().map(|d| d.to_vec()).collect();
            let certificate = Certificate::of(own).unwrap_or_else(|| Certificate::opaque(own));
            self.peer = Some(Peer { certificate, issuers, trust: judge(chain) });
        }
        self
    }

    /// `TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 …`, as the log shows it.
    pub fn summary(&self) -> String {
        let mut out = self.cipher_text();
        out.push_str(&self.exchange_text());
        out.push_str(&self.client_text());
        out
    }

    /// `TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)`
    pub fn cipher_text(&self) -> String {
        format!("{} with cipher {} ({bits}/{bits} bits)", self.protocol, self.cipher, bits = self.bits)
    }

    /// ` key-exchange X25519 server-signature …`; empty below TLS 1.3, where the name of the cipher
    /// says as much.
    pub fn exchange_text(&self) -> String {
        let mut out = String::new();
        if !self.tells_details() {
            return out;
        }
        if !self.key_exchange.is_empty() {
            out.push_str(" key-exchange ");
            out.push_str(&self.key_exchange);
        }
        if let Some(s) = &self.server_signature {
            s.text("server", &mut out);
        }
        out
    }

    /// ` client-signature …`, or nothing.
    pub fn client_text(&self) -> String {
        let mut out = String::new();
        if let Some(s) = self.client_signature.as_ref().filter(|_| self.tells_details()) {
            s.text("client", &mut out);
        }
        out
    }

    fn tells_details(&self) -> bool {
        self.protocol == "TLSv1.3"
    }
}

impl Peer {
    /// Whether this issuer, trusted for once, has signed the peer's certificate, directly or through the others that came along
    /// (TLSA usage 2, RFC 7671 5.2).
    pub fn is_signed_by(&self, issuer: &[u8]) -> bool {
        crate::trust::leads_to(&self.certificate.der, &self.issuers, issuer)
    }

    /// Whether the chain leads to one of these.
    pub fn leads_to(&self, anchors: &TrustAnchors) -> bool {
        crate::trust::leads_to_any(&self.certificate.der, &self.issuers, anchors)
    }

    /// `subject_CN=…, issuer=…, fingerprint=…, pkey_fingerprint=…`, as log level 2 shows it.
    pub fn log_text(&self, digest: Digest) -> String {
        let c = &self.certificate;
        format!(
            "subject_CN={}, issuer={}, fingerprint={}, pkey_fingerprint={}",
            c.subject_cn,
            c.issuer_cn,
            c.fingerprint(digest),
            c.key_fingerprint(digest)
        )
    }
}
