//! One job for a process that acts as a user, and its report; their form between courier and its children.
//!
//! A job holds everything: children read no configuration. The encoding is that of one build talking to itself: a
//! version word in front, every length bounded by the input, nothing panics.

use base_calls::{
    codec::{Malformed, put_uint, take_uint},
    courier::{CourierAnswer, TargetAnswer, Verdict},
};
use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
    time::Duration,
};

/// How the content is written out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copying {
    /// Lines before the content, with their line ends: `From ` line, Return-Path and so on.
    pub prefix: Vec<u8>,
    /// Line end.
    pub eol: Vec<u8>,
    /// `>` before `From ` at the start of a line.
    pub quote_from: bool,
    /// `.` before a `.` at the start of a line.
    pub quote_dot: bool,
    /// An empty line at the end.
    pub blank_end: bool,
}

/// Which locks an mbox is to be protected with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Locks {
    /// fcntl(2).
    pub fcntl: bool,
    /// flock(2).
    pub flock: bool,
    /// `mailbox.lock`.
    pub dot: bool,
}

/// Append to an mbox file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MboxJob {
    /// The file.
    pub path: PathBuf,
    /// Locking.
    pub locks: Locks,
    /// `deliver_lock_attempts`.
    pub attempts: u32,
    /// `deliver_lock_delay`.
    pub delay: Duration,
    /// `stale_lock_time`.
    pub stale: Duration,
    /// Largest size of the file, 0 for none.
    pub limit: u64,
    /// The file must belong to the user (`strict_mailbox_ownership`).
    pub strict_owner: bool,
    /// Others can write to its folder: follow no symbolic link.
    pub shared_folder: bool,
    /// Text before a reason: `cannot update mailbox /var/mail/x for user x. `.
    pub complaint: String,
    /// Text of success: `delivered to mailbox`.
    pub success: String,
}

/// Drop into a Maildir.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaildirJob {
    /// The folder.
    pub path: PathBuf,
    /// `myhostname`, the end of the file name.
    pub hostname: String,
    /// Largest message, 0 for none.
    pub limit: u64,
}

/// Run a command with the message on its standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandJob {
    /// Program and arguments.
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Working directory.
    pub directory: PathBuf,
    /// Time until it is killed (`command_time_limit`).
    pub time_limit: Duration,
    /// Text of success: `delivered via NAME service`.
    pub success: String,
    /// pipe(8)'s sentence for an unknown exit status shows `argv[0]` only; local(8)'s shows the whole command.
    pub name: String,
    /// Text before the program's name when it cannot be executed, as Postfix's own child says it.
    pub complaint: String,
    /// Whether the output of a command that succeeded is reported (pipe(8)).
    pub tells_output: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Append to an mbox.
    Mbox(MboxJob),
    /// Drop into a Maildir.
    Maildir(MaildirJob),
    /// Run a command.
    Command(CommandJob),
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// How to write the content.
    pub copying: Copying,
    /// What to do with it.
    pub action: Action,
}

/// The report of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobReport {
    /// The verdict.
    pub verdict: Verdict,
    /// Lines for the log, after `warning: `.
    pub warnings: Vec<String>,
    /// What a command's process said before it became the command, as `program: text`; no program: the agent's own.
    pub last_words: Option<String>,
}

const VERSION: u64 = 2;

fn put(out: &mut Vec<u8>, value: &[u8]) {
    put_uint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn take<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let len = usize::try_from(take_uint(input)?).map_err(|_| Malformed)?;
    let (value, rest) = input.split_at_checked(len).ok_or(Malformed)?;
    *input = rest;
    Ok(value)
}

fn take_text(input: &mut &[u8]) -> Result<String, Malformed> {
    std::str::from_utf8(take(input)?).map(str::to_owned).map_err(|_| Malformed)
}

fn take_path(input: &mut &[u8]) -> Result<PathBuf, Malformed> {
    Ok(OsString::from_vec(take(input)?.to_vec()).into())
}

