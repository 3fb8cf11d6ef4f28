//! The PROXY protocol, versions 1 (text) and 2 (binary): who a proxy's client is
//! (<https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>).
//!
//! Bytes in, values out. [`parse`] takes what has arrived and asks for more; a header is bounded by [`MAX_HEADER`].

use std::net::{IpAddr, SocketAddr};

/// The longest header: version 2's may have 64 KiB of extras, of which nobody needs more than a few.
pub const MAX_HEADER: usize = 16 + 2048;
/// Version 1: 107 bytes with CR LF.
const MAX_TEXT: usize = 107;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The proxy's client, and where it connected to.
    Proxied {
        /// The client.
        client: SocketAddr,
        /// Its destination.
        server: SocketAddr,
    },
    /// The proxy speaks for itself.
    Local,
}

/// How far it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed.
    More,
    /// A header of this many bytes.
    Done(Header, usize),
    /// No header: what is wrong.
    Bad(&'static str),
}

/// Which address families a server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

impl Families {
    fn has(self, ip: IpAddr) -> bool {
        if ip.is_ipv4() { self.v4 } else { self.v6 }
    }
}

/// Looks at what has arrived.
pub fn parse(input: &[u8], families: Families) -> Progress {
    let start = input.get(..SIGNATURE.len()).unwrap_or(input);
    if !start.is_empty() && SIGNATURE.starts_with(start) {
        return if start.len() < SIGNATURE.len() { Progress::More } else { binary(input, families) };
    }
    match input.iter().position(|b| *b == b'\n') {
        Some(end) if end < MAX_TEXT => match text(input.get(..end).unwrap_or_default(), families) {
            Ok(header) => Progress::Done(header, end + 1),
            Err(what) => Progress::Bad(what),
        },
        None if input.len() < MAX_TEXT => Progress::More,
        _ => Progress::Bad("short protocol header"),
    }
}

fn text(line: &[u8], families: Families) -> Result<Header, &'static str> {
    let line = line.strip_suffix(b"\r").ok_or("missing protocol header terminator")?;
    let line = std::str::from_utf8(line).map_err(|_| "short protocol header")?;
    // `PROXY TCP4 a b c d` has more than this.
    if line.len() < 8 {
        return Err("short protocol header");
    }
    let mut words = line.split(' ');
    if words.next() != Some("PROXY") {
        return Err("unrecognized protocol header");
    }
    let v6 = match words.next() {
        Some("TCP4") if families.v4 => false,
        Some("TCP6") if families.v6 => true,
        _ => return Err("bad or missing protocol type"),
    };
    let address =
        |word: Option<&str>| word.and_then(|w| w.parse::<IpAddr>().ok()).filter(|ip| ip.is_ipv6() == v6);
    let port = |word: Option<&str>| word.and_then(|w| w.parse::<u16>().ok());
    let client = address(words.next()).ok_or("bad or missing client address")?;
    let server = address(words.next()).ok_or("bad or missing server address")?;
    let client_port = port(words.next()).ok_or("bad or missing client port")?;
    let server_port = port(words.next()).ok_or("bad or missing server port")?;
    Ok(Header::Proxied { client: (client, client_port).into(), server: (server, server_port).into() })
}

fn binary(input: &[u8], families: Families) -> Progress {
    let Some(head) = input.get(SIGNATURE.len()..SIGNATURE.len() + 4) else { return Progress::More };
    let &[version, family, high, low] = head else { return Progress::More };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let total = SIGNATURE.len() + 4 + length;
    if total > MAX_HEADER {
        return Progress::Bad("too large protocol header");
    }
    let Some(body) = input.get(SIGNATURE.len() + 4..total) else { return Progress::More };
    match version {
        0x20 => return Progress::Done(Header::Local, total),
        0x21 => {}
        _ => return Progress::Bad("bad protocol version or command"),
    }
    let header = match family {
        0x11 => addresses::<4>(body),
        0x21 => addresses::<16>(body),
        _ => return Progress::Bad("unsupported network protocol"),
    };
    match header {
        Some(Header::Proxied { client, .. }) if !families.has(client.ip()) => {
            Progress::Bad("unsupported network protocol")
        }
        Some(header) => Progress::Done(header, total),
        None => Progress::Bad("short address field"),
    }
}

