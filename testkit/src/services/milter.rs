//! A scripted mail filter that speaks the Milter protocol, well or badly.
//!
//! A rule is `EVENT [REGEX] => ACTION`; events are connect, helo, mail, rcpt, data, unknown, header, eoh, body, eom, and `negotiate`. The first
//! rule that matches and is an answer ends the event; changes (below) come before it. Without one the answer is continue. Options: `macros=yes`
//! records macros too; `version=`, `actions=`, `steps=` what it negotiates (numbers, `0x` allowed); `symbols=STAGE:names` a list of macros.
//!
//! Answers: continue accept reject tempfail discard skip shutdown connfail progress, `reply 550 5.7.1 text` (`\r\n` between lines). Changes:
//! `add NAME: VALUE`, `insert N NAME: VALUE`, `change N NAME: VALUE`, `body TEXT`, `rcpt ADDRESS [PARAMETERS]`, `norcpt ADDRESS`,
//! `from ADDRESS [PARAMETERS]`, `quarantine TEXT`. Not answers: `!close`, `!silent`, `!raw TEXT` (bytes with escapes).

use super::{Kind, Service, Start};
use crate::client::unescape;
use anyhow::{Context, Result};
use regex::Regex;
use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// The record.
pub const KIND: Kind = Kind {
    name: "milter",
    start: Start::Own(|address, options, body| Ok(Box::new(Milter::start(address, options, body)?))),
};

/// Macros that differ from run to run.
const SKIPPED: &[&str] = &["{client_port}", "{daemon_port}", "v"];

struct Milter {
    address: String,
    sessions: Arc<Mutex<Vec<String>>>,
}

struct Rule {
    event: String,
    pattern: Regex,
    action: String,
}

struct Script {
    rules: Vec<Rule>,
    macros: bool,
    /// Version, actions, steps.
    offer: [u32; 3],
    symbols: Option<(u32, String)>,
}

fn number(text: &str) -> Option<u32> {
    text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())
}

impl Milter {
    fn start(address: &str, options: &[(&str, &str)], body: &[String]) -> Result<Self> {
        let get = |key: &str| options.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
        let named = |key: &str, usual: u32| get(key).and_then(number).unwrap_or(usual);
        let mut rules = Vec::new();
        for line in body.iter().filter(|l| !l.trim().is_empty()) {
            let (when, action) = line.split_once(" => ").with_context(|| format!("bad rule {line:?}"))?;
            let (event, pattern) = when.split_once(' ').unwrap_or((when, ""));
            let pattern = Regex::new(&format!("(?i){pattern}"))?;
            rules.push(Rule { event: event.to_owned(), pattern, action: action.to_owned() });
        }
        let symbols = get("symbols").and_then(|s| s.split_once(':'));
        let script = Arc::new(Script {
            rules,
            macros: get("macros") == Some("yes"),
            offer: [named("version", 6), named("actions", 0x1ff), named("steps", 0)],
            symbols: symbols.and_then(|(stage, names)| Some((number(stage)?, names.replace('+', " ")))),
        });
        let listener = TcpListener::bind(address)?;
        let sessions = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&sessions);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, kept) = (Arc::clone(&script), Arc::clone(&kept));
                thread::spawn(move || {
                    let index = kept.lock().map_or(0, |mut k| {
                        k.push(String::new());
                        k.len() - 1
                    });
                    let note = |text: &str| {
                        if let Some(slot) = kept.lock().ok().as_mut().and_then(|k| k.get_mut(index)) {
                            slot.push_str(text);
                            slot.push('\n');
                        }
                    };
                    let _ = session(stream, &script, &note);
                });
            }
        });
        Ok(Self { address: address.to_owned(), sessions })
    }
}

impl Service for Milter {
    fn address(&self) -> String {
        format!("milter {}", self.address)
    }

    fn received(&self) -> Vec<String> {
        self.sessions.lock().map(|s| s.clone()).unwrap_or_default()
    }
}

fn name(letter: u8) -> &'static str {
    match letter {
        b'C' => "connect",
        b'H' => "helo",
        b'M' => "mail",
        b'R' => "rcpt",
        b'T' => "data",
        b'U' => "unknown",
        b'L' => "header",
        b'N' => "eoh",
        b'B' => "body",
        b'E' => "eom",
        _ => "other",
    }
}

fn strings(data: &[u8]) -> Vec<String> {
    let data = data.strip_suffix(b"\0").unwrap_or(data);
    data.split(|b| *b == 0).map(|s| String::from_utf8_lossy(s).into_owned()).collect()
}

fn describe(letter: u8, data: &[u8]) -> String {
    match letter {
        b'C' => {
            let end = data.iter().position(|b| *b == 0).unwrap_or(data.len());
            let (host, rest) = data.split_at(end);
            let family = rest.get(1).map_or(' ', |b| char::from(*b));
            let address = strings(rest.get(4..).unwrap_or_default()).join("");
            format!("{} {family} {address}", String::from_utf8_lossy(host))
        }
        b'B' => format!("{:?}", String::from_utf8_lossy(data)),
        b'T' | b'N' | b'E' => String::new(),
        _ => strings(data).join(" "),
    }
}

