//! The log socket /dev/log of a namespace: what programs log, as `program: text`.

use regex::Regex;
use std::{
    os::unix::net::UnixDatagram,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Collected lines.
#[derive(Clone)]
pub struct Logs {
    lines: Arc<Mutex<Vec<String>>>,
    count: Arc<AtomicUsize>,
}

impl Logs {
    /// Binds the socket.
    pub fn listen(path: &Path) -> anyhow::Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let socket = UnixDatagram::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
        let me = Self { lines: Arc::default(), count: Arc::default() };
        let (lines, count) = (Arc::clone(&me.lines), Arc::clone(&me.count));
        let shape = Regex::new(
            r"^(?:<\d+>)?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d )?([^\s\[:]+)(?:\[\d+\])?: (?s:(.*))$",
        )?;
        thread::spawn(move || {
            let mut buf = vec![0; 65_536];
            while let Ok(n) = socket.recv(&mut buf) {
                let text = String::from_utf8_lossy(&buf[..n]).trim_end_matches(['\0', '\n']).to_owned();
                let line = shape.captures(&text).map_or(text.clone(), |c| format!("{}: {}", &c[1], &c[2]));
                if let Ok(mut l) = lines.lock() {
                    l.push(line);
                }
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Ok(me)
    }

    /// How many lines came so far.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// All lines so far.
    pub fn all(&self) -> Vec<String> {
        self.lines.lock().map(|l| l.clone()).unwrap_or_default()
    }
}
