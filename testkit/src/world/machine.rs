//! The private machine of a scenario: file systems, users, hosts, devices, and our programs in place of Debian's.

use crate::Side;
use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Runs a program; it must succeed.
pub fn command(name: &str, args: &[&str]) -> Result<()> {
    let out = Command::new(name).args(args).stdin(Stdio::null()).output().with_context(|| name.to_owned())?;
    if !out.status.success() {
        bail!("{name} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    }
    Ok(())
}

/// Where Debian's daemons stay when ours take their place, for a Postfix as the other side.
pub const DEBIAN: &str = "/mnt/debian";

fn tmpfs(at: &str) -> Result<()> {
    fs::create_dir_all(at)?;
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
        .with_context(|| format!("tmpfs on {at}"))
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    let none: Option<&str> = None;
    mount(Some(from), to, none, MsFlags::MS_BIND, none)
        .with_context(|| format!("{} over {}", from.display(), to.display()))
}

fn id_of(user: &str) -> (u32, u32) {
    let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with(&format!("{user}:"))).unwrap_or_default();
    let mut fields = line.split(':').skip(2).map(|f| f.parse().unwrap_or(0));
    (fields.next().unwrap_or(0), fields.next().unwrap_or(0))
}

/// A folder of a user of the system.
pub fn folder_of(user: &str, path: &str, mode: u32) -> Result<()> {
    folder(path, id_of(user), mode)
}

fn folder(path: &str, owner: (u32, u32), mode: u32) -> Result<()> {
    fs::create_dir_all(path)?;
    chown(path, Some(owner.0), Some(owner.1))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// Makes the private machine.
pub fn system(side: Side, programs: &Path) -> Result<()> {
    command("ip", &["link", "set", "lo", "up"])?;
    for address in ["192.0.2.1/24", "198.51.100.1/24"] {
        command("ip", &["addr", "add", address, "dev", "lo"])?;
    }
    nix::unistd::sethostname("mail.example.com")?;
    let kept: Vec<(String, Vec<u8>)> = fs::read_dir("/etc/postfix")?
        .flatten()
        .filter(|e| {
            e.path().is_file() && !["main.cf", "master.cf"].contains(&&*e.file_name().to_string_lossy())
        })
        .filter_map(|e| Some((e.file_name().to_string_lossy().into_owned(), fs::read(e.path()).ok()?)))
        .collect();
    tmpfs("/mnt")?;
    fs::create_dir_all(DEBIAN)?;
    bind(Path::new("/usr/lib/postfix"), Path::new(DEBIAN))?;
    if side == Side::Ours {
        our_programs(programs)?;
    }
    for dir in ["/etc/postfix", "/var/spool/postfix", "/var/lib/postfix", "/var/mail", "/var/log"] {
        tmpfs(dir)?;
    }
    for (name, bytes) in kept {
        fs::write(Path::new("/etc/postfix").join(name), bytes)?;
    }
    folder("/var/mail", (0, 0), 0o1777)?;
    folder("/var/lib/postfix", id_of("postfix"), 0o700)?;
    files()?;
    device_folder()
}

fn our_programs(programs: &Path) -> Result<()> {
    let group = fs::read_to_string("/etc/group")?;
    let line = group.lines().find(|l| l.starts_with("postdrop:")).context("no group postdrop")?;
    let postdrop: u32 = line.split(':').nth(2).and_then(|g| g.parse().ok()).context("group postdrop")?;
    let commands = include_str!("../../../programs/COMMANDS").lines().filter_map(|l| l.split_once(' '));
    // mailq and newaliases are links of sendmail in Debian; they are put into the path below.
    for (name, program) in commands.filter(|(name, _)| !["mailq", "newaliases"].contains(name)) {
        let mut from = programs.join(program);
        if program == "hikyaku-submit" {
            let copy = PathBuf::from(format!("/mnt/setgid-{name}"));
            fs::copy(&from, &copy)?;
            chown(&copy, Some(0), Some(postdrop))?;
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o2755))?;
            from = copy;
        }
        // Names that no package of this machine has are found in the path.
        let at = Path::new("/usr/sbin").join(name);
        if at.exists() {
            bind(&from, &at)?;
        }
    }
    tmpfs("/usr/lib/postfix")?;
    fs::create_dir_all("/usr/lib/postfix/sbin")?;
    for name in ["hikyaku-master", "hikyaku-worker", "hikyaku-courier", "hikyaku-submit", "hikyaku-tools"] {
        let to = Path::new("/usr/lib/postfix/sbin").join(name);
        fs::write(&to, "")?;
        bind(&programs.join(name), &to)?;
    }
    fs::create_dir_all("/mnt/path")?;
    for name in ["mailq", "newaliases"] {
        symlink("/usr/lib/postfix/sbin/hikyaku-tools", Path::new("/mnt/path").join(name))?;
    }
    Ok(())
}

/// Users, hosts, resolver.
fn files() -> Result<()> {
    let mut passwd = fs::read_to_string("/etc/passwd")?;
    let mut group = fs::read_to_string("/etc/group")?;
    for (i, user) in ["alice", "bob", "carol", "admin"].into_iter().enumerate() {
        let id = 5001 + i as u32;
        passwd.push_str(&format!("{user}:x:{id}:{id}:{user} Test:/mnt/home/{user}:/bin/sh\n"));
        group.push_str(&format!("{user}:x:{id}:\n"));
        folder(&format!("/mnt/home/{user}"), (id, id), 0o700)?;
    }
    passwd.push_str("vmail:x:5000:5000:Virtual:/mnt/vmail:/bin/sh\n");
    group.push_str("vmail:x:5000:\n");
    folder("/mnt/vmail", (5000, 5000), 0o755)?;
    folder("/mnt/out", (0, 0), 0o1777)?;
    fs::create_dir_all("/mnt/sys")?;
    for (name, text) in [
        ("passwd", passwd.as_str()),
        ("group", group.as_str()),
        ("hosts", "127.0.0.1 localhost\n"),
        ("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"),
        ("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\n"),
    ] {
        let own = Path::new("/mnt/sys").join(name);
        fs::write(&own, text)?;
        bind(&own, &Path::new("/etc").join(name))?;
    }
    Ok(())
}

/// A /dev of its own, so that /dev/log is ours.
fn device_folder() -> Result<()> {
    tmpfs("/mnt/dev")?;
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        let at = Path::new("/mnt/dev").join(name);
        fs::write(&at, "")?;
        bind(&Path::new("/dev").join(name), &at)?;
    }
    symlink("/proc/self/fd", "/mnt/dev/fd")?;
    for (i, name) in ["stdin", "stdout", "stderr"].into_iter().enumerate() {
        symlink(format!("/proc/self/fd/{i}"), Path::new("/mnt/dev").join(name))?;
    }
    let none: Option<&str> = None;
    mount(Some("/mnt/dev"), "/dev", none, MsFlags::MS_MOVE, none).context("moving /dev")
}
