//! Asking the worker over its sockets in `public`; and, for the super-user when the server is down, `hikyaku-tools showq`.

use super::Fatal;
use super::print::Printer;
use base_calls::control::{ControlAction, ControlReply, ControlRequest, Select};
use base_calls::listing::ListedMessage;
use base_calls::wire::{MAX_FRAME, put_frame, read_frame};
use base_conf::Config;
use base_sys::{privilege, system_text};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long the worker may be silent.
const PATIENCE: Duration = Duration::from_secs(3600);
const DOWN: &str = "Cannot flush mail queue - mail system is down";

fn connect(cfg: &Config, socket: &str) -> io::Result<UnixStream> {
    let queue = cfg.str("queue_directory").map_err(|e| io::Error::other(e.to_string()))?;
    let stream = UnixStream::connect(PathBuf::from(queue).join("public").join(socket))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Lists the queue.
pub fn listing(
    cfg: &Config,
    warn: impl Fn(&str),
    printer: &mut Printer,
    out: &mut impl Write,
) -> Result<(), Fatal> {
    match connect(cfg, "showq") {
        Ok(stream) => entries(BufReader::new(stream), printer, out),
        Err(e) => {
            let why = format!("Connect to the Postfix showq service: {}", system_text(&e));
            if !privilege::is_root() {
                return Err(Fatal::new(format!("Queue report unavailable - mail system is down ({why})")));
            }
            warn(&format!("warning: Mail system is down -- accessing queue directly ({why})"));
            standalone(cfg, printer, out)
        }
    }
}

fn entries(mut from: impl Read, printer: &mut Printer, out: &mut impl Write) -> Result<(), Fatal> {
    let broken = |e: &dyn std::fmt::Display| Fatal::new(format!("Queue report interrupted: {e}"));
    loop {
        let frame = read_frame(&mut from, MAX_FRAME).map_err(|e| broken(&e))?;
        let frame = frame.ok_or_else(|| broken(&"the mail system closed the connection"))?;
        match ListedMessage::decode(&frame).map_err(|e| broken(&e))? {
            Some(message) => printer.message(&message, out).map_err(|e| write_error(&e))?,
            None => return printer.end(out).map_err(|e| write_error(&e)),
        }
    }
}

/// Standard output is gone.
pub fn write_error(e: &io::Error) -> Fatal {
    Fatal::new(format!("write error: {}", system_text(e)))
}

/// The tools' reader of a queue that nobody serves.
fn standalone(cfg: &Config, printer: &mut Printer, out: &mut impl Write) -> Result<(), Fatal> {
    let no_reader = |e: &dyn std::fmt::Display| Fatal::new(format!("cannot read the queue: {e}"));
    let program = tools_program(cfg).ok_or_else(|| no_reader(&"hikyaku-tools not found"))?;
    let mut command = Command::new(program);
    command.arg0("showq").arg("-c").arg(cfg.dir()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|e| no_reader(&e))?;
    let result = match child.stdout.take() {
        Some(stdout) => entries(BufReader::new(stdout), printer, out),
        None => Ok(()),
    };
    let status = child.wait().map_err(|e| no_reader(&e))?;
    if status.success() { result } else { Err(no_reader(&status)) }
}

/// `hikyaku-tools` in `daemon_directory`, beside this program, or in `../libexec/hikyaku` beside it.
fn tools_program(cfg: &Config) -> Option<PathBuf> {
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(std::path::Path::parent);
    let folders = [
        cfg.str("daemon_directory").ok().map(PathBuf::from),
        beside.map(PathBuf::from),
        beside.map(|d| d.join("../libexec/hikyaku")),
    ];
    folders.into_iter().flatten().map(|d| d.join("hikyaku-tools")).find(|p| p.is_file())
}

/// `-f`.
pub fn flush(cfg: &Config) -> Result<(), Fatal> {
    let stream = connect(cfg, "qmgr").map_err(|_| Fatal::new(DOWN))?;
    request(stream, &ControlRequest::FlushAll)
}

/// `-i`.
pub fn deliver(cfg: &Config, id: &str) -> Result<(), Fatal> {
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Fatal::new(format!("Cannot flush queue ID - invalid name: \"{id}\"")));
    }
    let select = Select::Id(id.to_owned(), Vec::new());
    request(flush_service(cfg)?, &ControlRequest::Act(ControlAction::Deliver, select))
}

