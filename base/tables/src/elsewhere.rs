//! Tables asked of another process, for programs that must not speak to servers themselves (the courier).
//!
//! [`Elsewhere`] stands in for all types that this crate does not have. With the first lookup it starts the process, tells
//! it which tables were opened ([`Session::accept`] opens them there), and then sends keys over a local socket; answers come
//! back in any order. When the process ends, or does not answer in [`PATIENCE`], the lookup is a temporary failure; the
//! next one starts it anew. Both ends are in this file: frames of a length and a body, at most [`MAX_FRAME`].

use crate::table::{Answer, Fut, OpenError, Table};
use crate::tables::{Tables, Usage};
use crate::types::{self, MoreTypes, Open};
use crate::{TableError, block_on};
use std::any::Any;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a lookup may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the other end may take to accept a frame.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// The largest frame.
const MAX_FRAME: usize = 32 << 20;
/// The longest value of an answer, which has its number and its kind in front.
const MAX_VALUE: usize = MAX_FRAME - 5;
/// Lookups that the other process does at the same time.
const THREADS: usize = 16;
/// The most tables.
const MAX_TABLES: usize = 1000;

/// The socket to a process, and what keeps or ends it (dropped after the socket was closed).
pub type Started = (UnixStream, Box<dyn Any + Send + Sync>);
/// Starts the process.
pub type Start = Box<dyn Fn() -> io::Result<Started> + Send + Sync>;

/// The asking end.
pub struct Elsewhere(Arc<Inner>);

struct Inner {
    start: Start,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tables: Vec<(String, Usage)>,
    link: Option<Arc<Link>>,
}

impl Elsewhere {
    /// `start` is called with the first lookup, and again when the process ended.
    pub fn new(start: Start) -> Elsewhere {
        Elsewhere(Arc::new(Inner { start, state: Mutex::default() }))
    }
}

impl MoreTypes for Elsewhere {
    fn open(&self, kind: &str, open: &Open<'_>) -> Option<Result<Arc<dyn Table>, OpenError>> {
        if types::find(kind).is_some() {
            return None;
        }
        let mut state = lock(&self.0.state);
        let wanted = (open.spec.to_owned(), open.usage);
        let number = state.tables.iter().position(|table| *table == wanted).unwrap_or(state.tables.len());
        if number == MAX_TABLES {
            return Some(Err(OpenError::new(format!("open {}: too many tables", open.spec))));
        }
        if number == state.tables.len() {
            state.tables.push(wanted);
            // The running process does not know it.
            state.link = None;
        }
        Some(Ok(Arc::new(Far { spec: open.spec.to_owned(), number, inner: Arc::clone(&self.0) })))
    }
}

/// A table of the other process.
struct Far {
    spec: String,
    number: usize,
    inner: Arc<Inner>,
}

impl Table for Far {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn lookup_now(&self, _key: &[u8]) -> Option<Answer> {
        None
    }

    /// Waits on the calling thread: programs that use this have a thread for each delivery.
    fn lookup<'a>(&'a self, key: &'a [u8]) -> Fut<'a, Answer> {
        Box::pin(async move {
            let answer = self.inner.ask(self.number, key);
            answer.map_err(|reason| TableError { table: self.spec.clone(), reason })
        })
    }

    fn is_pattern(&self) -> bool {
        ["tcp:", "socketmap:"].iter().any(|kind| self.spec.starts_with(kind))
    }
}

type Outcome = Result<Option<Vec<u8>>, String>;

impl Inner {
    fn ask(&self, number: usize, key: &[u8]) -> Outcome {
        // A process that was idle may have ended: once more with a new one.
        for _ in 0..2 {
            let link = self.link().map_err(|e| format!("cannot start a process for lookups: {e}"))?;
            match link.ask(number, key) {
                Some(outcome) => return outcome,
                None => link.broken.store(true, Ordering::Relaxed),
            }
        }
        Err("the process for lookups ended".to_owned())
    }

