//! One scenario against one implementation, inside private namespaces.
//!
//! [`run`] is called by a process that `unshare` started in mount, net, uts, ipc and pid namespaces of its own (see e2e). It gives the
//! implementation its usual paths (/etc/postfix, /var/spool/postfix …) as private tmpfs, users alice, bob and carol, a name server, the
//! log socket, and mounts our programs over Debian's for [`Side::Ours`]. Clients come from 192.0.2.x, next hops are 198.51.100.x.

use crate::{
    Side, client, dns,
    logs::Logs,
    normal,
    scenario::{Scenario, options},
    sink::Sink,
};
use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Names below /usr/sbin and the program of ours that serves them.
const COMMANDS: &[(&str, &str)] = &[
    ("postalias", "hikyaku-tools"),
    ("postcat", "hikyaku-tools"),
    ("postconf", "hikyaku-tools"),
    ("postdrop", "hikyaku-submit"),
    ("postfix", "hikyaku-tools"),
    ("postlog", "hikyaku-tools"),
    ("postmap", "hikyaku-tools"),
    ("postqueue", "hikyaku-submit"),
    ("postsuper", "hikyaku-tools"),
    ("sendmail", "hikyaku-tools"),
];

const MAIN_CF: &str = "\
compatibility_level = 3.6
myhostname = mail.example.com
mydomain = example.com
myorigin = example.com
mydestination = $myhostname, localhost.$mydomain, localhost, $mydomain
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1, 198.51.100.1
inet_protocols = ipv4
alias_maps = hash:/etc/postfix/aliases
alias_database = hash:/etc/postfix/aliases
relay_domains =
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
smtpd_forbid_bare_newline = no
smtpd_forbid_unauth_pipelining = no
smtpd_error_sleep_time = 0
smtp_connection_cache_on_demand = no
smtp_tls_security_level =
smtp_connect_timeout = 5
mail_spool_directory = /var/mail
biff = no
";

const MASTER_CF: &str = "\
smtp inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";

const DNS: &[&str] = &[
    "192.0.2.10 PTR client.example.net",
    "client.example.net A 192.0.2.10",
    "192.0.2.11 PTR noforward.example.net",
    "example.com MX 10 mail.example.com",
    "mail.example.com A 198.51.100.1",
    "example.net MX 10 mx.example.net",
    "mx.example.net A 198.51.100.30",
    "example.org MX 10 mx.example.org",
    "mx.example.org A 198.51.100.25",
    "two.example MX 10 mx1.two.example",
    "two.example MX 20 mx2.two.example",
    "mx1.two.example A 198.51.100.26",
    "mx2.two.example A 198.51.100.27",
    "nullmx.example MX 0 .",
    "onlya.example A 198.51.100.25",
    "notxt.example TXT nothing",
    "tempfail.example MX !SERVFAIL",
    "tempfail.example A !SERVFAIL",
    "dead.example A 198.51.100.77",
];

/// Folders whose new files are the delivered mail.
const MAIL_DIRS: &[&str] = &["/var/mail", "/mnt/home", "/mnt/vmail", "/mnt/out"];

