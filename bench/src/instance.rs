//! A server under test: its configuration, start and stop.

use crate::options::Options;
use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mta {
    /// Debian's Postfix with the settings of its TUNING_README.
    Postfix,
    /// Ours, with the same configuration.
    Hikyaku,
}

impl Mta {
    /// For the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postfix => "postfix",
            Self::Hikyaku => "hikyaku",
        }
    }

    /// Where its commands are.
    fn commands(self, options: &Options) -> PathBuf {
        match self {
            Self::Postfix => "/usr/sbin".into(),
            Self::Hikyaku => options.prefix.join("sbin"),
        }
    }
}

const TUNED: &str = "\
default_process_limit = 200
in_flow_delay = 0
max_use = 10000
qmgr_message_active_limit = 100000
qmgr_message_recipient_limit = 100000
default_destination_concurrency_limit = 20
initial_destination_concurrency = 20
smtp_connection_cache_destinations = 127.0.0.1
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
";

/// Everything is deferred at once; the next attempt is due after a second, but no scan comes before the next start.
const QUEUE: &str = "\
defer_transports = smtp
minimal_backoff_time = 1s
maximal_backoff_time = 1s
queue_run_delay = 100000s
";

/// The same services as in the tests of the whole server.
const MASTER: &str = include_str!("../../testkit/services.cf");

/// A server's folder: configuration, queue, log. Removed with everything in it.
pub struct Site {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The folder.
    pub dir: tempfile::TempDir,
    mta: Mta,
    commands: PathBuf,
}

/// A running server.
pub struct Instance {
    /// Its folder.
    pub site: Site,
    /// From the start to the first connection that was accepted.
    pub ready: Duration,
    running: Running,
}

/// The wrapper around the server's processes. Dropped, it ends them all.
struct Running(Child);

/// What a server used, by the kernel's accounting.
#[derive(Debug, Clone, Copy, Default)]
pub struct Used {
    /// User and system time in microseconds.
    pub cpu_us: f64,
    /// Context switches.
    pub switches: f64,
    /// Peak memory of the largest process in KiB.
    pub peak_kib: f64,
}

/// A free TCP port on loopback.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

