//! Going through the maildrop folder.

use super::file::{self, Ready};
use base_calls::maildrop::{Maildrop, MaildropError, MaildropReader};
use base_calls::{Envelope, Submission, Submit, SubmitError, SubmitOptions, Timestamp};
use base_conf::{Config, Error};
use base_log::{Log, Source};
use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io::{self, BufReader},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

/// Messages that are submitted at once; they share a group commit.
const PARALLEL: usize = 16;
/// How soon files that could not be taken (disk full, a table down) are tried again.
const RETRY: Duration = Duration::from_secs(3);

/// Files of one name in the `corrupt` folder.
const MAX_NAMESAKES: u32 = 1000;
/// Files looked at in one scan; the next one takes the rest.
const MAX_FILES: usize = 10_000;

/// What pickup(8) reads from main.cf.
#[derive(Debug, Clone)]
pub struct PickupConfig {
    log_name: String,
    queue_directory: PathBuf,
    myhostname: String,
    mail_name: String,
    content_filter: String,
    filter: bool,
    map_addresses: bool,
    bcc: bool,
    milters: bool,
}

impl PickupConfig {
    /// Reads the parameters.
    pub fn from_config(c: &Config) -> Result<Self, Error> {
        let overrides = c.list("receive_override_options")?;
        let off = |word: &str| overrides.iter().any(|o| o == word);
        Ok(Self {
            log_name: format!("{}/pickup", c.str("syslog_name")?),
            queue_directory: c.str("queue_directory")?.into(),
            myhostname: c.str("myhostname")?,
            mail_name: c.str("mail_name")?,
            content_filter: c.str("content_filter")?,
            filter: !off("no_header_body_checks"),
            map_addresses: !off("no_address_mappings"),
            bcc: !off("no_address_mappings"),
            milters: !off("no_milters"),
        })
    }

    fn options(&self, recipients_from_header: bool) -> SubmitOptions {
        SubmitOptions {
            filter: self.filter,
            map_addresses: self.map_addresses,
            bcc: self.bcc,
            recipients_from_header,
            no_milters: !self.milters,
            bounce_errors: true,
        }
    }
}

/// What a scan did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scanned {
    /// Messages that are in the queue now.
    pub submitted: usize,
    /// Files that stay for the next scan.
    pub left: usize,
    /// Files set aside.
    pub corrupt: usize,
}

/// Makes the scans of one folder take turns, whatever configuration they are for.
#[derive(Default)]
pub struct Scans {
    pub(super) turn: tokio::sync::Mutex<()>,
    paused: AtomicBool,
}

impl Scans {
    /// No more files are taken. `true` when none is in hand any more, `false` when that takes longer: then nothing has
    /// changed.
    pub async fn pause(&self, patience: Duration) -> bool {
        self.paused.store(true, Ordering::Release);
        let idle = tokio::time::timeout(patience, self.turn.lock()).await.is_ok();
        self.paused.store(idle, Ordering::Release);
        idle
    }
}

/// The pickup service.
#[derive(Clone)]
pub struct Pickup {
    inner: Arc<Inner>,
}

struct Inner {
    config: Arc<PickupConfig>,
    submit: Arc<dyn Submit>,
    log: Log,
    source: Source,
    /// Inodes of files whose message is in the queue but which could not be removed.
    done: Mutex<HashSet<u64>>,
    scans: Arc<Scans>,
    /// A scan that was asked for has not begun yet.
    wanted: AtomicBool,
    /// Files were left; another scan follows soon.
    retrying: AtomicBool,
    /// It was said that files of Postfix are there.
    told_of_postfix: AtomicBool,
}

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Format(MaildropError),
    #[error("{0}")]
    Refused(SubmitError),
    #[error("a file of Postfix: stop the server and run \"postfix import-queue\"")]
    Postfix,
}

impl Failure {
    /// It will not get better by trying again.
    fn is_permanent(&self) -> bool {
        match self {
            Self::Io(_) | Self::Format(MaildropError::Io(_)) | Self::Postfix => false,
            Self::Format(MaildropError::Malformed(_)) => true,
            Self::Refused(e) => e.code >= 500,
        }
    }
}