fn take_list<T>(
    input: &mut &[u8],
    one: impl Fn(&mut &[u8]) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = usize::try_from(take_uint(input)?).ok().filter(|&n| n <= input.len()).ok_or(Malformed)?;
    (0..count).map(|_| one(input)).collect()
}

fn put_time(out: &mut Vec<u8>, d: Duration) {
    put_uint(out, u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
}

fn take_time(input: &mut &[u8]) -> Result<Duration, Malformed> {
    Ok(Duration::from_millis(take_uint(input)?))
}

fn bits(list: &[bool]) -> u64 {
    list.iter().enumerate().map(|(i, &b)| u64::from(b) << i).sum()
}

impl Job {
    /// Encodes it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let c = &self.copying;
        put_uint(&mut out, VERSION);
        put(&mut out, &c.prefix);
        put(&mut out, &c.eol);
        put_uint(&mut out, bits(&[c.quote_from, c.quote_dot, c.blank_end]));
        match &self.action {
            Action::Mbox(j) => put_mbox(&mut out, j),
            Action::Maildir(j) => {
                put_uint(&mut out, 2);
                put(&mut out, j.path.as_os_str().as_bytes());
                put(&mut out, j.hostname.as_bytes());
                put_uint(&mut out, j.limit);
            }
            Action::Command(j) => put_command(&mut out, j),
        }
        out
    }

    /// Decodes it.
    pub fn parse(mut input: &[u8]) -> Result<Self, Malformed> {
        let input = &mut input;
        if take_uint(input)? != VERSION {
            return Err(Malformed);
        }
        let (prefix, eol, flags) = (take(input)?.to_vec(), take(input)?.to_vec(), take_uint(input)?);
        let on = |i: u32| flags >> i & 1 == 1;
        let copying = Copying { prefix, eol, quote_from: on(0), quote_dot: on(1), blank_end: on(2) };
        let action = match take_uint(input)? {
            1 => Action::Mbox(take_mbox(input)?),
            2 => Action::Maildir(MaildirJob {
                path: take_path(input)?,
                hostname: take_text(input)?,
                limit: take_uint(input)?,
            }),
            3 => Action::Command(take_command(input)?),
            _ => return Err(Malformed),
        };
        if input.is_empty() { Ok(Self { copying, action }) } else { Err(Malformed) }
    }
}

fn put_mbox(out: &mut Vec<u8>, j: &MboxJob) {
    put_uint(out, 1);
    put(out, j.path.as_os_str().as_bytes());
    put_uint(out, bits(&[j.locks.fcntl, j.locks.flock, j.locks.dot, j.strict_owner, j.shared_folder]));
    put_uint(out, u64::from(j.attempts));
    put_time(out, j.delay);
    put_time(out, j.stale);
    put_uint(out, j.limit);
    put(out, j.complaint.as_bytes());
    put(out, j.success.as_bytes());
}

fn take_mbox(input: &mut &[u8]) -> Result<MboxJob, Malformed> {
    let path = take_path(input)?;
    let flags = take_uint(input)?;
    let on = |i: u32| flags >> i & 1 == 1;
    Ok(MboxJob {
        path,
        locks: Locks { fcntl: on(0), flock: on(1), dot: on(2) },
        strict_owner: on(3),
        shared_folder: on(4),
        attempts: u32::try_from(take_uint(input)?).map_err(|_| Malformed)?,
        delay: take_time(input)?,
        stale: take_time(input)?,
        limit: take_uint(input)?,
        complaint: take_text(input)?,
        success: take_text(input)?,
    })
}

fn put_command(out: &mut Vec<u8>, j: &CommandJob) {
    put_uint(out, 3);
    put_uint(out, j.argv.len() as u64);
    for a in &j.argv {
        put(out, a.as_bytes());
    }
    put_uint(out, j.env.len() as u64);
    for (name, value) in &j.env {
        put(out, name.as_bytes());
        put(out, value.as_bytes());
    }
    put(out, j.directory.as_os_str().as_bytes());
    put_time(out, j.time_limit);
    put(out, j.success.as_bytes());
    put(out, j.name.as_bytes());
    put(out, j.complaint.as_bytes());
    put_uint(out, u64::from(j.tells_output));
}

