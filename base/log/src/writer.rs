//! The log handle and its writer thread.

use crate::{
    Line, Severity, Source, Target, mask,
    sink::{Events, Ready, Sink},
    stamp::Stamp,
};
use base_metrics::Metrics;
use std::{
    fmt::Display,
    path::Path,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Lines that wait for the writer before new ones are dropped (and counted).
const MAX_WAITING: usize = 100_000;
/// Longest text of one line in bytes; the rest is cut.
const MAX_TEXT: usize = 4096;
/// How long the writer gathers lines once there is one, so that a busy server wakes it 200 times a second at most.
const GATHER: Duration = Duration::from_millis(5);

/// A cheap handle to the log of this process. The last clone's drop writes what is left.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    closer: Arc<Closer>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    written: Condvar,
    session: AtomicU32,
    /// Somebody wants the JSON form, too.
    events: bool,
    metrics: Metrics,
}

struct State {
    waiting: Vec<Ready>,
    stamp: Stamp,
    lost: usize,
    reopen: bool,
    closing: bool,
    writing: bool,
    idle: bool,
    /// Where lines go, until there is a thread that writes them.
    unstarted: Option<(Sink, Option<Events>)>,
}

struct Closer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Closer {
    fn drop(&mut self) {
        if let Ok(mut s) = self.shared.state.lock() {
            s.closing = true;
        }
        self.shared.wake.notify_all();
        if let Ok(mut t) = self.thread.lock()
            && let Some(t) = t.take()
        {
            let _ = t.join();
        }
    }
}

/// The lines of a test log, in order, as `name[pid]: text`.
#[derive(Clone)]
pub struct Captured(Log, Arc<Mutex<Vec<String>>>);

impl Captured {
    /// Everything logged so far.
    pub fn lines(&self) -> Vec<String> {
        self.0.flush();
        self.1.lock().map(|l| l.clone()).unwrap_or_default()
    }

    /// The texts alone, without `name[pid]: `.
    pub fn texts(&self) -> Vec<String> {
        let text = |l: String| l.split_once("]: ").map_or(l.clone(), |(_, t)| t.to_owned());
        self.lines().into_iter().map(text).collect()
    }
}

impl Log {
    /// Opens a log. A target that cannot be opened now is tried again with every batch. The writer's thread starts with the
    /// first line: a process that gives up rights before it says anything has no thread that kept them.
    pub fn open(target: &Target) -> Self {
        Self::start(Sink::open(target), None)
    }

    /// A log with the JSON form of each line in a file beside it (`maillog_json_file`); `None`: without.
    pub fn open_with_events(target: &Target, events: Option<&Path>) -> Self {
        Self::start(Sink::open(target), events.map(Events::open))
    }

    /// A log into memory, for tests.
    pub fn test() -> (Self, Captured) {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let log = Self::start(Sink::Memory(Arc::clone(&kept)), None);
        (log.clone(), Captured(log, kept))
    }

