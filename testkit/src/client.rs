//! The scripted SMTP client of a scenario.

use crate::{
    scenario::options,
    tls::{self, Connection},
};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    thread::sleep,
    time::Duration,
};

/// Plays a dialogue; the transcript as `C:` and `S:` lines.
pub fn play(arg: &str, body: &[String]) -> Vec<String> {
    let mut transcript = vec![format!("== smtp {arg}")];
    if let Err(e) = dialogue(arg, body, &mut transcript) {
        let text = if e.kind() == io::ErrorKind::WouldBlock { "<no reply>" } else { "<EOF>" };
        transcript.push(format!("S: {text}"));
    }
    transcript
}

struct Client<'a> {
    stream: Box<dyn Connection>,
    /// The socket below, for a handshake.
    raw: TcpStream,
    sni: Option<&'a str>,
    cert: Option<&'a str>,
    buf: Vec<u8>,
    log: &'a mut Vec<String>,
}

fn dialogue(arg: &str, body: &[String], log: &mut Vec<String>) -> io::Result<()> {
    let (plain, named) = options(arg);
    let value = |key: &str| named.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
    let to: SocketAddr = value("dst").unwrap_or("127.0.0.1:25").parse().map_err(io::Error::other)?;
    let stream = connect(to, value("src"))?;
    stream.set_read_timeout(Some(Duration::from_secs(15)))?;
    let raw = stream.try_clone()?;
    let (sni, cert) = (value("sni"), value("cert"));
    let mut c = Client { stream: Box::new(stream), raw, sni, cert, buf: Vec::new(), log };
    if plain.contains(&"wrap") {
        c.handshake()?;
    }
    if !plain.contains(&"nobanner") {
        c.reply()?;
    }
    c.play(body)
}

fn connect(to: SocketAddr, src: Option<&str>) -> io::Result<TcpStream> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
    use std::os::fd::AsRawFd;
    let (Some(src), SocketAddr::V4(to4)) = (src, to) else { return TcpStream::connect(to) };
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let from: SocketAddr = format!("{src}:0").parse().map_err(io::Error::other)?;
    let SocketAddr::V4(from) = from else { return Err(io::ErrorKind::InvalidInput.into()) };
    bind(fd.as_raw_fd(), &SockaddrIn::from(from))?;
    connect(fd.as_raw_fd(), &SockaddrIn::from(to4))?;
    Ok(fd.into())
}

