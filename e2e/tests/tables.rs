//! Tables that change while they are used, and tables that only root may read, against the running server.
//!
//! Each test is a scenario of its own for our side, played as root in namespaces; its work is done by a program of the
//! scenario, whose output is judged here.

mod common;

/// Another program rewrites the POP-before-SMTP table with postmap as fast as it can, while sessions ask it: the client
/// that is always in it may always relay, the one that never is never may, and nobody sees a failure.
const POP: &str = r#"### pop-before-smtp
@main
smtpd_relay_restrictions = check_client_access hash:/etc/postfix/pop, reject_unauth_destination
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 1000000
smtpd_soft_error_limit = 1000000
smtpd_junk_command_limit = 1000000
@map hash:/etc/postfix/pop
192.0.2.11 OK
@file /mnt/load.py
import os, socket, subprocess, threading, time

end = time.time() + 6
rewrites, lookups, wrong, flips = [0], [0], [], {}

def rewrite():
    while time.time() < end:
        n = rewrites[0]
        others = "".join("10.%d.%d.%d OK\n" % (n % 250, i % 250, i // 250) for i in range(n % 7 * 300))
        both = "192.0.2.13 OK\n" if n % 2 else ""
        with open("/etc/postfix/pop", "w") as f:
            f.write(others + both + "192.0.2.11 OK\n")
        if subprocess.run(["postmap", "hash:/etc/postfix/pop"]).returncode:
            wrong.append("postmap")
        rewrites[0] += 1

def session(client, allowed):
    s = socket.create_connection(("127.0.0.1", 25), source_address=(client, 0))
    f = s.makefile("rb")
    def ask(line):
        if line:
            s.sendall(line.encode() + b"\r\n")
        return f.readline().decode().strip()
    ask("")
    ask("HELO c")
    ask("MAIL FROM:<a@example.net>")
    while time.time() < end:
        reply = ask("RCPT TO:<far@example.org>")
        lookups[0] += 1
        flips.setdefault(client, set()).add(reply[:3])
        if reply[:3] not in allowed:
            wrong.append(client + " " + reply)
            return
        ask("RSET")
        ask("MAIL FROM:<a@example.net>")

work = [threading.Thread(target=rewrite)]
for client, allowed in ("192.0.2.11", ["250"]), ("192.0.2.12", ["554"]), ("192.0.2.13", ["250", "554"]):
    work += [threading.Thread(target=session, args=(client, allowed)) for _ in range(2)]
[w.start() for w in work]
[w.join() for w in work]
print("wrong", sorted(set(wrong))[:5])
print("rewrites", rewrites[0] >= 20, "lookups", lookups[0] >= 300, "flips", sorted(flips.get("192.0.2.13", [])))
@run python3 /mnt/load.py
"#;

/// Tables, lists and settings that root alone may read are used by the worker, which is not root; what is written into
/// them shows without a reload; what the configuration does not name stays closed.
const ROOT_ONLY: &str = r#"### root-only
@main
smtpd_sender_restrictions = check_sender_access hash:/etc/postfix/secret/table, check_sender_access texthash:/etc/postfix/text, check_sender_access pcre:/etc/postfix/rules
smtpd_client_restrictions = permit_mynetworks
mynetworks = 127.0.0.0/8, /etc/postfix/secret/networks
smtpd_recipient_restrictions = permit
@file /etc/postfix/text mode=600
text@example.net REJECT text
@file /etc/postfix/rules mode=600
/^pcre@/ REJECT pcre
@file /etc/postfix/secret/table mode=600
hash@example.net REJECT hash
@file /etc/postfix/secret/networks mode=600
192.0.2.11
@file /mnt/ask.py
import socket, sys
s = socket.create_connection(("127.0.0.1", 25), source_address=("192.0.2.11", 0))
f = s.makefile("rb")
f.readline()
for line in ["HELO c"] + ["MAIL FROM:<%s@example.net>" % a for a in sys.argv[1:]]:
    s.sendall(line.encode() + b"\r\n")
    f.readline()
    if line.startswith("MAIL"):
        s.sendall(b"RCPT TO:<far@example.org>\r\n")
        print(f.readline().decode().strip().split(": ")[-1])
        s.sendall(b"RSET\r\n")
        f.readline()
@run chmod 700 /etc/postfix/secret && postmap hash:/etc/postfix/secret/table && stat -c '%A %U' /etc/postfix/secret /etc/postfix/secret/table.db
@run ps -o user= -C hikyaku-worker
@run python3 /mnt/ask.py hash text pcre other
@run printf 'other@example.net REJECT changed\n' > /etc/postfix/new; chmod 600 /etc/postfix/new; mv /etc/postfix/new /etc/postfix/text; sleep 1.3; python3 /mnt/ask.py other text
@run printf 'new@example.net REJECT new\n' > /etc/postfix/secret/table; postmap hash:/etc/postfix/secret/table; sleep 1.3; python3 /mnt/ask.py new hash
@run : > /etc/postfix/secret/networks; sleep 1.3; python3 /mnt/ask.py nobody
"#;

/// Plays a scenario on our side; `None` without what it needs.
fn play(name: &str, text: &str) -> Option<(Vec<String>, Vec<String>)> {
    if !common::ready() {
        return None;
    }
    let file = tempfile::Builder::new().prefix("hikyaku-tables.").tempfile_in("/var/tmp").unwrap();
    std::fs::write(file.path(), text).unwrap();
    let result = common::run(file.path(), name, "ours").unwrap();
    Some((common::lines(&result, "cmd"), common::lines(&result, "log")))
}

#[test]
fn a_table_is_rewritten_under_load() {
    let Some((cmd, log)) = play("pop-before-smtp", POP) else { return };
    let out: Vec<_> = cmd.iter().filter_map(|l| l.strip_prefix("out| ")).collect();
    assert_eq!(out, ["wrong []", "rewrites True lookups True flips ['250', '554']"], "{cmd:#?}");
    let trouble: Vec<_> = log.iter().filter(|l| l.contains("postfix/pop") || l.contains("lookup")).collect();
    assert!(trouble.is_empty(), "{trouble:#?}");
}

#[test]
fn what_only_root_may_read() {
    let Some((cmd, log)) = play("root-only", ROOT_ONLY) else { return };
    let out: Vec<_> = cmd.iter().filter_map(|l| l.strip_prefix("out| ")).collect();
    let accepted = "250 2.1.5 Ok";
    let want = [
        // The folder, the index, and who serves.
        &["drwx------ root", "-rw------- root", "postfix"][..],
        &["hash", "text", "pcre", accepted],
        // Each file replaced in turn: the new entry is found, the old one is gone.
        &["changed", accepted],
        &["new", accepted],
        &["Relay access denied"],
    ];
    assert_eq!(out, want.concat(), "{log:#?}");
    let trouble: Vec<_> = log.iter().filter(|l| l.contains("error:") || l.contains("lookup")).collect();
    assert!(trouble.is_empty(), "{trouble:#?}");
}
