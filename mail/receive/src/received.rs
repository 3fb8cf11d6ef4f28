//! The Received: header field (RFC 5321 4.4) in Postfix's form.

use base_tls::Session;
use mail_restrict::Peer;

/// What the field says.
pub struct Received<'a> {
    /// HELO name.
    pub helo: Option<&'a str>,
    /// The client.
    pub client: &'a Peer,
    /// `myhostname`.
    pub myhostname: &'a str,
    /// `mail_name`.
    pub mail_name: &'a str,
    /// `SMTP`, `ESMTP`, `UTF8SMTP` …
    pub protocol: &'a str,
    /// Queue id; none on the way through a filter.
    pub id: Option<&'a str>,
    /// The recipient, in external form, if there is exactly one.
    pub recipient: Option<&'a str>,
    /// RFC 5322 date.
    pub date: &'a str,
    /// Lines about the encrypted session (`smtpd_tls_received_header`).
    pub tls: Option<&'a str>,
    /// Login name (`smtpd_sasl_authenticated_header`).
    pub login: Option<&'a str>,
}

impl Received<'_> {
    /// The field with its line end.
    pub fn text(&self) -> String {
        let addr = match self.client.ip {
            Some(ip) if ip.is_ipv6() => format!("IPv6:{ip}"),
            _ => self.client.addr.clone(),
        };
        let name = &self.client.name;
        let helo = self.helo.unwrap_or(name);
        let login =
            self.login.map_or(String::new(), |l| format!("\t(Authenticated sender: {})\r\n", comment(l)));
        let tls = self.tls.unwrap_or_default();
        let (by, mail, with) = (self.myhostname, self.mail_name, self.protocol);
        let id = self.id.map_or(String::new(), |id| format!(" id {id}"));
        let end = match self.recipient {
            Some(r) => format!("\r\n\tfor <{r}>; {}\r\n", self.date),
            None => format!(";\r\n\t{}\r\n", self.date),
        };
        format!(
            "Received: from {helo} ({name} [{addr}])\r\n{tls}{login}\tby {by} ({mail}) with {with}{id}{end}"
        )
    }
}

/// The lines about an encrypted session, with their ends.
pub(crate) fn tls_lines(s: &Session, asked: bool) -> String {
    let mut out = format!("\t(using {}", s.cipher_text());
    for part in [s.exchange_text(), s.client_text()] {
        if !part.is_empty() {
            out.push_str("\r\n\t");
            out.push_str(&part);
        }
    }
    out.push_str(")\r\n\t");
    match &s.peer {
        Some(p) => {
            let c = &p.certificate;
            let trust = if p.trust.is_trusted() { "verified OK" } else { "not verified" };
            let (subject, issuer) = (comment(&c.subject_cn), comment(&c.issuer_cn));
            out.push_str(&format!("(Client CN \"{subject}\", Issuer \"{issuer}\" ({trust}))"));
        }
        None if asked => out.push_str("(Client did not present a certificate)"),
        None => out.push_str("(No client certificate requested)"),
    }
    out.push_str("\r\n");
    out
}

/// Text that is safe inside a comment of a header field (RFC 5322 3.2.2): other characters and parentheses without
/// their other half become `?`.
fn comment(text: &str) -> String {
    let mut depth = 0usize;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            ')' | '\\' => {
                out.push('?');
                continue;
            }
            c if !(' '..='~').contains(&c) => {
                out.push('?');
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    out.extend(std::iter::repeat_n(')', depth));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_restrict::HostStatus;

    #[test]
    fn forms() {
        let mut client = Peer {
            name: "unknown".into(),
            name_status: HostStatus::Unknown,
            reverse_name: "unknown".into(),
            reverse_status: HostStatus::Unknown,
            addr: "192.0.2.11".into(),
            ip: "192.0.2.11".parse().ok(),
            server_ip: None,
            port_shown: String::new(),
        };
        let field = |client: &Peer, helo, recipient| {
            Received {
                helo,
                client,
                myhostname: "mail.example.com",
                mail_name: "Postfix",
                protocol: "ESMTP",
                id: Some("ABC"),
                recipient,
                date: "Sat, 21 Nov 2026 22:57:18 +0000 (UTC)",
                tls: None,
                login: None,
            }
            .text()
        };
        assert_eq!(
            field(&client, Some("some.where"), Some("alice@example.com")),
            "Received: from some.where (unknown [192.0.2.11])\r\n\tby mail.example.com (Postfix) with ESMTP id ABC\r\n\
             \tfor <alice@example.com>; Sat, 21 Nov 2026 22:57:18 +0000 (UTC)\r\n"
        );
        client.ip = "::1".parse().ok();
        client.name = "localhost".into();
        assert_eq!(
            field(&client, None, None),
            "Received: from localhost (localhost [IPv6:::1])\r\n\tby mail.example.com (Postfix) with ESMTP id ABC;\r\n\
             \tSat, 21 Nov 2026 22:57:18 +0000 (UTC)\r\n"
        );
    }

    #[test]
    fn comments_cannot_be_left() {
        for (text, want) in [
            ("alice@example.com", "alice@example.com"),
            ("a)b", "a?b"),
            ("a(b", "a(b)"),
            ("(a) \\\r\n\u{e9}", "(a) ????"),
        ] {
            assert_eq!(comment(text), want);
        }
    }
}