impl Client<'_> {
    fn handshake(&mut self) -> io::Result<()> {
        self.buf.clear();
        match tls::connect(self.raw.try_clone()?, self.sni, self.cert) {
            Ok(stream) => {
                self.stream = stream;
                self.log.push("S: <TLS>".to_owned());
                Ok(())
            }
            Err(e) => {
                self.log.push("S: <no TLS>".to_owned());
                Err(e)
            }
        }
    }

    fn reply(&mut self) -> io::Result<String> {
        loop {
            let line = self.line()?;
            let text = String::from_utf8_lossy(&line).into_owned();
            self.log.push(match text.strip_suffix('\r') {
                Some(t) => format!("S: {t}"),
                None => format!("S: {text}<LF>"),
            });
            if text.as_bytes().get(3) != Some(&b'-') {
                return Ok(text.get(..3).unwrap_or_default().to_owned());
            }
        }
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.buf.iter().position(|&b| b == b'\n') {
                let rest = self.buf.split_off(at + 1);
                let mut line = std::mem::replace(&mut self.buf, rest);
                line.pop();
                return Ok(line);
            }
            let mut chunk = [0; 8192];
            let n = self.stream.read(&mut chunk)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.buf.extend_from_slice(&chunk[..n]);
        }
    }

    fn play(&mut self, body: &[String]) -> io::Result<()> {
        let mut lines = body.iter();
        let (mut pending, mut owed) = (Vec::new(), 0);
        while let Some(line) = lines.next() {
            if let Some(special) = line.strip_prefix('!') {
                if self.special(special)? {
                    return Ok(());
                }
                continue;
            }
            let sent = line.strip_prefix('+').unwrap_or(line);
            self.log.push(format!("C: {}", sent.chars().take(200).collect::<String>()));
            pending.extend_from_slice(sent.as_bytes());
            pending.extend_from_slice(b"\r\n");
            owed += 1;
            if line.starts_with('+') {
                continue;
            }
            self.stream.write_all(&pending)?;
            pending.clear();
            let mut code = String::new();
            for _ in 0..std::mem::take(&mut owed) {
                code = self.reply()?;
            }
            if sent.eq_ignore_ascii_case("DATA") {
                self.data(&mut lines, code == "354")?;
            }
            if sent.eq_ignore_ascii_case("QUIT") {
                return Ok(());
            }
        }
        Ok(())
    }

    fn data<'b>(&mut self, lines: &mut impl Iterator<Item = &'b String>, accepted: bool) -> io::Result<()> {
        let mut bytes = Vec::new();
        for line in lines {
            bytes.extend_from_slice(line.as_bytes());
            bytes.extend_from_slice(b"\r\n");
            if line == "." {
                break;
            }
        }
        if accepted {
            self.stream.write_all(&bytes)?;
            self.reply()?;
        }
        Ok(())
    }

    /// `raw N TEXT`, `starttls [TEXT]`, `close`, `sleep S`; whether the dialogue ends.
    fn special(&mut self, text: &str) -> io::Result<bool> {
        let mut words = text.splitn(3, ' ');
        match words.next() {
            Some("close") => return Ok(true),
            Some("starttls") => {
                let behind = text.strip_prefix("starttls ").unwrap_or_default();
                self.log.push(format!("C: STARTTLS\\r\\n{behind}").trim_end_matches("\\r\\n").to_owned());
                self.stream.write_all(&[b"STARTTLS\r\n", unescape(behind).as_slice()].concat())?;
                if self.reply()? == "220" {
                    self.handshake()?;
                }
            }
            Some("sleep") => {
                let s = words.next().and_then(|s| s.parse().ok()).unwrap_or(1.0);
                sleep(Duration::from_secs_f64(s));
            }
            Some("raw") => {
                let n: usize = words.next().and_then(|n| n.parse().ok()).unwrap_or(1);
                let bytes = unescape(words.next().unwrap_or_default());
                self.log.push(format!("C: {}", text.chars().take(200).collect::<String>()));
                self.stream.write_all(&bytes)?;
                for _ in 0..n {
                    self.reply()?;
                }
            }
            other => return Err(io::Error::other(format!("unknown step {other:?}"))),
        }
        Ok(false)
    }
}

/// `\r \n \t \0 \\ \xHH` and `{NxC}`: the character C, N times.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&b, after)) = rest.split_first() {
        rest = after;
        match b {
            b'\\' => {
                let Some((&e, after)) = rest.split_first() else { break };
                rest = after;
                match e {
                    b'r' => out.push(b'\r'),
                    b'n' => out.push(b'\n'),
                    b't' => out.push(b'\t'),
                    b'0' => out.push(0),
                    b'x' => {
                        let hex = rest.get(..2).and_then(|h| std::str::from_utf8(h).ok());
                        out.extend(hex.and_then(|h| u8::from_str_radix(h, 16).ok()));
                        rest = rest.get(2..).unwrap_or_default();
                    }
                    other => out.push(other),
                }
            }
            b'{' => match repeat(rest) {
                Some((n, c, used)) => {
                    out.extend(std::iter::repeat_n(c, n));
                    rest = rest.get(used..).unwrap_or_default();
                }
                None => out.push(b),
            },
            b => out.push(b),
        }
    }
    out
}

fn repeat(rest: &[u8]) -> Option<(usize, u8, usize)> {
    let end = rest.iter().position(|&b| b == b'}')?;
    let (n, c) = std::str::from_utf8(rest.get(..end)?).ok()?.split_once('x')?;
    Some((n.parse().ok()?, *c.as_bytes().first()?, end + 1))
}

#[cfg(test)]
mod tests {
    #[test]
    fn escapes() {
        assert_eq!(super::unescape(r"a\r\n\x41\\{3xb}{x"), b"a\r\nA\\bbb{x");
    }
}
