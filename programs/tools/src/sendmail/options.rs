//! The options of sendmail(1).
//!
//! In two passes, as the original makes them: first the configuration directory, then everything in order. What another
//! sendmail would have needed and is without meaning here is accepted and ignored.

use crate::getopt;
use base_calls::{BodyType, Notify, Ret};
use std::{ffi::OsString, os::unix::ffi::OsStrExt, path::PathBuf};

/// getopt(3)'s description of the options.
const SPEC: &str = "A:B:C:F:GIL:N:O:R:UV:X:ab:ce:f:h:imno:p:r:q:tvx";

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Mode {
    /// Submit a message (`-bm`, `-bv`).
    #[default]
    Deliver,
    /// `-bs`: SMTP on standard input.
    Smtp,
    /// `-bp`.
    Queue,
    /// `-q`.
    Flush,
    /// `-qRsite`, `-qSsite`.
    FlushSite(String),
    /// `-qIid`.
    FlushId(String),
    /// `-bi`, `-I`.
    NewAliases,
    /// `-bd`, `-bl`.
    Daemon,
    /// `-q30m`: the server does that by itself.
    Nothing,
}

/// All options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What to do.
    pub mode: Mode,
    /// `-f`, `-r`.
    pub sender: Option<String>,
    /// `-F`.
    pub full_name: Option<String>,
    /// Recipients on the command line.
    pub recipients: Vec<String>,
    /// `-t`.
    pub from_header: bool,
    /// A line with a single dot ends the message (not with `-i`, `-oi`).
    pub dot_ends: bool,
    /// `-N`.
    pub notify: Notify,
    /// `-R`.
    pub ret: Option<Ret>,
    /// `-V`.
    pub envid: String,
    /// `-XV`.
    pub verp: String,
    /// `-B`.
    pub body: BodyType,
    /// `-v`.
    pub report: bool,
    /// `-bv`.
    pub verify: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Deliver,
            sender: None,
            full_name: None,
            recipients: Vec::new(),
            from_header: false,
            dot_ends: true,
            notify: Notify::default(),
            ret: None,
            envid: String::new(),
            verp: String::new(),
            body: BodyType::Unknown,
            report: false,
            verify: false,
        }
    }
}

/// The configuration directory, and what getopt complains about.
pub fn configuration(args: &[OsString]) -> (PathBuf, Option<String>) {
    let default = || std::env::var_os("MAIL_CONFIG").map_or_else(|| "/etc/postfix".into(), PathBuf::from);
    match getopt::parse(SPEC, &with_bare_q(args)) {
        Ok(p) => (p.value('C').map_or_else(default, config_dir), None),
        Err(text) => (default(), Some(text)),
    }
}

/// `-q` alone has no value, unlike what [`SPEC`] says: it gets one of ours.
fn with_bare_q(args: &[OsString]) -> Vec<OsString> {
    args.iter().map(|a| if a == "-q" { format!("-q{ALL}").into() } else { a.clone() }).collect()
}

/// The value that stands for a `-q` without one.
const ALL: char = '\u{1}';

/// `-C` names the directory, or (as with other sendmails) a file in it.
fn config_dir(value: &std::ffi::OsStr) -> PathBuf {
    let path = PathBuf::from(value);
    if path.is_file() { path.parent().map(PathBuf::from).unwrap_or(path) } else { path }
}

/// Everything. `warn` gets what is ignored; the error is what ends the command.
pub fn parse(args: &[OsString], mut warn: impl FnMut(&str)) -> Result<Options, String> {
    let mut o = Options::default();
    let args = &with_bare_q(args);
    let (parsed, broken) = in_order(args);
    for (letter, value) in &parsed.options {
        let value = value.as_ref().map(|v| v.to_string_lossy().into_owned()).unwrap_or_default();
        option(&mut o, *letter, &value, &mut warn)?;
    }
    if broken {
        return Err("usage: sendmail [options]".into());
    }
    if o.from_header && o.mode != Mode::Deliver {
        return Err("-t can be used only in delivery mode".into());
    }
    if o.mode != Mode::Deliver && o.mode != Mode::Nothing && !parsed.operands.is_empty() {
        warn(&format!("ignoring recipients in this mode: {}", parsed.operands.len()));
    }
    o.recipients =
        parsed.operands.iter().map(|r| String::from_utf8_lossy(r.as_bytes()).into_owned()).collect();
    Ok(o)
}

