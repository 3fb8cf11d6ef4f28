//! Where lines go: the syslog socket, a file, standard output, or a test's memory.

use crate::Severity;
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::{fs::OpenOptionsExt, net::UnixDatagram},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

/// syslog(3) facility (postconf(5) `syslog_facility`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facility(u8);

impl Facility {
    /// `mail`, the default.
    pub const MAIL: Self = Self(2);

    /// By name, as in postconf(5) `syslog_facility`. `None` for an unknown one.
    pub fn by_name(name: &str) -> Option<Self> {
        const NAMES: [&str; 24] = [
            "kern",
            "user",
            "mail",
            "daemon",
            "auth",
            "syslog",
            "lpr",
            "news",
            "uucp",
            "cron",
            "authpriv",
            "ftp",
            "ntp",
            "security",
            "console",
            "solaris-cron",
            "local0",
            "local1",
            "local2",
            "local3",
            "local4",
            "local5",
            "local6",
            "local7",
        ];
        NAMES.iter().position(|n| *n == name).map(|i| Self(i as u8))
    }
}

/// The target of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Datagrams to a syslog daemon's socket, `/dev/log`.
    Syslog(PathBuf, Facility),
    /// Appended to a file (`maillog_file`).
    File(PathBuf),
    /// Standard output (`maillog_file = /dev/stdout`).
    Stdout,
}

impl Target {
    /// The target that `maillog_file` and `syslog_facility` ask for. An empty `maillog_file` means syslog.
    pub fn from_parameters(maillog_file: &str, facility: &str) -> Self {
        match maillog_file {
            "" => Self::Syslog("/dev/log".into(), Facility::by_name(facility).unwrap_or(Facility::MAIL)),
            "/dev/stdout" => Self::Stdout,
            path => Self::File(path.into()),
        }
    }
}

/// An open sink.
pub(crate) enum Sink {
    Syslog { path: PathBuf, facility: Facility, socket: Option<UnixDatagram> },
    File { path: PathBuf, file: Option<File> },
    Stdout,
    Memory(Arc<Mutex<Vec<String>>>),
}

/// One line ready to go: `name[pid]: text` without its time.
pub(crate) struct Ready {
    pub severity: Severity,
    /// Time stamp.
    pub stamp: String,
    pub tagged: String,
    /// The JSON form; empty when nobody wants it.
    pub event: String,
}

/// The file of events beside the log (`maillog_json_file`): one JSON object on each line.
pub(crate) struct Events {
    path: PathBuf,
    file: Option<File>,
}

impl Events {
    pub(crate) fn open(path: &Path) -> Self {
        Self { path: path.to_owned(), file: append(path).ok() }
    }

    /// Opens the file again (log rotation). What cannot be opened stays as it was.
    pub(crate) fn reopen(&mut self) {
        if let Ok(f) = append(&self.path) {
            self.file = Some(f);
        }
    }

    /// Writes a batch; the number of events that could not be written.
    pub(crate) fn write(&mut self, lines: &[Ready]) -> usize {
        if self.file.is_none() {
            self.file = append(&self.path).ok();
        }
        let mut out = Vec::with_capacity(lines.len() * 240);
        for l in lines {
            out.extend_from_slice(l.event.as_bytes());
            out.push(b'\n');
        }
        let done = self.file.as_mut().is_some_and(|f| f.write_all(&out).is_ok());
        if done { 0 } else { lines.len() }
    }
}

impl Sink {
    pub(crate) fn open(target: &Target) -> Self {
        match target {
            Target::Syslog(path, facility) => {
                Self::Syslog { path: path.clone(), facility: *facility, socket: connect(path).ok() }
            }
            Target::File(path) => Self::File { file: append(path).ok(), path: path.clone() },
            Target::Stdout => Self::Stdout,
        }
    }

    /// Opens the file or socket again (log rotation). What cannot be opened stays as it was.
    pub(crate) fn reopen(&mut self) {
        match self {
            Self::Syslog { path, socket, .. } => {
                if let Ok(s) = connect(path) {
                    *socket = Some(s);
                }
            }
            Self::File { path, file } => {
                if let Ok(f) = append(path) {
                    *file = Some(f);
                }
            }
            Self::Stdout | Self::Memory(_) => {}
        }
    }

    /// Writes a batch; the number of lines that could not be written.
    pub(crate) fn write(&mut self, lines: &[Ready], host: &str) -> usize {
        match self {
            Self::Syslog { path, facility, socket } => {
                lines.iter().filter(|l| send(path, *facility, socket, l).is_err()).count()
            }
            Self::File { path, file } => {
                if file.is_none() {
                    *file = append(path).ok();
                }
                let done = file.as_mut().is_some_and(|f| f.write_all(&join(lines, host)).is_ok());
                if done { 0 } else { lines.len() }
            }
            Self::Stdout => {
                let mut out = io::stdout().lock();
                let done = out.write_all(&join(lines, host)).and_then(|()| out.flush());
                if done.is_ok() { 0 } else { lines.len() }
            }
            Self::Memory(kept) => {
                if let Ok(mut kept) = kept.lock() {
                    kept.extend(lines.iter().map(|l| l.tagged.clone()));
                }
                0
            }
        }
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let s = UnixDatagram::unbound()?;
    s.connect(path)?;
    s.set_write_timeout(Some(Duration::from_secs(1)))?;
    Ok(s)
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn send(path: &Path, facility: Facility, socket: &mut Option<UnixDatagram>, l: &Ready) -> io::Result<()> {
    let pri = u16::from(facility.0) << 3 | u16::from(l.severity.level());
    let datagram = format!("<{pri}>{} {}", l.stamp, l.tagged);
    if let Some(s) = socket
        && s.send(datagram.as_bytes()).is_ok()
    {
        return Ok(());
    }
    *socket = connect(path).ok();
    match socket {
        Some(s) => s.send(datagram.as_bytes()).map(|_| ()),
        None => Err(io::ErrorKind::NotConnected.into()),
    }
}

fn join(lines: &[Ready], host: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(lines.len() * 160);
    for l in lines {
        for part in [l.stamp.as_str(), " ", host, " ", l.tagged.as_str(), "\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    out
}
