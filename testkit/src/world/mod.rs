//! One scenario against one implementation, inside private namespaces.
//!
//! [`run`] is called by a process that `unshare` started in mount, net, uts, ipc and pid namespaces of its own (see e2e). It gives the
//! implementation its usual paths (/etc/postfix, /var/spool/postfix …) as private tmpfs, users alice, bob and carol, a name server, the
//! log socket, and mounts our programs over Debian's for [`Side::Ours`]. Clients come from 192.0.2.x, next hops are 198.51.100.x.

use crate::{
    Side, client, dns,
    logs::Logs,
    normal,
    scenario::{Item, Scenario, options},
    services::{self, Service},
};
use anyhow::{Result, bail};
use base::{DNS, LISTENER, MAIL_DIRS, MAIN_CF, SERVICES};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

mod base;
mod machine;

pub use machine::{DEBIAN, command, folder_of};

/// What a run gave, by kind.
pub type Outcome = Vec<(&'static str, Vec<String>)>;

struct World {
    side: Side,
    logs: Logs,
    services: Vec<Box<dyn Service>>,
    smtp: Vec<String>,
    cmd: Vec<String>,
    /// The server runs (not @nostart).
    started: bool,
}

/// Runs the scenario; the outcome as JSON. `programs` holds our executables.
pub fn run(side: Side, scenario: &Scenario, programs: &Path) -> Result<Value> {
    machine::system(side, programs)?;
    let logs = Logs::listen(Path::new("/dev/log"))?;
    let started = !scenario.items.iter().any(|i| i.kind == "nostart");
    let mut w = World { side, logs, services: Vec::new(), smtp: Vec::new(), cmd: Vec::new(), started };
    let maps = w.configure(scenario)?;
    if started {
        w.start(&maps)?;
    } else {
        maps.iter().try_for_each(|map| w.tool(&format!("postmap {map}")))?;
    }
    w.play(scenario)?;
    w.settle();
    w.finish()
}

/// Logical lines: a continuation stays with the line before it.
fn logical(lines: &[String]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for l in lines.iter().filter(|l| !l.trim().is_empty() && !l.starts_with('#')) {
        match out.last_mut().filter(|_| l.starts_with([' ', '\t'])) {
            Some(last) => {
                last.push('\n');
                last.push_str(l);
            }
            None => out.push(l.clone()),
        }
    }
    out
}

/// The base with entries replaced by those of the same key.
fn merge(base: &str, own: &[String], key: impl Fn(&str) -> String) -> String {
    let own = logical(own);
    let replaced: Vec<String> = own.iter().map(|l| key(l)).collect();
    let base: Vec<String> = base.lines().map(str::to_owned).filter(|l| !replaced.contains(&key(l))).collect();
    base.into_iter().chain(own).map(|l| l + "\n").collect()
}

/// A main.cf with settings of one's own in place of those of the same name.
pub fn main_cf(base: &str, own: &[String]) -> String {
    merge(base, own, |l| l.split('=').next().unwrap_or_default().trim().to_owned())
}

impl World {
    fn configure(&mut self, s: &Scenario) -> Result<Vec<String>> {
        let main = main_cf(MAIN_CF, &s.bodies("main"));
        let master = merge(&(LISTENER.to_owned() + SERVICES), &s.bodies("master"), |l| {
            l.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
        });
        let raw = |kind: &str, usual: String| match s.items.iter().any(|i| i.kind == kind) {
            true => s.bodies(kind).join("\n") + "\n",
            false => usual,
        };
        fs::write("/etc/postfix/main.cf", raw("rawmain", main))?;
        fs::write("/etc/postfix/master.cf", raw("rawmaster", master))?;
        let aliases = format!(
            "postmaster: root\nroot: admin\nmailer-daemon: postmaster\n{}\n",
            s.bodies("aliases").join("\n")
        );
        fs::write("/etc/postfix/aliases", aliases)?;
        let mut maps = Vec::new();
        for item in s.items.iter().filter(|i| ["file", "map"].contains(&i.kind.as_str())) {
            let (plain, named) = options(&item.arg);
            let spec = plain.first().copied().unwrap_or_default();
            let path = if item.kind == "map" { spec.split_once(':').map_or(spec, |(_, p)| p) } else { spec };
            if let Some(folder) = Path::new(path).parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(path, item.body.join("\n") + "\n")?;
            let mode =
                named.iter().find(|(k, _)| *k == "mode").and_then(|(_, m)| u32::from_str_radix(m, 8).ok());
            fs::set_permissions(path, fs::Permissions::from_mode(mode.unwrap_or(0o644)))?;
            if item.kind == "map" {
                maps.push(spec.to_owned());
            }
        }
        crate::tls::write_files(Path::new("/mnt/tls"))?;
        let dns_lines: Vec<String> = DNS.iter().map(|l| (*l).to_owned()).chain(s.bodies("dns")).collect();
        dns::start(&dns_lines)?;
        for (number, item) in s.items.iter().enumerate() {
            self.peer(number, item)?;
        }
        Ok(maps)
    }

    /// Starts what an item names that is beside the mail server.
    fn peer(&mut self, number: usize, item: &Item) -> Result<()> {
        match item.kind.as_str() {
            "sink" => self.services.push(services::start(&format!("sink {}", item.arg), &item.body)?),
            "serve" => self.services.push(services::start(&item.arg, &item.body)?),
            "daemon" => {
                let log = fs::File::create(format!("/mnt/sys/daemon.{number}"))?;
                Command::new("/bin/sh")
                    .args(["-c", &item.arg])
                    .current_dir("/mnt")
                    .stdin(Stdio::null())
                    .stdout(log.try_clone()?)
                    .stderr(log)
                    .spawn()?;
            }
            "wait" => wait_for(&item.arg)?,
            _ => {}
        }
        Ok(())
    }

    fn start(&self, maps: &[String]) -> Result<()> {
        self.tool("postalias hash:/etc/postfix/aliases")?;
        for map in maps {
            self.tool(&format!("postmap {map}"))?;
        }
        self.tool("postfix start")?;
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if std::net::TcpStream::connect("127.0.0.1:25").is_ok() {
                // The probe's own log lines are not part of the result.
                sleep(Duration::from_millis(400));
                return Ok(());
            }
            sleep(Duration::from_millis(50));
        }
        bail!("{} does not listen; log: {:?}", self.side.name(), self.logs.all())
    }

    fn tool(&self, line: &str) -> Result<()> {
        let (_, output) = self.shell(line, "")?;
        if output.iter().any(|l| l.starts_with("rc=") && l != "rc=0") {
            bail!("{line}: {output:?}; log: {:?}", self.logs.all());
        }
        Ok(())
    }

    fn shell(&self, line: &str, input: &str) -> Result<(i32, Vec<String>)> {
        use std::io::Write;
        let path = if self.side == Side::Ours {
            "/mnt/path:/usr/sbin:/usr/bin:/sbin:/bin"
        } else {
            "/usr/sbin:/usr/bin:/sbin:/bin"
        };
        let mut child = Command::new("/bin/sh")
            .args(["-c", line])
            .env_clear()
            .envs([
                ("PATH", path),
                ("TZ", "UTC"),
                ("LANG", "C"),
                ("HOME", "/root"),
                ("LOGNAME", "root"),
                ("USER", "root"),
            ])
            .current_dir("/mnt")
            .stdin(Stdio::piped())
            .stdout(fs::File::create("/mnt/sys/stdout")?)
            .stderr(fs::File::create("/mnt/sys/stderr")?)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(input.as_bytes());
        }
        let end = Instant::now() + Duration::from_secs(30);
        let status = loop {
            match child.try_wait()? {
                Some(status) => break status.code().unwrap_or(-1),
                None if Instant::now() > end => {
                    child.kill()?;
                    break -2;
                }
                None => sleep(Duration::from_millis(5)),
            }
        };
        let mut lines = Vec::new();
        for (name, prefix) in [("/mnt/sys/stdout", "out| "), ("/mnt/sys/stderr", "err| ")] {
            let text = String::from_utf8_lossy(&fs::read(name)?).into_owned();
            lines.extend(text.lines().map(|l| format!("{prefix}{l}")));
        }
        lines.push(format!("rc={status}"));
        Ok((status, lines))
    }

    fn play(&mut self, s: &Scenario) -> Result<()> {
        for item in &s.items {
            match item.kind.as_str() {
                "smtp" => self.smtp.extend(client::play(&item.arg, &item.body)),
                "run" => {
                    self.settle();
                    let input =
                        if item.body.is_empty() { String::new() } else { item.body.join("\n") + "\n" };
                    let (_, lines) = self.shell(&item.arg, &input)?;
                    self.cmd.push(format!("== {}", item.arg));
                    self.cmd.extend(lines);
                }
                "settle" => self.settle(),
                "sleep" => sleep(Duration::from_secs_f64(item.arg.parse().unwrap_or(1.0))),
                _ => {}
            }
        }
        Ok(())
    }

    /// Waits until nothing moves: no log lines for a while, and no message in the incoming or active queue.
    fn settle(&mut self) {
        if !self.started {
            return sleep(Duration::from_millis(20));
        }
        let end = Instant::now() + Duration::from_secs(15);
        let mut quiet_since = Instant::now();
        let mut seen = self.logs.count();
        while Instant::now() < end {
            sleep(Duration::from_millis(50));
            let now = self.logs.count();
            if now != seen {
                (seen, quiet_since) = (now, Instant::now());
            } else if quiet_since.elapsed() > Duration::from_millis(350) && !self.moving() {
                return;
            }
        }
        self.smtp.push("note: the queue did not settle".into());
    }

    fn moving(&self) -> bool {
        let listed = self.shell("postqueue -j", "").map(|(_, l)| l).unwrap_or_default();
        let active = |l: &String| {
            l.contains("\"queue_name\": \"active\"") || l.contains("\"queue_name\": \"incoming\"")
        };
        listed.iter().any(active)
    }

    fn finish(self) -> Result<Value> {
        sleep(Duration::from_millis(150));
        let logs = self.logs.all();
        let ids = normal::queue_ids(self.smtp.iter().map(String::as_str), logs.iter().map(String::as_str));
        let same = |lines: &[String]| lines.iter().map(|l| normal::line(l, &ids)).collect::<Vec<_>>();
        let mut log: Vec<String> = same(&logs).into_iter().filter(|l| !normal::is_noise(l)).collect();
        log.retain(|l| !l.ends_with("connect from localhost[127.0.0.1] commands=0"));
        log.sort();
        // How often a warning repeats is no contract.
        log.dedup_by(|a, b| {
            a == b
                && (a.contains(": warning: ")
                    || a.contains(": error: ")
                    || a.ends_with("connect from localhost[127.0.0.1]"))
        });
        let mut mail = delivered(&ids);
        mail.extend(self.services.iter().flat_map(|s| report(s.as_ref(), &ids)));
        Ok(json!({"smtp": same(&self.smtp), "cmd": same(&self.cmd), "mail": mail, "log": log}))
    }
}