fn take_command(input: &mut &[u8]) -> Result<CommandJob, Malformed> {
    Ok(CommandJob {
        argv: take_list(input, |i| Ok(OsString::from_vec(take(i)?.to_vec())))?,
        env: take_list(input, |i| Ok((take_text(i)?, take_text(i)?)))?,
        directory: take_path(input)?,
        time_limit: take_time(input)?,
        success: take_text(input)?,
        name: take_text(input)?,
        complaint: take_text(input)?,
        tells_output: take_uint(input)? != 0,
    })
}

impl JobReport {
    /// A report without warnings.
    pub fn of(verdict: Verdict) -> Self {
        Self { verdict, warnings: Vec::new(), last_words: None }
    }

    /// Encodes it.
    pub fn encode(&self) -> Vec<u8> {
        let answer = CourierAnswer { targets: vec![TargetAnswer::single(0, "", self.verdict.clone())] };
        let mut out = Vec::with_capacity(128);
        put_uint(&mut out, self.warnings.len() as u64);
        for w in &self.warnings {
            put(&mut out, w.as_bytes());
        }
        put(&mut out, self.last_words.as_deref().unwrap_or_default().as_bytes());
        // The answer's own length is left out: it is the rest.
        out.extend_from_slice(answer.to_frame().get(4..).unwrap_or_default());
        out
    }

    /// Decodes it.
    pub fn parse(mut input: &[u8]) -> Result<Self, Malformed> {
        let input = &mut input;
        let warnings = take_list(input, take_text)?;
        let last_words = Some(take_text(input)?).filter(|t| !t.is_empty());
        let mut answer = CourierAnswer::parse(input)?;
        let verdict = answer.targets.pop().and_then(|mut t| t.deposits.pop()).ok_or(Malformed)?.verdict;
        Ok(Self { verdict, warnings, last_words })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto_dsn::Status;

    fn jobs() -> Vec<Job> {
        let copying = Copying {
            prefix: b"From x\n".to_vec(),
            eol: b"\n".to_vec(),
            quote_from: true,
            ..Copying::default()
        };
        let mbox = MboxJob {
            path: "/var/mail/a".into(),
            locks: Locks { fcntl: true, flock: false, dot: true },
            attempts: 20,
            delay: Duration::from_secs(1),
            stale: Duration::from_secs(500),
            limit: 51_200_000,
            strict_owner: true,
            shared_folder: true,
            complaint: "cannot. ".into(),
            success: "delivered to mailbox".into(),
        };
        let maildir = MaildirJob { path: "/home/a/Maildir".into(), hostname: "h".into(), limit: 0 };
        let command = CommandJob {
            argv: vec!["/bin/cat".into(), "-".into()],
            env: vec![("A".into(), "b".into())],
            directory: "/".into(),
            time_limit: Duration::from_secs(1000),
            success: "delivered via x service".into(),
            name: "/bin/cat".into(),
            complaint: "pipe: fatal".into(),
            tells_output: true,
        };
        [Action::Mbox(mbox), Action::Maildir(maildir), Action::Command(command)]
            .map(|action| Job { copying: copying.clone(), action })
            .to_vec()
    }

    #[test]
    fn jobs_round_trip_and_no_part_of_them_does() {
        for job in jobs() {
            let bytes = job.encode();
            assert_eq!(Job::parse(&bytes).unwrap(), job);
            for cut in 0..bytes.len() {
                assert!(Job::parse(&bytes[..cut]).is_err(), "{cut}");
            }
        }
    }

    #[test]
    fn reports_round_trip() {
        let report = JobReport {
            verdict: Verdict::Sent(Status::new(2, 0, 0), "delivered to maildir".into()),
            warnings: vec!["a".into(), "b".into()],
            last_words: Some("c".into()),
        };
        let bytes = report.encode();
        assert_eq!(JobReport::parse(&bytes).unwrap(), report);
        for cut in 0..bytes.len() {
            assert!(JobReport::parse(&bytes[..cut]).is_err(), "{cut}");
        }
    }
}