fn session(mut io: TcpStream, script: &Script, note: &dyn Fn(&str)) -> io::Result<()> {
    let mut macros = String::new();
    loop {
        let mut len = [0; 4];
        io.read_exact(&mut len)?;
        let mut packet = vec![0; usize::try_from(u32::from_be_bytes(len)).unwrap_or(0).min(1 << 24)];
        io.read_exact(&mut packet)?;
        let Some((letter, data)) = packet.split_first() else { return Ok(()) };
        match letter {
            b'O' => negotiate(&mut io, data, script)?,
            b'D' if script.macros => {
                let all = strings(data.get(1..).unwrap_or_default());
                let shown = all.chunks(2).filter(|p| !SKIPPED.contains(&p[0].as_str()));
                macros = shown.map(|p| p.join("=")).collect::<Vec<_>>().join(", ");
            }
            b'D' | b'A' | b'K' => {}
            b'Q' => return Ok(()),
            _ => {
                let text = describe(*letter, data);
                let with = if macros.is_empty() { String::new() } else { format!(" {{{macros}}}") };
                macros.clear();
                note(&format!("{}: {text}{with}", name(*letter)));
                answer(&mut io, script, name(*letter), &text)?;
            }
        }
    }
}

fn negotiate(io: &mut TcpStream, data: &[u8], script: &Script) -> io::Result<()> {
    if script.rules.iter().any(|r| r.event == "negotiate") {
        return answer(io, script, "negotiate", "");
    }
    let offered =
        |i: usize| data.get(i * 4..i * 4 + 4).map_or(0, |b| b.iter().fold(0, |n, b| n << 8 | u32::from(*b)));
    let [version, actions, steps] = script.offer;
    let mut out = Vec::new();
    for n in [version.min(offered(0)), actions & offered(1), steps & offered(2)] {
        out.extend_from_slice(&n.to_be_bytes());
    }
    if let Some((stage, names)) = &script.symbols {
        out.extend_from_slice(&stage.to_be_bytes());
        out.extend_from_slice(names.as_bytes());
        out.push(0);
    }
    send(io, b'O', &out)
}

fn send(io: &mut TcpStream, letter: u8, data: &[u8]) -> io::Result<()> {
    let mut out = u32::try_from(data.len() + 1).unwrap_or(0).to_be_bytes().to_vec();
    out.push(letter);
    out.extend_from_slice(data);
    io.write_all(&out)
}

fn answer(io: &mut TcpStream, script: &Script, event: &str, text: &str) -> io::Result<()> {
    for rule in script.rules.iter().filter(|r| r.event == event && r.pattern.is_match(text)) {
        if act(io, &rule.action)? {
            return Ok(());
        }
    }
    send(io, b'c', &[])
}

/// Does one action; true: it was an answer.
fn act(io: &mut TcpStream, action: &str) -> io::Result<bool> {
    let (word, rest) = action.split_once(' ').unwrap_or((action, ""));
    let simple = [
        ("continue", b'c'),
        ("accept", b'a'),
        ("reject", b'r'),
        ("tempfail", b't'),
        ("discard", b'd'),
        ("skip", b's'),
        ("shutdown", b'4'),
        ("connfail", b'f'),
    ];
    if let Some((_, letter)) = simple.iter().find(|(w, _)| *w == word) {
        send(io, *letter, &[])?;
        return Ok(true);
    }
    let header = |text: &str| {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        format!("{name}\0{}\0", value.strip_prefix(' ').unwrap_or(value)).replace("\\n", "\n").into_bytes()
    };
    let numbered = |text: &str| {
        let (n, rest) = text.split_once(' ').unwrap_or((text, ""));
        [n.parse::<u32>().unwrap_or(0).to_be_bytes().to_vec(), header(rest)].concat()
    };
    let pair = |text: &str| match text.split_once(' ') {
        Some((a, b)) => format!("{a}\0{b}\0").into_bytes(),
        None => format!("{text}\0").into_bytes(),
    };
    match word {
        "reply" => {
            send(io, b'y', format!("{}\0", rest.replace("\\r\\n", "\r\n")).as_bytes())?;
            return Ok(true);
        }
        "!close" => return Err(io::ErrorKind::ConnectionAborted.into()),
        "!silent" => thread::sleep(Duration::from_secs(600)),
        "!raw" => {
            io.write_all(&unescape(rest))?;
            return Ok(true);
        }
        "progress" => send(io, b'p', &[])?,
        "add" => send(io, b'h', &header(rest))?,
        "insert" => send(io, b'i', &numbered(rest))?,
        "change" => send(io, b'm', &numbered(rest))?,
        "body" => send(io, b'b', &unescape(rest))?,
        "rcpt" => send(io, if rest.contains(' ') { b'2' } else { b'+' }, &pair(rest))?,
        "norcpt" => send(io, b'-', format!("{rest}\0").as_bytes())?,
        "from" => send(io, b'e', &pair(rest))?,
        "quarantine" => send(io, b'q', format!("{rest}\0").as_bytes())?,
        _ => return Err(io::Error::other(format!("unknown action {action}"))),
    }
    Ok(false)
}