    fn link(&self) -> io::Result<Arc<Link>> {
        let mut state = lock(&self.state);
        if let Some(link) = state.link.as_ref().filter(|link| !link.broken.load(Ordering::Relaxed)) {
            return Ok(Arc::clone(link));
        }
        state.link = None;
        let link = Arc::new(Link::start((self.start)()?, &state.tables)?);
        state.link = Some(Arc::clone(&link));
        Ok(link)
    }
}

type Waiting = Arc<Mutex<HashMap<u32, SyncSender<Outcome>>>>;

/// The connection to a running process.
struct Link {
    stream: Mutex<UnixStream>,
    waiting: Waiting,
    next: AtomicU32,
    broken: AtomicBool,
    _process: Box<dyn Any + Send + Sync>,
}

impl Link {
    fn start((stream, process): Started, tables: &[(String, Usage)]) -> io::Result<Link> {
        stream.set_write_timeout(Some(WRITE_TIME))?;
        let reader = stream.try_clone()?;
        let waiting = Waiting::default();
        let answers = Arc::clone(&waiting);
        let mut writer = stream.try_clone()?;
        let link = Link {
            stream: Mutex::new(stream),
            waiting,
            next: AtomicU32::new(0),
            broken: AtomicBool::new(false),
            _process: process,
        };
        send(&mut writer, list(tables).as_bytes())?;
        thread::Builder::new().name("answers".to_owned()).spawn(move || receive(reader, &answers))?;
        Ok(link)
    }

    /// The outcome; `None` when the process is gone.
    fn ask(&self, number: usize, key: &[u8]) -> Option<Outcome> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = sync_channel(1);
        lock(&self.waiting).insert(id, sender);
        let table = u32::try_from(number).unwrap_or(u32::MAX);
        let frame = [&id.to_le_bytes(), &table.to_le_bytes(), key].concat();
        let sent = send(&mut lock(&self.stream), &frame);
        let outcome = match sent {
            Ok(()) => answer.recv_timeout(PATIENCE),
            Err(_) => Err(std::sync::mpsc::RecvTimeoutError::Disconnected),
        };
        lock(&self.waiting).remove(&id);
        match outcome {
            Ok(outcome) => Some(outcome),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => Some(Err("Connection timed out".to_owned())),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = lock(&self.stream).shutdown(Shutdown::Both);
    }
}

/// Hands answers to those who wait, until the process ends.
fn receive(mut stream: UnixStream, waiting: &Waiting) {
    while let Ok(Some(frame)) = read(&mut stream) {
        let Some((id, outcome)) = outcome_of(&frame) else { break };
        if let Some(asker) = lock(waiting).remove(&id) {
            let _ = asker.send(outcome);
        }
    }
    lock(waiting).clear();
    let _ = stream.shutdown(Shutdown::Both);
}

fn outcome_of(frame: &[u8]) -> Option<(u32, Outcome)> {
    let (id, rest) = number(frame)?;
    let (kind, text) = rest.split_first()?;
    Some((
        id,
        match kind {
            b'-' => Ok(None),
            b'=' => Ok(Some(text.to_vec())),
            _ => Err(String::from_utf8_lossy(text).into_owned()),
        },
    ))
}

/// The answering end: the tables that the asking end named.
pub struct Session {
    stream: UnixStream,
    tables: Vec<Arc<dyn Table>>,
}

impl Session {
    /// Reads which tables are wanted and opens them.
    pub fn accept(mut stream: UnixStream, tables: &Tables) -> io::Result<Session> {
        let list = read(&mut stream)?.unwrap_or_default();
        let list = String::from_utf8(list).map_err(io::Error::other)?;
        let opened = list.lines().take(MAX_TABLES).filter_map(|line| {
            let (usage, spec) = line.split_once('\t')?;
            Some(tables.open(spec, usage_of(usage)))
        });
        let tables = opened.collect();
        Ok(Session { stream, tables })
    }