impl From<MaildropError> for Failure {
    fn from(e: MaildropError) -> Self {
        Self::Format(e)
    }
}

impl From<SubmitError> for Failure {
    fn from(e: SubmitError) -> Self {
        Self::Refused(e)
    }
}

impl Pickup {
    /// Makes the service.
    pub fn new(config: Arc<PickupConfig>, submit: Arc<dyn Submit>, log: Log, scans: Arc<Scans>) -> Self {
        let source = log.session_source(config.log_name.as_str());
        let done = Mutex::default();
        let no = || AtomicBool::new(false);
        let (wanted, retrying, told_of_postfix) = (no(), no(), no());
        let inner = Inner { config, submit, log, source, done, scans, wanted, retrying, told_of_postfix };
        Self { inner: Arc::new(inner) }
    }

    /// Starts a scan on the runtime; when one is running, another follows it. Returns at once.
    pub fn wake(&self) {
        if self.inner.wanted.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            let _turn = this.inner.scans.turn.lock().await;
            this.inner.wanted.store(false, Ordering::Release);
            this.scan_now().await;
        });
    }

    /// Scans at once and then every `interval` (the wake-up time of the service in master.cf). Never ends by itself.
    pub async fn run(&self, interval: Duration) {
        loop {
            self.scan().await;
            tokio::time::sleep(interval).await;
        }
    }

    /// Goes through the folder once. Only one scan runs at a time; a second one waits for its turn.
    pub async fn scan(&self) -> Scanned {
        let _turn = self.inner.scans.turn.lock().await;
        self.scan_now().await
    }

    async fn scan_now(&self) -> Scanned {
        let mut total = Scanned::default();
        let mut running = JoinSet::new();
        for path in self.inner.names() {
            if self.inner.scans.paused.load(Ordering::Acquire) {
                break;
            }
            if running.len() >= PARALLEL {
                total.add(running.join_next().await);
            }
            let inner = Arc::clone(&self.inner);
            running.spawn(async move { inner.take(&path).await });
        }
        while let Some(one) = running.join_next().await {
            total.add(Some(one));
        }
        if total.left > 0 {
            self.retry_soon();
        }
        total
    }

    /// Asks for another scan in a while, once.
    fn retry_soon(&self) {
        if self.inner.retrying.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(RETRY).await;
            this.inner.retrying.store(false, Ordering::Release);
            this.wake();
        });
    }
}

impl Scanned {
    fn add(&mut self, one: Option<Result<Self, tokio::task::JoinError>>) {
        let Some(Ok(one)) = one else { return };
        self.submitted += one.submitted;
        self.left += one.left;
        self.corrupt += one.corrupt;
    }
}

