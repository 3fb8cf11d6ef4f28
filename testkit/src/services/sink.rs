//! A scripted next hop: answers by rules, keeps what it hears.
//!
//! A rule is `REGEX => reply`; the reply `drop` closes the connection. `CONNECT` stands for the greeting and `.` for the end of data.

use super::{Kind, Service};
use regex::Regex;
use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// The record.
pub const KIND: Kind =
    Kind { name: "sink", start: |address, _, body| Ok(Box::new(Sink::start(address, body)?)) };

struct Sink {
    address: String,
    sessions: Arc<Mutex<Vec<String>>>,
}

type Rules = Arc<Vec<(Regex, String)>>;

impl Sink {
    fn start(address: &str, rules: &[String]) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let mut parsed = Vec::new();
        for rule in rules.iter().filter(|r| !r.trim().is_empty()) {
            let (pattern, reply) =
                rule.split_once(" => ").ok_or_else(|| anyhow::anyhow!("bad rule {rule:?}"))?;
            parsed.push((Regex::new(&format!("(?i){pattern}"))?, reply.to_owned()));
        }
        let rules = Arc::new(parsed);
        let sessions = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&sessions);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (rules, kept) = (Arc::clone(&rules), Arc::clone(&kept));
                thread::spawn(move || {
                    let mut heard = String::new();
                    let _ = session(stream, &rules, &mut heard);
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

fn session(stream: TcpStream, rules: &Rules, heard: &mut String) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream);
    let mut answer = |rule: Option<&str>, usual: &str| -> std::io::Result<bool> {
        let text = rule.unwrap_or(usual);
        if text == "drop" {
            return Ok(false);
        }
        out.write_all(text.replace("\\n", "\r\n").as_bytes())?;
        out.write_all(b"\r\n")?;
        Ok(true)
    };
    if !answer(scripted(rules, "CONNECT"), "220 sink ESMTP")? {
        return Ok(());
    }
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            heard.push_str("<EOF>\n");
            return Ok(());
        }
        let line = line.trim_end();
        heard.push_str(line);
        heard.push('\n');
        let verb = line.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        let usual = match verb.as_str() {
            "EHLO" => "250-sink\\n250-PIPELINING\\n250-8BITMIME\\n250-SIZE 0\\n250 DSN",
            "DATA" => "354 go on",
            "QUIT" => "221 2.0.0 Bye",
            _ => "250 2.0.0 Ok",
        };
        let rule = scripted(rules, line);
        if !answer(rule, usual)? || verb == "QUIT" {
            return Ok(());
        }
        if verb == "DATA" && rule.is_none_or(|r| r.starts_with("354")) {
            content(&mut lines, heard)?;
            if !answer(scripted(rules, "."), "250 2.0.0 Ok: queued")? {
                return Ok(());
            }
        }
    }
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
