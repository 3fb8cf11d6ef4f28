//! A scripted next hop: answers by rules, keeps what it hears.
//!
//! Options: `ehlo=PIPELINING,DSN` what it offers; `tls=server` STARTTLS with that certificate (see testkit/src/tls.rs), `smtps=server` TLS
//! from the start; `auth=PLAIN+LOGIN` AUTH, that any name and password satisfy. For a certificate may stand how the handshake goes wrong:
//! `drop` at once, `truncated` within a record, `garbage`, `hang` without a word.
//!
//! A rule is `REGEX => reply`; the reply `drop` closes the connection, `hang` never answers. `CONNECT` stands for the greeting and `.` for the end of data.

use super::{Kind, Service, Start};
use crate::tls::{self, Connection};
use regex::Regex;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// The record.
pub const KIND: Kind = Kind {
    name: "sink",
    start: Start::Own(|address, options, body| Ok(Box::new(Sink::start(address, options, body)?))),
};

struct Sink {
    address: String,
    sessions: Arc<Mutex<Vec<String>>>,
}

type Rules = Arc<Vec<(Regex, String)>>;

/// What it offers.
#[derive(Clone, Default)]
struct Offer {
    ehlo: Vec<String>,
    tls: Option<String>,
    smtps: Option<String>,
    auth: Option<String>,
}

impl Offer {
    fn of(options: &[(&str, &str)]) -> Self {
        let get = |key: &str| options.iter().find(|(k, _)| *k == key).map(|(_, v)| (*v).to_owned());
        let usual = "PIPELINING,8BITMIME,SIZE 0,DSN".to_owned();
        let ehlo =
            get("ehlo").unwrap_or(usual).split(',').filter(|w| !w.is_empty()).map(str::to_owned).collect();
        Self { ehlo, tls: get("tls"), smtps: get("smtps"), auth: get("auth").map(|a| a.replace('+', " ")) }
    }

    /// The reply to EHLO.
    fn reply(&self, encrypted: bool) -> String {
        let mut words = vec!["sink".to_owned()];
        words.extend(self.ehlo.iter().cloned());
        words.extend(self.tls.as_ref().filter(|_| !encrypted).map(|_| "STARTTLS".to_owned()));
        words.extend(self.auth.as_ref().map(|a| format!("AUTH {a}")));
        let last = words.len() - 1;
        let line = |(i, w): (usize, &String)| format!("250{}{w}", if i == last { ' ' } else { '-' });
        words.iter().enumerate().map(line).collect::<Vec<_>>().join("\\n")
    }
}

impl Sink {
    fn start(address: &str, options: &[(&str, &str)], rules: &[String]) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let mut parsed = Vec::new();
        for rule in rules.iter().filter(|r| !r.trim().is_empty()) {
            let (pattern, reply) =
                rule.split_once(" => ").ok_or_else(|| anyhow::anyhow!("bad rule {rule:?}"))?;
            parsed.push((Regex::new(&format!("(?i){pattern}"))?, reply.to_owned()));
        }
        let rules = Arc::new(parsed);
        let offer = Offer::of(options);
        let sessions = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&sessions);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (rules, kept, offer) = (Arc::clone(&rules), Arc::clone(&kept), offer.clone());
                thread::spawn(move || {
                    let mut heard = String::new();
                    let _ = session(stream, &offer, &rules, &mut heard);
                    if let Ok(mut kept) = kept.lock() {
                        kept.push(heard);
                    }
                });
            }
        });
        Ok(Self { address: address.to_owned(), sessions })
    }
}

impl Service for Sink {
    fn address(&self) -> String {
        format!("sink {}", self.address)
    }

    fn received(&self) -> Vec<String> {
        self.sessions.lock().map(|s| s.clone()).unwrap_or_default()
    }
}

/// The scripted answer to a line, if a rule has one.
fn scripted<'a>(rules: &'a Rules, line: &str) -> Option<&'a str> {
    rules.iter().find(|(r, _)| r.is_match(line)).map(|(_, reply)| reply.as_str())
}

/// One client.
struct Session<'a> {
    lines: BufReader<Box<dyn Connection>>,
    rules: &'a Rules,
    heard: &'a mut String,
}