/// What a run gave, by kind.
pub type Outcome = Vec<(&'static str, Vec<String>)>;

struct World {
    side: Side,
    logs: Logs,
    sinks: Vec<Sink>,
    smtp: Vec<String>,
    cmd: Vec<String>,
}

/// Runs the scenario; the outcome as JSON. `programs` holds our executables.
pub fn run(side: Side, scenario: &Scenario, programs: &Path) -> Result<Value> {
    system(side, programs)?;
    let logs = Logs::listen(Path::new("/dev/log"))?;
    let mut w = World { side, logs, sinks: Vec::new(), smtp: Vec::new(), cmd: Vec::new() };
    let maps = w.configure(scenario)?;
    w.start(&maps)?;
    w.play(scenario)?;
    w.settle();
    w.finish()
}

fn command(name: &str, args: &[&str]) -> Result<()> {
    let out = Command::new(name).args(args).stdin(Stdio::null()).output().with_context(|| name.to_owned())?;
    if !out.status.success() {
        bail!("{name} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    }
    Ok(())
}

fn tmpfs(at: &str) -> Result<()> {
    fs::create_dir_all(at)?;
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
        .with_context(|| format!("tmpfs on {at}"))
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    let none: Option<&str> = None;
    mount(Some(from), to, none, MsFlags::MS_BIND, none)
        .with_context(|| format!("{} over {}", from.display(), to.display()))
}

fn id_of(user: &str) -> (u32, u32) {
    let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with(&format!("{user}:"))).unwrap_or_default();
    let mut fields = line.split(':').skip(2).map(|f| f.parse().unwrap_or(0));
    (fields.next().unwrap_or(0), fields.next().unwrap_or(0))
}

fn folder(path: &str, owner: (u32, u32), mode: u32) -> Result<()> {
    fs::create_dir_all(path)?;
    chown(path, Some(owner.0), Some(owner.1))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// Makes the private machine.
fn system(side: Side, programs: &Path) -> Result<()> {
    command("ip", &["link", "set", "lo", "up"])?;
    for address in ["192.0.2.1/24", "198.51.100.1/24"] {
        command("ip", &["addr", "add", address, "dev", "lo"])?;
    }
    nix::unistd::sethostname("mail.example.com")?;
    let kept: Vec<(String, Vec<u8>)> = fs::read_dir("/etc/postfix")?
        .flatten()
        .filter(|e| {
            e.path().is_file() && !["main.cf", "master.cf"].contains(&&*e.file_name().to_string_lossy())
        })
        .filter_map(|e| Some((e.file_name().to_string_lossy().into_owned(), fs::read(e.path()).ok()?)))
        .collect();
    tmpfs("/mnt")?;
    if side == Side::Ours {
        our_programs(programs)?;
    }
    for dir in ["/etc/postfix", "/var/spool/postfix", "/var/lib/postfix", "/var/mail", "/var/log"] {
        tmpfs(dir)?;
    }
    for (name, bytes) in kept {
        fs::write(Path::new("/etc/postfix").join(name), bytes)?;
    }
    folder("/var/mail", (0, 0), 0o1777)?;
    folder("/var/lib/postfix", id_of("postfix"), 0o700)?;
    files()?;
    device_folder()
}

fn our_programs(programs: &Path) -> Result<()> {
    let group = fs::read_to_string("/etc/group")?;
    let line = group.lines().find(|l| l.starts_with("postdrop:")).context("no group postdrop")?;
    let postdrop: u32 = line.split(':').nth(2).and_then(|g| g.parse().ok()).context("group postdrop")?;
    for (name, program) in COMMANDS {
        let mut from = programs.join(program);
        if *program == "hikyaku-submit" {
            let copy = PathBuf::from(format!("/mnt/setgid-{name}"));
            fs::copy(&from, &copy)?;
            chown(&copy, Some(0), Some(postdrop))?;
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o2755))?;
            from = copy;
        }
        bind(&from, &Path::new("/usr/sbin").join(name))?;
    }
    tmpfs("/usr/lib/postfix")?;
    fs::create_dir_all("/usr/lib/postfix/sbin")?;
    for name in ["hikyaku-master", "hikyaku-worker", "hikyaku-courier", "hikyaku-submit", "hikyaku-tools"] {
        let to = Path::new("/usr/lib/postfix/sbin").join(name);
        fs::write(&to, "")?;
        bind(&programs.join(name), &to)?;
    }
    fs::create_dir_all("/mnt/path")?;
    for name in ["mailq", "newaliases"] {
        symlink("/usr/lib/postfix/sbin/hikyaku-tools", Path::new("/mnt/path").join(name))?;
    }
    Ok(())
}

/// Users, hosts, resolver.
fn files() -> Result<()> {
    let mut passwd = fs::read_to_string("/etc/passwd")?;
    let mut group = fs::read_to_string("/etc/group")?;
    for (i, user) in ["alice", "bob", "carol", "admin"].into_iter().enumerate() {
        let id = 5001 + i as u32;
        passwd.push_str(&format!("{user}:x:{id}:{id}:{user} Test:/mnt/home/{user}:/bin/sh\n"));
        group.push_str(&format!("{user}:x:{id}:\n"));
        folder(&format!("/mnt/home/{user}"), (id, id), 0o700)?;
    }
    passwd.push_str("vmail:x:5000:5000:Virtual:/mnt/vmail:/bin/sh\n");
    group.push_str("vmail:x:5000:\n");
    folder("/mnt/vmail", (5000, 5000), 0o755)?;
    folder("/mnt/out", (0, 0), 0o1777)?;
    fs::create_dir_all("/mnt/sys")?;
    for (name, text) in [
        ("passwd", passwd.as_str()),
        ("group", group.as_str()),
        ("hosts", "127.0.0.1 localhost\n"),
        ("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"),
        ("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\n"),
    ] {
        let own = Path::new("/mnt/sys").join(name);
        fs::write(&own, text)?;
        bind(&own, &Path::new("/etc").join(name))?;
    }
    Ok(())
}

/// A /dev of its own, so that /dev/log is ours.
fn device_folder() -> Result<()> {
    tmpfs("/mnt/dev")?;
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        let at = Path::new("/mnt/dev").join(name);
        fs::write(&at, "")?;
        bind(&Path::new("/dev").join(name), &at)?;
    }
    symlink("/proc/self/fd", "/mnt/dev/fd")?;
    for (i, name) in ["stdin", "stdout", "stderr"].into_iter().enumerate() {
        symlink(format!("/proc/self/fd/{i}"), Path::new("/mnt/dev").join(name))?;
    }
    let none: Option<&str> = None;
    mount(Some("/mnt/dev"), "/dev", none, MsFlags::MS_MOVE, none).context("moving /dev")
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

impl World {
    fn configure(&mut self, s: &Scenario) -> Result<Vec<String>> {
        let main =
            merge(MAIN_CF, &s.bodies("main"), |l| l.split('=').next().unwrap_or_default().trim().to_owned());
        let master = merge(MASTER_CF, &s.bodies("master"), |l| {
            l.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
        });
        fs::write("/etc/postfix/main.cf", main)?;
        fs::write("/etc/postfix/master.cf", master)?;
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
            fs::write(path, item.body.join("\n") + "\n")?;
            let mode =
                named.iter().find(|(k, _)| *k == "mode").and_then(|(_, m)| u32::from_str_radix(m, 8).ok());
            fs::set_permissions(path, fs::Permissions::from_mode(mode.unwrap_or(0o644)))?;
            if item.kind == "map" {
                maps.push(spec.to_owned());
            }
        }
        let dns_lines: Vec<String> = DNS.iter().map(|l| (*l).to_owned()).chain(s.bodies("dns")).collect();
        dns::start(&dns_lines)?;
        for item in s.items.iter().filter(|i| i.kind == "sink") {
            self.sinks.push(Sink::start(&item.arg, &item.body)?);
        }
        Ok(maps)
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
        let mut mail = delivered();
        mail.extend(self.sinks.iter().flat_map(Sink::report));
        Ok(json!({"smtp": same(&self.smtp), "cmd": same(&self.cmd), "mail": same(&mail), "log": log}))
    }
}

/// All delivered files with owner and mode; the files of a Maildir in order of content.
fn delivered() -> Vec<String> {
    let mut found = Vec::new();
    for dir in MAIL_DIRS {
        walk(Path::new(dir), &mut found);
    }
    found.sort();
    found
        .into_iter()
        .flat_map(|(name, text)| {
            std::iter::once(name).chain(text.lines().map(|l| format!("  {l}")).collect::<Vec<_>>())
        })
        .collect()
}

fn walk(dir: &Path, out: &mut Vec<(String, String)>) {
    use std::os::unix::fs::MetadataExt;
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.is_dir() {
            walk(&path, out);
        } else if meta.is_file() {
            let in_maildir = dir.file_name().is_some_and(|n| n == "new" || n == "tmp" || n == "cur");
            let name = if in_maildir { format!("{}/*", dir.display()) } else { path.display().to_string() };
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
            let text = normal::reports_in_order(&text);
            out.push((format!("== {name} [{}:{} {:o}]", meta.uid(), meta.gid(), meta.mode() & 0o7777), text));
        }
    }
}
