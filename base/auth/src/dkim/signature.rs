//! A signature header as it is written (RFC 6376 3.5; RFC 8617 4.1.2 for ARC-Message-Signature).

use crate::{canonical::Canon, section::BodyForm, tags::Tags};

/// How a signature is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `rsa-sha256`
    Rsa,
    /// `ed25519-sha256` (RFC 8463)
    Ed25519,
}

impl Algorithm {
    /// Its name in `a=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa => "rsa-sha256",
            Self::Ed25519 => "ed25519-sha256",
        }
    }

    /// Its name in `k=` of a key record.
    pub const fn key_type(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        }
    }

    /// By the name in `a=`.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        match text.to_ascii_lowercase().as_str() {
            "rsa-sha256" => Ok(Self::Rsa),
            "ed25519-sha256" => Ok(Self::Ed25519),
            _ => Err(Flaw::Algorithm),
        }
    }
}

/// What is wrong with a signature header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It is no list of tags, or lacks one.
    Syntax,
    /// It is made in a way that we do not know, or that is not safe any more (RFC 8301).
    Algorithm,
    /// From: is not signed.
    From,
    /// The user is of another domain than the signature.
    Identity,
}

impl Flaw {
    /// For the reader of a header.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Syntax => "signature with a syntax error",
            Self::Algorithm => "unsupported algorithm",
            Self::From => "From: is not signed",
            Self::Identity => "i= is not of the domain",
        }
    }
}

/// A signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    pub algorithm: Algorithm,
    pub header_canon: Canon,
    pub body_canon: Canon,
    pub domain: String,
    pub selector: String,
    /// In lower case.
    pub headers: Vec<String>,
    pub body_hash: Vec<u8>,
    pub length: Option<u64>,
    pub signature: Vec<u8>,
    pub expires: Option<u64>,
    /// The domain of `i=`.
    pub identity: String,
}

impl Signature {
    /// Of a DKIM-Signature.
    pub fn parse(value: &[u8]) -> Result<Self, Flaw> {
        let tags = Tags::parse(value).ok_or(Flaw::Syntax)?;
        if tags.get("v") != Some("1") {
            return Err(Flaw::Syntax);
        }
        let signature = Self::from_tags(&tags, tags.get("i"))?;
        match signature.headers.iter().any(|h| h == "from") {
            true => Ok(signature),
            false => Err(Flaw::From),
        }
    }

    /// What DKIM signatures and those of ARC have in common.
    pub fn from_tags(tags: &Tags<'_>, identity: Option<&str>) -> Result<Self, Flaw> {
        let algorithm = Algorithm::parse(tags.get("a").ok_or(Flaw::Syntax)?)?;
        let domain = name(tags.get("d"))?;
        let identity = identity.map_or(domain.as_str(), |i| i.rsplit_once('@').map_or(i, |(_, d)| d));
        let identity = identity.to_ascii_lowercase();
        if identity != domain && !identity.ends_with(&format!(".{domain}")) {
            return Err(Flaw::Identity);
        }
        let (header_canon, body_canon) = canons(tags.get("c"))?;
        let number = |name| tags.number(name).map_err(|()| Flaw::Syntax);
        if tags.get("q").is_some_and(|q| !q.split(':').any(|m| m.trim().eq_ignore_ascii_case("dns/txt"))) {
            return Err(Flaw::Algorithm);
        }
        let expires = number("x")?;
        if expires.zip(number("t")?).is_some_and(|(x, t)| x < t) {
            return Err(Flaw::Syntax);
        }
        Ok(Self {
            algorithm,
            header_canon,
            body_canon,
            selector: name(tags.get("s"))?,
            headers: tags.parts("h").ok_or(Flaw::Syntax)?.map(str::to_ascii_lowercase).collect(),
            body_hash: tags.binary("bh").ok_or(Flaw::Syntax)?,
            length: number("l")?,
            signature: tags.binary("b").filter(|b| !b.is_empty()).ok_or(Flaw::Syntax)?,
            expires,
            identity,
            domain,
        })
    }

    /// How it wants the body hashed.
    pub fn body_form(&self) -> BodyForm {
        (self.body_canon, self.length)
    }
}

/// A domain or selector, in lower case.
pub(crate) fn name(text: Option<&str>) -> Result<String, Flaw> {
    let text = text.unwrap_or_default().to_lowercase();
    let ascii = proto_address::to_ascii(&text).filter(|t| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        !t.is_empty() && t.len() <= 253 && t.bytes().all(fits)
    });
    ascii.ok_or(Flaw::Syntax)
}

/// `header/body`, each simple unless told.
fn canons(text: Option<&str>) -> Result<(Canon, Canon), Flaw> {
    let Some(text) = text else { return Ok((Canon::Simple, Canon::Simple)) };
    let (header, body) = text.split_once('/').unwrap_or((text, "simple"));
    Canon::parse(header.trim()).zip(Canon::parse(body.trim())).ok_or(Flaw::Algorithm)
}