    fn start(sink: Sink, events: Option<Events>) -> Self {
        let has_events = events.is_some();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                waiting: Vec::new(),
                stamp: Stamp::new(),
                lost: 0,
                reopen: false,
                closing: false,
                writing: false,
                idle: true,
                unstarted: Some((sink, events)),
            }),
            wake: Condvar::new(),
            written: Condvar::new(),
            session: AtomicU32::new(std::process::id()),
            events: has_events,
            metrics: Metrics::default(),
        });
        let closer = Closer { shared: Arc::clone(&shared), thread: Mutex::default() };
        Self { shared, closer: Arc::new(closer) }
    }

    /// Starts the writer's thread, if there is none yet.
    fn begin(&self, state: &mut State) {
        let Some((sink, events)) = state.unstarted.take() else { return };
        let shared = Arc::clone(&self.shared);
        let write = move || write_loop(&shared, sink, events);
        if let Ok(mut thread) = self.closer.thread.lock() {
            *thread = thread::Builder::new().name("log".into()).spawn(write).ok();
        }
    }

    /// A source with a session number that no other open session of this process has.
    pub fn session_source(&self, name: impl Into<Arc<str>>) -> Source {
        let n = self.shared.session.fetch_add(1, Ordering::Relaxed);
        Source::new(name, n % 4_000_000 + 2)
    }

    /// What this process counts; lines count themselves.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Logs a typed line.
    pub fn line(&self, source: &Source, line: &dyn Line) {
        let severity = line.severity();
        let mut text = String::with_capacity(160);
        text.push_str(severity.prefix());
        line.text(&mut text);
        let mut event = String::new();
        if self.shared.events {
            crate::lines::to_json(source, line, &mut event);
        }
        let metrics = self.metrics();
        line.count(source, metrics);
        match severity {
            Severity::Info => &metrics.lines.info,
            Severity::Warning => &metrics.lines.warning,
            Severity::Error => &metrics.lines.error,
            Severity::Fatal | Severity::Panic => &metrics.lines.fatal,
        }
        .add_one();
        self.push(source, severity, &text, event);
    }

    /// Logs free text.
    pub fn info(&self, source: &Source, text: impl Display) {
        self.free(source, Severity::Info, &text);
    }

    /// Logs `warning: text`.
    pub fn warning(&self, source: &Source, text: impl Display) {
        self.free(source, Severity::Warning, &text);
    }

    /// Logs `error: text`.
    pub fn error(&self, source: &Source, text: impl Display) {
        self.free(source, Severity::Error, &text);
    }

    /// Logs `fatal: text`; ending is the caller's business.
    pub fn fatal(&self, source: &Source, text: impl Display) {
        self.free(source, Severity::Fatal, &text);
    }

    fn free(&self, source: &Source, severity: Severity, text: &dyn Display) {
        self.line(source, &crate::lines::Free { severity, text: text.to_string() });
    }

    fn push(&self, source: &Source, severity: Severity, text: &str, event: String) {
        let text = mask(cut(text));
        let Ok(mut s) = self.shared.state.lock() else { return };
        if s.waiting.len() >= MAX_WAITING {
            s.lost += 1;
            self.metrics().lines.lost.add_one();
            return;
        }
        let tagged = format!("{}[{}]: {text}", source.name, source.pid);
        let stamp = s.stamp.now().to_owned();
        s.waiting.push(Ready { severity, stamp, tagged, event });
        self.begin(&mut s);
        if s.idle {
            s.idle = false;
            self.shared.wake.notify_one();
        }
    }

    /// Opens the file or socket anew (after log rotation).
    pub fn reopen(&self) {
        if let Ok(mut s) = self.shared.state.lock() {
            s.reopen = true;
            s.idle = false;
        }
        self.shared.wake.notify_one();
    }

    /// Returns when everything logged so far is written, or after five seconds.
    pub fn flush(&self) {
        let Ok(s) = self.shared.state.lock() else { return };
        self.shared.wake.notify_one();
        let busy = |s: &mut State| !s.waiting.is_empty() || s.writing;
        let _ = self.shared.written.wait_timeout_while(s, Duration::from_secs(5), busy);
    }
}

