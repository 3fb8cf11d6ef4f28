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
    /// `-XV`: the delimiters, empty for the configured ones.
    pub verp: Option<String>,
    /// `-B`.
    pub body: BodyType,
    /// `-v`.
    pub report: bool,
    /// `-bv`.
    pub verify: bool,
    /// `-oA`.
    pub aliases: Option<String>,
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
            verp: None,
            body: BodyType::Unknown,
            report: false,
            verify: false,
            aliases: None,
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
    let args = &without_old_verp(&with_bare_q(args), &mut warn);
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
    if let Some(mode) = alone(&o.mode).filter(|_| !parsed.operands.is_empty()) {
        return Err(format!("{mode} requires no recipient"));
    }
    o.recipients =
        parsed.operands.iter().map(|r| String::from_utf8_lossy(r.as_bytes()).into_owned()).collect();
    Ok(o)
}

/// What a mode is called that has no recipients.
fn alone(mode: &Mode) -> Option<&'static str> {
    match mode {
        Mode::Deliver | Mode::Nothing => None,
        Mode::Smtp => Some("stand-alone mode"),
        Mode::Queue => Some("display queue mode"),
        Mode::Flush => Some("flush queue mode"),
        Mode::FlushSite(_) => Some("flush site"),
        Mode::FlushId(_) => Some("flush queue_id"),
        Mode::NewAliases => Some("alias initialization mode"),
        Mode::Daemon => Some("daemon mode"),
    }
}

/// `-V` before another option, and `-Vxy`, once asked for VERP, as `-XV` and `-XVxy` do.
fn without_old_verp(args: &[OsString], warn: &mut impl FnMut(&str)) -> Vec<OsString> {
    let mut out = args.to_vec();
    let mut at = 0;
    while let Some(arg) = args.get(at).map(|a| a.as_bytes()) {
        let next = args.get(at + 1).map(|a| a.as_bytes());
        let (b"-", letters) = arg.split_at_checked(1).unwrap_or_default() else { break };
        if letters.is_empty() || arg == b"--" {
            break;
        }
        if matches!(letters, [b'V', _, _]) || letters == b"V" && next.is_some_and(|n| n.starts_with(b"-")) {
            let old = String::from_utf8_lossy(arg).into_owned();
            let new = old.replacen("-V", "-XV", 1);
            warn(&format!("option {old} is deprecated with Postfix 2.3; specify {new} instead"));
            out.get_mut(at).into_iter().for_each(|arg| *arg = OsString::from(&new));
            at += 1;
            continue;
        }
        let with_value = letters.iter().position(|l| SPEC.contains(&format!("{}:", char::from(*l))));
        at += if with_value.is_some_and(|p| p + 1 == letters.len()) { 2 } else { 1 };
    }
    out
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
            Err(unknown) => {
                if let Some(word) = unknown {
                    warn(&format!("unknown DSN NOTIFY command value \"{word}\" in \"{value}\""));
                }
                warn("bad -N option value -- ignored");
            }
        },
        'R' => match value.to_ascii_lowercase().as_str() {
            "full" => o.ret = Some(Ret::Full),
            "hdrs" => o.ret = Some(Ret::Hdrs),
            _ => warn("bad -R option value -- ignored"),
        },
        'V' if value.is_empty() => warn("bad syntax in -V option value -- ignored"),
        'V' => o.envid = value.to_owned(),
        'X' => extended(o, value),
        'b' => return mode(o, value),
        'f' | 'r' => o.sender = Some(value.to_owned()),
        'i' => o.dot_ends = false,
        'o' => return old_option(o, value),
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
    match value {
        "8BITMIME" => Ok(BodyType::EightBitMime),
        "7BIT" => Ok(BodyType::SevenBit),
        _ => Err("-B option needs 8BITMIME or 7BIT".into()),
    }
}

