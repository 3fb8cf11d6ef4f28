//! master.cf: the services that master starts (master(5)).
//!
//! Eight columns separated by white space; logical lines as in main.cf; `{ text }` keeps an argument together; the last
//! entry of a (name, type) pair counts. Options in front of the command's own arguments are taken apart: `-o
//! name=value`, `-o { name = value }`, `-v`, `-D`. Errors name file and line and say in Postfix's words what is wrong.

use crate::{
    Error, list,
    main_cf::{self, Logical, is_space},
};
use std::path::{Path, PathBuf};

/// How a service is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServiceKind {
    /// TCP: `host:port` or `port`.
    Inet,
    /// Stream socket in the queue directory.
    Unix,
    /// Datagram socket.
    UnixDgram,
    /// Named pipe.
    Fifo,
    /// Stream socket over which connections are handed over.
    Pass,
}

impl ServiceKind {
    const ALL: [(&'static str, Self); 5] = [
        ("inet", Self::Inet),
        ("unix", Self::Unix),
        ("unix-dgram", Self::UnixDgram),
        ("fifo", Self::Fifo),
        ("pass", Self::Pass),
    ];

    /// The word in master.cf.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, k)| *k == self).map_or("", |(n, _)| n)
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(n, _)| *n == word).map(|(_, k)| *k)
    }
}

/// When a service is woken up without a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wakeup {
    /// Every so many seconds.
    pub secs: u32,
    /// `?`: only if the service has been used.
    pub only_if_used: bool,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Service name: `smtp`, `host:port`, `pickup` …
    pub name: String,
    /// How it is reached.
    pub kind: ServiceKind,
    /// Only the mail system may connect.
    pub private: bool,
    /// Runs without root privilege.
    pub unprivileged: bool,
    /// Runs in a changed root (`-` counts as no).
    pub chroot: bool,
    /// Woken up regularly.
    pub wakeup: Option<Wakeup>,
    /// Process limit: `None` for `default_process_limit`, `Some(0)` for none.
    pub maxproc: Option<u32>,
    /// Program name: `smtpd`.
    pub command: String,
    /// Its arguments, without those that are taken apart below.
    pub args: Vec<String>,
    /// `-o name=value` in order.
    pub overrides: Vec<(String, String)>,
    /// How many `-v`.
    pub verbose: u32,
    /// `-D`: to run under `debugger_command`.
    pub debug: bool,
    /// First line of the entry.
    pub line: u32,
    /// The eight columns and all further words as written, braces taken off.
    pub words: Vec<String>,
}

/// A master.cf file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MasterCf {
    /// Where it was read.
    pub file: PathBuf,
    /// The services in order; one of each name and type, with the last definition.
    pub services: Vec<Service>,
    /// What Postfix warns about while reading.
    pub warnings: Vec<String>,
}

/// Number of columns up to the command.
const COLUMNS: usize = 8;

impl MasterCf {
    /// Reads `dir`/master.cf.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let file = dir.join("master.cf");
        Self::read(&main_cf::read(&file)?, &file)
    }

    /// Reads the text of a master.cf.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::read(text, Path::new("master.cf"))
    }

    /// Reads the text of the file called `file`.
    pub fn read(text: &str, file: &Path) -> Result<Self, Error> {
        let mut out = Self { file: file.to_owned(), ..Self::default() };
        for Logical { text, line } in main_cf::logical_lines(text) {
            if text.starts_with(is_space) {
                out.warnings.push(format!(
                    "{}: logical line must not start with whitespace: \"{}\"",
                    file.display(),
                    text.chars().take(30).collect::<String>()
                ));
                continue;
            }
            let service =
                parse_entry(&text, line, &mut out.warnings).map_err(|r| Error::at(file, line, r))?;
            match out.services.iter_mut().find(|s| s.name == service.name && s.kind == service.kind) {
                Some(earlier) => *earlier = service,
                None => out.services.push(service),
            }
        }
        Ok(out)
    }

    /// The service of a name and kind.
    pub fn find(&self, name: &str, kind: ServiceKind) -> Option<&Service> {
        self.services.iter().find(|s| s.name == name && s.kind == kind)
    }

    /// A transport: a unix service of this name.
    pub fn transport(&self, name: &str) -> Option<&Service> {
        self.find(name, ServiceKind::Unix)
    }

    /// The text of a master.cf with the same services.
    pub fn print(&self) -> String {
        self.services.iter().map(|s| s.print() + "\n").collect()
    }
}

