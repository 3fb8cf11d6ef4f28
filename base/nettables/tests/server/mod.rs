//! A database or directory server in a temporary folder, for tests.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const SCHEMA: &str = "create table t(k varchar(200), v varchar(200), n integer);
insert into t values('one','one',1),('two','two',2);\n";
const LDIF: &str = "dn: dc=ex\nobjectClass: domain\ndc: ex\n
dn: cn=odd,dc=ex\nobjectClass: device\ncn: odd\ncn: a*(b)\\c\ndescription: odd\n
dn: cn=x\\,y\\+z\\=\\\"q\\\",dc=ex\nobjectClass: device\ncn: x,y+z=\"q\"\ndescription: separators\n";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    PgSql,
    MySql,
    Ldap,
    Sqlite,
}

impl Kind {
    /// The table type.
    pub fn name(self) -> &'static str {
        match self {
            Kind::PgSql => "pgsql",
            Kind::MySql => "mysql",
            Kind::Ldap => "ldap",
            Kind::Sqlite => "sqlite",
        }
    }

    /// The program, when it is installed.
    fn program(self) -> Option<PathBuf> {
        let first = |paths: &[&str]| paths.iter().map(PathBuf::from).find(|p| p.exists());
        match self {
            Kind::PgSql => {
                let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
                versions.map(|v| v.path().join("bin/postgres")).find(|p| p.exists())
            }
            Kind::MySql => first(&["/usr/sbin/mariadbd", "/usr/libexec/mariadbd"]),
            Kind::Ldap => first(&["/usr/sbin/slapd", "/usr/libexec/slapd"]),
            Kind::Sqlite => first(&["/usr/bin/sqlite3"]),
        }
    }

    /// The user it must run as when the test is root.
    fn user(self) -> Option<&'static str> {
        match self {
            Kind::PgSql => Some("postgres"),
            Kind::MySql => Some("mysql"),
            _ => None,
        }
    }
}

