//! From inside: a process of its own enters the sandbox and tries what the worker, master or courier must not be able to do,
//! and what they must.

use crate::{Folders, RootServer, root_server};
use base_sys::privilege::{Identity, become_identity, is_root};
use caps::{CapSet, Capability};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    path::Path,
    process::{Command, Output},
    thread,
};

/// Runs a test of this file again, in a process that may do what cannot be undone.
fn inside(name: &str, dir: &Path) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("tests::{name}"), "--nocapture", "--test-threads=1"])
        .env("HIKYAKU_TEST_SANDBOX", dir)
        .output()
        .unwrap()
}

fn passes(name: &str, dir: &Path) {
    let out = inside(name, dir);
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success() && text.contains("was inside"), "{text}");
}

fn here() -> Option<std::path::PathBuf> {
    std::env::var_os("HIKYAKU_TEST_SANDBOX").map(Into::into)
}

/// `own` may be written, `tables` read, `else` neither.
fn world() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["own", "tables", "else"] {
        let folder = dir.path().join(name);
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(folder.join("file"), name).unwrap();
        fs::set_permissions(folder.join("file"), fs::Permissions::from_mode(0o666)).unwrap();
    }
    symlink(dir.path().join("else/file"), dir.path().join("own/way-out")).unwrap();
    dir
}

fn folders(dir: &Path) -> Folders {
    let config =
        base_conf::Config::from_text("queue_directory = /nonexistent\ndata_directory = /nonexistent\n");
    let mut folders = Folders::of(&config, &base_conf::MasterCf::parse("").unwrap());
    folders.write.insert(dir.join("own"));
    folders.read.insert(dir.join("tables"));
    folders
}

fn refused<T>(what: &str, result: io::Result<T>) {
    assert!(result.is_err(), "{what} was possible");
}

fn denied<T>(what: &str, result: io::Result<T>) {
    assert_eq!(result.err().map(|e| e.kind()), Some(ErrorKind::PermissionDenied), "{what}");
}

#[test]
fn worker_inside() {
    let Some(dir) = here() else { return };
    if is_root() {
        become_identity(&Identity::new(65534, 65534)).unwrap();
    }
    let applied = crate::worker(&folders(&dir)).unwrap();
    assert_eq!(applied.missing, Vec::<String>::new());
    // A thread that is started later is as limited.
    thread::spawn(move || (files(&dir), processes(), network())).join().unwrap();
    println!("was inside");
}

fn files(dir: &Path) {
    for name in ["own/file", "tables/file"] {
        fs::read(dir.join(name)).unwrap();
    }
    fs::write(dir.join("own/new"), "x").unwrap();
    fs::rename(dir.join("own/new"), dir.join("own/newer")).unwrap();
    fs::create_dir_all(dir.join("own/sub")).unwrap();
    fs::rename(dir.join("own/newer"), dir.join("own/sub/newer")).unwrap();
    fs::remove_file(dir.join("own/sub/newer")).unwrap();
    OpenOptions::new()
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_TMPFILE)
        .open(dir.join("own"))
        .unwrap();
    File::open("/etc/passwd").unwrap();
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    OpenOptions::new().write(true).open("/dev/null").unwrap().write_all(b"x").unwrap();
    assert!(base_sys::User::by_name("root").unwrap().is_some());
    assert!(fs::metadata(dir.join("else/file")).is_ok(), "the state of a file may be looked at");
    for name in ["else/file", "own/way-out", "else"] {
        denied(name, File::open(dir.join(name)));
    }
    for name in ["tables/new", "else/new", "else/file", "own/way-out"] {
        denied(name, fs::write(dir.join(name), "x"));
    }
    denied("delete", fs::remove_file(dir.join("else/file")));
    denied("delete a table", fs::remove_file(dir.join("tables/file")));
    refused("move out", fs::rename(dir.join("own/file"), dir.join("else/stolen")));
    refused("symbolic link", symlink("/etc/shadow", dir.join("own/link")));
    refused("named socket", std::os::unix::net::UnixListener::bind(dir.join("own/socket")));
    for path in ["/", "/root", "/home", "/var/mail"] {
        denied(path, fs::read_dir(path));
    }
    denied("a file in /tmp", File::create("/tmp/x"));
}

fn processes() {
    refused("a program", Command::new("/bin/true").status());
    refused("a shell", Command::new("/bin/sh").args(["-c", "true"]).status());
    refused("a program by its descriptor", Command::new("/proc/self/exe").arg("--list").status());
    let parent = base_sys::process::send_signal(
        std::os::unix::process::parent_id(),
        base_sys::process::Sig::Other(28),
    );
    refused("a signal to the parent", parent);
    refused("another user", become_root());
    refused("a new limit for another process", File::open("/proc/1/mem"));
    assert!(caps::raise(None, CapSet::Effective, Capability::CAP_NET_BIND_SERVICE).is_err());
    let status = fs::read_to_string("/proc/self/status").unwrap();
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000\n")), "{set}: {status}");
    }
}

fn become_root() -> io::Result<()> {
    become_identity(&Identity::new(0, 0))
}

fn network() {
    let listener = TcpListener::bind("127.0.0.1:0");
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", "127.0.0.1:9").unwrap();
    // Connecting from any port, and answering what is handed over; but no port of its own choice.
    if let Ok(listener) = listener {
        TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.accept().unwrap();
    }
    refused("a port", TcpListener::bind("127.0.0.1:2525"));
    base_sys::fds::memory_file(b"content").unwrap();
    std::os::unix::net::UnixStream::pair().unwrap();
}

#[test]
fn a_worker() {
    let dir = world();
    passes("worker_inside", dir.path());
}

#[test]
fn root_servers_inside() {
    let Some(which) = here() else { return };
    let program = if which.ends_with("master") { RootServer::Master } else { RootServer::Courier };
    root_server(program).unwrap();
    let has = |cap| caps::has_cap(None, CapSet::Effective, cap).unwrap();
    for cap in [
        Capability::CAP_SYS_ADMIN,
        Capability::CAP_SYS_MODULE,
        Capability::CAP_NET_ADMIN,
        Capability::CAP_SYS_PTRACE,
    ] {
        assert!(!has(cap), "{cap}");
    }
    for cap in [
        Capability::CAP_SYS_MODULE,
        Capability::CAP_SYS_BOOT,
        Capability::CAP_SYS_TIME,
        Capability::CAP_MKNOD,
    ] {
        assert!(!caps::has_cap(None, CapSet::Bounding, cap).unwrap(), "{cap}");
    }
    assert_eq!(has(Capability::CAP_NET_BIND_SERVICE), program == RootServer::Master);
    assert!(has(Capability::CAP_SETUID) && has(Capability::CAP_CHOWN));
    // Users' commands must still be able to run set-group-id programs: sendmail(1) is one.
    assert!(fs::read_to_string("/proc/self/status").unwrap().contains("NoNewPrivs:\t0"));
    become_identity(&Identity::new(65534, 65534)).unwrap();
    assert!(Command::new("/bin/true").status().unwrap().success());
    println!("was inside");
}

#[test]
fn root_servers() {
    if !is_root() {
        assert!(std::env::var_os("HIKYAKU_PEERS_REQUIRED").is_none(), "needs root");
        assert!(root_server(RootServer::Master).is_ok(), "without root there is nothing to give up");
        return;
    }
    for which in ["master", "courier"] {
        passes("root_servers_inside", Path::new(which));
    }
}
