//! The arithmetic and the lists of DIGEST-MD5 (RFC 2831), for both sides.

use crate::hash::{hex, md5};

/// The most fields of a list.
const MAX_FIELDS: usize = 64;

/// What a response is made of. `qop` is always `auth`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Response<'a> {
    pub user: &'a str,
    pub realm: &'a str,
    pub password: &'a str,
    pub nonce: &'a str,
    pub cnonce: &'a str,
    pub nc: &'a str,
    pub uri: &'a str,
}

impl Response<'_> {
    /// The client's proof.
    pub fn client(&self) -> String {
        self.proof("AUTHENTICATE:")
    }

    /// The server's proof (`rspauth`).
    pub fn server(&self) -> String {
        self.proof(":")
    }

    fn proof(&self, method: &str) -> String {
        let secret =
            md5(&[self.user.as_bytes(), b":", self.realm.as_bytes(), b":", self.password.as_bytes()]);
        let a1 = md5(&[&secret, b":", self.nonce.as_bytes(), b":", self.cnonce.as_bytes()]);
        let a2 = md5(&[method.as_bytes(), self.uri.as_bytes()]);
        let rest = format!(":{}:{}:{}:auth:{}", self.nonce, self.nc, self.cnonce, hex(&a2));
        hex(&md5(&[hex(&a1).as_bytes(), rest.as_bytes()]))
    }
}

/// `name=value,name="quoted value"`; names in lower case. `None` for text that is no such list.
pub(crate) fn fields(text: &str) -> Option<Vec<(String, String)>> {
    let mut out = Vec::new();
    let mut rest = text.trim_start_matches([',', ' ', '\t']);
    while !rest.is_empty() && out.len() < MAX_FIELDS {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(inside) => unquoted(inside)?,
            None => {
                let end = after.find(',').unwrap_or(after.len());
                let (v, r) = after.split_at(end);
                (v.trim().to_owned(), r)
            }
        };
        out.push((name.trim().to_ascii_lowercase(), value));
        rest = after.trim_start_matches([',', ' ', '\t']);
    }
    Some(out)
}

fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some((out, text.get(i + 1..)?)),
            '\\' => out.push(chars.next()?.1),
            c => out.push(c),
        }
    }
    None
}

/// As a quoted string.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 2831 4, IMAP.
        let r = Response {
            user: "chris",
            realm: "elwood.innosoft.com",
            password: "secret",
            nonce: "OA6MG9tEQGm2hh",
            cnonce: "OA6MHXh6VqTrRk",
            nc: "00000001",
            uri: "imap/elwood.innosoft.com",
        };
        assert_eq!(r.client(), "d388dad90d4bbd760a152321f2143af7");
        assert_eq!(r.server(), "ea40f60335c427b5527b84dbabcdfffd");
    }

    #[test]
    fn lists() {
        let pairs =
            |t: &str| fields(t).map(|f| f.into_iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>());
        assert_eq!(
            pairs("realm=\"a \\\"b\",Nonce=x, qop=\"auth,auth-int\"").unwrap_or_default(),
            ["realm=a \"b", "nonce=x", "qop=auth,auth-int"]
        );
        assert_eq!(pairs("realm=\"a"), None);
        assert_eq!(pairs("x"), None);
        assert_eq!(quoted("a\"b"), "\"a\\\"b\"");
    }
}
