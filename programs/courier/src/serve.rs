//! The main loop: orders of master, connections of the worker, idle children.
//!
//! Ends when master says so or is gone: no new connections, requests in hand get [`STOP_LIMIT`].

use crate::{
    connection::{self, Shared},
    gate::Gate,
    pool::Pool,
    settings::{Settings, log_targets},
};
use anyhow::{Context, Result};
use base_log::{Log, Source};
use base_sys::{
    fds,
    handoff::{Channel, ENV_CONFIG, Order, Reply},
    process::{Sig, Signals, wait_readable},
};
use std::{
    collections::HashMap,
    io,
    os::{
        fd::AsFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// Connections at a time; more wait in the listening socket.
const CONNECTIONS: usize = 200;
/// For requests in hand when the end is near.
const STOP_LIMIT: Duration = Duration::from_secs(8);
/// How often orders are looked at by one that has been replaced.
const GLANCE: Duration = Duration::from_millis(200);
/// How often idle children are looked at.
const SWEEP: Duration = Duration::from_secs(5);

/// The courier's main.
pub fn run(args: &[String]) -> Result<()> {
    let signals = Signals::take(&[Sig::Term, Sig::Int, Sig::Hup])?;
    let channel = Channel::inherited()?.context("not started by master")?;
    base_sandbox::root_server(base_sandbox::RootServer::Courier).context("cannot give up capabilities")?;
    let dir = config_dir(args);
    let (target, events) = log_targets(&dir);
    let log = Log::open_with_events(&target, events.as_deref());
    let mut server = Server {
        dir,
        log,
        channel,
        signals,
        listeners: HashMap::new(),
        shared: None,
        door: Gate::new(CONNECTIONS),
    };
    let done = server.serve();
    if let Some(shared) = &server.shared {
        shared.finish(STOP_LIMIT);
    }
    server.log.flush();
    done
}

fn config_dir(args: &[String]) -> PathBuf {
    let given = args.iter().position(|a| a == "-c").and_then(|n| args.get(n + 1)).cloned();
    given.or_else(|| std::env::var(ENV_CONFIG).ok()).unwrap_or_else(|| "/etc/postfix".into()).into()
}

struct Server {
    dir: PathBuf,
    log: Log,
    channel: Channel,
    signals: Signals,
    listeners: HashMap<String, UnixListener>,
    shared: Option<Arc<Shared>>,
    door: Gate,
}

impl Server {
    fn serve(&mut self) -> Result<()> {
        loop {
            let (orders, connections) = self.wait()?;
            while let Some(sig) = self.signals.next_pending()? {
                if sig == Sig::Term {
                    return Ok(());
                }
            }
            if orders && !self.order()? {
                return Ok(());
            }
            if connections {
                self.accept();
            }
            if let Some(shared) = &self.shared {
                shared.pool.sweep();
            }
        }
    }

    /// Whether there are orders, and connections.
    fn wait(&self) -> io::Result<(bool, bool)> {
        let mut fds = vec![self.signals.as_fd(), self.channel.as_fd()];
        let open = self.shared.is_some() && self.door.has_room();
        if open {
            fds.extend(self.listeners.values().map(AsFd::as_fd));
        }
        let limit = if open || self.shared.is_none() { SWEEP } else { Duration::from_millis(20) };
        let readable = wait_readable(&fds, Some(limit))?;
        Ok((readable.get(1) == Some(&true), readable.iter().skip(2).any(|r| *r)))
    }

    /// One order; false when it is time to end.
    fn order(&mut self) -> Result<bool> {
        match self.channel.next_order()? {
            None | Some(Order::Stop) => Ok(false),
            Some(Order::Retire) => {
                self.retire()?;
                Ok(false)
            }
            // Only a worker asks for files and has a spool: the courier opens what it needs by itself.
            Some(Order::Opened { .. } | Order::Prepare | Order::HandOver(_) | Order::TakeOver(_)) => Ok(true),
            Some(Order::Ping) => {
                self.channel.reply(&Reply::Pong)?;
                Ok(true)
            }
            Some(Order::Listener(key, fd)) => {
                self.listeners.insert(key.address, UnixListener::from(fd));
                Ok(true)
            }
            Some(Order::Close(key)) => {
                self.listeners.remove(&key.address);
                Ok(true)
            }
            Some(Order::Configured { generation }) => self.configure(generation),
        }
    }

    /// Another courier gets the connections from now on: each that is open ends with the request that it has in hand. Returns
    /// when there is none, or it is time to end.
    fn retire(&mut self) -> Result<()> {
        self.listeners.clear();
        let Some(shared) = &self.shared else { return Ok(()) };
        shared.retired.store(true, Ordering::SeqCst);
        while !shared.finish(GLANCE) {
            let readable =
                wait_readable(&[self.channel.as_fd(), self.signals.as_fd()], Some(Duration::ZERO))?;
            if readable.get(1) == Some(&true) && self.signals.next_pending()? == Some(Sig::Term) {
                return Ok(());
            }
            if readable.first() == Some(&true) {
                match self.channel.next_order()? {
                    None | Some(Order::Stop) => return Ok(()),
                    Some(Order::Ping) => self.channel.reply(&Reply::Pong)?,
                    Some(Order::Configured { .. }) => self.log.reopen(),
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Reads the configuration; the old one stays when it cannot be read.
    fn configure(&mut self, generation: u32) -> Result<bool> {
        let reply = match Settings::load(&self.dir, &self.log) {
            Ok(settings) => {
                self.log.reopen();
                self.adopt(settings)?;
                Reply::Ready { generation }
            }
            Err(e) => {
                let source = Source::new("postfix/courier", std::process::id());
                self.log.error(&source, format_args!("{e:#}"));
                Reply::Failed { generation, reason: format!("{e:#}") }
            }
        };
        self.channel.reply(&reply)?;
        Ok(self.shared.is_some())
    }

    fn adopt(&mut self, settings: Settings) -> Result<()> {
        match &self.shared {
            Some(shared) => {
                *shared.settings.write().unwrap_or_else(std::sync::PoisonError::into_inner) =
                    Arc::new(settings);
            }
            None => {
                // Not by its path: that may be another version by now.
                let own = PathBuf::from("/proc/self/exe");
                let pool = Pool::new(own, settings.process_limit, settings.max_idle);
                let settings = RwLock::new(Arc::new(settings));
                let busy = Gate::new(usize::MAX);
                let (retired, closed) = (AtomicBool::new(false), AtomicBool::new(false));
                let log = self.log.clone();
                self.shared = Some(Arc::new(Shared { settings, pool, log, busy, retired, closed }));
            }
        }
        Ok(())
    }

    fn accept(&self) {
        let Some(shared) = &self.shared else { return };
        for listener in self.listeners.values() {
            while self.door.has_room() {
                match listener.accept() {
                    Ok((stream, _)) => self.start(shared.clone(), stream),
                    Err(e) => {
                        // Out of descriptors: wait for some to come back.
                        if e.kind() != io::ErrorKind::WouldBlock {
                            thread::sleep(Duration::from_millis(50));
                        }
                        break;
                    }
                }
            }
        }
    }

    fn start(&self, shared: Arc<Shared>, stream: UnixStream) {
        let known = fds::peer_uid(stream.as_fd()).is_ok_and(|uid| shared.settings().may_ask.contains(&uid));
        if !known || stream.set_nonblocking(false).is_err() {
            let source = Source::new("postfix/courier", std::process::id());
            self.log.warning(&source, "connection of a stranger refused");
            return;
        }
        let pass = self.door.enter();
        let builder = thread::Builder::new().stack_size(512 * 1024);
        // When there is no thread to be had, the worker sees the end of the connection and tries again later.
        let _ = builder.spawn(move || {
            let _pass = pass;
            let _ = connection::serve(&shared, stream);
        });
    }
}
