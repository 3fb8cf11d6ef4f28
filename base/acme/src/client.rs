//! One order from beginning to end (RFC 8555 7): account, order, challenges, certificate.

use crate::{
    AcmeError, Answers, Challenge,
    jws::{AccountKey, base64url},
};
use base_https::{Https, Request, Response};
use serde_json::{Value, json};
use std::time::Duration;

/// Nonces that the server may find too old, one after the other.
const NONCES: usize = 10;
/// For each thing that the server works on: how often it is asked, and how long to wait in between.
const QUESTIONS: usize = 60;
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A certificate with its key, in PEM.
pub(crate) struct Issued {
    pub key: String,
    pub chain: String,
}

/// A server and our account there.
pub(crate) struct Client<'a> {
    https: &'a Https,
    key: &'a AccountKey,
    directory: Value,
    account: Option<String>,
    nonce: Option<String>,
}

impl<'a> Client<'a> {
    /// Reads the directory and finds our account, or makes it.
    pub async fn open(
        https: &'a Https,
        directory: &str,
        key: &'a AccountKey,
        contact: &[String],
    ) -> Result<Self, AcmeError> {
        let get = Request { method: "GET", fields: &[], body: b"" };
        let response = https.send(directory, get).await?;
        let directory = read(&response)?;
        let mut client = Self { https, key, directory, account: None, nonce: None };
        let url = text(&client.directory, "newAccount")?.to_owned();
        let contact: Vec<String> = contact.iter().map(|c| format!("mailto:{c}")).collect();
        let account = json!({ "termsOfServiceAgreed": true, "contact": contact });
        let response = client.post(&url, Some(&account)).await?;
        client.account = Some(location(&response)?);
        Ok(client)
    }

    async fn nonce(&mut self) -> Result<String, AcmeError> {
        if let Some(nonce) = self.nonce.take() {
            return Ok(nonce);
        }
        let url = text(&self.directory, "newNonce")?;
        let response = self.https.send(url, Request { method: "HEAD", fields: &[], body: b"" }).await?;
        let nonce = response.field("replay-nonce").ok_or(AcmeError::Odd("no nonce"))?;
        Ok(nonce.to_owned())
    }

    /// A signed request, or a signed question when there is no payload.
    async fn post(&mut self, url: &str, payload: Option<&Value>) -> Result<Response, AcmeError> {
        let fields = [
            ("Content-Type", "application/jose+json"),
            ("Accept", "application/pem-certificate-chain, application/json"),
        ];
        let mut tries = 0;
        loop {
            let nonce = self.nonce().await?;
            let body = self.key.sign(self.account.as_deref(), &nonce, url, payload)?;
            let request = Request { method: "POST", fields: &fields, body: body.as_bytes() };
            let response = self.https.send(url, request).await?;
            self.nonce = response.field("replay-nonce").map(str::to_owned);
            if response.status < 300 {
                return Ok(response);
            }
            let problem = AcmeError::of(&response);
            tries += 1;
            if !problem.is_bad_nonce() || tries >= NONCES {
                return Err(problem);
            }
        }
    }

    /// A certificate for these names.
    pub async fn certificate(
        &mut self,
        names: &[String],
        challenge: Challenge,
        answers: &Answers,
    ) -> Result<Issued, AcmeError> {
        let identifiers: Vec<Value> = names.iter().map(|n| json!({ "type": "dns", "value": n })).collect();
        let url = text(&self.directory, "newOrder")?.to_owned();
        let response = self.post(&url, Some(&json!({ "identifiers": identifiers }))).await?;
        let (order, url) = (read(&response)?, location(&response)?);
        let authorizations = order["authorizations"].as_array().cloned().unwrap_or_default();
        for authorization in authorizations.iter().take(names.len()).filter_map(Value::as_str) {
            self.authorize(authorization, challenge, answers).await?;
        }
        self.until(&url, &["ready", "valid"]).await?;
        let (key, csr) = request(names)?;
        self.post(text(&order, "finalize")?, Some(&json!({ "csr": base64url(&csr) }))).await?;
        let order = self.until(&url, &["valid"]).await?;
        let response = self.post(text(&order, "certificate")?, None).await?;
        let chain = String::from_utf8(response.body).map_err(|_| AcmeError::Odd("no certificate"))?;
        Ok(Issued { key, chain })
    }

    /// Proves that a name is ours.
    async fn authorize(
        &mut self,
        url: &str,
        challenge: Challenge,
        answers: &Answers,
    ) -> Result<(), AcmeError> {
        let authorization = read(&self.post(url, None).await?)?;
        if authorization["status"] == "valid" {
            return Ok(());
        }
        let name = text(&authorization["identifier"], "value")?;
        let offered = authorization["challenges"].as_array().map(Vec::as_slice).unwrap_or_default();
        let ours = offered.iter().find(|c| c["type"] == challenge.name());
        let ours = ours.ok_or(AcmeError::NoChallenge(challenge))?;
        let token = text(ours, "token")?;
        answers.put(challenge, name, token, &self.key.authorization(token))?;
        self.post(text(ours, "url")?, Some(&json!({}))).await?;
        self.until(url, &["valid"]).await.map(drop)
    }

    /// Asks until an order or authorization has one of these states.
    async fn until(&mut self, url: &str, wanted: &[&str]) -> Result<Value, AcmeError> {
        for _ in 0..QUESTIONS {
            let response = self.post(url, None).await?;
            let value = read(&response)?;
            match value["status"].as_str().unwrap_or_default() {
                status if wanted.contains(&status) => return Ok(value),
                "pending" | "processing" | "ready" => {}
                _ => return Err(AcmeError::refused(&value)),
            }
            let told = response.field("retry-after").and_then(|t| t.parse().ok()).map(Duration::from_secs);
            tokio::time::sleep(told.unwrap_or(PAUSE).min(LONGEST_PAUSE)).await;
        }
        Err(AcmeError::Odd("the server does not come to an end"))
    }
}

/// A new key and the request for its certificate (RFC 2986).
fn request(names: &[String]) -> Result<(String, Vec<u8>), AcmeError> {
    let made = || -> Result<_, rcgen::Error> {
        let key = rcgen::KeyPair::generate()?;
        let mut params = rcgen::CertificateParams::new(names)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        let csr = params.serialize_request(&key)?.der().to_vec();
        Ok((key.serialize_pem(), csr))
    };
    made().map_err(|_| AcmeError::Key)
}

fn read(response: &Response) -> Result<Value, AcmeError> {
    if response.status >= 300 {
        return Err(AcmeError::of(response));
    }
    serde_json::from_slice(&response.body).map_err(|_| AcmeError::Odd("no JSON"))
}

fn text<'v>(value: &'v Value, name: &'static str) -> Result<&'v str, AcmeError> {
    value[name].as_str().ok_or(AcmeError::Missing(name))
}

fn location(response: &Response) -> Result<String, AcmeError> {
    response.field("location").map(str::to_owned).ok_or(AcmeError::Missing("location"))
}
