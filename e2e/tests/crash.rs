//! Nothing that was acknowledged is lost: load from many sessions, `kill -9` of the whole process group at random moments, restart, count.
//!
//! An instance of its own on loopback ports, as the calling user (root: `mail_owner` as a Postfix package makes it). A message that the next
//! hop had acknowledged may come a second time only if it was in flight at a kill.

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    collections::{HashMap, HashSet},
    env, fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, sleep},
    time::{Duration, Instant},
};

const SESSIONS: usize = 20;

/// What the next hop has, by subject, with the number of times.
type Received = Arc<Mutex<HashMap<String, usize>>>;

fn sink() -> (SocketAddr, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let received = Received::default();
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
    let mut lines = BufReader::new(stream).lines();
    out.write_all(b"220 sink\r\n").ok()?;
    while let Some(Ok(line)) = lines.next() {
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => out.write_all(b"250-sink\r\n250 PIPELINING\r\n").ok()?,
            "DATA" => {
                out.write_all(b"354 go\r\n").ok()?;
                let mut subject = String::new();
                for line in lines.by_ref() {
                    let line = line.ok()?;
                    if line == "." {
                        break;
                    }
                    if let Some(s) = line.strip_prefix("Subject: ").filter(|_| subject.is_empty()) {
                        s.clone_into(&mut subject);
                    }
                }
                *kept.lock().ok()?.entry(subject).or_default() += 1;
                out.write_all(b"250 ok\r\n").ok()?;
            }
            "QUIT" => return out.write_all(b"221 bye\r\n").ok(),
            _ => out.write_all(b"250 ok\r\n").ok()?,
        }
    }
    None
}

struct Server {
    dir: tempfile::TempDir,
    listen: SocketAddr,
    child: Option<Child>,
}

fn programs() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_e2e")).parent().map(PathBuf::from);
    env::var_os("HIKYAKU_PROGRAMS").map(PathBuf::from).or(beside).expect("a folder of programs")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    fn configure(nexthop: SocketAddr) -> Self {
        let dir = tempfile::Builder::new().prefix("hikyaku-crash.").tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
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
             smtpd_client_connection_count_limit = 0\nsmtp_tls_security_level =\n",
            nexthop.port()
        );
        fs::write(dir.path().join("etc/main.cf"), main).unwrap();
        let master = format!(
            "{listen} inet n - n - 100 smtpd\npickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\n\
             qmgr unix n - n 300 1 qmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
             smtp unix - - n - - smtp\nrelay unix - - n - - smtp\nshowq unix n - n - - showq\nerror unix - - n - - error\nretry unix - - n - - error\n"
        );
        fs::write(dir.path().join("etc/master.cf"), master).unwrap();
        Self { dir, listen, child: None }
    }

    fn start(&mut self) {
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

    fn log(&self) -> String {
        let text = fs::read_to_string(self.dir.path().join("spool/log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// `kill -9` of master, worker and courier at one instant.
    fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        // The kernel frees the spool's lock when the last process of the group is gone.
        sleep(Duration::from_millis(200));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
            let _ = child.wait();
        }
    }
}

/// Sends one message over a connection; `true` when the server took responsibility.
fn send(server: SocketAddr, subject: &str) -> std::io::Result<bool> {
    let stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut out = stream.try_clone()?;
    let mut replies = BufReader::new(stream);
    let mut expect = |code: &str| -> std::io::Result<()> {
        loop {
            let mut line = String::new();
            if replies.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes().get(3) == Some(&b' ') {
                return if line.starts_with(code) { Ok(()) } else { Err(std::io::Error::other(line)) };
            }
        }
    };
    expect("220")?;
    out.write_all(b"EHLO load\r\n")?;
    expect("250")?;
    out.write_all(b"MAIL FROM:<from@example.com>\r\nRCPT TO:<to@example.org>\r\nDATA\r\n")?;
    expect("250")?;
    expect("250")?;
    expect("354")?;
    let body = "x".repeat(76) + "\r\n";
    out.write_all(format!("Subject: {subject}\r\n\r\n{}.\r\n", body.repeat(50)).as_bytes())?;
    expect("250")?;
    Ok(true)
}

struct Load {
    acknowledged: Mutex<HashSet<String>>,
    next: AtomicUsize,
    stop: AtomicBool,
}

impl Load {
    fn run(&self, server: SocketAddr, total: usize) {
        while !self.stop.load(Ordering::SeqCst) {
            let n = self.next.fetch_add(1, Ordering::SeqCst);
            if n >= total {
                return;
            }
            let subject = format!("message {n}");
            match send(server, &subject) {
                Ok(_) => drop(self.acknowledged.lock().unwrap().insert(subject)),
                Err(_) => sleep(Duration::from_millis(20)),
            }
        }
    }
}

fn wait_for(received: &Received, wanted: &HashSet<String>, limit: Duration) -> Vec<String> {
    let end = Instant::now() + limit;
    loop {
        let got = received.lock().unwrap();
        let missing: Vec<String> = wanted.iter().filter(|w| !got.contains_key(*w)).cloned().collect();
        drop(got);
        if missing.is_empty() || Instant::now() > end {
            return missing;
        }
        sleep(Duration::from_millis(100));
    }
}

fn scale(name: &str, usual: usize) -> usize {
    env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(usual)
}

#[test]
fn every_message_arrives_once() {
    let total = scale("HIKYAKU_LOAD_MESSAGES", 2000);
    let (nexthop, received) = sink();
    let mut server = Server::configure(nexthop);
    server.start();
    let load =
        Load { acknowledged: Mutex::default(), next: AtomicUsize::new(0), stop: AtomicBool::new(false) };
    thread::scope(|s| (0..SESSIONS).for_each(|_| drop(s.spawn(|| load.run(server.listen, total)))));
    let acknowledged = load.acknowledged.into_inner().unwrap();
    assert_eq!(acknowledged.len(), total, "refused without reason: {}", server.log());
    let missing = wait_for(&received, &acknowledged, Duration::from_secs(60));
    assert!(missing.is_empty(), "{} lost: {missing:?}\n{}", missing.len(), server.log());
    let twice = received.lock().unwrap().values().filter(|n| **n > 1).count();
    assert_eq!(twice, 0, "delivered twice");
}

#[test]
fn nothing_acknowledged_is_lost_by_kill() {
    let kills = scale("HIKYAKU_KILLS", 4);
    let (nexthop, received) = sink();
    let mut server = Server::configure(nexthop);
    server.start();
    let load =
        Load { acknowledged: Mutex::default(), next: AtomicUsize::new(0), stop: AtomicBool::new(false) };
    let listen = server.listen;
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
    thread::scope(|s| {
        (0..SESSIONS).for_each(|_| drop(s.spawn(|| load.run(listen, usize::MAX))));
        for k in 0..kills {
            let wait = 300 + u64::from(seed.rotate_left(k as u32 * 7) % 700);
            sleep(Duration::from_millis(wait));
            server.kill();
            server.start();
        }
        load.stop.store(true, Ordering::SeqCst);
    });
    let acknowledged = load.acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() > 50, "hardly any load: {}", acknowledged.len());
    let missing = wait_for(&received, &acknowledged, Duration::from_secs(90));
    assert!(
        missing.is_empty(),
        "{} of {} lost: {missing:?}\n{}",
        missing.len(),
        acknowledged.len(),
        server.log()
    );
    let twice = received.lock().unwrap().values().filter(|n| **n > 1).count();
    assert!(twice <= kills * 200, "{twice} delivered twice: more than were in flight");
    println!("{} messages acknowledged, {kills} kills, {twice} came twice", acknowledged.len());
}
