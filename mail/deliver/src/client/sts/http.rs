//! The answer to one GET (RFC 9112), as far as MTA-STS needs it: status 200, a length or chunks or the end of the connection.
//! Pure; what is too long, redirects and other statuses are errors.

/// The largest body (RFC 8461 3.3 suggests 64 kB).
const MAX_BODY: usize = 64 * 1024;
/// The largest head.
const MAX_HEAD: usize = 16 * 1024;
/// The most that is read at all.
pub(super) const MAX: usize = MAX_BODY + MAX_HEAD;

/// The body, once it is all there; `None`: read on. `ended`: nothing more will come.
pub(super) fn body(answer: &[u8], ended: bool) -> Result<Option<Vec<u8>>, String> {
    let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else {
        return if ended || answer.len() > MAX_HEAD { Err("no answer in HTTP".into()) } else { Ok(None) };
    };
    let (head, rest) = (answer.get(..end).unwrap_or_default(), answer.get(end + 4..).unwrap_or_default());
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default().split_whitespace().nth(1).unwrap_or_default();
    if status != "200" {
        return Err(format!("HTTP status {status}"));
    }
    let field = |name: &str| {
        let found = head
            .lines()
            .skip(1)
            .filter_map(|l| l.split_once(':'))
            .find(|(n, _)| n.trim().eq_ignore_ascii_case(name));
        found.map(|(_, v)| v.trim().to_owned())
    };
    if field("content-type").is_some_and(|t| !t.to_ascii_lowercase().starts_with("text/plain")) {
        return Err("not text/plain".into());
    }
    if field("transfer-encoding").is_some_and(|t| t.eq_ignore_ascii_case("chunked")) {
        return chunks(rest, ended);
    }
    let length = match field("content-length").map(|t| t.parse::<usize>()) {
        Some(Err(_)) => return Err("bad Content-Length".into()),
        Some(Ok(n)) => Some(n),
        None => None,
    };
    if length.unwrap_or(rest.len()) > MAX_BODY {
        return Err("too long".into());
    }
    match length {
        Some(n) if rest.len() >= n => Ok(rest.get(..n).map(<[u8]>::to_vec)),
        None if ended => Ok(Some(rest.to_vec())),
        Some(_) if ended => Err("cut off".into()),
        _ => Ok(None),
    }
}

/// RFC 9112 7.1.
fn chunks(mut rest: &[u8], ended: bool) -> Result<Option<Vec<u8>>, String> {
    let more = |what: &str| if ended { Err(what.to_owned()) } else { Ok(None) };
    let mut out = Vec::new();
    loop {
        let Some(at) = memchr::memmem::find(rest, b"\r\n") else { return more("cut off") };
        let size = String::from_utf8_lossy(rest.get(..at).unwrap_or_default()).into_owned();
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| "bad chunk".to_owned())?;
        if size == 0 {
            return Ok(Some(out));
        }
        if size > MAX_BODY || out.len() + size > MAX_BODY {
            return Err("too long".into());
        }
        let start = at + 2;
        let Some(chunk) = rest.get(start..start + size) else { return more("cut off") };
        out.extend_from_slice(chunk);
        let Some(next) = rest.get(start + size + 2..) else { return more("cut off") };
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n{}", "x".repeat(70_000));
        for (answer, ended, want) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nabc",
                false,
                Ok(Some("ab")),
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", false, Ok(None)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", true, Err("cut off")),
            ("HTTP/1.0 200 OK\r\n\r\nabc", true, Ok(Some("abc"))),
            ("HTTP/1.0 200 OK\r\n\r\nabc", false, Ok(None)),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
                false,
                Ok(Some("abc")),
            ),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n", false, Ok(None)),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nab",
                false,
                Err("bad chunk"),
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffff0\r\nab",
                false,
                Err("too long"),
            ),
            ("HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n", true, Err("HTTP status 301")),
            ("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nx", true, Err("not text/plain")),
            ("HTTP/1.1 200 OK\r\n", true, Err("no answer in HTTP")),
            (&long, false, Err("too long")),
        ] {
            let got = body(answer.as_bytes(), ended);
            let got = got.map(|b| b.map(|b| String::from_utf8(b).expect("text")));
            assert_eq!(got, want.map(|w| w.map(str::to_owned)).map_err(str::to_owned), "{answer:.80}");
        }
    }
}
