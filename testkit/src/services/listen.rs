//! What peers that answer one request with one reply have in common: listening on TCP or, for an address that is a path,
//! on a UNIX-domain socket; the script; and replies that are none.
//!
//! A script line is `REQUEST REPLY`. Replies that are none: `!close` closes the connection, `!silent` never answers, `!raw TEXT`
//! sends TEXT with its escapes, `!end TEXT` the same and closes, `!pieces REPLY` sends the reply byte by byte.

use super::Service;
use crate::client::unescape;
use anyhow::{Context, Result};
use std::{
    collections::HashMap,
    io::{self, BufReader, Read, Write},
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// How a protocol frames its requests and replies.
#[derive(Clone, Copy)]
pub struct Protocol {
    /// How many words of a script line are the request.
    pub words: usize,
    /// The reply to what the script does not know.
    pub unknown: &'static str,
    /// Reads a request, as the script writes it; `None` at the end.
    pub read: fn(&mut dyn Read) -> io::Result<Option<String>>,
    /// The bytes of a reply.
    pub frame: fn(&str) -> Vec<u8>,
}

struct Peer {
    title: String,
    record: bool,
    requests: Arc<Mutex<Vec<String>>>,
}

struct Shared {
    protocol: Protocol,
    script: HashMap<String, String>,
    requests: Arc<Mutex<Vec<String>>>,
}

/// Starts a peer; with `record=yes` its requests are part of the result.
pub fn start(
    name: &str,
    protocol: Protocol,
    address: &str,
    options: &[(&str, &str)],
    body: &[String],
) -> Result<Box<dyn Service>> {
    let mut script = HashMap::new();
    for line in body.iter().filter(|l| !l.trim().is_empty()) {
        let at =
            line.match_indices(' ').nth(protocol.words - 1).with_context(|| format!("bad line {line:?}"))?.0;
        let (request, reply) = line.split_at(at);
        script.insert(request.to_owned(), reply.trim_start().to_owned());
    }
    let requests = Arc::default();
    let shared = Arc::new(Shared { protocol, script, requests: Arc::clone(&requests) });
    match address.starts_with('/') {
        true => {
            let listener = UnixListener::bind(address)?;
            std::fs::set_permissions(address, std::fs::Permissions::from_mode(0o666))?;
            accept(shared, move || {
                listener.accept().and_then(|(stream, _)| Ok((stream.try_clone()?, stream)))
            });
        }
        false => {
            let listener = TcpListener::bind(address)?;
            accept(shared, move || {
                listener.accept().and_then(|(stream, _)| Ok((stream.try_clone()?, stream)))
            });
        }
    }
    let record = options.contains(&("record", "yes"));
    Ok(Box::new(Peer { title: format!("{name} {address}"), record, requests }))
}

/// Serves what `next` accepts, a stream to read from and one to write to, each connection on a thread of its own.
fn accept<S>(shared: Arc<Shared>, next: impl Fn() -> io::Result<(S, S)> + Send + 'static)
where
    S: Read + Write + Send + 'static,
{
    thread::spawn(move || {
        loop {
            let Ok((input, out)) = next() else { continue };
            let shared = Arc::clone(&shared);
            thread::spawn(move || serve(&shared, input, out));
        }
    });
}

impl Service for Peer {
    fn address(&self) -> String {
        self.title.clone()
    }

    fn received(&self) -> Vec<String> {
        if !self.record {
            return Vec::new();
        }
        self.requests.lock().map(|r| r.clone()).unwrap_or_default()
    }
}

fn serve(shared: &Shared, input: impl Read, mut out: impl Write) -> io::Result<()> {
    let mut input = BufReader::new(input);
    while let Some(request) = (shared.protocol.read)(&mut input)? {
        if let Ok(mut kept) = shared.requests.lock() {
            kept.push(format!("{request}\n"));
        }
        let reply = shared.script.get(&request).map_or(shared.protocol.unknown, String::as_str);
        match reply.split_once(' ').unwrap_or((reply, "")) {
            ("!close", _) => return Ok(()),
            ("!silent", _) => thread::sleep(Duration::from_secs(600)),
            ("!raw", text) => out.write_all(&unescape(text))?,
            ("!end", text) => return out.write_all(&unescape(text)),
            ("!pieces", reply) => {
                for byte in (shared.protocol.frame)(reply) {
                    out.write_all(&[byte])?;
                    thread::sleep(Duration::from_millis(1));
                }
            }
            _ => out.write_all(&(shared.protocol.frame)(reply))?,
        }
    }
    Ok(())
}
