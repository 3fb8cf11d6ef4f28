//! As much HTTP/1.1 as a monitor needs (RFC 9112): one GET or HEAD for each connection, no body, an answer with its length.

use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// Longest request, header fields included.
const MAX_REQUEST: usize = 8192;
/// For the request, and again for the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    status: &'static str,
    kind: &'static str,
    body: String,
}

/// Plain text.
const TEXT: &str = "text/plain; charset=utf-8";

impl Reply {
    /// Prometheus' text form.
    pub fn page(body: String) -> Self {
        Self { status: "200 OK", kind: "text/plain; version=0.0.4; charset=utf-8", body }
    }

    /// Text.
    pub fn text(body: String) -> Self {
        Self { status: "200 OK", kind: TEXT, body }
    }

    /// `ok`, or what is wrong, a line each.
    pub fn check(faults: &[String]) -> Self {
        match faults {
            [] => Self::text("ok\n".into()),
            _ => Self { status: "503 Service Unavailable", kind: TEXT, body: faults.join("\n") + "\n" },
        }
    }

    /// No such page.
    pub fn not_found() -> Self {
        Self { status: "404 Not Found", kind: TEXT, body: "/metrics /health /ready /status\n".into() }
    }

    fn refusal(status: &'static str) -> Self {
        Self { status, kind: TEXT, body: format!("{status}\n") }
    }

    fn bytes(&self, with_body: bool) -> Vec<u8> {
        let Self { status, kind, body } = self;
        let len = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\nCache-Control: no-store\r\n\
             Connection: close\r\n\r\n"
        );
        let mut bytes = head.into_bytes();
        if with_body {
            bytes.extend_from_slice(body.as_bytes());
        }
        bytes
    }
}

/// Reads a request, answers it, and closes.
pub async fn serve<F: Future<Output = Reply>>(
    mut io: impl AsyncRead + AsyncWrite + Unpin,
    answer: impl FnOnce(String) -> F,
) {
    let Ok(Some(request)) = timeout(PATIENCE, read(&mut io)).await else { return };
    let bytes = match parse(&request) {
        Ok((method, path)) => answer(path.to_owned()).await.bytes(method == "GET"),
        Err(refusal) => refusal.bytes(true),
    };
    let send = async {
        // A client that goes away early is no error.
        let _ = io.write_all(&bytes).await;
        let _ = io.shutdown().await;
    };
    let _ = timeout(PATIENCE, send).await;
}

/// Everything up to the empty line. `None`: the client went away, or it is too long.
async fn read(io: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    let mut buf = [0; 1024];
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        let n = io.read(&mut buf).await.ok().filter(|n| *n > 0)?;
        request.extend_from_slice(buf.get(..n)?);
        if request.len() > MAX_REQUEST {
            return None;
        }
    }
    Some(request)
}

/// Method and path, without what follows a question mark.
fn parse(request: &[u8]) -> Result<(&str, &str), Reply> {
    let line = request.split(|b| *b == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| Reply::refusal("400 Bad Request"))?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Reply::refusal("400 Bad Request"));
    };
    if !version.starts_with("HTTP/1.") || !target.starts_with('/') {
        return Err(Reply::refusal("400 Bad Request"));
    }
    if !["GET", "HEAD"].contains(&method) {
        return Err(Reply::refusal("405 Method Not Allowed"));
    }
    Ok((method, target.split('?').next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(request: &str) -> String {
        let (mut client, server) = tokio::io::duplex(16_384);
        let task = tokio::spawn(serve(server, async |path: String| match path.as_str() {
            "/a" => Reply::text("yes\n".into()),
            "/b" => Reply::check(&["full".into()]),
            _ => Reply::not_found(),
        }));
        client.write_all(request.as_bytes()).await.expect("room");
        client.shutdown().await.expect("open");
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("text");
        task.await.expect("served");
        answer
    }

    #[tokio::test]
    async fn requests() {
        for (request, status, body) in [
            ("GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", "yes\n"),
            ("GET /a?x=y HTTP/1.0\r\n\r\n", "200 OK", "yes\n"),
            ("HEAD /a HTTP/1.1\r\n\r\n", "200 OK", ""),
            ("GET /b HTTP/1.1\r\n\r\n", "503 Service Unavailable", "full\n"),
            ("GET /c HTTP/1.1\r\n\r\n", "404 Not Found", "/metrics /health /ready /status\n"),
            ("POST /a HTTP/1.1\r\n\r\n", "405 Method Not Allowed", "405 Method Not Allowed\n"),
            ("GET http://a/ HTTP/1.1\r\n\r\n", "400 Bad Request", "400 Bad Request\n"),
            ("EHLO you\r\n\r\n", "400 Bad Request", "400 Bad Request\n"),
        ] {
            let answer = ask(request).await;
            let (head, rest) = answer.split_once("\r\n\r\n").expect(request);
            assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}: {head}");
            assert_eq!(rest, body, "{request}");
        }
    }

    #[tokio::test]
    async fn nonsense_is_cut_off() {
        assert_eq!(ask("GET /a HTTP/1.1\r\n").await, "");
        assert_eq!(ask(&"x".repeat(MAX_REQUEST + 10)).await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_left() {
        let (mut client, server) = tokio::io::duplex(64);
        serve(server, async |_| Reply::not_found()).await;
        let mut left = Vec::new();
        client.read_to_end(&mut left).await.expect("closed");
        assert!(left.is_empty());
    }
}
