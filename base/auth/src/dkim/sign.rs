//! Making signatures (RFC 6376 5): DKIM-Signature, and the ARC headers that are made in the same way.

use super::closing;
use crate::{canonical::Canon, keys::SigningKey, section::Section, tags};

/// How messages are signed.
#[derive(Debug, Clone)]
pub struct SignOptions {
    /// Headers that are signed when they are there, in lower case.
    pub headers: Vec<String>,
    /// Of these, those that nobody may add later.
    pub sealed_headers: Vec<String>,
    /// Form of headers and body.
    pub canon: (Canon, Canon),
    /// Seconds for which a signature holds; 0: for ever.
    pub lifetime: u64,
}

/// A header that is about to be signed: its name, its tags so far, and what they are over.
pub(crate) struct Sealing<'a> {
    pub name: &'static str,
    pub tags: String,
    pub canon: Canon,
    /// Canonical headers in front.
    pub data: Vec<u8>,
    pub key: &'a SigningKey,
}

impl Sealing<'_> {
    /// The header with its signature and CRLF.
    pub fn seal(self) -> Option<Vec<u8>> {
        let mut header = format!("{}: {}\r\n\tb=", self.name, self.tags).into_bytes();
        let mut data = self.data;
        data.extend(closing(&header, self.canon));
        let signature = tags::base64(&self.key.sign(&data)?);
        header.extend_from_slice(folded(&signature, 3).as_bytes());
        header.extend_from_slice(b"\r\n");
        Some(header)
    }
}

/// A DKIM-Signature header with its CRLF; `body_hash` is of the body in the form of the options. `None`: the key does not work.
pub fn sign(
    section: &Section,
    body_hash: &[u8],
    key: &SigningKey,
    options: &SignOptions,
    now: u64,
) -> Option<Vec<u8>> {
    let (header_canon, body_canon) = options.canon;
    let names = header_list(section, options);
    let expires = match options.lifetime {
        0 => String::new(),
        lifetime => format!(" x={};", now.saturating_add(lifetime)),
    };
    let tags = format!(
        "v=1; a={}; c={}/{};\r\n\td={}; s={}; t={now};{expires}\r\n\tbh={};\r\n\th={};",
        key.algorithm().name(),
        header_canon.name(),
        body_canon.name(),
        key.domain,
        key.selector,
        tags::base64(body_hash),
        listed(&names),
    );
    let data = section.selected(names.iter().map(String::as_str), header_canon);
    Sealing { name: "DKIM-Signature", tags, canon: header_canon, data, key }.seal()
}

/// The names for `h=`: each as often as it is there, and once more where nobody may add one.
pub(crate) fn header_list(section: &Section, options: &SignOptions) -> Vec<String> {
    let mut names = Vec::new();
    for name in &options.headers {
        let count = section.named(name).count().min(100);
        let once_more = usize::from(options.sealed_headers.contains(name) || name == "from");
        names.extend(std::iter::repeat_n(name.clone(), count + once_more));
    }
    names
}

/// Names with colons between them, folded.
pub(crate) fn listed(names: &[String]) -> String {
    let (mut out, mut line) = (String::new(), 3);
    for (i, name) in names.iter().enumerate() {
        if i > 0 {
            out.push(':');
        }
        line += name.len() + 1;
        if line > 72 {
            out.push_str("\r\n\t ");
            line = name.len() + 2;
        }
        out.push_str(name);
    }
    out
}

/// Base64 in lines; `used` columns of the first are taken.
pub(crate) fn folded(text: &str, used: usize) -> String {
    let (mut out, mut room) = (String::new(), 72usize.saturating_sub(used));
    for c in text.chars() {
        if room == 0 {
            out.push_str("\r\n\t ");
            room = 70;
        }
        out.push(c);
        room -= 1;
    }
    out
}
