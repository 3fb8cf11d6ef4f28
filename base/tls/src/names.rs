//! OpenSSL's and Postfix's names for what was agreed: ciphers, key exchange, signatures.

use rustls::{CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme};

/// `TLSv1.3`
pub(crate) fn protocol(v: ProtocolVersion) -> &'static str {
    match v {
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        ProtocolVersion::TLSv1_2 => "TLSv1.2",
        _ => "TLS",
    }
}

/// Name and bits of the key.
pub(crate) fn cipher(suite: CipherSuite) -> (&'static str, u32) {
    use CipherSuite as C;
    match suite {
        C::TLS13_AES_256_GCM_SHA384 => ("TLS_AES_256_GCM_SHA384", 256),
        C::TLS13_AES_128_GCM_SHA256 => ("TLS_AES_128_GCM_SHA256", 128),
        C::TLS13_CHACHA20_POLY1305_SHA256 => ("TLS_CHACHA20_POLY1305_SHA256", 256),
        C::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => ("ECDHE-RSA-AES256-GCM-SHA384", 256),
        C::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => ("ECDHE-RSA-AES128-GCM-SHA256", 128),
        C::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => ("ECDHE-RSA-CHACHA20-POLY1305", 256),
        C::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => ("ECDHE-ECDSA-AES256-GCM-SHA384", 256),
        C::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => ("ECDHE-ECDSA-AES128-GCM-SHA256", 128),
        C::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => ("ECDHE-ECDSA-CHACHA20-POLY1305", 256),
        _ => ("unknown", 0),
    }
}

/// `X25519`, `ECDHE (P-256)`
pub(crate) fn group(g: NamedGroup) -> String {
    match g {
        NamedGroup::secp256r1 => "ECDHE (P-256)".into(),
        NamedGroup::secp384r1 => "ECDHE (P-384)".into(),
        NamedGroup::secp521r1 => "ECDHE (P-521)".into(),
        NamedGroup::secp256r1MLKEM768 => "SecP256r1MLKEM768".into(),
        other => format!("{other:?}"),
    }
}

/// The group that OpenSSL calls by this name.
pub(crate) fn group_named(name: &str) -> Option<NamedGroup> {
    Some(match name.to_ascii_lowercase().as_str() {
        "x25519" => NamedGroup::X25519,
        "prime256v1" | "secp256r1" | "p-256" => NamedGroup::secp256r1,
        "secp384r1" | "p-384" => NamedGroup::secp384r1,
        "x25519mlkem768" => NamedGroup::X25519MLKEM768,
        "secp256r1mlkem768" => NamedGroup::secp256r1MLKEM768,
        "mlkem768" => NamedGroup::MLKEM768,
        _ => return None,
    })
}

/// Kind and digest: `RSA-PSS` and `SHA256`.
pub(crate) fn signature(scheme: SignatureScheme) -> (&'static str, &'static str) {
    use SignatureScheme as S;
    match scheme {
        S::RSA_PSS_SHA256 => ("RSA-PSS", "SHA256"),
        S::RSA_PSS_SHA384 => ("RSA-PSS", "SHA384"),
        S::RSA_PSS_SHA512 => ("RSA-PSS", "SHA512"),
        S::RSA_PKCS1_SHA256 => ("RSA", "SHA256"),
        S::RSA_PKCS1_SHA384 => ("RSA", "SHA384"),
        S::RSA_PKCS1_SHA512 => ("RSA", "SHA512"),
        S::ECDSA_NISTP256_SHA256 => ("ECDSA", "SHA256"),
        S::ECDSA_NISTP384_SHA384 => ("ECDSA", "SHA384"),
        S::ECDSA_NISTP521_SHA512 => ("ECDSA", "SHA512"),
        S::ED25519 => ("ED25519", ""),
        S::ED448 => ("ED448", ""),
        _ => ("unknown", ""),
    }
}
