//! A policy server (SMTPD_POLICY_README) that answers by rules, well or badly.
//!
//! A rule is `REGEX => action`; the expression sees the whole request. Actions that are none: `!close` closes the connection,
//! `!silent` never answers, `!raw TEXT` sends TEXT with its escapes, `!pieces ACTION` sends the answer byte by byte. With `record=yes` the
//! requests are part of the result, without what differs from run to run.

use super::{Kind, Service, Start};
use regex::Regex;
use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// The record.
pub const KIND: Kind = Kind {
    name: "policy",
    start: Start::Own(|address, options, body| {
        let record = options.contains(&("record", "yes"));
        Ok(Box::new(Policy::start(address, record, body)?))
    }),
};

/// Attributes that differ from run to run, and from version to version.
const SKIPPED: &[&str] = &[
    "instance",
    "queue_id",
    "client_port",
    "mail_version",
    "compatibility_level",
    "policy_context",
    "server_port",
    "tls_sni",
    "stress",
];

struct Policy {
    address: String,
    record: bool,
    requests: Arc<Mutex<Vec<String>>>,
}

type Rules = Arc<Vec<(Regex, String)>>;

impl Policy {
    fn start(address: &str, record: bool, body: &[String]) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let mut rules = Vec::new();
        for line in body.iter().filter(|l| !l.trim().is_empty()) {
            let (pattern, action) =
                line.split_once(" => ").ok_or_else(|| anyhow::anyhow!("bad rule {line:?}"))?;
            rules.push((Regex::new(&format!("(?m){pattern}"))?, action.to_owned()));
        }
        let rules: Rules = Arc::new(rules);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (rules, kept) = (Arc::clone(&rules), Arc::clone(&kept));
                thread::spawn(move || serve(stream, &rules, &kept));
            }
        });
        Ok(Self { address: address.to_owned(), record, requests })
    }
}

impl Service for Policy {
    fn address(&self) -> String {
        format!("policy {}", self.address)
    }

    fn received(&self) -> Vec<String> {
        if !self.record {
            return Vec::new();
        }
        self.requests.lock().map(|r| r.clone()).unwrap_or_default()
    }
}

fn serve(stream: TcpStream, rules: &Rules, kept: &Mutex<Vec<String>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    loop {
        let mut request: Vec<String> = Vec::new();
        loop {
            match lines.next() {
                Some(Ok(line)) if line.is_empty() => break,
                Some(Ok(line)) => request.push(line),
                _ => return Ok(()),
            }
        }
        let text = request.join("\n");
        let name = |l: &String| l.split('=').next().unwrap_or_default().to_owned();
        let mut shown: Vec<String> =
            request.iter().filter(|l| !SKIPPED.contains(&name(l).as_str())).cloned().collect();
        shown.sort();
        if let Ok(mut kept) = kept.lock() {
            kept.push(shown.join("\n") + "\n");
        }
        let action = rules.iter().find(|(r, _)| r.is_match(&text)).map_or("DUNNO", |(_, a)| a.as_str());
        match action.split_once(' ').unwrap_or((action, "")) {
            ("!close", _) => return Ok(()),
            ("!silent", _) => thread::sleep(Duration::from_secs(60)),
            ("!raw", text) => out.write_all(text.replace("\\n", "\n").as_bytes())?,
            ("!pieces", action) => {
                for byte in format!("action={action}\n\n").bytes() {
                    out.write_all(&[byte])?;
                    thread::sleep(Duration::from_millis(2));
                }
            }
            _ => out.write_all(format!("action={action}\n\n").as_bytes())?,
        }
    }
}
