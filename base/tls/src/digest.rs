//! Fingerprints of certificates and public keys (postconf(5) `*_tls_fingerprint_digest`): upper-case hexadecimal with colons.

use std::fmt::Write;

/// A digest algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// Old, for configurations that still have it.
    Md5,
    /// Old, too.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// No algorithm of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Digest algorithm \"{0}\" not found")]
pub struct UnknownDigest(pub String);

impl Digest {
    /// By the name that main.cf uses, in any case, with or without a dash.
    pub fn named(name: &str) -> Result<Self, UnknownDigest> {
        match name.to_ascii_lowercase().replace('-', "").as_str() {
            "md5" => Ok(Self::Md5),
            "sha1" => Ok(Self::Sha1),
            "sha256" => Ok(Self::Sha256),
            "sha384" => Ok(Self::Sha384),
            "sha512" => Ok(Self::Sha512),
            _ => Err(UnknownDigest(name.to_owned())),
        }
    }

    /// The bytes.
    pub fn of(self, data: &[u8]) -> Vec<u8> {
        use aws_lc_rs::digest as d;
        let algorithm = match self {
            Self::Md5 => {
                use md5::Digest as _;
                return md5::Md5::digest(data).to_vec();
            }
            Self::Sha1 => &d::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &d::SHA256,
            Self::Sha384 => &d::SHA384,
            Self::Sha512 => &d::SHA512,
        };
        d::digest(algorithm, data).as_ref().to_vec()
    }

    /// As text.
    pub fn fingerprint(self, data: &[u8]) -> String {
        let mut out = String::new();
        for (i, b) in self.of(data).iter().enumerate() {
            let colon = if i > 0 { ":" } else { "" };
            let _ = write!(out, "{colon}{b:02X}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints() {
        for (name, want) in [
            ("md5", "90:01:50:98"),
            ("SHA1", "A9:99:3E:36"),
            ("sha256", "BA:78:16:BF"),
            ("sha-384", "CB:00:75:3F"),
            ("sha512", "DD:AF:35:A1"),
        ] {
            let text = Digest::named(name).map(|d| d.fingerprint(b"abc"));
            assert!(text.as_ref().is_ok_and(|t| t.starts_with(want)), "{name}: {text:?}");
        }
        assert!(Digest::named("sha3").is_err());
    }
}
