//! `tcp:host:port`: one line to a server, one line back (tcp_table(5)). The server sees whole keys only.

use super::NetType;
use crate::NetOpen;
use crate::link::{LineError, Link, TimeLimit};
use crate::place::{Place, reason};
use base_tables::remote::{Client, Remote, Settings};
use base_tables::{OpenError, Table, Warn};
use proto_wire::tcp_table::{self, Fault, MAX_REPLY, Reply};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

pub(super) const TYPE: NetType = NetType { name: "tcp", open };

/// For a request and its reply.
const LIMIT: Duration = Duration::from_secs(100);
/// How often a request is sent to a server that hangs up.
const TRIES: u32 = 10;
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

struct Tcp {
    place: Place,
    warn: Warn,
    link: Option<Link>,
}

fn open(net: &NetOpen<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let (place, warn) = (Place::inet(net.open.name)?, net.open.tables.options().warn.clone());
    let make =
        move || -> Box<dyn Client> { Box::new(Tcp { place: place.clone(), warn: warn.clone(), link: None }) };
    let settings = Settings { pattern: true, ..Settings::default() };
    Ok(Arc::new(Remote::open(net.open, settings, Box::new(make))))
}

impl Tcp {
    /// The reply line. `Err(None)`: the server has hung up.
    fn exchange(&mut self, request: &[u8], limit: TimeLimit) -> Result<Vec<u8>, Option<String>> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => self.place.connect("TCP map ", limit, &self.warn).map_err(Some)?,
        };
        match link.send(request, limit).map_err(LineError::Io).and_then(|()| link.line(MAX_REPLY)) {
            Ok(line) => {
                self.link = Some(link);
                Ok(line)
            }
            Err(LineError::TooLong) => {
                Err(Some(self.trouble(&format!("text longer than {MAX_REPLY}"), self.place.leftover())))
            }
            Err(LineError::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut => {
                let why = reason(&error);
                Err(Some(self.trouble(&format!("unexpected EOF ({why})"), why)))
            }
            Err(LineError::Io(_)) => Err(None),
        }
    }

    /// Warns about a reply; gives the reason for the caller.
    fn trouble(&self, what: &str, reason: String) -> String {
        (self.warn)(&format!("read TCP map reply from {}: {what}", self.place.name));
        reason
    }

    fn understand(&self, line: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let what = match tcp_table::reply(line) {
            Ok(Reply::Found(value)) => return Ok(Some(value)),
            Ok(Reply::NotFound) => return Ok(None),
            Ok(Reply::Retry) => return Err(self.place.leftover()),
            Err(Fault::Malformed) => "malformed reply",
            Err(Fault::Status) => "bad status code",
        };
        let shown: String = String::from_utf8_lossy(line).chars().take(100).collect();
        Err(self.trouble(&format!("{what}: {shown}"), self.place.leftover()))
    }
}

impl Client for Tcp {
    fn ask(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let request = tcp_table::request(key);
        let limit = TimeLimit::after(LIMIT);
        for attempt in 1..=TRIES {
            let fresh = self.link.as_ref().is_none_or(|link| !link.is_used());
            match self.exchange(&request, limit) {
                Ok(line) => {
                    let answer = self.understand(&line);
                    if answer.is_err() && tcp_table::reply(&line) != Ok(Reply::Retry) {
                        self.link = None;
                    }
                    return answer;
                }
                Err(Some(reason)) => return Err(reason),
                Err(None) if attempt < TRIES && fresh => sleep(PAUSE),
                Err(None) => (),
            }
        }
        let reason = self.place.leftover();
        Err(self.trouble(&format!("unexpected EOF ({reason})"), reason.clone()))
    }
}