impl Service {
    /// The entry as one line.
    pub fn print(&self) -> String {
        let words = self.words.iter().enumerate();
        words.map(|(at, w)| if at < COLUMNS { w.clone() } else { quote(w) }).collect::<Vec<_>>().join(" ")
    }

    /// For [`ServiceKind::Inet`]: the host (empty for all of `inet_interfaces`) and the port or service name.
    pub fn endpoint(&self) -> (&str, &str) {
        match self.name.rsplit_once(':') {
            Some((host, port)) => {
                (host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host), port)
            }
            None => ("", &self.name),
        }
    }
}

/// Puts braces around a word that needs them.
fn quote(word: &str) -> String {
    if word.is_empty() || word.contains(is_space) || word.starts_with('{') {
        format!("{{{word}}}")
    } else {
        word.to_owned()
    }
}

fn parse_entry(text: &str, line: u32, warnings: &mut Vec<String>) -> Result<Service, String> {
    let mut words = Vec::new();
    for (at, item) in list::words(text).into_iter().enumerate() {
        if at >= COLUMNS && item.starts_with('{') {
            words.push(braced(item, warnings).to_owned());
        } else {
            words.push(item.to_owned());
        }
    }
    let [name, kind, private, unprivileged, chroot, wakeup, maxproc, command, rest @ ..] = words.as_slice()
    else {
        return Err("bad field count".into());
    };
    let bad = |field: &str, value: &str| format!("invalid {field} field \"{value}\" in \"{text}\"");
    let flag = |field, value: &str, default| yes_no(value, default).ok_or_else(|| bad(field, value));
    let mut service = Service {
        name: name.clone(),
        kind: ServiceKind::parse(kind).ok_or_else(|| bad("type", kind))?,
        private: flag("private", private, true)?,
        unprivileged: flag("unprivileged", unprivileged, true)?,
        chroot: flag("chroot", chroot, false)?,
        wakeup: parse_wakeup(wakeup).ok_or_else(|| bad("wakeup", wakeup))?,
        maxproc: parse_limit(maxproc).ok_or_else(|| bad("process_limit", maxproc))?,
        command: command.clone(),
        args: Vec::new(),
        overrides: Vec::new(),
        verbose: 0,
        debug: false,
        line,
        words: Vec::new(),
    };
    service.take_options(rest)?;
    service.words = words;
    Ok(service)
}

/// The inside of `{ text }`; a missing brace is forgiven with a warning, as Postfix does.
fn braced<'a>(item: &'a str, warnings: &mut Vec<String>) -> &'a str {
    let inside = item.strip_prefix('{').unwrap_or(item);
    let inside = inside.strip_suffix('}').unwrap_or_else(|| {
        warnings.push(format!("master.cf: missing '}}' in \"{item}\""));
        inside
    });
    inside.trim_matches(is_space)
}

fn yes_no(word: &str, default: bool) -> Option<bool> {
    match word {
        "-" => Some(default),
        "y" => Some(true),
        "n" => Some(false),
        _ => None,
    }
}

fn parse_wakeup(word: &str) -> Option<Option<Wakeup>> {
    if word == "-" {
        return Some(None);
    }
    let (digits, only_if_used) = word.strip_suffix('?').map_or((word, false), |d| (d, true));
    let secs = digits.parse().ok()?;
    Some((secs > 0).then_some(Wakeup { secs, only_if_used }))
}

fn parse_limit(word: &str) -> Option<Option<u32>> {
    if word == "-" { Some(None) } else { word.parse().ok().map(Some) }
}

