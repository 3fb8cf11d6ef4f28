//! A whole server of ours for one test, on loopback ports, as the calling user (root: `mail_owner` as a Postfix package makes it), and a
//! next hop that counts what arrives. Used by the tests that hurt and attack the server.

#![allow(dead_code, reason = "each test uses its own part of it")]

#[path = "machine.rs"]
mod machine;

pub use machine::programs;

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, sleep},
    time::{Duration, Instant},
};

/// What the next hop has.
#[derive(Default)]
pub struct Received {
    /// Messages by subject, with the number of times.
    pub subjects: Mutex<HashMap<String, usize>>,
    /// The bytes of each session, as they came.
    pub sessions: Mutex<Vec<Vec<u8>>>,
    /// Of so many recipients, one is told to come back later; 0: none.
    pub later: AtomicUsize,
    recipients: AtomicUsize,
}

/// Starts a next hop.
pub fn sink() -> (SocketAddr, Arc<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let received = Arc::<Received>::default();
    let kept = Arc::clone(&received);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let kept = Arc::clone(&kept);
            thread::spawn(move || serve(stream, &kept));
        }
    });
    (at, received)
}

fn serve(stream: TcpStream, kept: &Received) -> Option<()> {
    let mut out = stream.try_clone().ok()?;
    let mut input = BufReader::new(stream);
    let number = {
        let mut sessions = kept.sessions.lock().ok()?;
        sessions.push(Vec::new());
        sessions.len() - 1
    };
    let mut line = || -> Option<Vec<u8>> {
        let mut line = Vec::new();
        // Lines end in CR LF and in nothing else, as a careful server sees them.
        while !line.ends_with(b"\r\n") {
            if input.read_until(b'\n', &mut line).ok()? == 0 {
                return None;
            }
        }
        kept.sessions.lock().ok()?.get_mut(number)?.extend_from_slice(&line);
        Some(line)
    };
    out.write_all(b"220 sink\r\n").ok()?;
    let mut has_recipient = false;
    while let Some(command) = line() {
        let verb = String::from_utf8_lossy(command.get(..4).unwrap_or_default()).to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => out.write_all(b"250-sink\r\n250 PIPELINING\r\n").ok()?,
            "RCPT" => {
                let one_of = kept.later.load(Ordering::Relaxed);
                let n = kept.recipients.fetch_add(1, Ordering::Relaxed);
                let is_refused = one_of > 0 && n.is_multiple_of(one_of);
                has_recipient |= !is_refused;
                let reply = if is_refused { "450 later" } else { "250 ok" };
                out.write_all(format!("{reply}\r\n").as_bytes()).ok()?;
            }
            "DATA" if !has_recipient => out.write_all(b"503 nobody\r\n").ok()?,
            "DATA" => {
                has_recipient = false;
                out.write_all(b"354 go\r\n").ok()?;
                let mut subject = None;
                loop {
                    let text = line()?;
                    if text == b".\r\n" {
                        break;
                    }
                    let text = String::from_utf8_lossy(&text);
                    subject = subject.or_else(|| Some(text.strip_prefix("Subject: ")?.trim_end().to_owned()));
                }
                *kept.subjects.lock().ok()?.entry(subject.unwrap_or_default()).or_default() += 1;
                out.write_all(b"250 ok\r\n").ok()?;
            }
            "QUIT" => return out.write_all(b"221 bye\r\n").ok(),
            _ => out.write_all(b"250 ok\r\n").ok()?,
        }
    }
    None
}

/// The server; it ends with this value.
pub struct Server {
    /// `etc`, `spool` and `data` are below.
    pub dir: tempfile::TempDir,
    /// Where it listens for SMTP.
    pub listen: SocketAddr,
    child: Option<Child>,
}

