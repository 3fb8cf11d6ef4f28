//! The real courier, started as master starts it and asked as the worker asks it: mailboxes of real users, as root.
//!
//! Without root the deliveries are to the calling user only; the tests of privilege fail in CI when they cannot run.

use base_calls::{
    Content, Envelope, Recipient, Target,
    courier::{ContentPlace, CourierAnswer, CourierRequest, Verdict},
};
use base_sys::{
    User, fds,
    handoff::{Channel, ENV, ListenerKey, Order, Reply},
    privilege,
    process::Launch,
};
use std::{
    fs,
    io::{Read, Write},
    os::{
        fd::AsFd,
        unix::{
            fs::{MetadataExt, PermissionsExt, chown},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    process::Child,
};

const MASTER_CF: &str = "\
local unix - n n - - local
virtual unix - n n - - virtual
cat unix - n n - - pipe flags=DRX user=nobody argv=/bin/sh -c cat>${nexthop};echo>>${nexthop}.$recipient
bad unix - n n - - pipe user=root argv=/bin/true
";

struct Courier {
    dir: tempfile::TempDir,
    channel: Channel,
    process: Child,
}

impl Courier {
    fn start(main_cf: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let root = dir.path().display();
        let text = format!(
            "myhostname = mail.example.com\nmyorigin = example.com\nmydestination = example.com\n\
             queue_directory = {root}\nmaillog_file = {root}/log\nmail_spool_directory = {root}/spool\n\
             recipient_delimiter = +\ncat_destination_recipient_limit = 1\nalias_maps =\n{}\n",
            main_cf.replace("$DIR", &root.to_string())
        );
        fs::write(dir.path().join("main.cf"), text).unwrap();
        fs::write(dir.path().join("master.cf"), MASTER_CF).unwrap();
        fs::create_dir(dir.path().join("spool")).unwrap();
        fs::set_permissions(dir.path().join("spool"), fs::Permissions::from_mode(0o1777)).unwrap();
        let (channel, theirs) = Channel::pair().unwrap();
        let mut launch = Launch::new(env!("CARGO_BIN_EXE_hikyaku-courier"));
        launch.command().arg("-c").arg(dir.path());
        launch.pass_fd(ENV, theirs.into_fd());
        let process = launch.spawn().unwrap();
        let listener = UnixListener::bind(dir.path().join("courier")).unwrap();
        listener.set_nonblocking(true).unwrap();
        let key = ListenerKey { service: "courier/unix".into(), address: "private/courier".into() };
        channel.order(&Order::Listener(key, listener.into())).unwrap();
        let courier = Self { dir, channel, process };
        courier.configured(1);
        courier
    }

    fn configured(&self, generation: u32) {
        self.channel.order(&Order::Configured { generation }).unwrap();
        assert_eq!(self.channel.next_reply().unwrap(), Some(Reply::Ready { generation }));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.path("courier")).unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn request(service: &str, nexthop: &str, addresses: &[&str], content: &Content) -> CourierRequest {
    let recipient =
        |a: &&str| Recipient { address: (*a).into(), original: (*a).into(), ..Recipient::default() };
    let place = match content {
        Content::Memory(b) => ContentPlace::Inline { len: b.len() as u64 },
        Content::File { offset, len, .. } => ContentPlace::File { offset: *offset, len: *len },
    };
    CourierRequest {
        service: service.into(),
        nexthop: nexthop.into(),
        queue_id: "4Q1".into(),
        envelope: Envelope {
            sender: "a@example.net".into(),
            recipients: addresses.iter().map(recipient).collect(),
            ..Envelope::default()
        },
        targets: (0..).zip(addresses).map(|(index, a)| Target { index, address: (*a).into() }).collect(),
        done: Vec::new(),
        content: place,
    }
}

fn ask(stream: &mut UnixStream, request: &CourierRequest, content: &Content) -> CourierAnswer {
    let frame = request.to_frame().unwrap();
    let file = match content {
        Content::File { file, .. } => Some(file.as_fd()),
        Content::Memory(_) => None,
    };
    let sent = fds::send_with_fd(stream.as_fd(), &frame, file).unwrap();
    stream.write_all(&frame[sent..]).unwrap();
    if let Content::Memory(b) = content {
        stream.write_all(b).unwrap();
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head).unwrap();
    let mut body = vec![0; u32::from_le_bytes(head) as usize];
    stream.read_exact(&mut body).unwrap();
    CourierAnswer::parse(&body).unwrap()
}

fn memory(text: &str) -> Content {
    Content::Memory(bytes::Bytes::copy_from_slice(text.as_bytes()))
}

/// `address: verdict` lines of an answer.
fn show(answer: &CourierAnswer) -> String {
    let mut out = String::new();
    for t in &answer.targets {
        for d in &t.deposits {
            let verdict = match &d.verdict {
                Verdict::Sent(s, text) => format!("sent {s} {text}"),
                Verdict::Deferred(d) => format!("deferred {} {}", d.status, d.reason),
                Verdict::Failed(d) => format!("failed {} {}", d.status, d.reason),
                Verdict::HandOver(to) => format!("to {to}"),
            };
            out += &format!("{} {}: {verdict}\n", t.index, d.address);
        }
        for f in &t.forwards {
            out += &format!(
                "{} {}: forward from {} to {}\n",
                t.index,
                f.address,
                f.sender,
                f.recipients.join(",")
            );
        }
    }
    out
}

fn need_root() -> bool {
    assert!(privilege::is_root() || std::env::var("CI").is_err(), "needs root");
    privilege::is_root()
}

fn owner(path: &Path) -> (u32, u32, u32) {
    let m = fs::metadata(path).unwrap();
    (m.uid(), m.gid(), m.mode() & 0o777)
}

const MAIL: &str = "Subject: x\r\n\r\nFrom here\r\n";

#[test]
fn users_get_their_mailboxes() {
    if !need_root() {
        return;
    }
    let c = Courier::start("");
    let mut s = c.connect();
    let content = memory(MAIL);
    let answer = ask(
        &mut s,
        &request(
            "local",
            "",
            &["nobody+x@example.com", "Daemon@example.com", "nosuch@example.com"],
            &content,
        ),
        &content,
    );
    assert_eq!(
        show(&answer),
        "0 nobody+x@example.com: sent 2.0.0 delivered to mailbox\n\
         1 Daemon@example.com: sent 2.0.0 delivered to mailbox\n\
         2 nosuch@example.com: failed 5.1.1 unknown user: \"nosuch\"\n"
    );
    let nobody = User::by_name("nobody").unwrap().unwrap();
    assert_eq!(owner(&c.path("spool/nobody")), (nobody.uid, nobody.gid, 0o600));
    let text = fs::read_to_string(c.path("spool/nobody")).unwrap();
    let (from, rest) = text.split_once('\n').unwrap();
    assert!(from.starts_with("From a@example.net  ") && from.len() == 44, "{from}");
    assert_eq!(
        rest,
        "Return-Path: <a@example.net>\nX-Original-To: nobody+x@example.com\nDelivered-To: nobody+x@example.com\n\
         Subject: x\n\n>From here\n\n"
    );
}

#[test]
fn spool_folders_of_every_kind() {
    if !need_root() {
        return;
    }
    let games = User::by_name("games").unwrap().unwrap();
    for (group, mode) in [(8, 0o2775), (0, 0o755)] {
        let c = Courier::start("");
        chown(c.path("spool"), Some(0), Some(group)).unwrap();
        fs::set_permissions(c.path("spool"), fs::Permissions::from_mode(mode)).unwrap();
        let content = memory(MAIL);
        let answer = ask(&mut c.connect(), &request("local", "", &["games@example.com"], &content), &content);
        assert!(
            show(&answer).contains("sent 2.0.0 delivered to mailbox"),
            "{mode:o}: {} {}",
            show(&answer),
            c.log()
        );
        let (uid, _, bits) = owner(&c.path("spool/games"));
        assert_eq!((uid, bits), (games.uid, 0o600), "{mode:o}");
        assert!(!c.path("spool/games.lock").exists());
    }
}

#[test]
fn aliases_expand_and_forward() {
    if !need_root() {
        return;
    }
    let c = Courier::start(
        "alias_maps = inline:{{two = nobody, daemon}, {nested = two, games}, {out = nobody, x@example.org}, \
         self=self, loop=loop2, loop2=loop, list=nobody, owner-list=daemon, {mixed = nosuch, nobody}, \
         {games = games, nobody}, {play = games, daemon, x@example.org, y@example.org}, \
         {tools = tool1, tool2}, {tool1 = |/bin/true}, {tool2 = |/bin/true}}",
    );
    let content = memory(MAIL);
    let check = |address: &str, expect: &str| {
        let answer = ask(&mut c.connect(), &request("local", "", &[address], &content), &content);
        let text: Vec<String> = show(&answer).lines().map(|l| l.replace("@example.com", "")).collect();
        assert_eq!(text.join(" | "), expect, "{address}");
    };
    let sent = "sent 2.0.0 delivered to mailbox";
    check("two@example.com", &format!("0 nobody: {sent} | 0 daemon: {sent}"));
    check("NESTED@example.com", &format!("0 nobody: {sent} | 0 daemon: {sent} | 0 games: {sent}"));
    check(
        "out@example.com",
        &format!("0 nobody: {sent} | 0 out: forward from a@example.net to x@example.org"),
    );
    check("self@example.com", "0 self: failed 5.1.1 unknown user: \"self\"");
    check("loop@example.com", "0 loop: failed 5.4.6 alias database loop for loop");
    check("list@example.com", "0 list: forward from owner-list to nobody");
    check(
        "mixed@example.com",
        &format!("0 nosuch: failed 5.1.1 unknown user: \"nosuch\" | 0 nobody: {sent}"),
    );
    check(
        "play@example.com",
        &format!(
            "0 games: {sent} | 0 nobody: {sent} | 0 daemon: {sent} | 0 play: forward from a@example.net to x@example.org,y@example.org"
        ),
    );
    // What an earlier attempt is done with is left out.
    let mut again = request("local", "", &["play@example.com"], &content);
    again.done =
        vec![["nobody@example.com", "daemon@example.com", "x@example.org"].map(str::to_owned).into()];
    let answer = ask(&mut c.connect(), &again, &content);
    assert_eq!(
        show(&answer).replace("@example.com", ""),
        format!("0 games: {sent}\n0 play: forward from a@example.net to y@example.org\n")
    );
    // The same command of two aliases is two deliveries: when one is done, the other is not.
    let mut tools = request("local", "", &["tools@example.com"], &content);
    let members = |answer: &CourierAnswer| -> Vec<String> {
        answer.targets.iter().flat_map(|t| &t.deposits).map(|d| d.member.clone()).collect()
    };
    let both = ["tool1@example.com |/bin/true", "tool2@example.com |/bin/true"];
    assert_eq!(members(&ask(&mut c.connect(), &tools, &content)), both);
    tools.done = vec![vec![both[0].to_owned()]];
    assert_eq!(members(&ask(&mut c.connect(), &tools, &content)), both[1..]);
    let text = fs::read_to_string(c.path("spool/games")).unwrap();
    assert!(
        text.contains("\nX-Original-To: NESTED@example.com\nDelivered-To: NESTED@example.com\n"),
        "{text}"
    );
    let looped = memory("Delivered-To: Nobody@example.com\r\n\r\n");
    let answer = ask(&mut c.connect(), &request("local", "", &["nobody@example.com"], &looped), &looped);
    assert_eq!(
        show(&answer),
        "0 nobody@example.com: failed 5.4.6 mail forwarding loop for nobody@example.com\n"
    );
}

#[test]
fn virtual_mailboxes_belong_to_their_owner() {
    let (uid, gid) =
        if need_root() { (5001, 5002) } else { (privilege::effective_uid(), privilege::effective_gid()) };
    let c = Courier::start(&format!(
        "virtual_mailbox_base = $DIR/v\nvirtual_minimum_uid = 1\n\
         virtual_mailbox_maps = inline:{{md@v.example=deep/md/, mb@v.example=mb, bad@v.example=x}}\n\
         virtual_uid_maps = inline:{{md@v.example={uid}, mb@v.example={uid}, bad@v.example=0}}\n\
         virtual_gid_maps = static:{gid}"
    ));
    fs::create_dir(c.path("v")).unwrap();
    chown(c.path("v"), Some(uid), Some(gid)).unwrap();
    let path = c.path("content");
    fs::write(&path, format!("junk{MAIL}junk")).unwrap();
    let file = std::sync::Arc::new(fs::File::open(&path).unwrap());
    let content = Content::File { file, offset: 4, len: MAIL.len() as u64 };
    let to = ["md+ext@v.example", "mb@v.example", "bad@v.example", "none@v.example"];
    let answer = ask(&mut c.connect(), &request("virtual", "", &to, &content), &content);
    assert_eq!(
        show(&answer),
        "0 md+ext@v.example: sent 2.0.0 delivered to maildir\n\
         1 mb@v.example: sent 2.0.0 delivered to mailbox\n\
         2 bad@v.example: deferred 4.3.5 mail system configuration error\n\
         3 none@v.example: failed 5.1.1 unknown user: \"none@v.example\"\n"
    );
    assert_eq!(owner(&c.path("v/mb")), (uid, gid, 0o600));
    assert_eq!(owner(&c.path("v/deep/md")), (uid, gid, 0o700));
    let new: Vec<_> = fs::read_dir(c.path("v/deep/md/new")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(new.len(), 1);
    let text = fs::read_to_string(&new[0]).unwrap();
    assert!(text.ends_with("Delivered-To: md+ext@v.example\nSubject: x\n\nFrom here\n"), "{text}");
    drop(c.channel.order(&Order::Stop));
}

#[test]
fn commands_run_as_their_user_only() {
    if !need_root() {
        return;
    }
    let c = Courier::start("");
    let out = c.path("out");
    fs::create_dir(&out).unwrap();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o777)).unwrap();
    let content = memory(MAIL);
    let nexthop = out.join("m").display().to_string();
    let answer = ask(&mut c.connect(), &request("cat", &nexthop, &["x@y"], &content), &content);
    assert_eq!(show(&answer), "0 x@y: sent 2.0.0 delivered via cat service\n");
    let nobody = User::by_name("nobody").unwrap().unwrap();
    assert_eq!(owner(&out.join("m")), (nobody.uid, nobody.gid, 0o600));
    let text = fs::read_to_string(out.join("m")).unwrap();
    assert_eq!(text, "Return-Path: <a@example.net>\nDelivered-To: x@y\nSubject: x\n\nFrom here\n");
    let answer = ask(&mut c.connect(), &request("bad", "", &["x@y"], &content), &content);
    assert_eq!(show(&answer), "0 x@y: deferred 4.3.5 mail system configuration error\n");
    let answer = ask(&mut c.connect(), &request("smtp", "", &["x@y"], &content), &content);
    assert_eq!(show(&answer), "0 x@y: deferred 4.3.5 mail system configuration error\n");
}

#[test]
fn nonsense_ends_the_connection_and_nothing_else() {
    let c = Courier::start("");
    let mut s = c.connect();
    s.write_all(&[5, 0, 0, 0, 1, 2, 3, 4, 5]).unwrap();
    assert_eq!(s.read(&mut [0; 10]).unwrap_or(0), 0);
    let mut s = c.connect();
    s.write_all(&[0xff; 4]).unwrap();
    assert_eq!(s.read(&mut [0; 10]).unwrap_or(0), 0);
    let content = memory(MAIL);
    let answer = ask(&mut c.connect(), &request("local", "", &["nosuch@example.com"], &content), &content);
    assert_eq!(show(&answer), "0 nosuch@example.com: failed 5.1.1 unknown user: \"nosuch\"\n");
}

#[test]
fn a_reload_changes_what_is_done_and_a_broken_file_does_not() {
    let c = Courier::start("");
    let content = memory(MAIL);
    let verdict =
        || show(&ask(&mut c.connect(), &request("local", "", &["nosuch@example.com"], &content), &content));
    let main_cf = c.path("main.cf");
    let text = fs::read_to_string(&main_cf).unwrap();
    fs::write(&main_cf, format!("{text}fallback_transport = smtp:[192.0.2.1]\n")).unwrap();
    c.configured(2);
    assert_eq!(verdict(), "0 nosuch@example.com: to smtp:[192.0.2.1]\n");
    fs::write(c.path("master.cf"), "local unix - n\n").unwrap();
    c.channel.order(&Order::Configured { generation: 3 }).unwrap();
    let Some(Reply::Failed { generation: 3, reason }) = c.channel.next_reply().unwrap() else { panic!() };
    assert!(reason.contains("master.cf"), "{reason}");
    assert_eq!(verdict(), "0 nosuch@example.com: to smtp:[192.0.2.1]\n");
}

#[test]
fn it_ends_when_master_is_gone() {
    let mut c = Courier::start("");
    let (other, _) = Channel::pair().unwrap();
    drop(std::mem::replace(&mut c.channel, other));
    assert!(c.process.wait().unwrap().success());
}