/// The options before the first one that is unknown, and whether there was one.
fn in_order(args: &[OsString]) -> (getopt::Parsed, bool) {
    for keep in (0..=args.len()).rev() {
        if let Ok(parsed) = getopt::parse(SPEC, args.get(..keep).unwrap_or_default()) {
            return (parsed, keep < args.len());
        }
    }
    (getopt::Parsed::default(), true)
}

fn option(o: &mut Options, letter: char, value: &str, warn: &mut impl FnMut(&str)) -> Result<(), String> {
    match letter {
        'n' => return Err("-n option not supported".into()),
        'B' => o.body = body(value)?,
        'F' => o.full_name = Some(value.to_owned()),
        'I' => o.mode = Mode::NewAliases,
        'N' => match notify(value) {
            Ok(n) => o.notify = n,
            Err(word) => {
                warn(&format!("unknown DSN NOTIFY command value \"{word}\" in \"{value}\""));
                warn("bad -N option value -- ignored");
            }
        },
        'R' => match value.to_ascii_lowercase().as_str() {
            "full" => o.ret = Some(Ret::Full),
            "hdrs" => o.ret = Some(Ret::Hdrs),
            _ => warn("bad -R option value -- ignored"),
        },
        'V' => o.envid = value.to_owned(),
        'X' => extended(o, value),
        'b' => return mode(o, value),
        'f' | 'r' => o.sender = Some(value.to_owned()),
        'i' => o.dot_ends = false,
        'o' => old_option(o, value),
        'q' => {
            let mode = queue_run(value)?;
            // `-bd -q30m`: the interval is the server's own business.
            if mode != Mode::Nothing || o.mode == Mode::Deliver {
                o.mode = mode;
            }
        }
        't' => o.from_header = true,
        'v' => o.report = true,
        // -A -C -G -L -O -U -a -c -e -h -m -p -x: without meaning here, or seen before.
        _ => {}
    }
    Ok(())
}

fn body(value: &str) -> Result<BodyType, String> {
    match value.to_ascii_uppercase().as_str() {
        "8BITMIME" => Ok(BodyType::EightBitMime),
        "7BIT" => Ok(BodyType::SevenBit),
        _ => Err("-B option needs 8BITMIME or 7BIT".into()),
    }
}

/// The error is the word that is unknown.
fn notify(value: &str) -> Result<Notify, String> {
    let mut n = Notify::default();
    for word in value.split([',', ' ']).filter(|w| !w.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "never" => n.never = true,
            "success" => n.success = true,
            "failure" => n.failure = true,
            "delay" => n.delay = true,
            _ => return Err(word.to_owned()),
        }
    }
    if n.is_unset() || n.never && (n.success || n.failure || n.delay) { Err(value.to_owned()) } else { Ok(n) }
}

/// `-XV`, `-XVdelimiters`; other `-X` is another sendmail's traffic log.
fn extended(o: &mut Options, value: &str) {
    if let Some(delimiters) = value.strip_prefix('V') {
        o.verp = if delimiters.is_empty() { DEFAULT_VERP.to_owned() } else { delimiters.to_owned() };
    }
}

/// postconf(5) `default_verp_delimiters`.
const DEFAULT_VERP: &str = "+=";