    /// Answers until the asking end is gone.
    pub fn run(self) -> io::Result<()> {
        let Session { mut stream, tables } = self;
        let out = Arc::new(Mutex::new(stream.try_clone()?));
        let tables = Arc::new(tables);
        let (jobs, queue) = sync_channel::<Vec<u8>>(THREADS);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..THREADS {
            let (queue, tables, out) = (Arc::clone(&queue), Arc::clone(&tables), Arc::clone(&out));
            thread::Builder::new()
                .name("lookups".to_owned())
                .spawn(move || answer_all(&queue, &tables, &out))?;
        }
        // Theirs alone: without a thread that answers, sending a job fails, and this process ends.
        drop(queue);
        while let Some(frame) = read(&mut stream)? {
            if jobs.send(frame).is_err() {
                break;
            }
        }
        Ok(())
    }
}

fn answer_all(queue: &Mutex<Receiver<Vec<u8>>>, tables: &[Arc<dyn Table>], out: &Mutex<UnixStream>) {
    loop {
        let Ok(frame) = lock(queue).recv() else { return };
        let Some((id, rest)) = number(&frame) else { return };
        let Some((table, key)) = number(rest) else { return };
        let table = usize::try_from(table).ok().and_then(|table| tables.get(table));
        let answer = match table {
            Some(table) => match table.lookup_now(key) {
                Some(answer) => answer,
                None => block_on(table.lookup(key)),
            },
            None => return,
        };
        let (kind, text) = match answer {
            Ok(None) => (b'-', Vec::new()),
            Ok(Some(value)) if value.len() > MAX_VALUE => (b'!', b"the answer is too large".to_vec()),
            Ok(Some(value)) => (b'=', value),
            Err(error) => (b'!', error.reason.into_bytes()),
        };
        if send(&mut lock(out), &[&id.to_le_bytes(), [kind].as_slice(), &text].concat()).is_err() {
            return;
        }
    }
}

fn list(tables: &[(String, Usage)]) -> String {
    let flag = |set: bool| if set { '1' } else { '0' };
    let line = |(spec, usage): &(String, Usage)| {
        let nul = usage.with_nul.map_or('-', flag);
        let Usage { fold, fold_patterns, substitution, .. } = *usage;
        format!("{}{}{}{nul}\t{spec}\n", flag(fold), flag(fold_patterns), flag(substitution))
    };
    tables.iter().map(line).collect()
}

fn usage_of(text: &str) -> Usage {
    let flag = |at: usize| text.as_bytes().get(at) == Some(&b'1');
    let with_nul = text.as_bytes().get(3).filter(|b| **b != b'-').map(|b| *b == b'1');
    Usage { fold: flag(0), fold_patterns: flag(1), substitution: flag(2), with_nul }
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}

fn send(stream: &mut UnixStream, body: &[u8]) -> io::Result<()> {
    let len = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_FRAME);
    let len = len.ok_or(io::ErrorKind::InvalidInput)?;
    stream.write_all(&[&len.to_le_bytes(), body].concat())
}

