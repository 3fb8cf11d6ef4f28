//! "Open for me": the worker's [`Opener`]. What the mail owner may not read is asked of master, over the socket by which
//! master gives its orders; master opens what the configuration names. Tables, certificates and keys are opened here.
//!
//! A caller waits for master's answer, at most [`PATIENCE`]; the thread that takes master's orders hands it over.

use base_sys::{
    handoff::{Channel, Reply},
    opener::{Opener, Plain},
};
use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

/// How long master may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the state of a file is taken as known: tables in use look at their files all the time.
const FRESH: Duration = Duration::from_secs(1);
/// Files whose state is kept.
const MOST_KNOWN: usize = 1000;

type Answer = Result<OwnedFd, i32>;

/// Opens by itself, or through master.
pub struct ThroughMaster {
    channel: Arc<Channel>,
    number: AtomicU32,
    waiting: Mutex<HashMap<u32, SyncSender<Answer>>>,
    known: Mutex<HashMap<PathBuf, (Instant, Option<Metadata>)>>,
}

impl ThroughMaster {
    /// Over this socket.
    pub fn new(channel: Arc<Channel>) -> Self {
        Self { channel, number: AtomicU32::new(1), waiting: Mutex::default(), known: Mutex::default() }
    }

    /// Master's answer has come.
    pub fn answered(&self, number: u32, file: Answer) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        if let Some(asker) = waiting {
            let _ = asker.send(file);
        }
    }

    fn ask(&self, path: &Path) -> io::Result<File> {
        let path = path.to_str().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let (send, answer) = sync_channel(1);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(number, send);
        let asked = self.channel.reply(&Reply::Open { number, path });
        let answer =
            asked.and_then(|()| answer.recv_timeout(PATIENCE).map_err(|_| io::ErrorKind::TimedOut.into()));
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        answer?.map(File::from).map_err(io::Error::from_raw_os_error)
    }

    /// The state that master's file shows; `None` when there is none to see.
    fn state(&self, path: &Path) -> Option<Metadata> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((seen, state)) = known.get(path)
            && seen.elapsed() < FRESH
        {
            return state.clone();
        }
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        drop(known);
        let state = self.ask(path).and_then(|file| file.metadata()).ok();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(path.to_owned(), (Instant::now(), state.clone()));
        state
    }
}

impl Opener for ThroughMaster {
    fn open(&self, path: &Path) -> io::Result<File> {
        match Plain.open(path) {
            Err(refused) if refused.kind() == io::ErrorKind::PermissionDenied => {
                self.ask(path).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => error,
                    _ => refused,
                })
            }
            opened => opened,
        }
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        match std::fs::metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => self.state(path).ok_or(e),
            known => known,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_sys::handoff::Order;
    use std::io::Read;

    #[test]
    fn asks_master_and_takes_what_comes() {
        let (master, child) = Channel::pair().unwrap();
        let child = Arc::new(child);
        let opener = Arc::new(ThroughMaster::new(Arc::clone(&child)));
        let taker = Arc::clone(&opener);
        std::thread::spawn(move || {
            while let Ok(Some(Order::Opened { number, file })) = child.next_order() {
                taker.answered(number, file);
            }
        });
        std::thread::spawn(move || {
            while let Ok(Some(Reply::Open { number, path })) = master.next_reply() {
                let file = if path == "/secret" {
                    File::open("/proc/self/comm")
                } else {
                    Err(io::Error::from_raw_os_error(13))
                };
                let file = file.map(Into::into).map_err(|e| e.raw_os_error().unwrap_or(13));
                master.order(&Order::Opened { number, file }).unwrap();
            }
        });
        let mut text = String::new();
        opener.ask(Path::new("/secret")).unwrap().read_to_string(&mut text).unwrap();
        assert!(!text.is_empty());
        assert_eq!(opener.ask(Path::new("/other")).unwrap_err().raw_os_error(), Some(13));
        assert!(opener.state(Path::new("/other")).is_none());
        assert_eq!(opener.open(Path::new("/none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
