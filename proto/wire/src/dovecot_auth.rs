//! The client side of Dovecot's authentication protocol, version 1 (Dovecot's `auth-protocol.txt`; SASL_README).
//!
//! Lines of fields with TABs between them. The server says what it can do ([`FromServer::Mech`] … [`FromServer::Done`]);
//! then each request has a number of its own, and its answers carry it. Read by base/sasl; a line that is
//! not understood is [`FromServer::Other`] and may be skipped, as the protocol demands.

use std::fmt::Write;

/// The longest line that is read, without its end: a challenge of the largest size and room for the fields.
pub const MAX_LINE: usize = 64 * 1024;

/// The version that is spoken.
pub const VERSION: (u32, u32) = (1, 1);

/// A line from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromServer {
    /// Major and minor version; another major version cannot be spoken to.
    Version(u32, u32),
    /// A mechanism and its properties (`plaintext`, `dictionary`, `active` …).
    Mech {
        /// Its name.
        name: String,
        /// What is known of it.
        properties: Vec<String>,
    },
    /// The end of the greeting.
    Done,
    /// The exchange goes on: a challenge in base64.
    Cont {
        /// The request.
        id: u32,
        /// Base64.
        challenge: String,
    },
    /// The client is who it says.
    Ok {
        /// The request.
        id: u32,
        /// `user` and others.
        fields: Fields,
    },
    /// It is not, or nobody can tell (`temp`).
    Fail {
        /// The request.
        id: u32,
        /// `user`, `reason`, `temp`, `code` …
        fields: Fields,
    },
    /// Something that needs no attention: SPID, CUID, COOKIE and what later versions say.
    Other,
}

/// `key=value` and `key` fields of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// The value of the first field of this name; empty for a field without one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    fn of<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let pair = |w: &str| {
            let (name, value) = w.split_once('=').unwrap_or((w, ""));
            (name.to_owned(), unescape(value))
        };
        Self(words.map(pair).collect())
    }
}

impl FromServer {
    /// Reads a line without its end; `None` for a line of a known kind whose fields are not right.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split('\t');
        let command = words.next()?;
        Some(match command {
            "VERSION" => Self::Version(words.next()?.parse().ok()?, words.next()?.parse().ok()?),
            "MECH" => {
                let name = words.next().filter(|n| !n.is_empty())?.to_owned();
                Self::Mech { name, properties: words.map(str::to_owned).collect() }
            }
            "DONE" => Self::Done,
            "CONT" => {
                let id = words.next()?.parse().ok()?;
                Self::Cont { id, challenge: words.next().unwrap_or_default().to_owned() }
            }
            "OK" => Self::Ok { id: words.next()?.parse().ok()?, fields: Fields::of(words) },
            "FAIL" => Self::Fail { id: words.next()?.parse().ok()?, fields: Fields::of(words) },
            _ => Self::Other,
        })
    }
}

/// What a client of ours wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthRequest<'a> {
    /// Unique on this connection.
    pub id: u32,
    /// The mechanism.
    pub mechanism: &'a str,
    /// `smtp` or what `smtpd_sasl_service` says.
    pub service: &'a str,
    /// Our address and the client's, without brackets; empty when there is none.
    pub local: &'a str,
    /// The client's.
    pub remote: &'a str,
    /// The session is encrypted.
    pub secured: bool,
    /// The initial response in base64.
    pub response: Option<&'a str>,
}

/// What a client says first.
pub fn handshake(process_id: u32) -> String {
    format!("VERSION\t{}\t{}\nCPID\t{process_id}\n", VERSION.0, VERSION.1)
}

impl AuthRequest<'_> {
    /// The line with its end. Values must be free of control characters but those that are escaped here.
    pub fn line(&self) -> String {
        let mut out = format!("AUTH\t{}\t{}", self.id, escape(self.mechanism));
        let _ = write!(out, "\tservice={}\tnologin", escape(self.service));
        let _ = write!(out, "\tlip={}\trip={}", escape(self.local), escape(self.remote));
        if self.secured {
            out.push_str("\tsecured");
        }
        // Must be the last one: the server takes the rest of the line.
        if let Some(response) = self.response {
            let _ = write!(out, "\tresp={response}");
        }
        out.push('\n');
        out
    }
}

/// The client's answer to a challenge, in base64.
pub fn continuation(id: u32, response: &str) -> String {
    format!("CONT\t{id}\t{response}\n")
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push_str("\x010"),
            '\x01' => out.push_str("\x011"),
            '\t' => out.push_str("\x01t"),
            '\r' => out.push_str("\x01r"),
            '\n' => out.push_str("\x01n"),
            c => out.push(c),
        }
    }
    out
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\x01' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('0') => out.push('\0'),
            Some('1') => out.push('\x01'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('n') => out.push('\n'),
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greeting_lines() {
        for (line, want) in [
            ("VERSION\t1\t2", Some(FromServer::Version(1, 2))),
            (
                "MECH\tPLAIN\tplaintext",
                Some(FromServer::Mech { name: "PLAIN".into(), properties: vec!["plaintext".into()] }),
            ),
            ("SPID\t4242", Some(FromServer::Other)),
            ("DONE", Some(FromServer::Done)),
            ("VERSION\tx\t2", None),
            ("MECH\t", None),
            ("OK\tx\tuser=a", None),
            ("", Some(FromServer::Other)),
        ] {
            assert_eq!(FromServer::parse(line), want, "{line}");
        }
    }

    #[test]
    fn answers() {
        let Some(FromServer::Fail { id: 3, fields }) =
            FromServer::parse("FAIL\t3\tuser=al\x01tice\treason=no\ttemp")
        else {
            panic!("not a FAIL")
        };
        assert_eq!(fields.get("user"), Some("al\tice"));
        assert_eq!((fields.get("temp"), fields.get("authz")), (Some(""), None));
        assert_eq!(
            FromServer::parse("CONT\t3\tYQ=="),
            Some(FromServer::Cont { id: 3, challenge: "YQ==".into() })
        );
        assert_eq!(FromServer::parse("CONT\t3"), Some(FromServer::Cont { id: 3, challenge: String::new() }));
    }

    #[test]
    fn requests() {
        let r = AuthRequest {
            id: 7,
            mechanism: "PLAIN",
            service: "smtp",
            local: "127.0.0.1",
            remote: "192.0.2.1",
            secured: true,
            response: Some("YQ=="),
        };
        assert_eq!(
            r.line(),
            "AUTH\t7\tPLAIN\tservice=smtp\tnologin\tlip=127.0.0.1\trip=192.0.2.1\tsecured\tresp=YQ==\n"
        );
        let r = AuthRequest { mechanism: "A\tB\n", secured: false, response: None, ..r };
        assert_eq!(r.line(), "AUTH\t7\tA\x01tB\x01n\tservice=smtp\tnologin\tlip=127.0.0.1\trip=192.0.2.1\n");
    }
}
