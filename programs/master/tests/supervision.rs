//! The real master with stand-ins for worker and courier: start, ports, reload, crashes, stop, and its own death.
//!
//! The stand-ins are this test executable again, called through a script in daemon_directory.

use base_sys::{
    fds::{recv_with_fd, send_with_fd},
    handoff::{Channel, Order, PROTOCOL, Reply},
    process::{Exit, Sig, is_alive, send_signal},
};
use std::{
    collections::HashMap,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            fs::PermissionsExt,
            net::{UnixDatagram, UnixStream},
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// SIGSTOP and SIGCONT on Linux.
const STOP: Sig = Sig::Other(19);
const CONT: Sig = Sig::Other(18);

/// The stand-in: not a test of its own.
#[test]
fn stand_in() {
    let Ok(role) = std::env::var("HIKYAKU_STAND_IN") else { return };
    let channel = Channel::inherited().unwrap().unwrap();
    let dir = PathBuf::from(std::env::var("MAIL_CONFIG").unwrap());
    fs::write(dir.join(format!("{role}.pid")), std::process::id().to_string()).unwrap();
    let mut open = HashMap::new();
    let mut links = Vec::new();
    while let Some(order) = channel.next_order().unwrap() {
        match order {
            Order::Listener(key, fd) => {
                let listener = TcpListener::from(fd);
                open.insert(key.address, listener);
            }
            Order::Close(key) => drop(open.remove(&key.address)),
            Order::Configured { generation } => {
                let mut names: Vec<_> = open.keys().cloned().collect();
                names.sort();
                fs::write(dir.join(format!("{role}.state")), format!("{generation} {}", names.join(" ")))
                    .unwrap();
                let reply = match fs::read_to_string(dir.join("refuse")) {
                    Ok(reason) => Reply::Failed { generation, reason },
                    Err(_) => Reply::Ready { generation },
                };
                channel.reply(&reply).unwrap();
            }
            Order::Prepare => {
                let wrong = fs::read_to_string(dir.join("wrong")).unwrap_or_default();
                let answer = match &*wrong {
                    "protocol" => Reply::Prepared { protocol: PROTOCOL + 1 },
                    "silent" => std::process::exit(3),
                    "late" => {
                        fs::write(dir.join("preparing"), "").unwrap();
                        while !dir.join("go").exists() {
                            std::thread::sleep(Duration::from_millis(10));
                        }
                        Reply::Prepared { protocol: PROTOCOL }
                    }
                    _ => Reply::Prepared { protocol: PROTOCOL },
                };
                channel.reply(&answer).unwrap();
                fs::write(dir.join("prepared"), "").unwrap();
            }
            Order::HandOver(link) => {
                fs::write(dir.join(format!("{role}.handed")), "").unwrap();
                send_with_fd(link.as_fd(), role.as_bytes(), None).unwrap();
                if !dir.join("linger").exists() {
                    break;
                }
                links.push(link);
            }
            Order::TakeOver(link) => {
                let mut word = [0; 20];
                let (n, _) = recv_with_fd(link.as_fd(), &mut word).unwrap();
                fs::write(dir.join(format!("{role}.inherited")), &word[..n]).unwrap();
            }
            Order::Retire => fs::write(dir.join(format!("{role}.retired")), "").unwrap(),
            Order::Opened { .. } => {}
            Order::Ping => channel.reply(&Reply::Pong).unwrap(),
            Order::Stop => break,
        }
    }
    fs::write(dir.join(format!("{role}.end")), "").unwrap();
    std::process::exit(0);
}

struct Instance {
    dir: tempfile::TempDir,
    master: Option<Child>,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Instance {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Root's temporary folder is no place for mail_owner otherwise.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let d = dir.path().display();
        let user = if base_sys::privilege::is_root() { "nobody" } else { "" };
        let group = base_sys::Group::by_name("nogroup").unwrap().map_or("nobody", |_| "nogroup");
        let main = format!(
            "queue_directory = {d}/q\ndata_directory = {d}/data\ndaemon_directory = {d}\nmaillog_file = {d}/log\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmail_owner = {user}\nsetgid_group = {group}\n"
        );
        fs::write(dir.path().join("main.cf"), main).unwrap();
        let this = std::env::current_exe().unwrap();
        for role in ["worker", "courier"] {
            let script =
                format!("#!/bin/sh\nHIKYAKU_STAND_IN={role} exec {} --exact stand_in\n", this.display());
            let path = dir.path().join(format!("hikyaku-{role}"));
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { dir, master: None }
    }

    fn services(&self, text: &str) {
        fs::write(self.path("master.cf"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn command(&self) -> Command {
        let mut c = Command::new(env!("CARGO_BIN_EXE_hikyaku-master"));
        c.arg("-c").arg(self.dir.path()).stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::null());
        c
    }

    fn start(&mut self) {
        self.master = Some(self.command().spawn().unwrap());
        self.wait("both to be ready", || {
            self.text("worker.state").starts_with('1') && self.text("courier.state").starts_with('1')
        });
    }

    fn pid(&self) -> u32 {
        self.master.as_ref().unwrap().id()
    }

    fn child(&self, role: &str) -> u32 {
        self.text(&format!("{role}.pid")).parse().unwrap_or(0)
    }

    fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !done() {
            assert!(Instant::now() < end, "waited too long for {what}; log:\n{}", self.text("log"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn logged(&self, text: &str) {
        self.wait(text, || self.text("log").contains(text));
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(mut m) = self.master.take() {
            let _ = send_signal(m.id(), Sig::Term);
            let _ = m.wait();
        }
    }
}

impl Instance {
    /// Installs the same program once more, as a package does.
    fn install(&self, role: &str) {
        let (path, fresh) = (self.path(&format!("hikyaku-{role}")), self.path("fresh"));
        fs::copy(&path, &fresh).unwrap();
        fs::rename(&fresh, &path).unwrap();
    }

    fn reload(&self) {
        send_signal(self.pid(), Sig::Hup).unwrap();
    }

    /// Until another process than `old` has the listeners of this generation.
    fn replaced(&self, role: &str, old: u32, generation: u32) {
        self.wait("the new process", || {
            self.child(role) != old
                && self.text(&format!("{role}.state")).starts_with(&format!("{generation} "))
        });
    }
}

#[test]
fn a_program_that_was_replaced_gives_way() {
    let mut i = Instance::new();
    let port = free_port();
    i.services(&format!("{port} inet n - n - - smtpd\n"));
    i.start();
    let (worker, courier) = (i.child("worker"), i.child("courier"));
    // Nothing was installed: both stay.
    i.reload();
    i.wait("the reload", || {
        i.text("worker.state").starts_with("2 ") && i.text("courier.state").starts_with("2 ")
    });
    assert_eq!((i.child("worker"), i.child("courier")), (worker, courier));
    // One that ends at once, with what it had.
    i.install("worker");
    i.reload();
    i.replaced("worker", worker, 3);
    i.wait("its end", || !is_alive(worker));
    assert_eq!((i.text("worker.inherited").as_str(), i.child("courier")), ("worker", courier));
    assert!(i.path("worker.end").exists() && reachable(port));
    // Ones that still have something to do.
    fs::write(i.path("linger"), "").unwrap();
    let worker = i.child("worker");
    i.install("worker");
    i.install("courier");
    i.reload();
    i.replaced("worker", worker, 4);
    i.replaced("courier", courier, 4);
    i.wait("the courier to be told", || i.path("courier.retired").exists());
    assert!(is_alive(worker) && is_alive(courier) && reachable(port));
    // Its own end later is no event.
    send_signal(courier, Sig::Kill).unwrap();
    i.logged(&format!("pid {courier} killed by signal 9"));
    let now = [i.child("worker"), i.child("courier")];
    let mut master = i.master.take().unwrap();
    send_signal(master.id(), Sig::Term).unwrap();
    assert!(Exit::from(master.wait().unwrap()).is_success());
    i.wait("all to end", || [worker, now[0], now[1]].iter().all(|p| !is_alive(*p)));
}

#[test]
fn a_new_program_that_cannot_take_over_changes_nothing() {
    let mut i = Instance::new();
    let port = free_port();
    i.services(&format!("{port} inet n - n - - smtpd\n"));
    i.start();
    let (worker, courier) = (i.child("worker"), i.child("courier"));
    for (n, wrong, said) in [
        (2, "protocol", "it cannot replace a running process: stop and start the mail system"),
        (3, "silent", "the running process was not replaced"),
    ] {
        fs::write(i.path("wrong"), wrong).unwrap();
        i.install("worker");
        i.install("courier");
        i.reload();
        i.logged(said);
        i.wait("the old ones to read it", || {
            i.text("worker.state").starts_with(&format!("{n} "))
                && i.text("courier.state").starts_with(&format!("{n} "))
        });
        let said = |log: &str| log.matches("the running process was not replaced").count() == n - 1;
        i.wait("its end", || said(&i.text("log")));
        assert!(is_alive(worker) && is_alive(courier) && reachable(port));
        assert!(!i.path("worker.inherited").exists());
    }
    fs::remove_file(i.path("wrong")).unwrap();
    i.reload();
    i.replaced("worker", worker, 4);
    i.replaced("courier", courier, 4);
}

/// Master hears that it is prepared only after it has killed it for being outdated.
#[test]
fn nothing_is_given_to_a_new_program_that_was_killed() {
    let mut i = Instance::new();
    i.services(&format!("{} inet n - n - - smtpd\n", free_port()));
    i.start();
    let (master, worker) = (i.pid(), i.child("worker"));
    fs::write(i.path("wrong"), "late").unwrap();
    i.install("worker");
    i.reload();
    i.wait("the new process", || i.path("preparing").exists());
    send_signal(master, STOP).unwrap();
    i.wait("master to stand still", || {
        let stat = fs::read_to_string(format!("/proc/{master}/stat")).unwrap();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    });
    fs::write(i.path("go"), "").unwrap();
    i.wait("it to be prepared", || i.path("prepared").exists());
    fs::write(i.path("wrong"), "silent").unwrap();
    i.reload();
    send_signal(master, CONT).unwrap();
    i.logged("exit status 3");
    i.wait("the old one to read it", || i.text("worker.state").starts_with("3 "));
    assert!(is_alive(worker) && !i.path("worker.handed").exists(), "{}", i.text("log"));
    fs::remove_file(i.path("wrong")).unwrap();
    i.reload();
    i.replaced("worker", worker, 4);
    i.wait("its end", || !is_alive(worker));
    assert!(i.path("worker.handed").exists() && i.text("worker.inherited") == "worker");
}

fn reachable(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[test]
fn start_reload_stop() {
    let mut i = Instance::new();
    let (a, b) = (free_port(), free_port());
    i.services(&format!("{a} inet n - n - - smtpd\npickup unix n - n 60 1 pickup\n"));
    i.start();
    i.logged("daemon started -- version ");
    assert!(reachable(a) && UnixStream::connect(i.path("q/private/courier")).is_ok());
    assert_eq!(
        i.text("worker.state"),
        format!("1 127.0.0.1:{a} private/control private/metrics public/pickup")
    );
    assert_eq!(i.text("courier.state"), "1 private/courier");
    assert_eq!(i.text("q/pid/master.pid").trim(), i.pid().to_string());

    i.services(&format!("{b} inet n - n - - smtpd\n"));
    send_signal(i.pid(), Sig::Hup).unwrap();
    let second = format!("2 127.0.0.1:{b} private/control private/metrics");
    i.wait("the second generation", || i.text("worker.state") == second);
    i.logged("reload -- version ");
    i.wait("the old port to close", || !reachable(a));
    assert!(reachable(b));

    i.services("smtp inet n - n\n");
    send_signal(i.pid(), Sig::Hup).unwrap();
    i.logged("reload failed, the old configuration stays: ");
    assert!(i.text("log").contains("master.cf") && reachable(b));

    let mut master = i.master.take().unwrap();
    send_signal(master.id(), Sig::Term).unwrap();
    assert!(Exit::from(master.wait().unwrap()).is_success());
    i.logged("terminating on signal 15");
    assert!(i.path("worker.end").exists() && i.path("courier.end").exists());
    assert!(!reachable(b));
}

#[test]
fn a_killed_child_is_back_at_once_and_the_port_never_closed() {
    let mut i = Instance::new();
    let port = free_port();
    i.services(&format!("{port} inet n - n - - smtpd\n"));
    i.start();
    for role in ["worker", "courier"] {
        let old = i.child(role);
        let began = Instant::now();
        send_signal(old, Sig::Kill).unwrap();
        i.wait("a new one", || i.child(role) != old && is_alive(i.child(role)));
        assert!(began.elapsed() < Duration::from_secs(2));
        i.logged(&format!("pid {old} killed by signal 9"));
        assert!(reachable(port));
    }
    assert!(i.text("log").contains("warning: process "));
}

#[test]
fn children_do_not_outlive_a_killed_master() {
    let mut i = Instance::new();
    i.services(&format!("{} inet n - n - - smtpd\n", free_port()));
    i.start();
    let children = [i.child("worker"), i.child("courier")];
    let mut master = i.master.take().unwrap();
    master.kill().unwrap();
    master.wait().unwrap();
    i.wait("the children to end", || children.iter().all(|c| !is_alive(*c) || is_zombie(*c)));
    // The lock went with the process: a new one starts.
    i.start();
}

fn is_zombie(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| s.contains(") Z "))
}

#[test]
fn only_one_runs() {
    let mut i = Instance::new();
    i.services(&format!("{} inet n - n - - smtpd\n", free_port()));
    assert!(i.command().arg("-t").status().unwrap().success());
    i.start();
    assert!(!i.command().arg("-t").status().unwrap().success());
    assert_eq!(failure(i.command()), "postfix/master: fatal: the Postfix mail system is already running\n");
}

fn failure(mut c: Command) -> String {
    let mut child = c.spawn().unwrap();
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(Exit::from(child.wait().unwrap()), Exit::Status(1));
    text
}

#[test]
fn a_start_that_fails_says_why() {
    let i = Instance::new();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    i.services(&format!("{port} inet n - n - - smtpd\n"));
    for mode in ["-s", "-w"] {
        let mut c = i.command();
        c.arg(mode);
        assert_eq!(
            failure(c),
            format!("postfix/master: fatal: bind 127.0.0.1 port {port}: Address already in use\n")
        );
    }
    i.services(&format!("{} inet n - n - - smtpd\n", free_port()));
    fs::write(i.path("refuse"), "bad parameter value").unwrap();
    let mut c = i.command();
    c.arg("-w");
    assert_eq!(failure(c), "postfix/master: fatal: bad parameter value\n");
}

#[test]
fn in_the_background() {
    let i = Instance::new();
    let port = free_port();
    i.services(&format!("{port} inet n - n - - smtpd\n"));
    let mut c = i.command();
    c.arg("-w").stdout(Stdio::piped());
    // Returns only when nobody holds the pipes any more.
    assert!(c.output().unwrap().status.success());
    assert!(reachable(port));
    let pid: u32 = i.text("q/pid/master.pid").trim().parse().unwrap();
    send_signal(pid, Sig::Term).unwrap();
    i.wait("the end", || !reachable(port) && i.text("q/pid/master.pid").is_empty());
}

/// What a service manager hears, and the sockets that it hands over (sd_notify(3), sd_listen_fds(3)).
#[test]
fn under_a_service_manager() {
    let mut i = Instance::new();
    let given = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = given.local_addr().unwrap().port();
    i.services(&format!("{port} inet n - n - - smtpd\n"));
    let manager = UnixDatagram::bind(i.path("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let hear = || {
        let mut buf = [0; 200];
        let n = manager.recv(&mut buf).unwrap();
        String::from_utf8_lossy(&buf[..n]).lines().next().unwrap_or_default().to_owned()
    };
    // The shell puts the socket at the first number, and stays the same process.
    let mut c = Command::new("sh");
    c.args([
        "-c",
        "LISTEN_PID=$$ exec \"$0\" \"$@\" 3<&0 0</dev/null",
        env!("CARGO_BIN_EXE_hikyaku-master"),
        "-s",
        "-c",
    ]);
    c.arg(i.dir.path()).stdin(OwnedFd::from(given)).stdout(Stdio::null()).stderr(Stdio::null());
    c.env("LISTEN_FDS", "1").env("NOTIFY_SOCKET", i.path("notify")).env("WATCHDOG_USEC", "400000");
    i.master = Some(c.spawn().unwrap());
    assert_eq!(hear(), "READY=1");
    assert!(reachable(port));
    assert_eq!([hear(), hear()], ["WATCHDOG=1", "WATCHDOG=1"]);

    send_signal(i.pid(), Sig::Hup).unwrap();
    let not_the_dog = || std::iter::repeat_with(hear).find(|text| text != "WATCHDOG=1").unwrap();
    assert_eq!([not_the_dog(), not_the_dog()], ["RELOADING=1", "READY=1"]);

    // A child that hangs: nothing more is heard.
    let worker = i.child("worker");
    send_signal(worker, STOP).unwrap();
    manager.set_read_timeout(Some(Duration::from_millis(900))).unwrap();
    let mut buf = [0; 200];
    let heard = std::iter::from_fn(|| manager.recv(&mut buf).ok()).take(10).count();
    assert!(heard < 4, "the watchdog was fed while a child hung");
    send_signal(worker, CONT).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert_eq!(hear(), "WATCHDOG=1");
    send_signal(i.pid(), Sig::Term).unwrap();
    assert_eq!(not_the_dog(), "STOPPING=1");
}

#[test]
fn folders_have_their_modes() {
    let mut i = Instance::new();
    i.services(&format!("{} inet n - n - - smtpd\n", free_port()));
    i.start();
    if base_sys::privilege::is_root() {
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o7777;
        for (name, want) in [("maildrop", 0o1730), ("public", 0o2710), ("private", 0o700), ("pid", 0o755)] {
            assert_eq!(mode(&i.path("q").join(name)), want, "{name}");
        }
        let nobody = base_sys::User::by_name("nobody").unwrap().unwrap();
        let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(i.path("log")).unwrap());
        assert_eq!(owner, nobody.uid, "the worker writes the log too");
    }
    let mut s = UnixStream::connect(i.path("q/private/control")).unwrap();
    s.write_all(b"x").unwrap();
}
