//! postdrop(1): takes a message from standard input (base_calls::maildrop) and puts it into the maildrop folder.
//!
//! Runs with the right of the setgid group, which may write to that folder but not list it. The file gets its name at once
//! and is readable for pickup (its owner's execute bit is set) only when it is complete; success is reported when it is on
//! disk. On any error, and on signals of the terminal, the file goes. Works while the server is down.

use crate::postqueue::{Fatal, options, users};
use base_calls::maildrop::{MaildropError, MaildropReader, MaildropWriter};
use base_conf::Config;
use base_log::{Log, Source, Target};
use base_sys::{limits, privilege, system_text};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::{
        fs::{OpenOptionsExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Complete files have this mode: pickup runs as another user, in a folder that nobody else can look into.
const COMPLETE: u32 = 0o744;

/// Runs the command with the arguments after its name.
pub fn main(args: &[OsString]) -> ExitCode {
    limits::set_umask(0o022);
    let cfg = match parse(args).and_then(options::config_of) {
        Ok(cfg) => cfg,
        Err(e) => return fail(None, &e),
    };
    match run(&cfg, io::stdin().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(Some(&cfg), &e),
    }
}

fn parse(args: &[OsString]) -> Result<Option<PathBuf>, Fatal> {
    const USAGE: &str = "usage: postdrop [-c config_dir] [-v]";
    let mut dir = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("-v" | "-r") => {}
            Some("-c") => match args.next() {
                Some(d) => dir = Some(d.into()),
                None => return Err(Fatal::after("option requires an argument -- 'c'", USAGE)),
            },
            Some(a) if a.starts_with('-') && a.len() > 1 => {
                let letter: String = a.chars().skip(1).take(1).collect();
                return Err(Fatal::after(format!("invalid option -- '{letter}'"), USAGE));
            }
            _ => return Err(Fatal::new(USAGE)),
        }
    }
    Ok(dir)
}

/// Shows the problem, and logs it.
fn fail(cfg: Option<&Config>, fatal: &Fatal) -> ExitCode {
    let mut lines = fatal.before.clone();
    if !fatal.text.is_empty() {
        lines.push(format!("fatal: {}", fatal.text));
    }
    for line in &lines {
        eprintln!("postdrop: {line}");
    }
    lines.retain(|l| !l.starts_with("invalid option") && !l.starts_with("option requires"));
    log(cfg, &lines);
    ExitCode::FAILURE
}

fn log(cfg: Option<&Config>, lines: &[String]) {
    let value = |name: &str| cfg.and_then(|c| c.str(name).ok());
    let facility = value("syslog_facility").unwrap_or_else(|| "mail".into());
    let log = Log::open(&Target::from_parameters("", &facility));
    let name = value("syslog_name").unwrap_or_else(|| "postfix".into());
    let source = Source::new(format!("{name}/postdrop"), std::process::id());
    for line in lines {
        log.info(&source, line);
    }
    log.flush();
}

fn run(cfg: &Config, input: impl Read) -> Result<(), Fatal> {
    users::check(cfg, "authorized_submit_users", "submit mail")?;
    let setting = |e: base_conf::Error| Fatal::new(e.to_string());
    let queue = PathBuf::from(cfg.str("queue_directory").map_err(setting)?);
    let limit = u64::try_from(cfg.int("message_size_limit").map_err(setting)?).unwrap_or(0);
    let folder = queue.join("maildrop");
    let mut drop = Drop::create(&folder).map_err(|e| cannot_create(&folder, &e))?;
    drop.fill(BufReader::new(input), limit).map_err(problem)?;
    drop.keep().map_err(|e| Fatal::new(format!("uid={}: {}", privilege::real_uid(), system_text(&e))))?;
    wake(&queue);
    Ok(())
}

fn cannot_create(folder: &Path, e: &io::Error) -> Fatal {
    let text = format!("mail_queue_enter: create file {}: {}", folder.display(), system_text(e));
    Fatal::after(format!("warning: {text}"), text)
}

fn problem(e: Problem) -> Fatal {
    let uid = privilege::real_uid();
    match e {
        Problem::TooLarge => Fatal::after(format!("warning: uid={uid}: File too large"), ""),
        Problem::Maildrop(MaildropError::Io(e)) => Fatal::new(format!("uid={uid}: {}", system_text(&e))),
        Problem::Maildrop(MaildropError::Malformed(_)) => Fatal::new(format!("uid={uid}: malformed input")),
    }
}