/// Waits until a path exists or `HOST:PORT` accepts.
pub fn wait_for(what: &str) -> Result<()> {
    let there = || match what.starts_with('/') {
        true => Path::new(what).exists(),
        false => std::net::TcpStream::connect(what).is_ok(),
    };
    let end = Instant::now() + Duration::from_secs(20);
    while !there() {
        if Instant::now() > end {
            let logs: Vec<String> = fs::read_dir("/mnt/sys")?
                .flatten()
                .filter(|e| e.file_name().to_string_lossy().starts_with("daemon."))
                .filter_map(|e| fs::read_to_string(e.path()).ok())
                .collect();
            bail!("{what} did not come up: {}", logs.join("\n"));
        }
        sleep(Duration::from_millis(30));
    }
    Ok(())
}

/// A text with all its lines made comparable, before anything is sorted by it.
fn normalised(text: &str, ids: &[String]) -> String {
    text.lines().map(|l| normal::line(l, ids) + "\n").collect()
}

/// What a peer heard, sorted.
fn report(service: &dyn Service, ids: &[String]) -> Vec<String> {
    let mut sessions: Vec<String> = service.received().iter().map(|s| normalised(s, ids)).collect();
    sessions.sort();
    let titled = sessions.into_iter().flat_map(|s| {
        let lines: Vec<_> = s.lines().map(|l| format!("  {l}")).collect();
        std::iter::once("  -- session".to_owned()).chain(lines)
    });
    std::iter::once(format!("== {}", service.address())).chain(titled).collect()
}

/// All delivered files with owner and mode; the files of a Maildir in order of content.
fn delivered(ids: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for dir in MAIL_DIRS {
        walk(Path::new(dir), ids, &mut found);
    }
    found.sort();
    found
        .into_iter()
        .flat_map(|(name, text)| {
            std::iter::once(name).chain(text.lines().map(|l| format!("  {l}")).collect::<Vec<_>>())
        })
        .collect()
}

fn walk(dir: &Path, ids: &[String], out: &mut Vec<(String, String)>) {
    use std::os::unix::fs::MetadataExt;
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.is_dir() {
            walk(&path, ids, out);
        } else if meta.is_file() {
            let name = path.display();
            let title = format!("== {name} [{}:{} {:o}]", meta.uid(), meta.gid(), meta.mode() & 0o7777);
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
            let text = normalised(&normal::reports_in_order(&text), ids);
            out.push((normal::line(&title, ids), normal::mbox_in_order(&text)));
        }
    }
}
