//! Attacks on a whole server, from a stranger at its port and from the next hop behind it. docs/security.md lists them all, also
//! those that tests of single crates and scenarios make.

#[path = "common/server.rs"]
mod server;

use nix::unistd::Pid;
use server::{Received, Server, sink};
use std::{
    env, fs,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

/// A server that relays for nobody but the local host's second address.
const STRANGER: &str = "mynetworks = 127.0.0.2/32\nmydestination = local.example\nlocal_recipient_maps =\n\
    local_transport = smtp:$relayhost\n\
    smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\nlocal_header_rewrite_clients =\n";

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    fn connect(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut client = Self { stream, buffer: Vec::new() };
        client.expect("220");
        client.ask("EHLO stranger.example\r\n", "250");
        client
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // A server that has closed the connection says so in its reply.
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// The last line of the next reply; empty at the end of the connection.
    fn reply(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if line.get(3) != Some(&b'-') {
                    return String::from_utf8_lossy(&line).trim_end().to_owned();
                }
                continue;
            }
            let mut part = [0; 4096];
            match self.stream.read(&mut part) {
                Ok(0) => return String::new(),
                Ok(n) => self.buffer.extend_from_slice(&part[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    return String::new();
                }
                Err(e) => panic!("no reply: {e}"),
            }
        }
    }

    /// Reads replies up to that of RSET or NOOP; false at the end of the connection.
    fn is_still_there(&mut self) -> bool {
        loop {
            match self.reply() {
                reply if reply.contains("2.0.0 Ok") => return true,
                reply if reply.is_empty() => return false,
                _ => {}
            }
        }
    }

    fn expect(&mut self, code: &str) -> String {
        let reply = self.reply();
        assert!(reply.starts_with(code), "{reply} instead of {code}");
        reply
    }

    fn ask(&mut self, bytes: impl AsRef<[u8]>, code: &str) -> String {
        self.send(bytes);
        self.expect(code)
    }
}

fn started(more: &str) -> (Server, Arc<Received>) {
    let (nexthop, received) = sink();
    let mut server = Server::configure(nexthop, more);
    server.start();
    Client::connect(server.listen).ask("QUIT\r\n", "221");
    (server, received)
}

/// Waits until a message with this subject has arrived.
fn arrived(received: &Received, subject: &str, server: &Server) {
    let end = Instant::now() + Duration::from_secs(20);
    while !received.subjects.lock().unwrap().contains_key(subject) {
        assert!(Instant::now() < end, "{subject} does not arrive: {}", server.log());
        sleep(Duration::from_millis(20));
    }
}

fn count(received: &Received) -> usize {
    received.subjects.lock().unwrap().values().sum()
}

/// The worker's process.
fn worker(server: &Server) -> Pid {
    server.process("hikyaku-worker").unwrap_or_else(|| panic!("no worker: {}", server.log()))
}