/// The error is the word that is unknown, if one is.
fn notify(value: &str) -> Result<Notify, Option<String>> {
    let mut n = Notify::default();
    for word in value.split([',', ' ']).filter(|w| !w.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "never" => n.never = true,
            "success" => n.success = true,
            "failure" => n.failure = true,
            "delay" => n.delay = true,
            _ => return Err(Some(word.to_owned())),
        }
    }
    if n.is_unset() || n.never && (n.success || n.failure || n.delay) { Err(None) } else { Ok(n) }
}

/// `-XV`, `-XVdelimiters`; other `-X` is another sendmail's traffic log.
fn extended(o: &mut Options, value: &str) {
    if let Some(delimiters) = value.strip_prefix('V') {
        o.verp = Some(delimiters.to_owned());
    }
}

fn mode(o: &mut Options, value: &str) -> Result<(), String> {
    o.mode = match value {
        "m" => Mode::Deliver,
        "v" => {
            o.verify = true;
            return Ok(());
        }
        "s" => Mode::Smtp,
        "p" => Mode::Queue,
        "i" => Mode::NewAliases,
        "d" | "l" => Mode::Daemon,
        // Status of hosts that is kept: there is none.
        "h" | "H" => Mode::Nothing,
        other => return Err(format!("unsupported: -b{other}")),
    };
    Ok(())
}

/// `-o7`, `-o8`, `-oAfile`, `-oi`, `-om` …
fn old_option(o: &mut Options, value: &str) -> Result<(), String> {
    match value {
        "A" => return Err("-oA requires pathname".into()),
        file if file.starts_with('A') => o.aliases = file.get(1..).map(str::to_owned),
        "7" => o.body = BodyType::SevenBit,
        "8" => o.body = BodyType::EightBitMime,
        "i" => o.dot_ends = false,
        _ => {}
    }
    Ok(())
}

fn queue_run(value: &str) -> Result<Mode, String> {
    match value {
        "I" => return Err("specify: -qIqueueid".into()),
        "R" => return Err("specify: -qRsitename".into()),
        _ => {}
    }
    if let Some(id) = value.strip_prefix('I') {
        return Ok(Mode::FlushId(id.to_owned()));
    }
    if let Some(site) = value.strip_prefix('R') {
        return Ok(Mode::FlushSite(site.to_owned()));
    }
    match value.chars().next() {
        None | Some(ALL) => Ok(Mode::Flush),
        Some(c) if c.is_ascii_digit() => Ok(Mode::Nothing),
        Some(c) => Err(format!("-q{c} is not implemented")),
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
        check("-bh x", "Nothing f=\"-\" t=false dot=true to=x");
        check("-bp x", "display queue mode requires no recipient");
        check("-qI", "specify: -qIqueueid");
        check("-qSx", "-qS is not implemented");
        check("-bi -oA", "-oA requires pathname");
        check("-B 8bitmime a", "-B option needs 8BITMIME or 7BIT");
        check("-N never,delay a", "Deliver f=\"-\" t=false dot=true to=a bad -N option value -- ignored");
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
    fn verp_and_envelope_ids() {
        let told = "is deprecated with Postfix 2.3; specify -X";
        for (line, verp, envid, warnings, to) in [
            ("-XV a", Some(""), "", 0, 1),
            ("-XV-= a", Some("-="), "", 0, 1),
            ("-V -f b a", Some(""), "", 1, 1),
            ("-i -V-= a", Some("-="), "", 1, 1),
            ("-V+ a", None, "+", 0, 1),
            ("-V ab a", None, "ab", 0, 1),
            ("-f -Vxy a", None, "", 0, 1),
            ("a -Vxy", None, "", 0, 2),
            ("-- -V -f", None, "", 0, 2),
        ] {
            let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            let mut said = Vec::new();
            let o = parse(&args, |w| said.push(w.to_owned())).unwrap();
            assert_eq!((o.verp.as_deref(), o.envid.as_str()), (verp, envid), "{line}");
            assert!(said.len() == warnings && said.iter().all(|s| s.contains(told)), "{line}: {said:?}");
            assert_eq!(o.recipients.len(), to, "{line}");
        }
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
