//! Asking a server that may lose connections: requests are tried again after a pause, connecting is not. For `memcache:`
//! and `redis:` (max_try, retry_pause, timeout of memcache_table(5)).

use crate::link::{LineError, Link, TimeLimit};
use crate::place::{Place, reason};
use crate::settings::Settings;
use base_tables::{OpenError, Warn};
use std::io;
use std::thread::sleep;
use std::time::Duration;

/// How a server is asked.
#[derive(Clone)]
pub struct Manner {
    place: Place,
    tries: u32,
    pause: Duration,
    timeout: Duration,
    /// `type:name`.
    spec: String,
    /// The name in the warnings about replies.
    name: String,
    warn: Warn,
}

impl Manner {
    /// From `max_try`, `retry_pause` and `timeout`.
    pub fn read(place: Place, spec: &str, settings: &Settings, warn: Warn) -> Result<Manner, OpenError> {
        let seconds = |name: &str, default: i64| {
            let seconds = settings.number(name, default, 1)?;
            Ok::<_, OpenError>(Duration::from_secs(u64::try_from(seconds).unwrap_or(1).min(3600)))
        };
        Ok(Manner {
            place,
            tries: u32::try_from(settings.number("max_try", 2, 1)?).unwrap_or(2).min(100),
            pause: seconds("retry_pause", 1)?,
            timeout: seconds("timeout", 2)?,
            spec: spec.to_owned(),
            name: settings.name.clone(),
            warn,
        })
    }
}

/// Why a reply is of no use.
pub enum Fault {
    /// The connection failed.
    Io(io::Error),
    /// The reply is not understood; what to warn about. The connection is given up.
    Reply(String),
    /// The server refuses; what to warn about. Asking again is of no use.
    Refused(String),
}

impl From<LineError> for Fault {
    fn from(error: LineError) -> Fault {
        match error {
            LineError::TooLong => Fault::Io(io::ErrorKind::InvalidData.into()),
            LineError::Io(error) => Fault::Io(error),
        }
    }
}

/// Why there is no answer; it has been warned about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The reason for the caller.
    pub reason: String,
    /// There is no server.
    pub unreachable: bool,
}

/// A connection that is made again when it is lost.
pub struct Talk {
    manner: Manner,
    link: Option<Link>,
}

impl Talk {
    /// Not connected yet.
    pub fn new(manner: Manner) -> Talk {
        Talk { manner, link: None }
    }

    /// Sends `request` and has `read` take the reply. `greet` is done first on each new connection.
    pub fn ask<T>(
        &mut self,
        request: &[u8],
        mut greet: impl FnMut(&mut Link, TimeLimit) -> Result<(), Fault>,
        mut read: impl FnMut(&mut Link) -> Result<T, Fault>,
    ) -> Result<T, Failure> {
        let mut attempt = 1;
        loop {
            let limit = TimeLimit::after(self.manner.timeout);
            let old = self.link.as_ref().is_some_and(Link::is_used);
            let fault = match self.once(limit, request, &mut greet, &mut read)? {
                Ok(reply) => return Ok(reply),
                Err(fault) => fault,
            };
            // A server that closed an idle connection has not failed.
            if old && matches!(&fault, Fault::Io(e) if e.kind() != io::ErrorKind::TimedOut) {
                continue;
            }
            let again = attempt < self.manner.tries && !matches!(fault, Fault::Refused(_));
            if !again {
                return Err(Failure { reason: self.report(&fault), unreachable: false });
            }
            attempt += 1;
            sleep(self.manner.pause);
        }
    }

    fn once<T>(
        &mut self,
        limit: TimeLimit,
        request: &[u8],
        greet: &mut impl FnMut(&mut Link, TimeLimit) -> Result<(), Fault>,
        read: &mut impl FnMut(&mut Link) -> Result<T, Fault>,
    ) -> Result<Result<T, Fault>, Failure> {
        let (mut link, fresh) = match self.link.take() {
            Some(link) => (link, false),
            None => {
                let connected = self.manner.place.connect("", limit, &self.manner.warn);
                (connected.map_err(|reason| Failure { reason, unreachable: true })?, true)
            }
        };
        if fresh && let Err(fault) = greet(&mut link, limit) {
            return Ok(Err(fault));
        }
        let done = link.send(request, limit).map_err(Fault::Io).and_then(|()| read(&mut link));
        if matches!(done, Ok(_) | Err(Fault::Refused(_))) {
            self.link = Some(link);
        }
        Ok(done)
    }

    fn report(&self, fault: &Fault) -> String {
        let Manner { warn, spec, name, place, .. } = &self.manner;
        match fault {
            Fault::Io(error) => {
                let timed_out = error.kind() == io::ErrorKind::TimedOut;
                let reason = if timed_out { reason(error) } else { place.leftover() };
                warn(&format!("database {spec}: I/O error: {reason}"));
                reason
            }
            Fault::Reply(text) | Fault::Refused(text) => {
                warn(&format!("{name}: {text}"));
                place.leftover()
            }
        }
    }
}
