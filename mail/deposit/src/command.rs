//! Running a command with the message on its standard input (pipe(8), local(8)), as the user that this process is.
//!
//! The command leads a process group of its own, which is killed as a whole when its time is up. What it writes to
//! standard output and error is kept up to [`MAX_OUTPUT`] bytes and becomes part of the report. A command that ends
//! without reading all of its input is judged by its exit code alone.

use crate::{
    copy::copy,
    job::{CommandJob, Copying, JobReport},
    status,
};
use base_calls::{Content, Diagnosis, courier::Verdict};
use base_sys::{
    privilege,
    process::{Exit, Sig, signal_group},
    system_text,
};
use proto_dsn::Status;
use std::{
    io::{self, BufWriter, PipeReader, Read, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
};

/// So much of the output is reported; the rest is read and thrown away.
const MAX_OUTPUT: usize = 900;

/// Runs it.
pub fn run(job: &CommandJob, how: &Copying, content: &Content) -> JobReport {
    match start(job) {
        Ok((child, output)) => JobReport::of(attend(job, how, content, child, output)),
        Err(e) => {
            if let Some(why) = no_entry(&job.directory) {
                return elsewhere(job, &why);
            }
            // Postfix's child prints this and ends with EX_TEMPFAIL.
            let first = job.argv.first().map(|a| a.to_string_lossy().into_owned()).unwrap_or_default();
            let said = format!("{} {first}: {}", job.complaint, system_text(&e));
            let verdict = status::exit_code(75, &format!("{said} "), &job.name);
            JobReport { last_words: Some(said), ..JobReport::of(verdict) }
        }
    }
}

/// Why the process cannot be in a folder.
fn no_entry(directory: &Path) -> Option<io::Error> {
    std::fs::metadata(directory.join(".")).err()
}

/// Its folder cannot be entered: only the log says so.
fn elsewhere(job: &CommandJob, why: &io::Error) -> JobReport {
    let reason = system_text(why);
    let said = format!(
        ": fatal: cannot change directory to \"{}\" for uid={} gid={}: {reason}",
        job.directory.display(),
        privilege::effective_uid(),
        privilege::effective_gid()
    );
    let verdict = status::exit_code(75, "", &job.name);
    JobReport { last_words: Some(said), ..JobReport::of(verdict) }
}

fn start(job: &CommandJob) -> io::Result<(Child, PipeReader)> {
    let (program, args) = job.argv.split_first().ok_or_else(|| io::Error::from_raw_os_error(2))?;
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .envs(job.env.iter().map(|(n, v)| (n, v)))
        .current_dir(&job.directory)
        .stdin(Stdio::piped())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0);
    let child = command.spawn()?;
    Ok((child, reader))
}

fn attend(
    job: &CommandJob,
    how: &Copying,
    content: &Content,
    mut child: Child,
    output: PipeReader,
) -> Verdict {
    let group = child.id();
    let (done, finished) = mpsc::channel::<()>();
    let limit = job.time_limit;
    let watchdog = thread::spawn(move || {
        let late = finished.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
        if late {
            let _ = signal_group(group, Sig::Kill);
        }
        late
    });
    let reader = thread::spawn(move || read_output(output));
    let written = feed(&mut child, how, content);
    let output = reader.join().unwrap_or_default();
    let ended = child.wait();
    drop(done);
    let late = watchdog.join().unwrap_or(false);
    let ended = match ended {
        Ok(status) => Exit::from(status),
        Err(e) => return status::by_class(Status::new(4, 3, 0), status::with_reason("wait for command", &e)),
    };
    match (late, ended) {
        (true, _) => Verdict::Failed(Diagnosis::new(
            Status::new(5, 3, 0),
            format!("Command time limit exceeded: \"{}\"", job.name),
        )),
        (_, Exit::Signal(n)) => status::killed(n, &output, &job.name),
        (_, Exit::Status(0)) => match written {
            Ok(()) => Verdict::Sent(Status::new(2, 0, 0), success(job, &output)),
            Err(e) => status::by_class(Status::new(4, 3, 0), status::with_reason("read message", &e)),
        },
        (_, Exit::Status(n)) => status::exit_code(n, &output, &job.name),
    }
}

fn success(job: &CommandJob, output: &str) -> String {
    if output.trim().is_empty() || !job.tells_output {
        job.success.clone()
    } else {
        format!("{} ({output})", job.success)
    }
}