impl Inner {
    /// The files in the folder, oldest name first.
    fn names(&self) -> Vec<PathBuf> {
        let folder = self.config.queue_directory.join("maildrop");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) => {
                self.log.warning(&self.source, format_args!("open directory maildrop: {e}"));
                return Vec::new();
            }
        };
        let names =
            entries.filter_map(Result::ok).filter(|e| !e.file_name().as_encoded_bytes().starts_with(b"."));
        let mut paths: Vec<PathBuf> = names.take(MAX_FILES).map(|e| e.path()).collect();
        paths.sort();
        paths
    }

    async fn take(&self, path: &Path) -> Scanned {
        let none = Scanned::default();
        let ready = match file::open(path, Timestamp::now()) {
            Ok(Some(ready)) => ready,
            Ok(None) => return none,
            Err(e) => {
                self.warn(path, &e);
                return Scanned { left: 1, ..none };
            }
        };
        let inode = ready.inode;
        if self.is_done(inode) {
            return self.remove(path, inode);
        }
        match self.submit(ready).await {
            Ok(()) => {
                self.remove(path, inode);
                Scanned { submitted: 1, ..none }
            }
            Err(e) if e.is_permanent() => self.set_aside(path, &e),
            Err(e @ Failure::Postfix) => {
                if !self.told_of_postfix.swap(true, Ordering::AcqRel) {
                    self.warn(path, &e);
                }
                none
            }
            Err(e) => {
                self.warn(path, &e);
                Scanned { left: 1, ..none }
            }
        }
    }

    fn envelope(&self, maildrop: Maildrop, arrival: Timestamp) -> Envelope {
        let content_filter = self.config.content_filter.clone();
        Envelope { content_filter, ..file::envelope(maildrop, arrival) }
    }

    /// Hands one file over; when this returns, the message is durable.
    async fn submit(&self, mut ready: Ready) -> Result<(), Failure> {
        if ready.is_of_postfix()? {
            return Err(Failure::Postfix);
        }
        let (uid, arrival) = (ready.uid, ready.arrival);
        let (maildrop, mut reader) = ready.read()?;
        let options = self.config.options(maildrop.recipients_from_header);
        let mut submission = self.submit.open(self.envelope(maildrop.clone(), arrival), options)?;
        let id = submission.queue_id();
        self.log.info(&self.source, format_args!("{id}: uid={uid} from=<{}>", maildrop.sender));
        let received = format!(
            "Received: by {} ({}, from userid {uid})\r\n\tid {id}; {}\r\n",
            self.config.myhostname,
            self.config.mail_name,
            arrival.mail_date()
        );
        let sent = self.stream(submission.as_mut(), &received, &mut reader).await;
        match sent {
            Ok(()) => Ok(submission.finish().await.map(drop)?),
            Err(e) => Err(e),
        }
    }

    async fn stream(
        &self,
        submission: &mut dyn Submission,
        received: &str,
        reader: &mut MaildropReader<BufReader<File>>,
    ) -> Result<(), Failure> {
        submission.content(received.as_bytes()).await?;
        while let Some(chunk) = reader.next_chunk()? {
            submission.content(&chunk).await?;
        }
        Ok(())
    }

    fn is_done(&self, inode: u64) -> bool {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).contains(&inode)
    }

    /// Removes a file whose message is in the queue. If that fails the file is remembered, so that it is not taken
    /// again while this process lives.
    fn remove(&self, path: &Path, inode: u64) -> Scanned {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        match fs::remove_file(path) {
            Ok(()) => {
                done.remove(&inode);
                Scanned::default()
            }
            Err(e) => {
                done.insert(inode);
                drop(done);
                self.warn(path, &format_args!("remove: {e}"));
                Scanned { left: 1, ..Scanned::default() }
            }
        }
    }

    fn set_aside(&self, path: &Path, why: &Failure) -> Scanned {
        let folder = self.config.queue_directory.join("corrupt");
        let name = path.file_name().unwrap_or_default();
        self.warn(path, why);
        // The usual instance has the folder; `postfix check` makes it.
        let moved = fs::create_dir_all(&folder).and_then(|()| move_beside(path, &folder, name));
        match moved {
            Ok(name) => {
                self.log.warning(&self.source, format_args!("saved as corrupt/{}", name.to_string_lossy()));
                Scanned { corrupt: 1, ..Scanned::default() }
            }
            Err(e) => {
                self.warn(path, &format_args!("cannot set it aside: {e}"));
                Scanned { left: 1, ..Scanned::default() }
            }
        }
    }

    fn warn(&self, path: &Path, what: &dyn std::fmt::Display) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.log.warning(&self.source, format_args!("maildrop/{name}: {what}"));
    }
}

/// Moves a file into a folder as `name`, or `name.1`, `name.2` … when older ones are there. Says which.
fn move_beside(path: &Path, folder: &Path, name: &OsStr) -> io::Result<OsString> {
    for n in 0..MAX_NAMESAKES {
        let mut free = name.to_owned();
        if n > 0 {
            free.push(format!(".{n}"));
        }
        let to = folder.join(&free);
        // Nobody else gets the name from here on.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(e) => return Err(e),
        }
        let moved = fs::rename(path, &to);
        if moved.is_err() {
            let _ = fs::remove_file(&to);
        }
        return moved.map(|()| free);
    }
    Err(io::ErrorKind::AlreadyExists.into())
}