impl Running {
    /// Process ids of the server, from the wrapper's descendants.
    fn pids(&self) -> Vec<u32> {
        let mut found = vec![self.0.id()];
        let mut at = 0;
        while let Some(&pid) = found.get(at) {
            let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            found.extend(list.split_whitespace().filter_map(|p| p.parse::<u32>().ok()));
            at += 1;
        }
        found.split_off(1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        for pid in self.pids().into_iter().filter_map(|p| i32::try_from(p).ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Site {
    /// Makes a configuration; `nexthop` is the sink's port.
    pub fn make(mta: Mta, options: &Options, nexthop: u16) -> Result<Self> {
        let base = std::env::var("BENCH_DIR").unwrap_or_else(|_| "/var/tmp".into());
        let dir = tempfile::Builder::new().prefix("hikyaku-bench.").tempdir_in(base)?;
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        write_config(dir.path(), listen, options, nexthop)?;
        Ok(Self { listen, dir, mta, commands: mta.commands(options) })
    }

    /// A command of the server, on this configuration.
    pub fn command(&self, name: &str) -> Command {
        let mut c = Command::new(self.commands.join(name));
        c.arg("-c").arg(self.dir.path().join("etc"));
        c
    }

    /// Sets parameters for the next start.
    pub fn set(&self, parameters: &[&str]) -> Result<()> {
        let status = self.command("postconf").arg("-e").args(parameters).status()?;
        if status.success() { Ok(()) } else { bail!("postconf -e: {status}") }
    }

    /// Starts the server.
    pub fn start(self) -> Result<Instance> {
        let begin = Instant::now();
        let server = self.command("postfix");
        let wrapper = Command::new(std::env::current_exe()?)
            .arg("wrap")
            .arg(self.dir.path().join("usage"))
            .arg(server.get_program())
            .args(server.get_args())
            .arg("start-fg")
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.dir.path().join("stderr"))?)
            .spawn()?;
        let running = Running(wrapper);
        while TcpStream::connect_timeout(&self.listen, Duration::from_secs(1)).is_err() {
            if begin.elapsed() > Duration::from_secs(20) {
                let said = fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default();
                bail!("{} did not start: {said}", self.mta.name());
            }
            sleep(Duration::from_millis(5));
        }
        Ok(Instance { site: self, ready: begin.elapsed(), running })
    }
}

impl Instance {
    /// Makes a configuration and starts the server; `nexthop` is the sink's port.
    pub fn start(mta: Mta, options: &Options, nexthop: u16) -> Result<Self> {
        let instance = Site::make(mta, options, nexthop)?.start()?;
        sleep(Duration::from_millis(300));
        Ok(instance)
    }

    /// Proportional memory of all processes of the server.
    pub fn memory_kib(&self) -> f64 {
        let pss = |pid: u32| {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let line = text.lines().find(|l| l.starts_with("Pss:")).unwrap_or_default().to_owned();
            line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).unwrap_or_default()
        };
        self.running.pids().into_iter().map(pss).sum()
    }

    /// Stops it; its folder, and what it used.
    pub fn stop(self) -> Result<(Site, Used)> {
        let Self { site, mut running, .. } = self;
        let stopped =
            site.command("postfix").arg("stop").stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        let end = Instant::now() + Duration::from_secs(30);
        while running.0.try_wait()?.is_none() {
            if Instant::now() > end {
                bail!("{} did not stop ({stopped})", site.mta.name());
            }
            sleep(Duration::from_millis(50));
        }
        let text = fs::read_to_string(site.dir.path().join("usage")).context("no usage file")?;
        let v: serde_json::Value = serde_json::from_str(&text)?;
        let n = |key: &str| v[key].as_f64().unwrap_or_default();
        Ok((site, Used { cpu_us: n("cpu_us"), switches: n("switches"), peak_kib: n("peak_kib") }))
    }
}

/// A table of so many rules that look for words of spam in headers and lines; the parameters that name it.
fn rules(path: &Path, count: u32) -> Result<String> {
    if count == 0 {
        return Ok(String::new());
    }
    let rule = |n: u32| match n % 3 {
        0 => format!("/^Subject: .*offer{n}[0-9]*/  REJECT\n"),
        1 => format!("/^From: .*@spam{n}\\.example/  REJECT\n"),
        _ => format!("/(buy|order) (pills|watch){n}/  REJECT\n"),
    };
    fs::write(path, (0..count).map(rule).collect::<String>())?;
    let table = path.display();
    Ok(format!("header_checks = pcre:{table}\nbody_checks = pcre:{table}\n"))
}

fn write_config(dir: &Path, listen: SocketAddr, options: &Options, nexthop: u16) -> Result<()> {
    let etc = dir.join("etc");
    fs::create_dir(&etc)?;
    fs::create_dir(dir.join("spool"))?;
    fs::create_dir(dir.join("data"))?;
    let vmail = dir.join("vmail");
    fs::create_dir(&vmail)?;
    let owner = nix::unistd::User::from_name("postfix")?.context("no user postfix")?;
    nix::unistd::chown(&dir.join("data"), Some(owner.uid), Some(owner.gid))?;
    nix::unistd::chown(&vmail, Some(owner.uid), Some(owner.gid))?;
    // The queue folder must be reachable by mail_owner.
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    let d = dir.display();
    let mode = match options.mode.as_str() {
        "accept" => "smtpd_data_restrictions = check_client_access static:HOLD\n".into(),
        "local" => format!(
            "virtual_mailbox_domains = example.org\nvirtual_mailbox_base = {d}/vmail\nvirtual_mailbox_maps = static:box/\n\
             virtual_uid_maps = static:{0}\nvirtual_gid_maps = static:{1}\nvirtual_minimum_uid = 1\n",
            owner.uid, owner.gid
        ),
        "queue" => QUEUE.into(),
        _ => String::new(),
    };
    let checks = rules(&etc.join("checks"), options.rules)?;
    let main = format!(
        "compatibility_level = 3.6\nqueue_directory = {d}/spool\ndata_directory = {d}/data\nmaillog_file = {d}/mail.log\n\
         maillog_file_prefixes = {d}\nmyhostname = bench.example.com\nmydestination =\nmynetworks = 127.0.0.0/8\n\
         inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nalias_maps =\nalias_database =\nlocal_recipient_maps =\n\
         relayhost = [127.0.0.1]:{nexthop}\nsmtpd_recipient_restrictions = permit_mynetworks, reject\n\
         smtp_tls_security_level =\n{TUNED}{mode}{checks}"
    );
    fs::write(etc.join("main.cf"), main)?;
    let sessions = options.sessions + 20;
    let smtpd = format!("{listen} inet n - n - {sessions} smtpd\npostlog unix-dgram n - n - 1 postlogd\n");
    fs::write(etc.join("master.cf"), format!("{smtpd}{MASTER}"))?;
    Ok(())
}