/// Writes the message. That the command does not read it all is no error.
fn feed(child: &mut Child, how: &Copying, content: &Content) -> io::Result<()> {
    let Some(stdin) = child.stdin.take() else { return Ok(()) };
    let mut out = BufWriter::with_capacity(64 * 1024, stdin);
    let result = copy(content, how, &mut out).and_then(|()| out.flush());
    match result {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
            // What is left in the buffer is not for anybody.
            drop(out.into_parts());
            Ok(())
        }
        other => other,
    }
}

/// Reads to the end; the beginning as one line of printable text.
fn read_output(mut from: PipeReader) -> String {
    let mut kept = Vec::new();
    let mut buf = [0; 4096];
    while let Ok(n) = from.read(&mut buf) {
        if n == 0 {
            break;
        }
        let room = MAX_OUTPUT.saturating_sub(kept.len()).min(n);
        kept.extend_from_slice(buf.get(..room).unwrap_or_default());
    }
    String::from_utf8_lossy(&kept).chars().map(printable).collect()
}

fn printable(c: char) -> char {
    match c {
        c if c.is_ascii_whitespace() => ' ',
        c if c.is_control() || c == '\u{fffd}' => '?',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::time::Duration;

    fn run_text(script: &str, limit: Duration, body: &[u8]) -> String {
        let job = CommandJob {
            argv: ["/bin/sh", "-c", script].map(Into::into).to_vec(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("SENDER".into(), "a@b".into())],
            directory: "/".into(),
            time_limit: limit,
            success: "delivered via x service".into(),
            name: "/bin/sh".into(),
            complaint: String::new(),
            tells_output: true,
        };
        let how = Copying { eol: b"\n".to_vec(), ..Copying::default() };
        match run(&job, &how, &Content::Memory(Bytes::copy_from_slice(body))).verdict {
            Verdict::Sent(_, t) => t,
            Verdict::Deferred(d) => format!("deferred {} {}", d.status, d.reason),
            Verdict::Failed(d) => format!("failed {} {}", d.status, d.reason),
            Verdict::HandOver(t) => t,
        }
    }

    fn check(script: &str, expect: &str) {
        assert_eq!(
            run_text(script, Duration::from_secs(60), b"Subject: x\r\n\r\nbody\r\n"),
            expect,
            "{script}"
        );
    }

    #[test]
    fn verdicts() {
        check("cat >/dev/null", "delivered via x service");
        check("exit 67", "failed 5.1.1 user unknown");
        check(
            "echo data format error; exit 65",
            "failed 5.6.0 data format error. Command output: data format error ",
        );
        check("kill -9 $$", "deferred 4.3.0 Command died with signal 9: \"/bin/sh\"");
        check(
            "test \"$SENDER\" = a@b && test \"$(cat)\" = \"$(printf 'Subject: x\\n\\nbody\\n')\"",
            "delivered via x service",
        );
        check("env | grep -c CARGO; exit 0", "delivered via x service (0 )");
    }

    #[test]
    fn input_that_nobody_reads() {
        let big = b"x\r\n".repeat(1_000_000);
        assert_eq!(run_text("exit 0", Duration::from_secs(60), &big), "delivered via x service");
    }

    #[test]
    fn time_limit_kills_the_whole_group() {
        let text = run_text("sleep 1000 & sleep 1000", Duration::from_millis(200), b"x\r\n");
        assert_eq!(text, "failed 5.3.0 Command time limit exceeded: \"/bin/sh\"");
    }

    #[test]
    fn endless_output_is_bounded() {
        let text = run_text("yes | head -c 300000; exit 69", Duration::from_secs(60), b"x\r\n");
        assert!(
            text.starts_with("failed 5.3.0 service unavailable. Command output: y y ") && text.len() < 1000
        );
    }

    #[test]
    fn no_such_program() {
        let job = CommandJob {
            argv: vec!["/no/such".into()],
            env: Vec::new(),
            directory: "/".into(),
            time_limit: Duration::from_secs(1),
            success: String::new(),
            name: "/no/such".into(),
            complaint: "pipe: fatal: pipe_command: execvp".into(),
            tells_output: true,
        };
        let Verdict::Deferred(d) = run(&job, &Copying::default(), &Content::Memory(Bytes::new())).verdict
        else {
            panic!()
        };
        assert_eq!(
            d.reason,
            "temporary failure. Command output: pipe: fatal: pipe_command: execvp /no/such: No such file or directory "
        );
    }
}
