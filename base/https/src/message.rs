//! The messages of HTTP/1.1 as far as a client needs them (RFC 9112): a request as bytes, a response from bytes. No IO.

use std::fmt::Write;

/// The most header fields of a response.
const MAX_FIELDS: usize = 100;

/// An `https:` address taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path and query, at least `/`.
    pub target: String,
}

impl Url {
    /// Reads `https://host[:port][/path]`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if !text.get(..8).is_some_and(|s| s.eq_ignore_ascii_case("https://")) || !text.is_ascii() {
            return None;
        }
        let rest = text.get(8..)?.split('#').next()?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end)?;
        let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (authority, 443),
        };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let odd = |b: u8| b.is_ascii_whitespace() || b.is_ascii_control() || b == b'@';
        if bare.is_empty() || authority.bytes().chain(target.bytes()).any(odd) {
            return None;
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Some(Self { host: bare.to_owned(), port, target })
    }

    fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 443 { host } else { format!("{host}:{}", self.port) }
    }
}

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET`, `HEAD`, `POST`.
    pub method: &'a str,
    /// Further header fields.
    pub fields: &'a [(&'a str, &'a str)],
    /// The content; empty for none.
    pub body: &'a [u8],
}

impl Request<'_> {
    /// For a server that closes the connection after its response.
    pub fn bytes(&self, url: &Url) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, url.target, url.authority());
        head.push_str("User-Agent: hikyaku\r\nConnection: close\r\n");
        for (name, value) in self.fields {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if !self.body.is_empty() {
            let _ = write!(head, "Content-Length: {}\r\n", self.body.len());
        }
        head.push_str("\r\n");
        [head.as_bytes(), self.body].concat()
    }
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// `200` …
    pub status: u16,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    /// The content.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header field of this name (lower case).
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The media type, without parameters, in lower case.
    pub fn media_type(&self) -> String {
        let value = self.field("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// From all that came until the connection was closed; `None` when it is no complete response. `whole`: the server said
    /// that nothing follows (RFC 9112 9.8), so that what has no length ends there.
    pub fn parse(bytes: &[u8], to_head: bool, whole: bool) -> Option<Self> {
        let (mut status, mut fields, mut body) = head(bytes)?;
        // Interim responses come first (RFC 9110 15.2).
        while (100..200).contains(&status) {
            (status, fields, body) = head(body)?;
        }
        let mut response = Self { status, fields, body: Vec::new() };
        response.body = match () {
            () if to_head || matches!(status, 204 | 304) => Vec::new(),
            () if response.field("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) => {
                dechunked(body)?
            }
            () => match response.field("content-length") {
                Some(len) => body.get(..len.trim().parse().ok()?)?.to_vec(),
                None if whole => body.to_vec(),
                None => return None,
            },
        };
        Some(response)
    }
}

type Head<'a> = (u16, Vec<(String, String)>, &'a [u8]);

fn head(bytes: &[u8]) -> Option<Head<'_>> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let text = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let mut lines = text.split("\r\n");
    let mut words = lines.next()?.splitn(3, ' ');
    let (version, status) = (words.next()?, words.next()?);
    if !version.starts_with("HTTP/1.") || status.len() != 3 {
        return None;
    }
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if fields.len() >= MAX_FIELDS {
            return None;
        }
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Some((status.parse().ok()?, fields, bytes.get(end + 4..)?))
}

/// RFC 9112 7.1; trailers are not read.
fn dechunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        let line = std::str::from_utf8(rest.get(..end)?).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        rest = rest.get(end + 2..)?;
        if size == 0 {
            return Some(out);
        }
        out.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let url = |text: &str| Url::parse(text).map(|u| (u.host, u.port, u.target));
        for (text, want) in [
            ("https://a.example", Some(("a.example", 443, "/"))),
            ("HTTPS://a.example:8443/x?y=z#f", Some(("a.example", 8443, "/x?y=z"))),
            ("https://a?q", Some(("a", 443, "/?q"))),
            ("https://[::1]:1/", Some(("::1", 1, "/"))),
            ("https://[::1]/", Some(("::1", 443, "/"))),
            ("http://a/", None),
            ("https://", None),
            ("https://a:b/", None),
            ("https://me@a/", None),
            ("https://a/x y", None),
            ("https://a/\r\nX: y", None),
        ] {
            assert_eq!(url(text), want.map(|(h, p, t)| (h.to_owned(), p, t.to_owned())), "{text}");
        }
    }

    #[test]
    fn requests() {
        let url = Url::parse("https://a:1/x").expect("url");
        let r = Request { method: "POST", fields: &[("Accept", "a/b")], body: b"hi" };
        assert_eq!(
            String::from_utf8_lossy(&r.bytes(&url)),
            "POST /x HTTP/1.1\r\nHost: a:1\r\nUser-Agent: hikyaku\r\nConnection: close\r\nAccept: a/b\r\n\
             Content-Length: 2\r\n\r\nhi"
        );
    }

    #[test]
    fn responses() {
        let body = |text: &str| Response::parse(text.as_bytes(), false, true).map(|r| (r.status, r.body));
        for (text, want) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Some((200, "hi"))),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", None),
            ("HTTP/1.0 404 No\r\n\r\nuntil the end", Some((404, "until the end"))),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n", Some((201, ""))),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1;x=y\r\n!\r\n0\r\n\r\n",
                Some((200, "hi!")),
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", None),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhi\r\n0\r\n\r\n",
                None,
            ),
            ("HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\n", Some((204, ""))),
            ("HTTP/1.1 2000 OK\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", None),
            ("220 smtp\r\n\r\n", None),
            ("", None),
        ] {
            assert_eq!(body(text), want.map(|(s, b)| (s, b.as_bytes().to_vec())), "{text}");
        }
        let r = Response::parse(b"HTTP/1.1 200 OK\r\nContent-TYPE: Text/Plain; x=y\r\n\r\n", false, true)
            .expect("response");
        assert_eq!(r.media_type(), "text/plain");
    }

    #[test]
    fn many_interim_responses() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(5000);
        assert_eq!(Response::parse(interim.as_bytes(), false, true), None);
        let last = format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(Response::parse(last.as_bytes(), false, true).map(|r| r.body), Some(b"hi".to_vec()));
    }

    #[test]
    fn a_broken_connection_is_no_end() {
        let body = |text: &str| Response::parse(text.as_bytes(), false, false).map(|r| r.body);
        for (text, want) in [
            ("HTTP/1.1 200 OK\r\n\r\nhi", None),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Some("hi")),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", Some("hi")),
            ("HTTP/1.1 204 None\r\n\r\n", Some("")),
        ] {
            assert_eq!(body(text), want.map(|b| b.as_bytes().to_vec()), "{text}");
        }
    }
}
