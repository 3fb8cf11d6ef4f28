//! The digests that mechanisms are made of.

use aws_lc_rs::{digest, hmac, pbkdf2};
use md5::{Digest, Md5};
use std::{fmt::Write, num::NonZeroU32};

/// Digest of SCRAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sha {
    /// SCRAM-SHA-1.
    One,
    /// SCRAM-SHA-256.
    Two256,
    /// SCRAM-SHA-512.
    Two512,
}

impl Sha {
    /// Of a mechanism's name.
    pub fn of_mechanism(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "SCRAM-SHA-1" => Some(Self::One),
            "SCRAM-SHA-256" => Some(Self::Two256),
            "SCRAM-SHA-512" => Some(Self::Two512),
            _ => None,
        }
    }

    /// H(data).
    pub fn digest(self, data: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::One => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Two256 => &digest::SHA256,
            Self::Two512 => &digest::SHA512,
        };
        digest::digest(algorithm, data).as_ref().to_vec()
    }

    /// HMAC(key, data).
    pub fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::One => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Two256 => hmac::HMAC_SHA256,
            Self::Two512 => hmac::HMAC_SHA512,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), data).as_ref().to_vec()
    }

    /// Hi(password, salt, iterations) of RFC 5802.
    pub fn salted(self, password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
        let (algorithm, len) = match self {
            Self::One => (pbkdf2::PBKDF2_HMAC_SHA1, 20),
            Self::Two256 => (pbkdf2::PBKDF2_HMAC_SHA256, 32),
            Self::Two512 => (pbkdf2::PBKDF2_HMAC_SHA512, 64),
        };
        let mut out = vec![0; len];
        pbkdf2::derive(algorithm, iterations, salt, password, &mut out);
        out
    }
}

/// MD5, as DIGEST-MD5 wants it.
pub fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut h = Md5::new();
    parts.iter().for_each(|p| h.update(p));
    h.finalize().into()
}

/// HMAC-MD5 (RFC 2104), for CRAM-MD5.
pub fn hmac_md5(key: &[u8], data: &[u8]) -> [u8; 16] {
    let short = if key.len() > 64 { md5(&[key]).to_vec() } else { key.to_vec() };
    let pad = |x: u8| -> Vec<u8> {
        let mut block = vec![x; 64];
        block.iter_mut().zip(&short).for_each(|(b, k)| *b ^= k);
        block
    };
    let inner = md5(&[&pad(0x36), data]);
    md5(&[&pad(0x5c), &inner])
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // RFC 2195 2.
        let mac = hmac_md5(b"tanstaaftanstaaf", b"<1896.697170952@postoffice.reston.mci.net>");
        assert_eq!(hex(&mac), "b913a602c7eda7a495b4e6e7334d3890");
        assert_eq!(hex(&md5(&[b"a", b"bc"])), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            hex(&hmac_md5(&[0xaa; 80], b"Test Using Larger Than Block-Size Key - Hash Key First")),
            "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd"
        );
        assert!(same(b"x", b"x") && !same(b"x", b"y") && !same(b"x", b"xy"));
    }
}
