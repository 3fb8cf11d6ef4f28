//! The account's key, and requests signed with it: JSON Web Signatures with ES256 (RFC 7515, 7518; RFC 8555 6.2).

use crate::AcmeError;
use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// Base64 as all of ACME writes it.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// The key of an account.
pub struct AccountKey {
    pair: EcdsaKeyPair,
    pem: String,
}

impl AccountKey {
    /// A new one.
    pub fn generate() -> Result<Self, AcmeError> {
        Self::of(&rcgen::KeyPair::generate().map_err(|_| AcmeError::Key)?)
    }

    /// One that was written before.
    pub fn from_pem(pem: &str) -> Result<Self, AcmeError> {
        Self::of(&rcgen::KeyPair::from_pem(pem).map_err(|_| AcmeError::Key)?)
    }

    fn of(key: &rcgen::KeyPair) -> Result<Self, AcmeError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der())
            .map_err(|_| AcmeError::Key)?;
        Ok(Self { pair, pem: key.serialize_pem() })
    }

    /// As text.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The public key, with its members in the order that RFC 7638 wants.
    fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let half = |from: usize| base64url(point.get(from..from + 32).unwrap_or_default());
        json!({ "crv": "P-256", "kty": "EC", "x": half(1), "y": half(33) })
    }

    /// RFC 7638.
    fn thumbprint(&self) -> String {
        base64url(&sha256(self.jwk().to_string().as_bytes()))
    }

    /// What proves to the server that a challenge was answered by this account (RFC 8555 8.1).
    pub fn authorization(&self, token: &str) -> String {
        format!("{token}.{}", self.thumbprint())
    }

    /// A signed request; `account` is its URL once it is known, `payload` is nothing for a mere question.
    pub fn sign(
        &self,
        account: Option<&str>,
        nonce: &str,
        url: &str,
        payload: Option<&Value>,
    ) -> Result<String, AcmeError> {
        let mut head = json!({ "alg": "ES256", "nonce": nonce, "url": url });
        match account {
            Some(kid) => head["kid"] = kid.into(),
            None => head["jwk"] = self.jwk(),
        }
        let protected = base64url(head.to_string().as_bytes());
        let payload = payload.map(|p| base64url(p.to_string().as_bytes())).unwrap_or_default();
        let text = format!("{protected}.{payload}");
        let signature = self.pair.sign(&SystemRandom::new(), text.as_bytes()).map_err(|_| AcmeError::Key)?;
        let signature = base64url(signature.as_ref());
        Ok(json!({ "protected": protected, "payload": payload, "signature": signature }).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    #[test]
    fn what_is_signed_can_be_checked() {
        let key = AccountKey::generate().expect("key");
        let again = AccountKey::from_pem(key.pem()).expect("key");
        assert_eq!(again.authorization("t"), key.authorization("t"));
        let text = again.sign(None, "n", "https://a/", Some(&json!({ "a": 1 }))).expect("request");
        let request: Value = serde_json::from_str(&text).expect("JSON");
        let part = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64");
        let signed = format!("{}.{}", part("protected"), part("payload"));
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.pair.public_key().as_ref());
        assert!(public.verify(signed.as_bytes(), &decode(&part("signature"))).is_ok());
        let head: Value = serde_json::from_slice(&decode(&part("protected"))).expect("JSON");
        assert_eq!((&head["alg"], &head["url"]), (&json!("ES256"), &json!("https://a/")));
        assert_eq!(decode(&part("payload")), br#"{"a":1}"#);
        let ask = key.sign(Some("https://a/1"), "n", "https://a/", None).expect("request");
        let ask: Value = serde_json::from_str(&ask).expect("JSON");
        assert_eq!(ask["payload"], "");
        assert!(AccountKey::from_pem("junk").is_err());
    }
}
