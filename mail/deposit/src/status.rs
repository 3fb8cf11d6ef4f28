//! Verdicts out of errors of the operating system and exit codes of commands (sysexits.h).

use base_calls::{Diagnosis, courier::Verdict};
use base_sys::system_text;
use proto_dsn::Status;
use std::io;

/// What kind of failure a system error is for a mailbox: temporary or permanent, with its status.
pub fn mailbox_error(error: &io::Error, reason: String) -> Verdict {
    const TEMPORARY: [i32; 9] = [
        4,   // EINTR
        5,   // EIO
        11,  // EAGAIN
        12,  // ENOMEM
        23,  // ENFILE
        24,  // EMFILE
        30,  // EROFS
        110, // ETIMEDOUT
        116, // ESTALE
    ];
    match error.raw_os_error() {
        // EFBIG, EDQUOT
        Some(27 | 122) => Verdict::Failed(Diagnosis::new(Status::new(5, 2, 2), reason)),
        // ENOSPC
        Some(28) => Verdict::Deferred(Diagnosis::new(Status::new(4, 3, 0), reason)),
        Some(code) if TEMPORARY.contains(&code) => deferred(reason),
        None => deferred(reason),
        _ => Verdict::Failed(Diagnosis::new(Status::new(5, 2, 0), reason)),
    }
}

/// A mailbox that cannot be used just now.
pub fn deferred(reason: impl Into<String>) -> Verdict {
    Verdict::Deferred(Diagnosis::new(Status::new(4, 2, 0), reason))
}

/// `4.3.5`: the administrator must look; the log has the details.
pub fn configuration_error() -> Verdict {
    Verdict::Deferred(Diagnosis::new(Status::new(4, 3, 5), "mail system configuration error"))
}

/// `what: No such file or directory`.
pub fn with_reason(what: &str, error: &io::Error) -> String {
    format!("{what}: {}", system_text(error))
}

/// sysexits.h: exit code, status, text (pipe(8), local(8) "command exit status").
const SYSEXITS: &[(i32, (u8, u16, u16), &str)] = &[
    (64, (5, 3, 0), "command line usage error"),
    (65, (5, 6, 0), "data format error"),
    (66, (5, 3, 0), "cannot open input"),
    (67, (5, 1, 1), "user unknown"),
    (68, (5, 1, 2), "host name unknown"),
    (69, (5, 3, 0), "service unavailable"),
    (70, (5, 3, 0), "internal software error"),
    (71, (4, 3, 0), "system resource problem"),
    (72, (5, 3, 0), "critical OS file missing"),
    (73, (5, 2, 0), "can't create user output file"),
    (74, (5, 3, 0), "input/output error"),
    (75, (4, 3, 0), "temporary failure"),
    (76, (5, 5, 0), "remote error in protocol"),
    (77, (5, 7, 0), "permission denied"),
    (78, (5, 3, 5), "local configuration error"),
];

/// The verdict on a command that ended with `code`, not zero; `output` is what it wrote, `name` how it is shown.
/// An enhanced status code at the start of the output counts for more than the exit code.
pub fn exit_code(code: i32, output: &str, name: &str) -> Verdict {
    let table = SYSEXITS.iter().find(|(c, _, _)| *c == code);
    let unknown = format!("unknown mail system error {code}");
    let (fallback, text) = match table {
        Some((_, (a, b, c), text)) => (Status::new(*a, *b, *c), (*text).to_owned()),
        None => (Status::new(5, 3, 0), format!("Command died with status {code}: \"{name}\"")),
    };
    let short = match output.trim_end() {
        "" => table.map_or(unknown.as_str(), |(_, _, text)| text),
        said => said,
    };
    match Status::split_prefix(output) {
        Some((status, rest)) if matches!(status.class(), 4 | 5) && table.is_some() => {
            of_command(status, rest.to_owned(), rest.trim_end())
        }
        _ => of_command(fallback, with_output(text, output), short),
    }
}

/// The verdict on a command that a signal ended.
pub fn killed(signal: i32, output: &str, name: &str) -> Verdict {
    let text = format!("Command died with signal {signal}: \"{name}\"");
    of_command(
        Status::new(4, 3, 0),
        with_output(text, output),
        &format!("unknown mail system error {signal}"),
    )
}

fn with_output(text: String, output: &str) -> String {
    if output.is_empty() { text } else { format!("{text}. Command output: {output}") }
}

/// `Diagnostic-Code: x-unix; …` in a notice.
fn of_command(status: Status, reason: String, code: &str) -> Verdict {
    let diagnostic = Some(("x-unix".to_owned(), code.to_owned()));
    let d = Diagnosis { diagnostic, ..Diagnosis::new(status, reason) };
    if status.class() == 4 { Verdict::Deferred(d) } else { Verdict::Failed(d) }
}

/// Deferred or failed, as the class says.
pub fn by_class(status: Status, text: String) -> Verdict {
    let d = Diagnosis::new(status, text);
    if status.class() == 4 { Verdict::Deferred(d) } else { Verdict::Failed(d) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagnostic_codes() {
        let check = |code, output, expect: &str| match exit_code(code, output, "/bin/x") {
            Verdict::Failed(d) => assert_eq!(d.diagnostic, Some(("x-unix".into(), expect.into()))),
            other => panic!("{other:?}"),
        };
        check(1, "", "unknown mail system error 1");
        check(67, "", "user unknown");
        check(67, "no such user here ", "no such user here");
        check(69, "5.2.2 mailbox full ", "mailbox full");
    }

    fn show(v: Verdict) -> String {
        match v {
            Verdict::Deferred(d) => format!("deferred {} {}", d.status, d.reason),
            Verdict::Failed(d) => format!("failed {} {}", d.status, d.reason),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn exit_codes_as_pipe_reports_them() {
        let check = |code, output, expect: &str| assert_eq!(show(exit_code(code, output, "/bin/x")), expect);
        check(1, "", "failed 5.3.0 Command died with status 1: \"/bin/x\"");
        check(
            127,
            "not found ",
            "failed 5.3.0 Command died with status 127: \"/bin/x\". Command output: not found ",
        );
        check(65, "bad ", "failed 5.6.0 data format error. Command output: bad ");
        check(67, "", "failed 5.1.1 user unknown");
        check(69, "5.2.2 mailbox full ", "failed 5.2.2 mailbox full ");
        check(75, "tempfail ", "deferred 4.3.0 temporary failure. Command output: tempfail ");
        check(77, "4.2.99 soft ", "deferred 4.2.99 soft ");
    }

    #[test]
    fn system_errors() {
        let check = |code, expect: &str| {
            let e = io::Error::from_raw_os_error(code);
            assert_eq!(show(mailbox_error(&e, with_reason("open", &e))), expect);
        };
        check(13, "failed 5.2.0 open: Permission denied");
        check(27, "failed 5.2.2 open: File too large");
        check(28, "deferred 4.3.0 open: No space left on device");
        check(5, "deferred 4.2.0 open: Input/output error");
    }
}
