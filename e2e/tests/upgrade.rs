//! New executables are installed and taken into use by a reload, under load: no client is refused, no session broken, every
//! message arrives once, deliveries under way end where they began.

#[path = "common/server.rs"]
mod server;

use nix::unistd::Pid;
use server::{Received, Server, folder, programs, sink};
use std::{
    collections::HashSet,
    env, fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, sleep},
    time::{Duration, Instant},
};

/// For everything that is waited for: none of it takes long.
const PATIENCE: Duration = Duration::from_secs(60);
const PROGRAMS: [&str; 2] = ["hikyaku-worker", "hikyaku-courier"];

/// A session. Whatever is not as expected ends the test.
struct Session {
    out: TcpStream,
    replies: BufReader<TcpStream>,
}

impl Session {
    fn open(server: SocketAddr) -> Self {
        let out = TcpStream::connect(server).unwrap();
        out.set_read_timeout(Some(PATIENCE)).unwrap();
        let replies = BufReader::new(out.try_clone().unwrap());
        let mut session = Self { out, replies };
        session.expect("220");
        session.say("EHLO load", "250");
        session
    }

    fn expect(&mut self, code: &str) -> String {
        loop {
            let mut line = String::new();
            self.replies.read_line(&mut line).unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                assert!(line.starts_with(code), "{code} expected: {line:?}");
                return line;
            }
        }
    }

    fn say(&mut self, text: &str, code: &str) -> String {
        self.out.write_all(format!("{text}\r\n").as_bytes()).unwrap();
        self.expect(code)
    }

    /// Up to the middle of the content, which is larger than what is kept in memory when `large`.
    fn begin(&mut self, to: &str, subject: &str, large: bool) {
        self.say("MAIL FROM:<from@example.com>", "250");
        self.say(&format!("RCPT TO:<{to}>"), "250");
        self.say("DATA", "354");
        let body = (String::from("x").repeat(76) + "\r\n").repeat(if large { 5000 } else { 50 });
        self.out.write_all(format!("Subject: {subject}\r\n\r\n{body}").as_bytes()).unwrap();
    }

    fn end(&mut self) {
        self.say("the end\r\n.", "250 2.0.0 Ok: queued as ");
    }

    fn send(&mut self, subject: &str) {
        self.begin("to@example.org", subject, false);
        self.end();
    }
}

/// A folder of executables that can be installed anew.
struct Libexec {
    dir: tempfile::TempDir,
}

impl Libexec {
    fn new() -> Self {
        let dir = folder("hikyaku-programs.");
        for name in PROGRAMS {
            for copy in [name.to_owned(), format!("{name}.other")] {
                fs::copy(programs().join(name), dir.path().join(copy)).unwrap();
            }
        }
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Puts another file in the place of each, in one step, as a package does.
    fn install(&self) {
        for name in PROGRAMS {
            let [path, other, old] = [name.to_owned(), format!("{name}.other"), format!("{name}.old")]
                .map(|n| self.path().join(n));
            fs::hard_link(&path, &old).unwrap();
            fs::rename(&other, &path).unwrap();
            fs::rename(&old, &other).unwrap();
        }
    }
}

/// A next hop that takes its message when it is told to.
fn slow_hop() -> (SocketAddr, Receiver<()>, Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let ((has_it, hears), (go_on, waits)) = (channel(), channel());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut out = stream.try_clone().unwrap();
            let _ = out.write_all(b"220 slow\r\n");
            let mut in_data = false;
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let reply = match (in_data, &*line) {
                    (false, "DATA") => "354 go",
                    (true, ".") => {
                        has_it.send(()).unwrap();
                        let _ = waits.recv();
                        "250 taken"
                    }
                    (true, _) => continue,
                    (false, _) => "250 ok",
                };
                in_data = reply.starts_with("354");
                let _ = out.write_all(format!("{reply}\r\n").as_bytes());
            }
        }
    });
    (at, hears, go_on)
}

fn wait(server: &Server, what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "waited too long for {what}:\n{}", server.log());
        sleep(Duration::from_millis(20));
    }
}

const REPLACED: &str = "replaced by a new process";

fn replaced(server: &Server) -> usize {
    server.whole_log().matches(REPLACED).count()
}

fn arrived(received: &Received, wanted: &HashSet<String>) -> bool {
    let got = received.subjects.lock().unwrap();
    wanted.iter().all(|subject| got.contains_key(subject))
}

fn configure(nexthop: SocketAddr, libexec: &Libexec, more: &str) -> Server {
    Server::configure(nexthop, &format!("daemon_directory = {}\n{more}", libexec.path().display()))
}

