//! Telling a service manager how it stands: sd_notify(3), for units of `Type=notify` (or `notify-reload`) with or without
//! `WatchdogSec`.
//!
//! Master sends `READY=1` once all children are up, `RELOADING=1` and `READY=1` around a reload, `STOPPING=1` at the end, and
//! `WATCHDOG=1` at half the watchdog's time as long as the children answer. Without `NOTIFY_SOCKET` nothing happens. A
//! manager that does not listen is no error.

use std::{
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::{Duration, Instant},
};

/// The manager, if there is one.
#[derive(Debug, Default)]
pub struct Notify {
    manager: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Watchdog>,
}

#[derive(Debug)]
struct Watchdog {
    every: Duration,
    next: Instant,
}

impl Notify {
    /// From the environment of this process.
    pub fn from_environment(now: Instant) -> Self {
        let value = |name| std::env::var(name).ok();
        let watched = value("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let every = value("WATCHDOG_USEC").filter(|_| watched).and_then(|t| t.parse().ok());
        Self::new(value("NOTIFY_SOCKET").as_deref(), every.map(Duration::from_micros), now)
    }

    fn new(socket: Option<&str>, watchdog: Option<Duration>, now: Instant) -> Self {
        let address = socket.and_then(|name| match name.strip_prefix('@') {
            Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name).ok(),
            None => SocketAddr::from_pathname(name).ok(),
        });
        let manager = address.and_then(|a| Some((UnixDatagram::unbound().ok()?, a)));
        let every = watchdog.map(|t| t / 2).filter(|t| !t.is_zero() && manager.is_some());
        Self { manager, watchdog: every.map(|every| Watchdog { every, next: now + every }) }
    }

    fn send(&self, text: &str) {
        if let Some((socket, to)) = &self.manager {
            let _ = socket.set_nonblocking(true);
            let _ = socket.send_to_addr(text.as_bytes(), to);
        }
    }

    /// Everything is up.
    pub fn ready(&self) {
        self.send("READY=1\nSTATUS=ready");
    }

    /// The configuration is being read again.
    pub fn reloading(&self) {
        let now = base_sys::process::monotonic_micros();
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=reloading"));
    }

    /// It is coming to an end.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping");
    }

    /// When the children are to be asked again; `None` without a watchdog.
    pub fn next(&self) -> Option<Instant> {
        self.watchdog.as_ref().map(|w| w.next)
    }

    /// Whether it is time to look after the children; tells the manager that all is well if `answering`.
    pub fn is_due(&mut self, now: Instant, answering: bool) -> bool {
        let Some(watchdog) = self.watchdog.as_mut().filter(|w| w.next <= now) else { return false };
        watchdog.next = now + watchdog.every;
        if answering {
            self.send("WATCHDOG=1");
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> Option<String> {
        let mut buf = [0; 200];
        let n = socket.recv(&mut buf).ok()?;
        Some(String::from_utf8_lossy(&buf[..n]).lines().next().unwrap_or_default().to_owned())
    }

    #[test]
    fn the_manager_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut notify = Notify::new(path.to_str(), Some(second * 20), now);
        notify.ready();
        notify.reloading();
        notify.stopping();
        let texts: Vec<_> = std::iter::from_fn(|| heard(&manager)).collect();
        assert_eq!(texts, ["READY=1", "RELOADING=1", "STOPPING=1"]);

        assert_eq!(notify.next(), Some(now + second * 10));
        assert!(!notify.is_due(now + second * 9, true));
        assert!(notify.is_due(now + second * 10, true));
        assert_eq!(heard(&manager).as_deref(), Some("WATCHDOG=1"));
        assert!(notify.is_due(now + second * 20, false), "children that do not answer are asked again");
        assert_eq!(heard(&manager), None);
    }

    #[test]
    fn nobody_listens() {
        let now = Instant::now();
        let mut notify = Notify::new(None, Some(Duration::from_secs(1)), now);
        notify.ready();
        assert_eq!(notify.next(), None);
        assert!(!notify.is_due(now + Duration::from_secs(9), true));
        Notify::new(Some("/nonexistent/socket"), None, now).ready();
        Notify::new(Some("@hikyaku-nobody"), None, now).ready();
    }
}
