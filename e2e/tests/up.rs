//! `up`, the first thing that a newcomer runs: an instance is made, takes mail and delivers it, Ctrl-C ends it, a second run finds it.

#[path = "common/server.rs"]
mod server;

use nix::sys::signal::Signal;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

const LONG: Duration = Duration::from_secs(30);

/// A terminal's group of processes; it ends with this value.
struct Up {
    child: Child,
    /// What it says, to its end.
    said: mpsc::Receiver<String>,
}

impl Up {
    /// Returns when it has said that it is running.
    fn run(dir: &Path, port: u16) -> Self {
        let mut c = Command::new(server::programs().join("hikyaku-tools"));
        c.args(["up", "--port", &port.to_string(), "--dir"]).arg(dir).process_group(0);
        // Under cargo it builds the programs first.
        c.env_remove("CARGO").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = c.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (say, said) = mpsc::channel();
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| say.send(line)));
        let up = Self { child, said };
        up.until(&format!("Hikyaku is running: SMTP on 127.0.0.1:{port}, "));
        up
    }

    fn until(&self, beginning: &str) {
        let mut before = Vec::new();
        while let Ok(line) = self.said.recv_timeout(LONG) {
            if line.starts_with(beginning) {
                return;
            }
            before.push(line);
        }
        panic!("no {beginning:?}: {before:#?}");
    }

    /// Ctrl-C.
    fn interrupt(mut self) -> ExitStatus {
        server::signal_group(&self.child, Signal::SIGINT);
        self.end()
    }

    fn end(&mut self) -> ExitStatus {
        let end = Instant::now() + LONG;
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status,
                None => assert!(Instant::now() < end, "it goes on"),
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        server::signal_group(&self.child, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// A message as the welcome says, with this subject; all replies.
fn send(port: u16, user: &str, subject: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let text = format!(
        "EHLO me\r\nMAIL FROM:<{user}@localhost>\r\nRCPT TO:<{user}@localhost>\r\nDATA\r\nSubject: {subject}\r\n\r\nHello!\r\n.\r\nQUIT\r\n"
    );
    stream.write_all(text.as_bytes()).unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).unwrap();
    replies
}

fn arrived(new: &Path, subject: &str) -> bool {
    let files = fs::read_dir(new).into_iter().flatten().flatten();
    let mut texts = files.filter_map(|f| fs::read_to_string(f.path()).ok());
    texts.any(|text| text.contains(&format!("\nSubject: {subject}\n")))
}

#[test]
fn a_first_server() {
    let folder = server::folder("hikyaku-up.");
    let (dir, port) = (folder.path().join("instance"), server::free_port());
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
    let new = dir.join("mail").join(&user).join("new");
    let mut written = None;
    for subject in ["first", "second"] {
        let up = Up::run(&dir, port);
        let replies = send(port, &user, subject);
        assert!(replies.starts_with("220 localhost.localdomain ESMTP"), "{replies}");
        assert!(replies.contains("\r\n250 2.0.0 Ok: queued as "), "{replies}");
        let end = Instant::now() + LONG;
        while !arrived(&new, subject) {
            assert!(
                Instant::now() < end,
                "{subject} does not arrive: {:#?}",
                up.said.try_iter().collect::<Vec<_>>()
            );
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(up.interrupt().code(), Some(0));
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "somebody still listens");
        let main = fs::read(dir.join("etc/main.cf")).unwrap();
        assert_eq!(*written.get_or_insert(main.clone()), main, "another instance");
    }
    assert!(arrived(&new, "first"), "the second run has not the mail of the first");
    // The server does not outlive who started it.
    let mut up = Up::run(&dir, port);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(up.child.id() as i32), Signal::SIGTERM).unwrap();
    up.end();
    let end = Instant::now() + LONG;
    while TcpStream::connect(("127.0.0.1", port)).is_ok() {
        assert!(Instant::now() < end, "the server goes on");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn one_sentence_for_what_is_in_the_way() {
    let folder = server::folder("hikyaku-up.");
    let said = |dir: &Path, port: u16| {
        let mut c = Command::new(server::programs().join("hikyaku-tools"));
        c.args(["up", "--port", &port.to_string(), "--dir"]).arg(dir).env_remove("CARGO");
        let out = c.stdin(Stdio::null()).output().unwrap();
        assert!(!out.status.success());
        String::from_utf8(out.stderr).unwrap()
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = said(&folder.path().join("a"), port);
    assert!(text.starts_with(&format!("hikyaku: 127.0.0.1:{port} is in use by another program")), "{text}");
    fs::write(folder.path().join("file"), "").unwrap();
    let text = said(&folder.path().join("file/b"), server::free_port());
    assert!(text.starts_with("hikyaku: cannot make the instance folder "), "{text}");
    let etc = folder.path().join("c/etc");
    fs::create_dir_all(&etc).unwrap();
    fs::write(etc.join("main.cf"), "biff = no\nnonsense\n").unwrap();
    fs::write(etc.join("master.cf"), "127.0.0.1:2525 inet n - n - - smtpd\n").unwrap();
    let text = said(&folder.path().join("c"), 2525);
    assert!(text.contains("main.cf, line 2: missing '='") && text.lines().count() == 1, "{text}");
}