/// At most [`MAX_TEXT`] bytes of it.
pub(crate) fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn write_loop(shared: &Shared, mut sink: Sink, mut events: Option<Events>) {
    let host = host_name();
    loop {
        let Ok(s) = shared.state.lock() else { return };
        let quiet = |s: &mut State| s.waiting.is_empty() && !s.closing && !s.reopen;
        let Ok(s) = shared.wake.wait_while(s, quiet) else { return };
        let closing = s.closing;
        drop(s);
        if !closing {
            thread::sleep(GATHER);
        }
        let Ok(mut s) = shared.state.lock() else { return };
        let batch = std::mem::take(&mut s.waiting);
        let reopen = std::mem::take(&mut s.reopen);
        let lost = std::mem::take(&mut s.lost);
        s.writing = true;
        drop(s);
        if reopen {
            sink.reopen();
            events.iter_mut().for_each(Events::reopen);
        }
        let mut failed = sink.write(&batch, &host);
        // The text log tells only of its own gaps: it has the line of an event that is lost.
        let failed_events = events.as_mut().map_or(0, |e| e.write(&batch));
        shared.metrics.lines.lost.add((failed + failed_events) as u64);
        if lost > 0 {
            failed += sink.write(&[loss_report(lost)], &host) * lost;
        }
        let Ok(mut s) = shared.state.lock() else { return };
        s.lost += failed;
        s.writing = false;
        s.idle = s.waiting.is_empty();
        let done = s.closing && s.waiting.is_empty();
        shared.written.notify_all();
        drop(s);
        if done {
            return;
        }
    }
}

fn loss_report(lost: usize) -> Ready {
    Ready {
        severity: Severity::Warning,
        stamp: Stamp::new().now().to_owned(),
        tagged: format!("postfix/postlog[{}]: warning: {lost} log lines were lost", std::process::id()),
        event: String::new(),
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let first = name.trim().split('.').next().unwrap_or_default().to_owned();
    if first.is_empty() { "localhost".into() } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_arrive_in_order_and_masked() {
        let (log, seen) = Log::test();
        let src = Source::new("postfix/smtpd", 7);
        log.info(&src, "one");
        log.warning(&src, "two\nforged[1]: three");
        assert_eq!(
            seen.lines(),
            ["postfix/smtpd[7]: one", "postfix/smtpd[7]: warning: two?forged[1]: three"]
        );
    }

    #[test]
    fn events_are_json_and_follow_a_rotation() {
        let dir = tempfile::tempdir().expect("a folder");
        let (file, old) = (dir.path().join("log.json"), dir.path().join("log.json.1"));
        let log = Log::open_with_events(&Target::File(dir.path().join("log")), Some(&file));
        let src = Source::new("postfix/smtpd", 7);
        log.warning(&src, format_args!("a \"b\" \n{}", "x".repeat(2 * MAX_TEXT)));
        log.flush();
        std::fs::rename(&file, &old).expect("renamed");
        log.reopen();
        log.info(&src, "two");
        log.flush();
        let read = |path| std::fs::read_to_string(path).expect("written");
        let (first, second) = (read(&old), read(&file));
        let (time, rest) = first.split_once(",\"event\"").expect("an event");
        assert!(time.starts_with("{\"time\":\"2") && time.ends_with("Z\""), "{time}");
        let want = ":\"warning\",\"severity\":\"warning\",\"program\":\"postfix/smtpd\",\"session\":7,\"text\":\"a \\\"b\\\" \\u000axx";
        assert!(rest.starts_with(want), "{rest}");
        assert!(first.ends_with("x\"}\n") && first.len() < MAX_TEXT + 300);
        assert!(second.ends_with(",\"text\":\"two\"}\n") && second.lines().count() == 1);
        assert_eq!((log.metrics().lines.warning.get(), log.metrics().lines.lost.get()), (1, 0));
    }

    #[test]
    fn lost_events_are_counted_and_not_told_by_the_log() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("log");
        let log = Log::open_with_events(&Target::File(file.clone()), Some(&dir.path().join("none/log.json")));
        let src = Source::new("postfix/smtpd", 7);
        for text in ["one", "two"] {
            log.info(&src, text);
            log.flush();
        }
        let lines = std::fs::read_to_string(&file).expect("written");
        assert!(lines.lines().count() == 2 && !lines.contains("lost"), "{lines}");
        assert_eq!(log.metrics().lines.lost.get(), 2);
    }

    #[test]
    fn session_numbers_differ() {
        let (log, _) = Log::test();
        assert_ne!(log.session_source("a").pid, log.session_source("a").pid);
    }
}