/// Why a message is not taken.
#[derive(Debug)]
enum Problem {
    TooLarge,
    Maildrop(MaildropError),
}

impl From<MaildropError> for Problem {
    fn from(e: MaildropError) -> Self {
        Self::Maildrop(e)
    }
}

/// A file in the folder; removed when dropped before [`Drop::keep`].
struct Drop {
    path: PathBuf,
    file: Option<File>,
    kept: bool,
}

impl Drop {
    fn create(folder: &Path) -> io::Result<Self> {
        for attempt in 0..100u32 {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let name =
                format!("{:05X}{:X}P{:X}{attempt:X}", now.subsec_micros(), now.as_secs(), std::process::id());
            let path = folder.join(name);
            let made = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW)
                .open(&path);
            match made {
                Ok(file) => return Ok(Self { path, file: Some(file), kept: false }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn fill(&mut self, input: impl Read, limit: u64) -> Result<(), Problem> {
        let Some(file) = &self.file else { return Ok(()) };
        let (envelope, mut reader) = MaildropReader::open(input)?;
        let mut writer = MaildropWriter::new(BufWriter::new(file), &envelope)?;
        while let Some(chunk) = reader.next_chunk()? {
            writer.content(&chunk)?;
            if limit > 0 && writer.content_len() > limit {
                return Err(Problem::TooLarge);
            }
        }
        writer.finish()?.flush().map_err(MaildropError::Io)?;
        Ok(())
    }

    /// Complete and durable. A journal that has the file has its name too; where the folder may be read it is
    /// synced all the same.
    fn keep(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        file.set_permissions(Permissions::from_mode(COMPLETE))?;
        file.sync_all()?;
        if let Some(Ok(folder)) = self.path.parent().map(File::open) {
            folder.sync_all()?;
        }
        self.kept = true;
        Ok(())
    }
}

impl std::ops::Drop for Drop {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Tells the server that there is something. When it is down, it will look when it starts.
fn wake(queue: &Path) {
    if let Ok(mut stream) = UnixStream::connect(queue.join("public/pickup")) {
        let _ = stream.set_write_timeout(Some(Duration::from_secs(1)));
        let _ = stream.write_all(b"W");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_calls::{Recipient, maildrop::Maildrop};

    fn message(body: &[u8]) -> Vec<u8> {
        let recipients = vec![Recipient { address: "alice".into(), ..Recipient::default() }];
        let mut w = MaildropWriter::new(Vec::new(), &Maildrop { recipients, ..Maildrop::default() }).unwrap();
        w.content(body).unwrap();
        w.finish().unwrap()
    }

    fn queue() -> (PathBuf, Config) {
        let dir = std::env::temp_dir().join(format!("hikyaku-postdrop-{:?}", std::thread::current().id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("maildrop")).unwrap();
        let text = format!("queue_directory = {}\nmessage_size_limit = 100\n", dir.display());
        (dir, Config::from_text(&text))
    }

    fn files(dir: &Path) -> Vec<PathBuf> {
        fs::read_dir(dir.join("maildrop")).unwrap().map(|e| e.unwrap().path()).collect()
    }

    #[test]
    fn a_good_message_is_kept_and_marked_complete() {
        let (dir, cfg) = queue();
        let text = message(b"Subject: x\r\n\r\nbody\r\n");
        run(&cfg, &text[..]).unwrap();
        let files = files(&dir);
        assert_eq!(files.len(), 1);
        assert_eq!(fs::read(&files[0]).unwrap(), text);
        assert_eq!(fs::metadata(&files[0]).unwrap().permissions().mode() & 0o777, COMPLETE);
    }

    #[test]
    fn anything_else_leaves_no_trace() {
        let (dir, cfg) = queue();
        let good = message(b"Subject: x\r\n\r\nbody\r\n");
        for bad in [&b"x"[..], b"", &good[..good.len() - 1], &[&good[..], b"x"].concat()] {
            let e = run(&cfg, bad).unwrap_err();
            assert!(e.text.ends_with("malformed input"), "{e:?}");
        }
        let e = run(&cfg, &message(&b"0123456789\r\n".repeat(20))[..]).unwrap_err();
        assert!(e.before[0].ends_with("File too large"));
        assert!(files(&dir).is_empty());
    }

    #[test]
    fn options() {
        let parse = |line: &str| parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(parse("-v -c /x").unwrap(), Some(PathBuf::from("/x")));
        assert_eq!(parse("-x").unwrap_err().before, ["invalid option -- 'x'"]);
        assert!(parse("file").is_err());
    }
}