/// `-s`.
pub fn site(cfg: &Config, site: &str) -> Result<(), Fatal> {
    if !is_site(site) {
        return Err(Fatal::new(format!("Cannot flush mail queue - invalid destination: \"{site}\"")));
    }
    if !is_eligible(cfg, site) {
        return Err(Fatal::new(format!("Flush service is not configured for destination \"{site}\"")));
    }
    request(flush_service(cfg)?, &ControlRequest::FlushSite(site.to_owned()))
}

fn flush_service(cfg: &Config) -> Result<UnixStream, Fatal> {
    connect(cfg, "flush")
        .map_err(|e| Fatal::after(format!("warning: connect to public/flush: {}", system_text(&e)), DOWN))
}

fn request(mut stream: UnixStream, request: &ControlRequest) -> Result<(), Fatal> {
    let mut wire = Vec::new();
    put_frame(&mut wire, &request.encode());
    stream.write_all(&wire).map_err(|_| Fatal::new(DOWN))?;
    loop {
        let frame = read_frame(&mut stream, MAX_FRAME).ok().flatten().ok_or_else(|| Fatal::new(DOWN))?;
        match ControlReply::decode(&frame) {
            Ok(ControlReply::End) => return Ok(()),
            Ok(ControlReply::Error(text)) => return Err(Fatal::new(text)),
            Ok(_) => {}
            Err(e) => return Err(Fatal::new(e.to_string())),
        }
    }
}

/// A host name, or an address between brackets.
fn is_site(site: &str) -> bool {
    if let Some(address) = site.strip_prefix('[').and_then(|s| s.strip_suffix(']')) {
        let v6 = address.get(..5).filter(|p| p.eq_ignore_ascii_case("ipv6:")).map(|p| &address[p.len()..]);
        return v6.unwrap_or(address).parse::<std::net::IpAddr>().is_ok();
    }
    let label = |l: &str| {
        (1..64).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b >= 0x80)
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let all_numeric = site.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    site.len() < 256 && !all_numeric && site.split('.').all(label)
}

/// `fast_flush_domains`, as far as it is names: the worker knows the rest. A table in the list counts as a match.
fn is_eligible(cfg: &Config, site: &str) -> bool {
    let list = cfg.list("fast_flush_domains").unwrap_or_default();
    let below_matches = cfg
        .list("parent_domain_matches_subdomains")
        .is_ok_and(|l| l.iter().any(|p| p == "fast_flush_domains"));
    let site = site.to_ascii_lowercase();
    let matches = |pattern: &String| {
        let p = pattern.to_ascii_lowercase();
        let below = |parent: &str| site.strip_suffix(parent).is_some_and(|s| s.len() > 1 && s.ends_with('.'));
        match p.strip_prefix('.') {
            _ if p.contains(':') => true,
            Some(parent) => !below_matches && below(parent),
            None => p == site || below_matches && below(&p),
        }
    };
    list.iter().any(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites() {
        for ok in ["example.com", "x", "[1.2.3.4]", "[IPv6:::1]", "a_b.example"] {
            assert!(is_site(ok), "{ok}");
        }
        for bad in ["", "foo@bar", "1.2.3.4", "[x]", "a..b", "-a.b", ".a"] {
            assert!(!is_site(bad), "{bad}");
        }
    }

    #[test]
    fn eligible() {
        let cfg = Config::from_text(
            "relay_domains = example.org, hash:/x\nparent_domain_matches_subdomains = fast_flush_domains",
        );
        assert!(is_eligible(&cfg, "anything"));
        let cfg = Config::from_text("fast_flush_domains = example.org .sub.example");
        for (site, want) in [
            ("example.org", true),
            ("EXAMPLE.org", true),
            ("x.example.org", true),
            ("xexample.org", false),
            ("example.net", false),
        ] {
            assert_eq!(is_eligible(&cfg, site), want, "{site}");
        }
        let cfg = Config::from_text(
            "fast_flush_domains = example.org .sub.example\nparent_domain_matches_subdomains =",
        );
        for (site, want) in
            [("example.org", true), ("x.example.org", false), ("y.sub.example", true), ("sub.example", false)]
        {
            assert_eq!(is_eligible(&cfg, site), want, "{site}");
        }
    }

    #[test]
    fn a_listing_that_breaks_off_is_an_error() {
        let mut wire = Vec::new();
        ListedMessage { id: "A".into(), ..ListedMessage::default() }.put(&mut wire);
        let mut printer = Printer::new(&Config::from_text(""), true, &base_calls::Wanted::default());
        let mut out = Vec::new();
        assert!(entries(wire.as_slice(), &mut printer, &mut out).is_err());
        assert!(!out.is_empty());
        ListedMessage::put_end(&mut wire);
        assert_eq!(entries(wire.as_slice(), &mut printer, &mut out), Ok(()));
    }
}
