//! Servers that are stopped, slow, or restarted in mid-run: each lookup is right or a temporary failure, a table that
//! hangs holds nobody else up, and a server that comes back is found again by itself.

use base_conf::Config;
use base_nettables::NetTables;
use base_tables::{Options, Table, Tables, Usage, block_on};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Opens a table and keeps its warnings.
fn open(spec: &str) -> (Arc<dyn Table>, Arc<Mutex<Vec<String>>>) {
    open_with(spec, "")
}

fn open_with(spec: &str, main_cf: &str) -> (Arc<dyn Table>, Arc<Mutex<Vec<String>>>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&said);
    let warn = Arc::new(move |text: &str| kept.lock().unwrap().push(text.to_owned()));
    let more = NetTables::new(Config::from_text(main_cf));
    let tables = Tables::new(Options { warn, more: Some(more), ..Options::default() });
    (tables.try_open(spec, Usage::LOOKUP).unwrap_or_else(|e| panic!("{spec}: {e}")), said)
}

fn ask(table: &Arc<dyn Table>, key: &str) -> Result<Option<String>, String> {
    let answer = block_on(table.lookup(key.as_bytes()));
    answer.map(|v| v.map(|v| String::from_utf8(v).unwrap())).map_err(|e| e.reason)
}

/// Asks until the answer is `want`; in between there may be failures, but no wrong answers.
fn until(table: &Arc<dyn Table>, key: &str, want: &str) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match ask(table, key) {
            Ok(value) => return assert_eq!(value.as_deref(), Some(want)),
            Err(reason) => assert!(Instant::now() < end, "still {reason}"),
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// How a fake server answers a request read from a connection; false closes it.
type Answer = fn(&mut BufReader<TcpStream>, &mut TcpStream) -> bool;

/// A server that can be stopped.
struct Server {
    at: SocketAddr,
    stopped: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    fn start(at: SocketAddr, answer: Answer) -> Server {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.set_reuse_address(true).unwrap();
        listener.bind(&at.into()).unwrap();
        listener.listen(100).unwrap();
        let listener = TcpListener::from(listener);
        let at = listener.local_addr().unwrap();
        let (stopped, open) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (halt, kept) = (Arc::clone(&stopped), Arc::clone(&open));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if halt.load(Ordering::SeqCst) {
                    return;
                }
                kept.lock().unwrap().push(stream.try_clone().unwrap());
                thread::spawn(move || {
                    let mut out = stream.try_clone().unwrap();
                    let mut input = BufReader::new(stream);
                    while answer(&mut input, &mut out) {}
                    let _ = out.shutdown(Shutdown::Both);
                });
            }
        });
        Server { at, stopped, open, thread: Some(thread) }
    }

    /// Ends all connections and the listener.
    fn stop(mut self) -> SocketAddr {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.at);
        self.thread.take().unwrap().join().unwrap();
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.at
    }
}

fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn tcp_answer(input: &mut BufReader<TcpStream>, out: &mut TcpStream) -> bool {
    let mut line = String::new();
    if input.read_line(&mut line).unwrap_or(0) == 0 {
        return false;
    }
    match line.trim_end() {
        "get slow" => thread::sleep(Duration::from_millis(100)),
        "get hang" => thread::sleep(Duration::from_secs(60)),
        _ => (),
    }
    out.write_all(if line == "get none\n" { b"500 no\n" } else { b"200 yes\n" }).is_ok()
}

fn socketmap_answer(input: &mut BufReader<TcpStream>, out: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    if input.read_until(b':', &mut head).unwrap_or(0) == 0 {
        return false;
    }
    head.pop();
    let len: usize = String::from_utf8(head).unwrap().parse().unwrap();
    let mut text = vec![0; len + 1];
    input.read_exact(&mut text).unwrap();
    let reply: &[u8] = if text == b"m none," { b"9:NOTFOUND ," } else { b"6:OK yes," };
    out.write_all(reply).is_ok()
}

#[test]
fn restarted_servers() {
    let kinds: [(&str, &str, Answer); 2] =
        [("tcp:", "", tcp_answer), ("socketmap:inet:", ":m", socketmap_answer)];
    for (before, after, answer) in kinds {
        let server = Server::start(anywhere(), answer);
        let (table, said) = open(&format!("{before}{}{after}", server.at));
        assert_eq!(ask(&table, "k"), Ok(Some("yes".into())));
        assert_eq!(ask(&table, "none"), Ok(None));
        let at = server.stop();
        assert_eq!(ask(&table, "k").unwrap_err(), "Connection refused");
        let refused = format!("{at}: Connection refused");
        assert!(said.lock().unwrap().iter().any(|line| line.ends_with(&refused)), "{said:?}");
        let again = Server::start(at, answer);
        until(&table, "k", "yes");
        again.stop();
    }
}

