//! `hikyaku-tools up [--dir DIR] [--port N]`: a working server in the foreground, without root, on loopback.
//!
//! Makes an instance folder if there is none (default `./hikyaku-instance`): main.cf, master.cf, a spool, and a Maildir for
//! the calling user. Runs `postfix start-fg` on it, says what listens where and how to send the first message. A second
//! run finds the same instance. Ctrl-C stops it. Everything that can be wrong gets one clear sentence.

mod account;
mod instance;
mod programs;

use crate::tools::Tool;
use base_sys::process::{Launch, Sig, ignore_interrupt};
use instance::Instance;
use std::{
    ffi::OsString,
    net::{IpAddr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, ExitCode},
    thread::sleep,
    time::{Duration, Instant},
};

/// The registry's record.
pub const TOOL: Tool =
    Tool { name: "up", run, about: "run a server of one's own in the foreground, on loopback" };

const USAGE: &str = "usage: up [--dir DIR] [--port PORT]";

fn run(args: &[OsString]) -> ExitCode {
    match parse(args).and_then(|(dir, port)| up(&dir, port)) {
        Ok(code) => code,
        Err(sentence) => {
            eprintln!("hikyaku: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn parse(args: &[OsString]) -> Result<(PathBuf, u16), String> {
    let mut dir = PathBuf::from("hikyaku-instance");
    let mut port = 2525;
    let mut args = args.iter();
    while let Some(a) = args.next() {
        let value = args.next().ok_or(USAGE)?;
        match a.to_str() {
            Some("--dir") => dir = value.into(),
            Some("--port") => port = value.to_str().and_then(|v| v.parse().ok()).ok_or(USAGE)?,
            _ => return Err(USAGE.into()),
        }
    }
    Ok((std::path::absolute(&dir).map_err(|e| format!("{}: {e}", dir.display()))?, port))
}

fn up(dir: &Path, port: u16) -> Result<ExitCode, String> {
    let programs = programs::find()?;
    let instance = Instance::open_or_make(dir, port)?;
    let listen = instance.listen()?;
    free(listen)?;
    let mut server = start(&programs.join("hikyaku-master"), &instance)?;
    if wait_ready(&mut server, listen) {
        println!("{}", instance.welcome(listen));
    }
    let status = server.wait().map_err(|e| format!("cannot wait for the server: {e}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts the server, which ends when this process does. Ctrl-C is for the server; its exit status is that of `up`.
fn start(master: &Path, instance: &Instance) -> Result<Child, String> {
    let mut launch = Launch::new(master);
    launch.command().arg("-c").arg(instance.config_dir()).arg("-s");
    launch.tie_to_parent(Sig::Term);
    let child = launch.spawn().and_then(|child| ignore_interrupt().map(|()| child));
    child.map_err(|e| format!("cannot start {}: {e}", master.display()))
}

/// Whether the port can be bound now.
fn free(listen: SocketAddr) -> Result<(), String> {
    TcpListener::bind(listen).map(drop).map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("{listen} is in use by another program; stop it, or choose another port in master.cf or with --port")
        }
        _ => format!("cannot listen on {listen}: {e}"),
    })
}

fn wait_ready(server: &mut Child, listen: SocketAddr) -> bool {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end && matches!(server.try_wait(), Ok(None)) {
        if is_listening(listen) {
            return true;
        }
        sleep(Duration::from_millis(50));
    }
    false
}

/// Whether somebody listens there, by the kernel's table: a connection would show in the log.
fn is_listening(at: SocketAddr) -> bool {
    let IpAddr::V4(ip) = at.ip() else { return std::net::TcpStream::connect(at).is_ok() };
    let local = format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), at.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let mut rows = table.lines().map(|l| l.split_whitespace().skip(1).collect::<Vec<_>>());
    rows.any(|f| f.first() == Some(&local.as_str()) && f.get(2) == Some(&"0A"))
}