#[test]
fn upgrades_under_load() {
    let upgrades = env::var("HIKYAKU_UPGRADES").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let (nexthop, received) = sink();
    let (slow, has_it, go_on) = slow_hop();
    let libexec = Libexec::new();
    let route = format!("transport_maps = inline:{{slow.example=smtp:[127.0.0.1]:{}}}\n", slow.port());
    let mut server = configure(nexthop, &libexec, &route);
    server.start();
    let sent = Mutex::new(HashSet::new());
    let note = |subject: &str| {
        sent.lock().unwrap().insert(subject.to_owned());
    };
    let stop = AtomicBool::new(false);
    let listen = server.listen;
    // The worker is there when it has answered.
    Session::open(listen).send("the first");
    note("the first");
    let first: Option<Pid> = server.process(PROGRAMS[0]);
    assert!(first.is_some());
    thread::scope(|s| {
        for client in 0..8 {
            let (note, stop) = (&note, &stop);
            s.spawn(move || {
                let mut kept = None;
                for n in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    // Half of them come anew each time.
                    let mut session = kept.take().unwrap_or_else(|| Session::open(listen));
                    let subject = format!("client {client} message {n}");
                    session.send(&subject);
                    note(&subject);
                    kept = Some(session).filter(|_| client % 2 == 0);
                }
            });
        }
        // Ends the others, also when this thread panics.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let _stop = Stop(&stop);
        let mut eldest = Session::open(listen);
        eldest.send("before all");
        note("before all");
        Session::open(listen).begin_and_end("to@slow.example", "slow");
        has_it.recv_timeout(PATIENCE).unwrap();
        for n in 0..upgrades {
            let large = n % 2 == 0;
            let subject = format!("across upgrade {n}");
            let mut across = Session::open(listen);
            across.begin("to@example.org", &subject, large);
            eldest.begin("to@example.org", &format!("eldest {n}"), large);
            libexec.install();
            server.reload();
            wait(&server, "the new process", || replaced(&server) > n);
            across.end();
            eldest.end();
            eldest.send(&format!("eldest again {n}"));
            [subject, format!("eldest {n}"), format!("eldest again {n}")].iter().for_each(|s| note(s));
        }
        go_on.send(()).unwrap();
        let log = || server.whole_log();
        wait(&server, "the slow delivery", || {
            log().contains("to=<to@slow.example>, ") && log().contains("250 taken")
        });
    });
    let sent = sent.into_inner().unwrap();
    wait(&server, "the end of the first process", || server.process(PROGRAMS[0]) != first);
    wait(&server, "all mail", || arrived(&received, &sent));
    assert!(has_it.try_recv().is_err(), "delivered twice to the slow one");
    // What would be delivered a second time is, before it ends.
    server.stop();
    let got = received.subjects.lock().unwrap();
    let twice: Vec<_> = got.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "delivered twice: {twice:?}");
    assert_eq!(got.len(), sent.len());
    let log = server.whole_log();
    assert!(!log.contains("panic") && !log.contains("error:") && !log.contains("killed"), "{log}");
    println!("{} messages, {upgrades} upgrades", sent.len());
}

impl Session {
    fn begin_and_end(&mut self, to: &str, subject: &str) {
        self.begin(to, subject, false);
        self.end();
    }
}

/// Folders that the running process may not open need a new one: it comes when the configuration is good, and only then.
#[test]
fn new_folders_need_a_new_process() {
    let (nexthop, received) = sink();
    let libexec = Libexec::new();
    let mut server = configure(nexthop, &libexec, "");
    server.start();
    let mut session = Session::open(server.listen);
    session.send("before");
    let main_cf: PathBuf = server.dir.path().join("etc/main.cf");
    let good = fs::read_to_string(&main_cf).unwrap();
    let folder = server::folder("hikyaku-authorities.");
    let more = format!("smtp_tls_CApath = {}\n", folder.path().display());
    let worker = server.process(PROGRAMS[0]);
    fs::write(&main_cf, format!("{good}{more}smtpd_timeout = 5x\n")).unwrap();
    server.reload();
    wait(&server, "the refusal", || server.whole_log().contains("the running process was not replaced"));
    assert!(server.whole_log().contains("bad time value or unit: 5x"), "{}", server.log());
    session.send("while it is wrong");
    assert_eq!(server.process(PROGRAMS[0]), worker);
    fs::write(&main_cf, format!("{good}{more}")).unwrap();
    server.reload();
    wait(&server, "the new process", || replaced(&server) == 1);
    session.send("after");
    Session::open(server.listen).send("to the new one");
    let all = ["before", "while it is wrong", "after", "to the new one"].map(str::to_owned);
    wait(&server, "all mail", || arrived(&received, &HashSet::from(all.clone())));
    drop(session);
    wait(&server, "the end of the old one", || server.process(PROGRAMS[0]) != worker);
    server.stop();
    assert!(received.subjects.lock().unwrap().values().all(|n| *n == 1));
}