impl Session<'_> {
    /// What the script says, or the usual; false: the connection is to be closed.
    fn answer(&mut self, rule: Option<&str>, usual: &str) -> std::io::Result<bool> {
        let text = rule.unwrap_or(usual);
        if text == "hang" {
            while self.line()?.is_some() {}
            return Ok(false);
        }
        if text == "drop" {
            return Ok(false);
        }
        let out = self.lines.get_mut();
        // In one piece: what the script puts behind a reply must not come late by chance.
        out.write_all(format!("{}\r\n", text.replace("\\n", "\r\n")).as_bytes())?;
        out.flush()?;
        Ok(true)
    }

    fn line(&mut self) -> std::io::Result<Option<String>> {
        let mut line = String::new();
        if self.lines.read_line(&mut line)? == 0 {
            self.heard.push_str("<EOF>\n");
            return Ok(None);
        }
        let line = line.trim_end().to_owned();
        self.heard.push_str(&line);
        self.heard.push('\n');
        Ok(Some(line))
    }

    /// The prompts of a mechanism.
    fn prompts(&mut self, line: &str) -> std::io::Result<()> {
        let mut words = line.split_whitespace().skip(1);
        let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
        let prompts: &[&str] = match (mechanism.as_str(), words.next()) {
            ("LOGIN", _) => &["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"],
            ("CRAM-MD5", _) => &["334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+"],
            (_, None) => &["334 "],
            _ => &[],
        };
        for prompt in prompts {
            self.answer(None, prompt)?;
            self.line()?;
        }
        Ok(())
    }
}

fn session(stream: TcpStream, offer: &Offer, rules: &Rules, heard: &mut String) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let raw = stream.try_clone()?;
    let mut encrypted = offer.smtps.is_some();
    let connection = match &offer.smtps {
        Some(name) => handshake(stream, name)?,
        None => Box::new(stream),
    };
    let mut s = Session { lines: BufReader::new(connection), rules, heard };
    if !s.answer(scripted(rules, "CONNECT"), "220 sink ESMTP")? {
        return Ok(());
    }
    while let Some(line) = s.line()? {
        let verb = line.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        let offered = offer.reply(encrypted);
        let usual = match verb.as_str() {
            "EHLO" | "LHLO" => offered.as_str(),
            "DATA" => "354 go on",
            "STARTTLS" => "220 2.0.0 Ready",
            "AUTH" => "235 2.7.0 Welcome",
            "QUIT" => "221 2.0.0 Bye",
            _ => "250 2.0.0 Ok",
        };
        let rule = scripted(s.rules, &line);
        if verb == "AUTH" && rule.is_none() {
            s.prompts(&line)?;
        }
        if !s.answer(rule, usual)? || verb == "QUIT" {
            return Ok(());
        }
        if let (Some(name), "STARTTLS") = (&offer.tls, verb.as_str())
            && rule.is_none_or(|r| r.starts_with("220"))
        {
            s.lines = BufReader::new(handshake(raw.try_clone()?, name)?);
            s.heard.push_str("<TLS>\n");
            encrypted = true;
        }
        if verb == "DATA" && rule.is_none_or(|r| r.starts_with("354")) {
            content(&mut s.lines, s.heard)?;
            if !s.answer(scripted(s.rules, "."), "250 2.0.0 Ok: queued")? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// With this certificate, or one that goes wrong.
fn handshake(mut stream: TcpStream, name: &str) -> std::io::Result<Box<dyn Connection>> {
    // Of the client's, so that closing the connection resets nothing.
    let heard = |stream: &mut TcpStream| stream.read(&mut [0; 16 * 1024]);
    match name {
        "drop" => heard(&mut stream).map(drop)?,
        // The head of a record of 122 bytes with the beginning of a ServerHello.
        "truncated" => {
            heard(&mut stream)?;
            stream.write_all(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03")?;
        }
        "garbage" => {
            heard(&mut stream)?;
            stream.write_all(b"250 2.0.0 What was that?\r\n")?;
            while heard(&mut stream)? > 0 {}
        }
        "hang" => while heard(&mut stream)? > 0 {},
        name => return tls::accept(stream, name),
    }
    Err(std::io::ErrorKind::ConnectionAborted.into())
}

fn content(lines: &mut impl BufRead, heard: &mut String) -> std::io::Result<()> {
    loop {
        let mut line = Vec::new();
        if lines.read_until(b'\n', &mut line)? == 0 {
            heard.push_str("<EOF>\n");
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\r', '\n']);
        if text == "." {
            return Ok(());
        }
        heard.push_str("| ");
        heard.push_str(text);
        heard.push('\n');
    }
}
