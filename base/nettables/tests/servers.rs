//! Tables against the real servers: keys of every kind, servers that are restarted, stopped and slow, connections reused.
//!
//! Each test starts one server in a temporary folder, on a free loopback port, and ends it by its process id. A server
//! that is not installed is reported and its test passes: `cargo xtask test --install-peers` installs them.

mod server;

use base_conf::Config;
use base_nettables::NetTables;
use base_tables::types::MoreTypes;
use base_tables::{Answer, Options, Table, Tables, Usage, block_on};
use server::{Kind, Server};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Keys that other people have broken things with, and pieces to make more of.
const PIECES: &[&str] = &[
    "'", "''", "\"", "\\", "\\'", "`", ";", "--", "/*", "*/", "%s", "%", "_", "$1", "$$", "(", ")", "*",
    "\n", "\r", "\t", "\u{1a}", "ä", "日本", "a", "or 1=1", "#", ",", "+", "=", "<", ">", "E'", " ", "&",
    "|", "!",
];

struct Setup {
    server: Server,
    tables: Arc<Tables>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Setup {
    fn new(kind: Kind) -> Option<Setup> {
        let server = Server::start(kind)?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let sink = log.clone();
        let more: Arc<dyn MoreTypes> = NetTables::new(Config::from_text(""));
        let options = Options {
            more: Some(more),
            warn: Arc::new(move |text: &str| sink.lock().unwrap().push(text.to_owned())),
            ..Options::default()
        };
        Some(Setup { server, tables: Tables::new(options), log })
    }

    /// A table with these settings besides the server's.
    fn table(&self, name: &str, settings: &str) -> Arc<dyn Table> {
        self.table_at(name, &format!("{}{settings}", self.server.settings()))
    }

    fn table_at(&self, name: &str, settings: &str) -> Arc<dyn Table> {
        let file = self.server.dir().join(name);
        std::fs::write(&file, settings).unwrap();
        let spec = format!("{}:{}", self.server.kind().name(), file.display());
        self.tables.open(&spec, Usage { fold: false, ..Usage::LOOKUP })
    }

    fn log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

fn ask(table: &Arc<dyn Table>, key: &str) -> Answer {
    block_on(table.lookup(key.as_bytes()))
}

fn found(text: &str) -> Answer {
    Ok(Some(text.as_bytes().to_vec()))
}

/// Every piece alone, and many put together.
fn hostile_keys() -> impl Iterator<Item = String> {
    let together = (0..200usize).map(|n| {
        let piece = |step: usize| PIECES[(n * 7 + step * (n % 11 + 3)) % PIECES.len()];
        (0..n % 5 + 2).map(piece).collect::<String>()
    });
    PIECES.iter().map(|piece| (*piece).to_owned()).chain(together)
}

/// What holds for both database servers.
fn database(kind: Kind) {
    let Some(mut s) = Setup::new(kind) else { return };
    let echo = s.table("echo", "query = SELECT '%s'\n");
    let rows = s.table("rows", "query = SELECT 'n' FROM t WHERE k = '%s'\n");
    for key in hostile_keys() {
        assert_eq!(ask(&echo, &key), found(&key), "{key:?}");
        assert_eq!(ask(&rows, &key), Ok(None), "{key:?}");
    }
    assert_eq!(ask(&s.table("count", "query = SELECT count(*) FROM t\n"), "x"), found("2"));
    let bare = s.table("bare", "query = SELECT v FROM t WHERE n = %s\n");
    assert_eq!(ask(&bare, "1"), found("one"));
    assert_eq!(ask(&bare, "1 OR 1=1"), Ok(None));
    assert_eq!(ask(&echo, "bad\0key"), Ok(None));
    assert_eq!(block_on(echo.lookup(b"\xff\xfe")), Ok(None));
    assert_eq!(s.log(), Vec::<String>::new());
    encrypted(&s);
    one_connection(&s, &echo);
    slow_lookups(&s, kind);
    fail_over(&s);
    restarted(&mut s, &echo);
    hanging(&mut s, &echo);
}

/// TLS: without verification, verified, and refused when the name is another.
fn encrypted(s: &Setup) {
    let (settings, ca) = (s.server.settings(), s.server.dir().join("ca.pem").display().to_string());
    let by_name = settings.replace("127.0.0.1", "localhost");
    let (cases, query): (Vec<(String, String, bool)>, _) = match s.server.kind() {
        Kind::PgSql => {
            let host = |name: &str, options: &str| {
                let (_, port) = settings.lines().next().unwrap().rsplit_once(':').unwrap();
                format!("hosts = postgresql://mail@{name}:{port}/postgres?{options}\ndbname = postgres\n")
            };
            let verified = format!("sslmode=verify-full&sslrootcert={ca}");
            (
                vec![
                    (host("127.0.0.1", "sslmode=require"), String::new(), true),
                    (host("127.0.0.1", &format!("sslmode=verify-ca&sslrootcert={ca}")), String::new(), true),
                    (host("localhost", &verified), String::new(), true),
                    (host("127.0.0.1", &verified), String::new(), false),
                    (host("localhost", "sslmode=verify-full"), String::new(), false),
                ],
                "query = SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND '%s' <> ''\n",
            )
        }
        _ => {
            // "localhost" would be the local socket.
            let verified = format!("tls_CAfile = {ca}\ntls_verify_cert = yes\n");
            (
                vec![
                    (settings.clone(), format!("tls_CAfile = {ca}\n"), true),
                    (by_name.replace("localhost", "LOCALHOST"), verified.clone(), true),
                    (settings.clone(), verified, false),
                ],
                "query = SELECT if(variable_value = '', 'f', 't') FROM information_schema.session_status \
                 WHERE variable_name = 'Ssl_cipher' AND '%s' <> ''\n",
            )
        }
    };
    for (number, (host, extra, works)) in cases.into_iter().enumerate() {
        let table = s.table_at(&format!("tls{number}"), &format!("{host}{extra}{query}"));
        let answer = ask(&table, "x");
        match works {
            true => assert_eq!(answer, found("t"), "{host}{extra}"),
            false => assert!(answer.is_err(), "{host}{extra}"),
        }
    }
    s.log();
}

/// Lookups one after another share a connection.
fn one_connection(s: &Setup, echo: &Arc<dyn Table>) {
    let before = s.server.connections();
    for n in 0..50 {
        assert_eq!(ask(echo, &n.to_string()), found(&n.to_string()));
    }
    assert!(s.server.connections() - before <= 1, "connections are not reused");
}

/// One slow lookup holds up no other.
fn slow_lookups(s: &Setup, kind: Kind) {
    let sleep = if kind == Kind::PgSql { "pg_sleep(%s)" } else { "sleep(%s)" };
    let query = format!("query = SELECT 'done' FROM (SELECT {sleep}) AS x\n");
    let table = s.table("slow", &format!("{query}timeout = 20\n"));
    let slow = table.lookup(b"1.5");
    let started = Instant::now();
    assert_eq!(ask(&table, "0"), found("done"));
    assert!(started.elapsed() < Duration::from_millis(1500), "waited for another lookup");
    assert_eq!(block_on(slow), found("done"));
    let table = s.table("limited", &format!("{query}timeout = 1\n"));
    let started = Instant::now();
    assert!(ask(&table, "5").is_err());
    assert!(started.elapsed() < Duration::from_secs(5), "no time limit");
    s.log();
}

/// Hosts that do not answer are passed over, and left alone for a while.
fn fail_over(s: &Setup) {
    let (name, settings) = (s.server.kind().name(), s.server.settings());
    let hosts = settings.replace("hosts = ", "hosts = unix:/nonexistent ");
    let table = s.table_at("over", &format!("{hosts}query = SELECT '%s'\n"));
    assert_eq!(ask(&table, "a"), found("a"));
    let log = s.log();
    let starts = format!("connect to {name} server unix:/nonexistent: ");
    assert!(log.len() == 1 && log.iter().all(|l| l.starts_with(&starts)), "{log:?}");
    let again = s.table_at("over2", &format!("{hosts}query = SELECT '%s'\nidle_interval = 1\n"));
    assert_eq!(ask(&again, "a"), found("a"));
    s.log();
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(ask(&again, "b"), found("b"));
    assert_eq!(s.log(), Vec::<String>::new(), "a host that failed was asked again too soon");
}

/// A server that stops is a temporary failure; one that is back is used at once.
fn restarted(s: &mut Setup, echo: &Arc<dyn Table>) {
    s.server.stop();
    assert!(ask(echo, "a").is_err());
    assert!(s.log().iter().any(|l| l.starts_with("connect to ")));
    s.server.run();
    assert_eq!(ask(echo, "a"), found("a"));
    s.server.stop();
    s.server.run();
    s.log();
    assert_eq!(ask(echo, "a"), found("a"));
    assert_eq!(s.log(), Vec::<String>::new(), "an idle connection that was closed is no trouble");
}

/// A server that hangs costs the time limit, and only those who ask it.
fn hanging(s: &mut Setup, echo: &Arc<dyn Table>) {
    let quick = s.table("quick", "query = SELECT '%s'\ntimeout = 1\n");
    assert_eq!(ask(&quick, "a"), found("a"));
    s.server.pause(true);
    let started = Instant::now();
    let error = ask(&quick, "a").unwrap_err();
    assert_eq!(error.reason, "Connection timed out");
    assert!(started.elapsed() < Duration::from_secs(4));
    s.server.pause(false);
    assert_eq!(ask(echo, "a"), found("a"));
}

#[test]
fn pgsql() {
    database(Kind::PgSql);
}

#[test]
fn mysql() {
    database(Kind::MySql);
}

#[test]
fn ldap() {
    let Some(mut s) = Setup::new(Kind::Ldap) else { return };
    let common = "result_attribute = description\nbind = no\n";
    let table = s.table("cn", &format!("query_filter = (cn=%s)\nsearch_base = dc=ex\n{common}"));
    let based = s.table(
        "base",
        &format!("query_filter = objectClass=*\nsearch_base = cn=%s,dc=ex\nscope = base\n{common}"),
    );
    assert_eq!(ask(&table, "a*(b)\\c"), found("odd"));
    assert_eq!(ask(&based, "x,y+z=\"q\""), found("separators"));
    for key in hostile_keys().filter(|key| !key.trim().is_empty()) {
        assert_eq!(ask(&table, &key), Ok(None), "{key:?}");
        assert_eq!(ask(&based, &key), Ok(None), "{key:?}");
    }
    assert_eq!(s.log().iter().filter(|l| !l.contains("probably useless")).count(), 0);
    let by_name = s.server.settings().replace("127.0.0.1", "localhost");
    let ca = format!("tls_ca_cert_file = {}\n", s.server.dir().join("ca.pem").display());
    let rest = format!("query_filter = (cn=%s)\nsearch_base = dc=ex\nstart_tls = yes\n{common}");
    let cases = [
        (s.server.settings(), "", true),
        (by_name, "tls_require_cert = yes\n", true),
        (s.server.settings(), "tls_require_cert = yes\n", false),
    ];
    for (number, (server, extra, works)) in cases.into_iter().enumerate() {
        let table = s.table_at(&format!("tls{number}"), &format!("{server}{extra}{ca}{rest}"));
        assert_eq!(ask(&table, "a*(b)\\c").ok(), works.then(|| found("odd").unwrap()), "{server}{extra}");
    }
    s.log();
    s.server.stop();
    assert!(ask(&table, "a*(b)\\c").is_err());
    s.server.run();
    assert_eq!(ask(&table, "a*(b)\\c"), found("odd"));
    let quick =
        s.table("quick", &format!("query_filter = (cn=%s)\nsearch_base = dc=ex\ntimeout = 1\n{common}"));
    assert_eq!(ask(&quick, "a*(b)\\c"), found("odd"));
    s.server.pause(true);
    let started = Instant::now();
    assert!(ask(&quick, "a*(b)\\c").is_err());
    assert!(started.elapsed() < Duration::from_secs(5));
    s.server.pause(false);
    assert_eq!(ask(&quick, "a*(b)\\c"), found("odd"));
}

#[test]
fn sqlite() {
    let Some(s) = Setup::new(Kind::Sqlite) else { return };
    let echo = s.table("echo", "query = SELECT '%s'\n");
    let names = s.table("names", "query = SELECT v FROM t WHERE \"%s\" = 'a'\n");
    for key in hostile_keys() {
        assert_eq!(ask(&echo, &key), found(&key), "{key:?}");
        let _ = ask(&names, &key);
    }
    assert_eq!(ask(&s.table("count", "query = SELECT count(*) FROM t\n"), "x"), found("2"));
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n";
    let slow = s.table("slow", &format!("query = {endless}\ntimeout = 1\n"));
    let started = Instant::now();
    assert!(ask(&slow, "x").is_err());
    assert!(started.elapsed() < Duration::from_secs(5));
    s.server.replace_database();
    assert_eq!(ask(&s.table("new", "query = SELECT v FROM t\n"), "x"), found("replaced"));
    let rows = s.table("rows", "query = SELECT v FROM t WHERE k = '%s'\n");
    assert_eq!(ask(&rows, "new"), found("replaced"));
}