/// A server, running or stopped.
pub struct Server {
    kind: Kind,
    program: PathBuf,
    dir: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// A running server with a little content; `None` when it is not installed.
    pub fn start(kind: Kind) -> Option<Server> {
        let Some(program) = kind.program() else {
            assert!(std::env::var_os("HIKYAKU_PEERS_REQUIRED").is_none(), "needs {}", kind.name());
            eprintln!("{}: server is not installed, nothing tested", kind.name());
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Server { kind, program, dir, port, child: None };
        server.prepare();
        server.run();
        server.fill();
        Some(server)
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn path(&self, name: &str) -> String {
        self.dir().join(name).display().to_string()
    }

    /// The settings of a table that say where the server is.
    pub fn settings(&self) -> String {
        let port = self.port;
        match self.kind {
            Kind::PgSql => format!("hosts = 127.0.0.1:{port}\nuser = mail\ndbname = postgres\n"),
            Kind::MySql => format!("hosts = 127.0.0.1:{port}\nuser = mail\npassword = pw\ndbname = mail\n"),
            Kind::Ldap => format!("server_host = ldap://127.0.0.1:{port}\nversion = 3\n"),
            Kind::Sqlite => format!("dbpath = {}\n", self.path("db")),
        }
    }

    /// A command as the server's user.
    fn command(&self, program: &Path) -> Command {
        let root =
            std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
        let mut command = match self.kind.user().filter(|_| root) {
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"]);
                command.arg(program);
                command
            }
            None => Command::new(program),
        };
        command.current_dir(self.dir()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn done(mut command: Command) -> Output {
        let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// A certificate for `localhost`, signed by an authority of its own.
    fn make_certificates(&self) {
        let run = |args: &str| {
            let mut openssl = self.command(Path::new("openssl"));
            openssl.args(args.split(' '));
            Self::done(openssl);
        };
        let new = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
        run(&format!("{new} -x509 -keyout ca.key -out ca.pem -subj /CN=authority"));
        run(&format!("{new} -keyout key.pem -out csr -subj /CN=localhost"));
        std::fs::write(self.path("ext"), "subjectAltName=DNS:localhost\n").unwrap();
        run("x509 -req -in csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert.pem");
        std::fs::set_permissions(self.path("key.pem"), PermissionsExt::from_mode(0o600)).unwrap();
    }

    fn prepare(&self) {
        self.make_certificates();
        match self.kind {
            Kind::PgSql => {
                let mut init = self.command(&self.program.with_file_name("initdb"));
                init.args([
                    "-D",
                    &self.path("d"),
                    "-A",
                    "trust",
                    "-U",
                    "mail",
                    "--no-sync",
                    "--locale=C",
                    "-E",
                    "UTF8",
                ]);
                Self::done(init);
            }
            Kind::MySql => {
                let mut init = self.command(Path::new("mariadb-install-db"));
                init.args(["--no-defaults", &format!("--datadir={}", self.path("d")), "--skip-test-db"]);
                init.args(["--auth-root-authentication-method=normal", "--innodb-log-file-size=4M"]);
                Self::done(init);
            }
            Kind::Ldap => self.prepare_directory(),
            Kind::Sqlite => {
                let mut load = self.command(&self.program);
                load.args([&self.path("db"), SCHEMA]);
                Self::done(load);
            }
        }
    }

    fn prepare_directory(&self) {
        std::fs::create_dir(self.dir().join("d")).unwrap();
        let schema = ["core", "cosine"].map(|s| format!("include /etc/ldap/schema/{s}.schema\n")).concat();
        let conf = format!(
            "{schema}loglevel 0\nTLSCACertificateFile {ca}\nTLSCertificateFile {cert}\nTLSCertificateKeyFile {key}\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\ndatabase mdb\nsuffix dc=ex\n\
             directory {}\nmaxsize 10485760\ndbnosync\n",
            self.path("d"),
            ca = self.path("ca.pem"),
            cert = self.path("cert.pem"),
            key = self.path("key.pem"),
        );
        std::fs::write(self.path("conf"), conf).unwrap();
        std::fs::write(self.path("ldif"), LDIF).unwrap();
        let mut add = self.command(&self.program.with_file_name("slapadd"));
        add.args(["-q", "-f", &self.path("conf"), "-l", &self.path("ldif")]);
        Self::done(add);
    }

    /// Starts the process and waits until it answers.
    pub fn run(&mut self) {
        let port = self.port.to_string();
        let mut command = self.command(&self.program);
        match self.kind {
            Kind::PgSql => {
                command.args([
                    "-D",
                    &self.path("d"),
                    "-k",
                    &self.path(""),
                    "-c",
                    "listen_addresses=127.0.0.1",
                ]);
                command.args([
                    "-p",
                    &port,
                    "-F",
                    "-c",
                    "ssl=on",
                    "-c",
                    &format!("ssl_cert_file={}", self.path("cert.pem")),
                ]);
                command.args(["-c", &format!("ssl_key_file={}", self.path("key.pem"))]);
            }
            Kind::MySql => {
                command.args([
                    "--no-defaults",
                    &format!("--datadir={}", self.path("d")),
                    "--bind-address=127.0.0.1",
                ]);
                command.args([
                    &format!("--socket={}", self.path("s")),
                    &format!("--pid-file={}", self.path("pid")),
                ]);
                command.args([&format!("--port={port}"), "--innodb-log-file-size=4M"]);
                command.args([&format!("--ssl-cert={}", self.path("cert.pem"))]);
                command.args([&format!("--ssl-key={}", self.path("key.pem"))]);
            }
            Kind::Ldap => {
                let url = format!("ldap://127.0.0.1:{port}");
                command.args(["-f", &self.path("conf"), "-h", &url, "-d", "0"]);
            }
            Kind::Sqlite => return,
        }
        self.child = Some(command.spawn().unwrap());
        self.until(|s| TcpStream::connect(("127.0.0.1", s.port)).is_ok());
        if self.kind == Kind::PgSql {
            self.until(|s| s.sql("SELECT 1").output().is_ok_and(|o| o.status.success()));
        }
    }

    fn until(&mut self, ready: impl Fn(&Server) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !ready(self) {
            let gone = self.child.as_mut().is_none_or(|c| !matches!(c.try_wait(), Ok(None)));
            assert!(!gone && Instant::now() < end, "{} does not start", self.kind.name());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The server's own client with a statement.
    fn sql(&self, statement: &str) -> Command {
        let mut command = match self.kind {
            Kind::PgSql => {
                let mut command = Command::new("psql");
                command.args(["-qAtX", "-U", "mail", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
                command.args(["-c", statement, "postgres"]);
                command
            }
            _ => {
                let mut command = Command::new("mariadb");
                command.args(["--no-defaults", "-uroot", "-N", "-S", &self.path("s"), "-e", statement]);
                command
            }
        };
        command.stdin(Stdio::null());
        command
    }

    fn fill(&self) {
        match self.kind {
            Kind::PgSql => drop(Self::done(self.sql(SCHEMA))),
            Kind::MySql => {
                let user = "create user mail@'%' identified by 'pw'; grant all on mail.* to mail@'%'";
                Self::done(
                    self.sql(&format!(
                        "create database mail character set utf8mb4; {user}; use mail; {SCHEMA}"
                    )),
                );
            }
            _ => (),
        }
    }

    /// How many connections of tables the server has.
    pub fn connections(&self) -> i64 {
        let statement = match self.kind {
            Kind::PgSql => "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'postfix'",
            _ => "SELECT count(*) FROM information_schema.processlist WHERE user = 'mail'",
        };
        String::from_utf8(Self::done(self.sql(statement)).stdout).unwrap().trim().parse().unwrap()
    }

    /// A new database in the place of the old one.
    pub fn replace_database(&self) {
        let mut load = self.command(&self.program);
        load.args([&self.path("db2"), "create table t(k, v); insert into t values('new', 'replaced')"]);
        Self::done(load);
        std::fs::rename(self.path("db2"), self.path("db")).unwrap();
    }

    fn signal(&self, name: &str) {
        if let Some(child) = &self.child {
            let _ = Command::new("kill").args([name, &child.id().to_string()]).status();
        }
    }

    /// Ends the process.
    pub fn stop(&mut self) {
        // PostgreSQL: "fast", which ends connections.
        self.signal(if self.kind == Kind::PgSql { "-INT" } else { "-TERM" });
        let Some(mut child) = self.child.take() else { return };
        let end = Instant::now() + Duration::from_secs(30);
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Lets it hang, or go on. PostgreSQL: its children too.
    pub fn pause(&self, on: bool) {
        let signal = if on { "-STOP" } else { "-CONT" };
        let Some(child) = &self.child else { return };
        let id = child.id().to_string();
        let below = Command::new("ps").args(["-o", "pid=", "--ppid", &id]).output().unwrap().stdout;
        let below = String::from_utf8(below).unwrap();
        self.signal(signal);
        let _ =
            Command::new("kill").arg(signal).args(below.split_whitespace()).stderr(Stdio::null()).status();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.pause(false);
        self.stop();
    }
}