/// One frame; `None` at the end.
fn read(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut len = [0; 4];
    match stream.read_exact(&mut len) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        done => done?,
    }
    let len = u64::from(u32::from_le_bytes(len));
    if len > MAX_FRAME as u64 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = Vec::new();
    stream.take(len).read_to_end(&mut body)?;
    if body.len() as u64 != len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(body))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use std::sync::atomic::AtomicUsize;

    /// The other process: `far:…` is a table of its own there.
    struct There;

    struct Echo(Usage);

    impl MoreTypes for There {
        fn open(&self, kind: &str, open: &Open<'_>) -> Option<Result<Arc<dyn Table>, OpenError>> {
            (kind == "far").then(|| Ok(Arc::new(Echo(open.usage)) as Arc<dyn Table>))
        }
    }

    impl Table for Echo {
        fn spec(&self) -> &str {
            "far:x"
        }

        fn lookup_now(&self, key: &[u8]) -> Option<Answer> {
            Some(match key {
                b"none" => Ok(None),
                b"bad" => Err(TableError { table: "far:x".into(), reason: "server says no".into() }),
                b"usage" => Ok(Some(format!("{:?}", self.0).into_bytes())),
                b"huge" => Ok(Some(vec![b'x'; MAX_FRAME])),
                key => Ok(Some(key.to_vec())),
            })
        }
    }

    /// Starts a thread in place of a process; it ends after `lookups` lookups.
    fn here(lookups: Option<usize>) -> (Arc<AtomicUsize>, Arc<Tables>) {
        let starts = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&starts);
        let start = move || {
            count.fetch_add(1, Ordering::SeqCst);
            let (ours, theirs) = UnixStream::pair()?;
            thread::spawn(move || {
                let there = Tables::new(Options { more: Some(Arc::new(There)), ..Options::default() });
                let mut session = Session::accept(theirs, &there).unwrap();
                let Some(lookups) = lookups else { return session.run().unwrap() };
                for _ in 0..lookups {
                    let frame = read(&mut session.stream).unwrap().unwrap();
                    let id = frame.get(..4).unwrap();
                    send(&mut session.stream, &[id, b"=once"].concat()).unwrap();
                }
            });
            Ok((ours, Box::new(()) as Box<dyn Any + Send + Sync>))
        };
        let more: Arc<dyn MoreTypes> = Arc::new(Elsewhere::new(Box::new(start)));
        (starts, Tables::new(Options { more: Some(more), ..Options::default() }))
    }

    #[test]
    fn answers_of_every_kind() {
        let (starts, tables) = here(None);
        let table = tables.open("far:x", Usage::ALIASES);
        assert_eq!(starts.load(Ordering::SeqCst), 0);
        assert_eq!(block_on(table.lookup(b"Key")), Ok(Some(b"Key".to_vec())));
        assert_eq!(block_on(table.lookup(b"none")), Ok(None));
        assert_eq!(block_on(table.lookup(b"bad")).unwrap_err().reason, "server says no");
        let usage = block_on(table.lookup(b"usage")).unwrap().unwrap();
        assert_eq!(String::from_utf8(usage).unwrap(), format!("{:?}", Usage::ALIASES));
        let long = vec![b'x'; 1 << 20];
        assert_eq!(block_on(table.lookup(&long)), Ok(Some(long.clone())));
        assert_eq!(block_on(table.lookup(b"huge")).unwrap_err().reason, "the answer is too large");
        assert_eq!(starts.load(Ordering::SeqCst), 1);
        let wrapped = tables.open("unionmap:{static:a,far:y}", Usage::LOOKUP);
        assert_eq!(block_on(wrapped.lookup(b"b")), Ok(Some(b"a,b".to_vec())));
        let unknown = tables.open("nosuch:y", Usage::LOOKUP);
        let reason = block_on(unknown.lookup(b"b")).unwrap_err().reason;
        assert_eq!(reason, "unsupported dictionary type: nosuch");
    }

    #[test]
    fn a_process_that_ended_is_started_again() {
        let (starts, tables) = here(Some(1));
        let table = tables.open("far:x", Usage::LOOKUP);
        for n in 1..4 {
            assert_eq!(block_on(table.lookup(b"a")), Ok(Some(b"once".to_vec())));
            assert_eq!(starts.load(Ordering::SeqCst), n);
        }
        let (_, tables) = here(Some(0));
        let reason = block_on(tables.open("far:x", Usage::LOOKUP).lookup(b"a")).unwrap_err().reason;
        assert_eq!(reason, "the process for lookups ended");
    }

    #[test]
    fn local_types_stay_here() {
        let (starts, tables) = here(None);
        let table = tables.open("inline:{a=b}", Usage::LOOKUP);
        assert_eq!(table.lookup_now(b"a"), Some(Ok(Some(b"b".to_vec()))));
        assert_eq!(starts.load(Ordering::SeqCst), 0);
    }

    proptest::proptest! {
        #[test]
        fn frames_of_all_kinds_are_read(frame: Vec<u8>) {
            let _ = (outcome_of(&frame), number(&frame));
        }
    }
}