/// A folder that everybody may read and that removes itself.
pub fn folder(prefix: &str) -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix(prefix).tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// A free port below those that connections going out get: one of those could take it, or connect to itself, while no server has it.
pub fn free_port() -> u16 {
    static TRIED: AtomicUsize = AtomicUsize::new(0);
    let first = std::process::id() as usize * 31;
    let candidate = |_| (20_000 + (first + TRIED.fetch_add(1, Ordering::Relaxed)) % 10_000) as u16;
    let mut ports = (0..10_000).map(candidate);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

impl Server {
    /// Not started yet; `more` are lines of main.cf.
    pub fn configure(nexthop: SocketAddr, more: &str) -> Self {
        let dir = folder("hikyaku-crash.");
        let d = dir.path().display();
        let listen: SocketAddr = format!("127.0.0.1:{}", free_port()).parse().unwrap();
        let (owner, group) = match nix::unistd::geteuid().is_root() {
            true => ("postfix".to_owned(), "postdrop".to_owned()),
            false => {
                let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap();
                let group = nix::unistd::Group::from_gid(user.gid).unwrap().unwrap();
                (user.name, group.name)
            }
        };
        for sub in ["etc", "spool", "data"] {
            fs::create_dir(dir.path().join(sub)).unwrap();
        }
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {d}/spool\ndata_directory = {d}/data\nmail_owner = {owner}\nsetgid_group = {group}\n\
             maillog_file = {d}/spool/log\nmaillog_file_prefixes = {d}\nmyhostname = crash.example.com\nmydestination =\n\
             mynetworks = 127.0.0.0/8\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nalias_maps =\nrelayhost = [127.0.0.1]:{}\n\
             smtpd_relay_restrictions = permit_mynetworks, reject\nsmtpd_peername_lookup = no\nqueue_run_delay = 1s\nminimal_backoff_time = 1s\n\
             smtpd_client_connection_count_limit = 0\nsmtp_tls_security_level =\n{more}",
            nexthop.port()
        );
        fs::write(dir.path().join("etc/main.cf"), main).unwrap();
        let master = format!(
            "{listen} inet n - n - - smtpd\npickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\n\
             qmgr unix n - n 300 1 qmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
             smtp unix - - n - - smtp\nrelay unix - - n - - smtp\nshowq unix n - n - - showq\nerror unix - - n - - error\nretry unix - - n - - error\n"
        );
        fs::write(dir.path().join("etc/master.cf"), master).unwrap();
        Self { dir, listen, child: None }
    }

    /// Returns when it listens.
    pub fn start(&mut self) {
        let child = Command::new(programs().join("hikyaku-master"))
            .arg("-c")
            .arg(self.dir.path().join("etc"))
            .arg("-s")
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(self.listen).is_err() {
            assert!(Instant::now() < end, "the server does not listen: {}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// The whole log.
    pub fn whole_log(&self) -> String {
        fs::read_to_string(self.dir.path().join("spool/log")).unwrap_or_default()
    }

    /// The end of the log, for messages of tests.
    pub fn log(&self) -> String {
        let text = self.whole_log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// `kill -9` of master, worker and courier at one instant.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        // The kernel frees the spool's lock when the last process of the group is gone.
        let end = Instant::now() + Duration::from_secs(20);
        while group_lives(child.id()) {
            assert!(Instant::now() < end, "processes are left");
            sleep(Duration::from_millis(5));
        }
    }

    /// SIGTERM to master; returns when all have ended.
    pub fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
        child.wait().unwrap();
    }

    /// SIGHUP to master.
    pub fn reload(&self) {
        let child = self.child.as_ref().unwrap();
        kill(Pid::from_raw(child.id() as i32), Signal::SIGHUP).unwrap();
    }

    /// The process of a program, `hikyaku-worker`, that master has started.
    pub fn process(&self, name: &str) -> Option<Pid> {
        let master = self.child.as_ref()?.id().to_string();
        let is = |pid: &String| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            fields_of(pid).get(1) == Some(&master) && String::from_utf8_lossy(&line).contains(name)
        };
        processes().find(is)?.parse().ok().map(Pid::from_raw)
    }

    /// `kill -9` of one program; master starts it again. `false`: it was not there.
    pub fn kill_one(&self, name: &str) -> bool {
        self.process(name).is_some_and(|pid| kill(pid, Signal::SIGKILL).is_ok())
    }
}

/// To all processes of the group that this one leads.
pub fn signal_group(leader: &Child, signal: Signal) {
    let _ = killpg(Pid::from_raw(leader.id() as i32), signal);
}

/// The fields of /proc/PID/stat that follow the name: state, parent, group …
fn fields_of(pid: &str) -> Vec<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().map(str::to_owned).collect()
}

/// The names of /proc that are processes.
fn processes() -> impl Iterator<Item = String> {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = names.map(|e| e.file_name().to_string_lossy().into_owned());
    names.filter(|n| n.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether a process of the group is more than an entry that nobody has collected.
fn group_lives(group: u32) -> bool {
    let group = group.to_string();
    processes().any(|pid| matches!(&*fields_of(&pid), [state, _, of, ..] if *of == group && state != "Z"))
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
            let _ = child.wait();
        }
    }
}