fn mode(o: &mut Options, value: &str) -> Result<(), String> {
    o.mode = match value {
        "m" => Mode::Deliver,
        "v" => {
            o.verify = true;
            Mode::Deliver
        }
        "s" => Mode::Smtp,
        "p" => Mode::Queue,
        "i" => Mode::NewAliases,
        "d" | "l" => Mode::Daemon,
        other => return Err(format!("unsupported: -b{other}")),
    };
    Ok(())
}

/// `-o7`, `-o8`, `-oi`, `-om` …
fn old_option(o: &mut Options, value: &str) {
    match value {
        "7" => o.body = BodyType::SevenBit,
        "8" => o.body = BodyType::EightBitMime,
        "i" => o.dot_ends = false,
        _ => {}
    }
}

fn queue_run(value: &str) -> Result<Mode, String> {
    if let Some(id) = value.strip_prefix('I') {
        return Ok(Mode::FlushId(id.to_owned()));
    }
    if let Some(site) = value.strip_prefix(['R', 'S']) {
        return Ok(Mode::FlushSite(site.to_owned()));
    }
    match value.chars().next() {
        None | Some(ALL) => Ok(Mode::Flush),
        Some(c) if c.is_ascii_digit() => Ok(Mode::Nothing),
        Some(_) => Err(format!("-q option needs a time interval, or R, S or I: -q{value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expect: &str) {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let mut warnings = Vec::new();
        let text = match parse(&args, |w| warnings.push(w.to_owned())) {
            Err(e) => e,
            Ok(o) => format!(
                "{:?} f={:?} t={} dot={} to={} {}",
                o.mode,
                o.sender.as_deref().unwrap_or("-"),
                o.from_header,
                o.dot_ends,
                o.recipients.join(","),
                warnings.join("; ")
            ),
        };
        assert_eq!(text.trim_end(), expect, "{line}");
    }

    #[test]
    fn modes_and_flags() {
        check("alice bob", "Deliver f=\"-\" t=false dot=true to=alice,bob");
        check("-t -i -f a@b", "Deliver f=\"a@b\" t=true dot=false to=");
        check("-oi -fa@b -- -x", "Deliver f=\"a@b\" t=false dot=false to=-x");
        check("-oem -om -odb -i -m -G alice", "Deliver f=\"-\" t=false dot=false to=alice");
        check("-bs", "Smtp f=\"-\" t=false dot=true to=");
        check("-bp", "Queue f=\"-\" t=false dot=true to=");
        check("-bi", "NewAliases f=\"-\" t=false dot=true to=");
        check("-q30m", "Nothing f=\"-\" t=false dot=true to=");
        check("-bd -q30m", "Daemon f=\"-\" t=false dot=true to=");
        check("-q", "Flush f=\"-\" t=false dot=true to=");
        check("-qRexample.com", "FlushSite(\"example.com\") f=\"-\" t=false dot=true to=");
        check("-O foo alice", "Deliver f=\"-\" t=false dot=true to=alice");
    }

    #[test]
    fn complaints() {
        check("-bz", "unsupported: -bz");
        check("-n alice", "-n option not supported");
        check("-B bogus a", "-B option needs 8BITMIME or 7BIT");
        check("-t -bs", "-t can be used only in delivery mode");
        check("-E alice", "usage: sendmail [options]");
        check("-V", "usage: sendmail [options]");
        check("-m -n -E alice", "-n option not supported");
        check("-R bogus a", "Deliver f=\"-\" t=false dot=true to=a bad -R option value -- ignored");
        check(
            "-N bogus a",
            "Deliver f=\"-\" t=false dot=true to=a unknown DSN NOTIFY command value \"bogus\" in \"bogus\"; bad -N option value -- ignored",
        );
    }

    #[test]
    fn notify_words() {
        assert!(notify("success,failure").is_ok_and(|n| n.success && n.failure && !n.delay));
        assert!(notify("never").is_ok_and(|n| n.never));
        for bad in ["", "never,success", "x"] {
            assert!(notify(bad).is_err(), "{bad}");
        }
    }
}