impl Service {
    /// Takes the daemon options off the front of the command's arguments.
    fn take_options(&mut self, words: &[String]) -> Result<(), String> {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-o" => {
                    let text = words.next().ok_or("missing parameter override after \"-o\"")?;
                    self.take_override(text)?;
                }
                "-D" => self.debug = true,
                w if w.starts_with("-o") => self.take_override(w.get(2..).unwrap_or_default())?,
                w if w.len() > 1 && w.strip_prefix('-').is_some_and(|v| v.bytes().all(|b| b == b'v')) => {
                    self.verbose += u32::try_from(w.len() - 1).unwrap_or(u32::MAX).min(100);
                }
                w => {
                    self.args.push(w.to_owned());
                    if !w.starts_with('-') {
                        self.args.extend(words.by_ref().cloned());
                    }
                }
            }
        }
        Ok(())
    }

    fn take_override(&mut self, text: &str) -> Result<(), String> {
        let (name, value) = main_cf::split_definition(text)?;
        self.overrides.push((name.to_owned(), value.to_owned()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let shown = match MasterCf::parse(text) {
            Err(e) => e.to_string(),
            Ok(cf) => cf
                .services
                .iter()
                .map(show)
                .chain(cf.warnings.iter().map(|w| format!("! {w}")))
                .collect::<Vec<_>>()
                .join("|"),
        };
        assert_eq!(shown, expect, "{text}");
    }

    fn show(s: &Service) -> String {
        let yn = |b| if b { 'y' } else { 'n' };
        let wakeup =
            s.wakeup.map_or("-".into(), |w| format!("{}{}", w.secs, if w.only_if_used { "?" } else { "" }));
        let max = s.maxproc.map_or("-".into(), |m| m.to_string());
        let flags = format!("{}{}{}", yn(s.private), yn(s.unprivileged), yn(s.chroot));
        format!(
            "{} {} {flags} {wakeup} {max} {} v{} {:?} {:?}",
            s.name,
            s.kind.name(),
            s.command,
            s.verbose,
            s.overrides,
            s.args
        )
    }

    #[test]
    fn table() {
        check("smtp inet n - y - - smtpd", "smtp inet nyy - - smtpd v0 [] []");
        check("pickup unix n - n 60 1 pickup", "pickup unix nyn 60 1 pickup v0 [] []");
        check("qmgr fifo n - n 300? 0 qmgr", "qmgr fifo nyn 300? 0 qmgr v0 [] []");
        check("x unix-dgram - n - 0 - y", "x unix-dgram ynn - - y v0 [] []");
        check(
            "[::1]:smtp inet n - n - - smtpd\n  -o a=b -v\n# c\n -o { c = d e } -vv -D",
            r#"[::1]:smtp inet nyn - - smtpd v3 [("a", "b"), ("c", "d e")] []"#,
        );
        check(
            "p unix - n n - - pipe -ox=1 flags=R user=u argv=/bin/x -o { a b } -v",
            r#"p unix ynn - - pipe v0 [("x", "1")] ["flags=R", "user=u", "argv=/bin/x", "-o", "a b", "-v"]"#,
        );
        check(
            "a unix - - - - - x\na unix - - - - - y\na inet n - - - - z",
            "a unix yyn - - y v0 [] []|a inet nyn - - z v0 [] []",
        );
        check("smtp inet n", "master.cf, line 1: bad field count");
        check(
            "\nsmtp foo n - y - - smtpd",
            "master.cf, line 2: invalid type field \"foo\" in \"smtp foo n - y - - smtpd\"",
        );
        check(
            "s inet x - y - - d",
            "master.cf, line 1: invalid private field \"x\" in \"s inet x - y - - d\"",
        );
        check(
            "s inet n - y x - d",
            "master.cf, line 1: invalid wakeup field \"x\" in \"s inet n - y x - d\"",
        );
        check(
            "s inet n - y - x d",
            "master.cf, line 1: invalid process_limit field \"x\" in \"s inet n - y - x d\"",
        );
        check("s inet n - y - - d -o", "master.cf, line 1: missing parameter override after \"-o\"");
        check("s inet n - y - - d -o x", "master.cf, line 1: missing '=' after attribute name: \"x\"");
        check(" s", "! master.cf: logical line must not start with whitespace: \" s\"");
        check(
            "s inet n - y - - d -o { a = b",
            "s inet nyy - - d v0 [(\"a\", \"b\")] []|! master.cf: missing '}' in \"{ a = b\"",
        );
    }

    #[test]
    fn endpoints() {
        let text = "smtp inet n - - - - x\n127.0.0.1:25 inet n - - - - x\n[::1]:smtp inet n - - - - x";
        let cf = MasterCf::parse(text).unwrap();
        let all: Vec<_> = cf.services.iter().map(Service::endpoint).collect();
        assert_eq!(all, [("", "smtp"), ("127.0.0.1", "25"), ("::1", "smtp")]);
    }
}