/// Resident memory of the worker in KiB.
fn memory(server: &Server) -> u64 {
    let pid = worker(server);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// What other servers may take for the end of the content.
const ENDS: [&str; 9] =
    ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n.\r", "\r\n.\0\r\n", "\r\n\0.\r\n"];

const INNER: &str = "MAIL FROM:<admin@victim.example>\r\nRCPT TO:<smuggled@victim.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nx";

#[test]
fn smuggling_in() {
    // The client is in mynetworks, and those are exempt by default.
    let (server, received) =
        started("smtpd_forbid_bare_newline_exclusions =\nsmtpd_forbid_unauth_pipelining = no\n");
    for (n, end) in ENDS.iter().enumerate() {
        let mut c = Client::connect(server.listen);
        c.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n");
        c.expect("250");
        c.expect("250");
        c.expect("354");
        c.send(format!("Subject: outer {n}\r\n\r\nx{end}{INNER}\r\n.\r\n"));
        let reply = c.reply();
        // One answer to one message, whether it was taken or refused.
        assert_eq!(c.ask("NOOP\r\n", "250"), "250 2.0.0 Ok", "{end:?}");
        if reply.starts_with("250") {
            arrived(&received, &format!("outer {n}"), &server);
        }
    }
    assert!(!received.subjects.lock().unwrap().contains_key("smuggled"), "{}", server.log());
    assert!(!server.whole_log().contains("to=<smuggled@"));
    assert!(!server.whole_log().contains("from=<admin@"));
}

#[test]
fn smuggling_out() {
    let (server, received) = started("smtpd_forbid_bare_newline = no\n");
    for (n, end) in ENDS.iter().enumerate() {
        let mut c = Client::connect(server.listen);
        let content = format!("Subject: outer {n}\r\n\r\nx{end}{INNER}\r\n.\r\n");
        c.ask("MAIL FROM:<a@example.com>\r\n", "250");
        c.ask("RCPT TO:<b@example.org>\r\n", "250");
        c.ask(format!("BDAT {} LAST\r\n{content}", content.len()), "250");
        arrived(&received, &format!("outer {n}"), &server);
    }
    assert_eq!(count(&received), ENDS.len());
    for session in received.sessions.lock().unwrap().iter() {
        let text = String::from_utf8_lossy(session);
        let bare = text.replace("\r\n", "");
        assert!(!bare.contains('\n') && !bare.contains('\r'), "a bare CR or LF goes out: {text:?}");
        let commands =
            text.matches("DATA\r\n").count() - text.matches("\r\nDATA\r\nSubject: smuggled").count();
        assert_eq!(text.matches("\r\n.\r\n").count(), commands, "{text:?}");
    }
}

#[test]
fn open_relay_addresses() {
    let (server, received) = started(STRANGER);
    let cases = [
        // The only one that is ours.
        "user@local.example",
        "user@victim.example",
        "user%victim.example@local.example",
        "victim.example!user@local.example",
        "victim.example!user",
        "@local.example:user@victim.example",
        "@local.example,@other.example:user@victim.example",
        "user@victim.example@local.example",
        "\"user@victim.example\"@local.example",
        "\"user%victim.example\"@local.example",
        "\"user@victim.example\"",
        "user%victim.example",
        "user%victim.example@",
        "user%victim.example@[127.0.0.1]",
        "user@[192.0.2.1]",
        "user@victim.example%local.example",
        "user@local.example.victim.example",
        "user@victim.example.",
        "user@VICTIM.example\0@local.example",
        "user@local.example\0.victim.example",
        "user@\"local.example\".victim.example",
        "(local.example)user@victim.example",
        "user@victim.example (local.example)",
        "user@local.example>,<user@victim.example",
        "user@local.example\rRCPT TO:<user@victim.example>\r",
        "user@victim.example\u{ff0e}local.example",
        "'user@victim.example'@local.example",
        "|/bin/true@victim.example",
    ];
    for address in cases {
        let mut c = Client::connect(server.listen);
        c.ask("MAIL FROM:<a@stranger.example>\r\n", "250");
        c.send(format!("RCPT TO:<{address}>\r\n"));
        let reply = c.reply();
        if reply.starts_with("250") {
            c.ask("DATA\r\n", "354");
            c.ask("Subject: taken\r\n\r\nx\r\n.\r\n", "250");
            arrived(&received, "taken", &server);
            received.subjects.lock().unwrap().clear();
        }
    }
    let sessions = received.sessions.lock().unwrap();
    let text: String = sessions.iter().map(|session| String::from_utf8_lossy(session)).collect();
    let recipients: Vec<&str> = text.lines().filter(|l| l.starts_with("RCPT TO:")).collect();
    assert!(!recipients.is_empty(), "no address was taken: {}", server.log());
    for line in recipients {
        assert!(line.contains("@local.example>"), "relayed: {line}");
    }
}

#[test]
fn nothing_forges_a_line_of_the_log() {
    let (mut server, _received) = started(STRANGER);
    let forged = "Nov 11 11:11:11 host postfix/smtpd[1]: forged";
    let mut c = Client::connect(server.listen);
    for word in ["EHLO ", "HELO ", "MAIL FROM:<a@x.example>\t", "VRFY ", "XCLIENT NAME=", "PROXY TCP4 ", ""] {
        for end in ["\r", "\n", "\0", "\u{b}", "\u{c}", "\u{85}", "\u{2028}", "\u{1b}[2K", "%s%n"] {
            c.send(format!("{word}x{end}{forged}\r\nRSET\r\n"));
            if !c.is_still_there() {
                c = Client::connect(server.listen);
            }
        }
        c = Client::connect(server.listen);
    }
    c.ask("QUIT\r\n", "221");
    // All is written then.
    server.stop();
    let log = server.whole_log();
    let lines: Vec<&str> = log.split('\n').filter(|l| l.contains("forged")).collect();
    assert!(!lines.is_empty(), "{log}");
    for line in lines {
        assert!(line.get(16..).is_some_and(|rest| !rest.starts_with("host ")), "{line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}

#[test]
fn spoofed_clients() {
    let (server, _received) = started(STRANGER);
    let mut c = Client::connect(server.listen);
    c.ask("XCLIENT ADDR=127.0.0.2 NAME=localhost LOGIN=admin\r\n", "5");
    c.ask("XFORWARD ADDR=127.0.0.2\r\n", "5");
    c.ask("MAIL FROM:<a@stranger.example>\r\n", "250");
    c.ask("RCPT TO:<user@victim.example>\r\n", "554");
    let mut c = Client { stream: TcpStream::connect(server.listen).unwrap(), buffer: Vec::new() };
    c.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    c.expect("220");
    c.ask("PROXY TCP4 127.0.0.2 127.0.0.1 1 25\r\n", "5");
    c.ask("EHLO x\r\n", "250");
    c.ask("MAIL FROM:<a@stranger.example>\r\n", "250");
    c.ask("RCPT TO:<user@victim.example>\r\n", "554");
    assert!(!server.whole_log().contains("connect from localhost[127.0.0.2]"));
}

#[test]
fn a_refused_message_leaves_nothing_for_the_next() {
    let (server, received) = started(&format!(
        "{STRANGER}header_checks = inline:{{{{X-Bad:=REJECT}}}}\nbody_checks = static:REJECT\n"
    ));
    let mut c = Client::connect(server.listen);
    for (content, code) in
        [("Subject: a\r\n\r\nbody\r\n.\r\n", "550"), ("\r\n.\r\n", "250"), (".\r\n", "250")]
    {
        c.ask("MAIL FROM:<a@stranger.example>\r\n", "250");
        c.ask("RCPT TO:<b@local.example>\r\n", "250");
        c.ask("DATA\r\n", "354");
        c.ask(content, code);
        // The state is that of a new message: no recipient, no sender, all restrictions.
        c.ask("RCPT TO:<user@victim.example>\r\n", "503");
        c.ask("DATA\r\n", "5");
        c.ask("MAIL FROM:<a@stranger.example>\r\n", "250");
        c.ask("RCPT TO:<user@victim.example>\r\n", "554");
        c.ask("RSET\r\n", "250");
    }
    // BDAT that goes wrong ends the transaction, too.
    c.ask("MAIL FROM:<a@stranger.example>\r\n", "250");
    c.ask("BDAT 3\r\nabc", "5");
    c.ask("RSET\r\n", "250");
    for chunk in ["BDAT 99999999999999999999\r\n", "BDAT -1 LAST\r\n", "BDAT\r\n", "BDAT 1 LAST LAST\r\n"] {
        c.ask("MAIL FROM:<a@stranger.example>\r\n", "250");
        c.ask("RCPT TO:<b@local.example>\r\n", "250");
        c.ask(chunk, "5");
        c.send("RSET\r\n");
        // Where the next command begins may be unknown: then the connection ends.
        if !c.is_still_there() {
            c = Client::connect(server.listen);
        }
        c.ask("RCPT TO:<b@local.example>\r\n", "503");
    }
    // VRFY in a transaction changes nothing of it.
    c.ask("MAIL FROM:<a@stranger.example>\r\n", "250");
    c.ask("VRFY <b@local.example> SMTPUTF8\r\n", "");
    c.ask("RCPT TO:<b@local.example>\r\n", "250");
    c.ask("QUIT\r\n", "221");
    let arrived = received.subjects.lock().unwrap();
    assert!(!arrived.contains_key("a"), "{arrived:?}");
}

#[test]
fn tiny_chunks_cost_no_memory() {
    let (server, received) = started("");
    let before = memory(&server);
    let mut c = Client::connect(server.listen);
    c.ask("MAIL FROM:<a@example.com>\r\n", "250");
    c.ask("RCPT TO:<b@example.org>\r\n", "250");
    let mut chunks = b"BDAT 15\r\nSubject: tiny\r\n".to_vec();
    (0..50_000).for_each(|_| chunks.extend_from_slice(b"BDAT 1\r\nx"));
    let mut out = c.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || out.write_all(&chunks));
    (0..50_001).for_each(|_| drop(c.expect("250")));
    sender.join().unwrap().unwrap();
    c.ask("BDAT 0 LAST\r\n", "250");
    arrived(&received, "tiny", &server);
    let grown = memory(&server).saturating_sub(before);
    assert!(grown < 24 * 1024, "{grown} KiB for 50 kB");
}

#[test]
fn huge_things_are_bounded() {
    let (server, received) = started("");
    let worker = worker(&server);
    let before = memory(&server);
    let mut c = Client::connect(server.listen);
    // A command without end.
    c.send(vec![b'A'; 3_000_000]);
    c.send("\r\nNOOP\r\n");
    if !c.is_still_there() {
        c = Client::connect(server.listen);
    }
    // Recipients beyond smtpd_recipient_limit.
    c.ask("MAIL FROM:<a@example.com>\r\n", "250");
    let mut list = String::new();
    (0..1500).for_each(|n| list += &format!("RCPT TO:<u{n}@example.org>\r\n"));
    c.send(list);
    let taken = (0..1500).filter(|_| c.reply().starts_with("250")).count();
    assert_eq!(taken, 1000);
    c.ask("RSET\r\n", "250");
    // A line, a header field, many fields, deep MIME: each a message that is taken or refused, in bounded memory and time.
    let line = format!("Subject: line\r\n\r\n{}\r\n", "x".repeat(5_000_000));
    let header = format!("Subject: header\r\nX-Long: {}\r\n\r\nx\r\n", "y ".repeat(2_000_000));
    let fields = format!("Subject: fields\r\n{}\r\nx\r\n", "X-Many: z\r\n".repeat(300_000));
    let mut mime = "Subject: mime\r\nMIME-Version: 1.0\r\n".to_owned();
    (0..20_000)
        .for_each(|n| mime += &format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n"));
    let groups = format!("Subject: groups\r\nTo: {}\r\n\r\nx\r\n", "(".repeat(500_000));
    for (name, content) in
        [("line", line), ("header", header), ("fields", fields), ("mime", mime), ("groups", groups)]
    {
        let start = Instant::now();
        c.ask("MAIL FROM:<a@example.com>\r\n", "250");
        c.ask("RCPT TO:<b@example.org>\r\n", "250");
        c.ask("DATA\r\n", "354");
        c.send(content);
        let reply = c.ask("\r\n.\r\n", "");
        assert!(!reply.is_empty(), "{name}: the connection ended: {}", server.log());
        assert!(start.elapsed() < Duration::from_secs(20), "{name}: {:?}", start.elapsed());
        if reply.starts_with("250") {
            arrived(&received, name, &server);
        }
    }
    let grown = memory(&server).saturating_sub(before);
    assert!(grown < 160 * 1024, "{grown} KiB");
    assert_eq!(server.process("hikyaku-worker"), Some(worker), "the worker ended: {}", server.log());
}

#[test]
fn regular_expressions_that_explode() {
    let folder = server::folder("hikyaku-rules.");
    let rules = "/^X-Bomb: (a+)+$/ REJECT\n/^X-Bomb: (a|aa)+$/ REJECT\n/^X-Bomb: (.*a){20}!$/ REJECT\n";
    fs::write(folder.path().join("rules"), rules).unwrap();
    let path = folder.path().join("rules").display().to_string();
    for kind in ["pcre", "regexp"] {
        let (server, _received) = started(&format!("header_checks = {kind}:{path}\n"));
        let worker = worker(&server);
        let mut c = Client::connect(server.listen);
        let start = Instant::now();
        c.ask("MAIL FROM:<a@example.com>\r\n", "250");
        c.ask("RCPT TO:<b@example.org>\r\n", "250");
        c.ask("DATA\r\n", "354");
        let reply = c.ask(format!("X-Bomb: {}b\r\n\r\nx\r\n.\r\n", "a".repeat(2000)), "");
        assert!(!reply.is_empty(), "{kind}: the connection ended: {}", server.log());
        let took = start.elapsed();
        assert!(took < Duration::from_secs(20), "{kind}: {took:?}");
        // Meanwhile and afterwards others are served.
        Client::connect(server.listen).ask("NOOP\r\n", "250");
        let now = server.process("hikyaku-worker");
        assert_eq!(now, Some(worker), "{kind}: the worker ended: {}", server.log());
    }
}

#[test]
fn idle_and_dripping_clients_keep_nobody_out() {
    let (server, _received) = started("");
    let idle: Vec<TcpStream> = (0..400).map(|_| TcpStream::connect(server.listen).unwrap()).collect();
    for n in 0..10 {
        idle.iter().take(100).for_each(|mut s| drop(s.write_all(b"E")));
        let start = Instant::now();
        Client::connect(server.listen).ask("NOOP\r\n", "250");
        // Who waits for them waits for a time limit: 10 s at least.
        assert!(start.elapsed() < Duration::from_secs(5), "{n}: {:?}", start.elapsed());
    }
}

/// The limits that a running program has, as the kernel tells them.
#[test]
fn programs_have_given_up_what_they_do_not_need() {
    if !nix::unistd::geteuid().is_root() {
        assert!(env::var_os("HIKYAKU_PEERS_REQUIRED").is_none(), "needs root");
        return;
    }
    let (server, _received) = started("");
    let status = |pid: Pid| fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let pid = worker(&server);
    let worker = status(pid);
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000"] {
        assert!(worker.contains(line), "{line}: {worker}");
    }
    // The courier starts beside the worker, which answers already.
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let courier = server.process("hikyaku-courier").map(status).unwrap_or_default();
        let effective = courier.lines().find_map(|l| l.strip_prefix("CapEff:\t"));
        let effective = effective.and_then(|text| u64::from_str_radix(text, 16).ok());
        // chown, dac_override, dac_read_search, fowner, fsetid, kill, setgid, setuid, sys_resource.
        if effective.is_some_and(|bits| bits & !0x0100_00ff == 0) {
            break;
        }
        assert!(Instant::now() < end, "the courier: {courier}");
        sleep(Duration::from_millis(20));
    }
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        // Threads come and go.
        let Ok(status) = fs::read_to_string(task.unwrap().path().join("status")) else { continue };
        assert!(status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1"), "{status}");
    }
}

/// The sandbox cannot grow: master opens the files of new tables, and a worker that must write elsewhere is started anew.
#[test]
fn reloads_that_name_new_folders() {
    let (server, received) = started("");
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let at = folder.path().display();
    fs::write(folder.path().join("virtual"), "old@example.org new@example.org\n").unwrap();
    let main = server.dir.path().join("etc/main.cf");
    let before = fs::read_to_string(&main).unwrap();
    let before_reload = worker(&server);
    for (more, is_same) in [
        (format!("virtual_alias_maps = texthash:{at}/virtual\n"), true),
        (
            format!("virtual_alias_maps = texthash:{at}/virtual\naddress_verify_map = btree:{at}/verify\n"),
            false,
        ),
    ] {
        fs::write(&main, format!("{before}{more}")).unwrap();
        server.reload();
        let end = Instant::now() + Duration::from_secs(20);
        let mut n = 0;
        while !server.whole_log().contains("to=<new@example.org>, orig_to=<old@example.org>") || n == 0 {
            assert!(Instant::now() < end, "the table is not used: {}", server.log());
            n += 1;
            let mut c = Client::connect(server.listen);
            c.ask("MAIL FROM:<a@example.com>\r\n", "250");
            c.ask("RCPT TO:<old@example.org>\r\n", "250");
            c.ask("DATA\r\n", "354");
            c.ask(format!("Subject: {is_same} {n}\r\n\r\nx\r\n.\r\n"), "250");
            arrived(&received, &format!("{is_same} {n}"), &server);
            sleep(Duration::from_millis(50));
        }
        while (server.process("hikyaku-worker") == Some(before_reload)) != is_same {
            assert!(Instant::now() < end, "{is_same}: {}", server.log());
            sleep(Duration::from_millis(50));
        }
    }
}