#[test]
fn a_closed_idle_connection_is_no_failure() {
    for (before, after, answer) in
        [("tcp:", "", tcp_answer as Answer), ("socketmap:inet:", ":m", socketmap_answer as Answer)]
    {
        let server = Server::start(anywhere(), answer);
        let (table, said) = open(&format!("{before}{}{after}", server.at));
        for _ in 0..5 {
            assert_eq!(ask(&table, "k"), Ok(Some("yes".into())));
            for stream in server.open.lock().unwrap().drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        assert_eq!(*said.lock().unwrap(), Vec::<String>::new());
        server.stop();
    }
}

#[test]
fn a_table_that_hangs_holds_nobody_up() {
    let server = Server::start(anywhere(), tcp_answer);
    let (table, _) = open(&format!("tcp:{}", server.at));
    let hanging: Vec<_> = (0..3).map(|_| table.lookup(b"hang")).collect();
    let (other, _) = open(&format!("tcp:{}", server.at));
    let started = Instant::now();
    assert_eq!(ask(&table, "k"), Ok(Some("yes".into())));
    assert_eq!(ask(&other, "k"), Ok(Some("yes".into())));
    assert!(started.elapsed() < Duration::from_secs(20));
    drop(hanging);
}

#[test]
fn slow_lookups_go_side_by_side() {
    let server = Server::start(anywhere(), tcp_answer);
    let (table, _) = open(&format!("tcp:{}", server.at));
    let started = Instant::now();
    let pending: Vec<_> = (0..8).map(|_| table.lookup(b"slow")).collect();
    for answer in pending {
        assert_eq!(block_on(answer), Ok(Some(b"yes".to_vec())));
    }
    // One after the other they would take 800 ms at least.
    assert!(started.elapsed() < Duration::from_millis(800), "{:?}", started.elapsed());
    server.stop();
}

/// A real server, ended with the value.
struct Real(Child);

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a real server that listens on `port`; `None` when it is not installed.
fn real(program: &str, arguments: &[&str], port: u16) -> Option<Real> {
    let null = || Stdio::null();
    let child = Command::new(program).args(arguments).stdin(null()).stdout(null()).stderr(null()).spawn();
    let Ok(child) = child else {
        assert!(std::env::var_os("HIKYAKU_PEERS_REQUIRED").is_none(), "needs {program}");
        return None;
    };
    let real = Real(child);
    let end = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "{program} did not start");
        thread::sleep(Duration::from_millis(10));
    }
    Some(real)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Sends commands to a server, and waits for as many lines.
fn send(port: u16, commands: &str, lines: usize) -> Vec<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(commands.as_bytes()).unwrap();
    BufReader::new(stream).lines().take(lines).map(|l| l.unwrap()).collect()
}

#[test]
fn memcached_comes_and_goes() {
    let port = free_port();
    let number = port.to_string();
    let arguments = ["-u", "nobody", "-l", "127.0.0.1", "-p", &number];
    let Some(server) = real("memcached", &arguments, port) else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("m.cf");
    std::fs::write(&file, format!("memcache = inet:127.0.0.1:{port}\ntimeout = 1\n")).unwrap();
    let (table, _) = open(&format!("memcache:{}", file.display()));
    assert_eq!(send(port, "set k 0 0 3\r\nyes\r\n", 1), ["STORED"]);
    assert_eq!(ask(&table, "K"), Ok(Some("yes".into())));
    assert_eq!(ask(&table, "none"), Ok(None));
    assert_eq!(ask(&table, "a b\r\nflush_all"), Ok(None));
    drop(server);
    assert_eq!(ask(&table, "k").unwrap_err(), "Connection refused");
    let _again = real("memcached", &arguments, port);
    send(port, "set k 0 0 3\r\nyes\r\n", 1);
    until(&table, "k", "yes");
}

#[test]
fn digests_of_keys() {
    let port = free_port();
    let number = port.to_string();
    let Some(_server) = real("memcached", &["-u", "nobody", "-l", "127.0.0.1", "-p", &number], port) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("m.cf");
    let settings = |rest: &str| {
        let start = format!("memcache = inet:127.0.0.1:{port}\ntimeout = 5\nkey_digest = ");
        std::fs::write(&file, format!("{start}{rest}\n")).unwrap();
        format!("memcache:{}", file.display())
    };
    // Of "abc", and of "p:a b".
    let keys = [
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "786c2e66d91cfd5be9b95a8334f6c08a",
    ];
    let commands = keys.map(|key| format!("set {key} 0 0 3\r\nyes\r\n")).concat();
    assert_eq!(send(port, &commands, 2), ["STORED", "STORED"]);
    let (table, _) = open(&settings("sha256"));
    assert_eq!(ask(&table, "abc"), Ok(Some("yes".into())));
    assert_eq!(ask(&table, keys[0]), Ok(None));
    assert_eq!(ask(&table, &"long".repeat(100)), Ok(None));
    let (table, _) = open(&settings("md5\nkey_format = p:%s"));
    assert_eq!(ask(&table, "a b"), Ok(Some("yes".into())));
    let spec = settings("md9");
    let tables =
        Tables::new(Options { more: Some(NetTables::new(Config::from_text(""))), ..Options::default() });
    assert!(tables.try_open(&spec, Usage::LOOKUP).is_err());
}