/// Two addresses of N bytes, two ports.
fn addresses<const N: usize>(body: &[u8]) -> Option<Header> {
    let ip = |from: usize| {
        let bytes = body.get(from..from + N)?;
        match <[u8; 4]>::try_from(bytes) {
            Ok(four) => Some(IpAddr::from(four)),
            Err(_) => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        }
    };
    let port = |from: usize| <[u8; 2]>::try_from(body.get(from..from + 2)?).ok().map(u16::from_be_bytes);
    let client = SocketAddr::new(ip(0)?, port(2 * N)?);
    let server = SocketAddr::new(ip(N)?, port(2 * N + 2)?);
    Some(Header::Proxied { client, server })
}

/// Check function for arbitrary input: nothing panics, no more is taken than there is or may be, and what a part says the
/// whole says, too.
pub fn check(input: &[u8]) {
    let families = Families { v4: true, v6: true };
    let whole = parse(input, families);
    match whole {
        Progress::Done(_, len) => assert!(len <= input.len() && len <= MAX_HEADER),
        Progress::More => assert!(input.len() < MAX_HEADER),
        Progress::Bad(_) => {}
    }
    for cut in 0..input.len().min(300) {
        if let Some(part) = input.get(..cut).map(|p| parse(p, families)).filter(|p| *p != Progress::More) {
            assert_eq!(part, whole, "cut at {cut}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: Families = Families { v4: true, v6: false };
    const ALL: Families = Families { v4: true, v6: true };

    fn shown(input: &[u8], families: Families) -> String {
        match parse(input, families) {
            Progress::More => "more".to_owned(),
            Progress::Done(Header::Local, n) => format!("local {n}"),
            Progress::Done(Header::Proxied { client, server }, n) => format!("{client} {server} {n}"),
            Progress::Bad(what) => what.to_owned(),
        }
    }

    #[test]
    fn text_headers() {
        for (input, want) in [
            ("PROXY TCP4 192.0.2.44 198.51.100.7 1111 25\r\nEHLO", "192.0.2.44:1111 198.51.100.7:25 44"),
            ("PROXY TCP6 2001:db8::7 2001:db8::8 1111 25\r\n", "[2001:db8::7]:1111 [2001:db8::8]:25 44"),
            ("PROXY TCP4 192.0.2.44 198", "more"),
            ("", "more"),
            ("PROXY UNKNOWN\r\n", "bad or missing protocol type"),
            ("PROXY TCP4 192.0.2.444 198.51.100.7 1111 25\r\n", "bad or missing client address"),
            ("PROXY TCP4 2001:db8::7 198.51.100.7 1111 25\r\n", "bad or missing client address"),
            ("PROXY TCP4 192.0.2.44 198.51.100.7 1111\r\n", "bad or missing server port"),
            ("EHLO c\r\n", "short protocol header"),
            ("EHLO not proxy\r\n", "unrecognized protocol header"),
            ("PROXY TCP4 192.0.2.44 198.51.100.7 1111 25\n", "missing protocol header terminator"),
        ] {
            assert_eq!(shown(input.as_bytes(), ALL), want, "{input}");
        }
        assert_eq!(
            shown(b"PROXY TCP6 2001:db8::7 2001:db8::8 1111 25\r\n", V4),
            "bad or missing protocol type"
        );
        assert_eq!(shown(&[b'x'; 200], ALL), "short protocol header");
    }

    #[test]
    fn binary_headers() {
        let header = |rest: &[u8]| [SIGNATURE, rest].concat();
        let four = header(&[0x21, 0x11, 0, 12, 192, 0, 2, 45, 198, 51, 100, 8, 4, 87, 0, 25]);
        assert_eq!(shown(&four, V4), "192.0.2.45:1111 198.51.100.8:25 28");
        for end in 0..four.len() {
            assert_eq!(shown(&four[..end], V4), "more", "{end}");
        }
        assert_eq!(shown(&header(&[0x20, 0, 0, 0]), V4), "local 16");
        assert_eq!(shown(&header(&[0x21, 0x13, 0, 0]), V4), "unsupported network protocol");
        assert_eq!(shown(&header(&[0x21, 0x11, 0, 4, 1, 2, 3, 4]), V4), "short address field");
        assert_eq!(shown(&header(&[0x21, 0x11, 0xff, 0xff]), V4), "too large protocol header");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(input: Vec<u8>, signed: bool) {
            let input = if signed { [SIGNATURE, &input].concat() } else { input };
            let _ = parse(&input, ALL);
        }
    }
}