#[test]
fn a_cache_that_hangs_leaves_the_backup() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("m.cf");
    let place = silent.local_addr().unwrap();
    let settings = format!("memcache = inet:{place}\ntimeout = 1\nmax_try = 1\nbackup = inline:{{k=yes}}\n");
    std::fs::write(&file, settings).unwrap();
    let (table, said) = open(&format!("memcache:{}", file.display()));
    assert_eq!(ask(&table, "k"), Ok(Some("yes".into())));
    assert_eq!(ask(&table, "none"), Ok(None));
    assert!(said.lock().unwrap().iter().any(|l| l.ends_with("I/O error: Connection timed out")), "{said:?}");
}

#[test]
fn redis() {
    let port = free_port();
    let number = port.to_string();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().display().to_string();
    let arguments =
        ["--port", &number, "--bind", "127.0.0.1", "--save", "", "--dir", &folder, "--requirepass", "pw"];
    let Some(server) = real("redis-server", &arguments, port) else { return };
    let table = |name: &str, settings: &str| {
        let file = dir.path().join(name);
        let start = format!("redis = inet:127.0.0.1:{port}\npassword = pw\ntimeout = 5\n");
        std::fs::write(&file, format!("{start}{settings}")).unwrap();
        open(&format!("redis:{}", file.display()))
    };
    let commands = "AUTH pw\r\nSET alias:joe joe@example.com\r\nHSET users ann 1001\r\nSADD blocked spam@example.net\r\n\
                    SELECT 3\r\nSET k three\r\n";
    assert_eq!(send(port, commands, 6), ["+OK", "+OK", ":1", ":1", "+OK", "+OK"]);
    let (strings, _) = table("s.cf", "key_format = alias:%s\n");
    assert_eq!(ask(&strings, "Joe"), Ok(Some("joe@example.com".into())));
    assert_eq!(ask(&strings, "none"), Ok(None));
    assert_eq!(ask(&strings, "x\r\nFLUSHALL\r\n"), Ok(None));
    let (hash, _) = table("h.cf", "hash = users\nresult_format = uid=%s\n");
    assert_eq!(ask(&hash, "ann"), Ok(Some("uid=1001".into())));
    let (set, _) = table("t.cf", "set = blocked\ndomain = example.net\nresult_format = REJECT\n");
    assert_eq!(ask(&set, "spam@example.net"), Ok(Some("REJECT".into())));
    assert_eq!(ask(&set, "other@example.net"), Ok(None));
    assert_eq!(ask(&set, "spam@example.org"), Ok(None));
    let (third, _) = table("d.cf", "database = 3\n");
    assert_eq!(ask(&third, "k"), Ok(Some("three".into())));
    let (wrong, said) = table("w.cf", "key_format = users\n");
    assert!(ask(&wrong, "any").is_err());
    assert!(said.lock().unwrap()[0].contains("redis server: WRONGTYPE"), "{said:?}");
    let (denied, said) = table("p.cf", "password = wrong\n");
    assert!(ask(&denied, "any").is_err());
    assert!(said.lock().unwrap().iter().any(|l| l.contains("redis server: WRONGPASS")), "{said:?}");
    drop(server);
    assert_eq!(ask(&strings, "joe").unwrap_err(), "Connection refused");
    let _again = real("redis-server", &arguments, port);
    send(port, "AUTH pw\r\nSET alias:joe back\r\n", 2);
    until(&strings, "joe", "back");
}

#[test]
fn socketmap_sizes() {
    let server = Server::start(anywhere(), socketmap_answer);
    let spec = format!("socketmap:inet:{}:m", server.at);
    let (table, said) = open_with(&spec, "socketmap_max_query_size = 6");
    assert_eq!(ask(&table, "four"), Ok(Some("yes".into())));
    assert!(ask(&table, "fives").is_err());
    assert!(said.lock().unwrap()[0].ends_with("query exceeds socketmap_max_query_size"));
    let (table, _) = open_with(&spec, "socketmap_max_reply_size = 5");
    assert!(ask(&table, "k").is_err(), "the reply has six bytes");
    server.stop();
}
