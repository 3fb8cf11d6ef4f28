//! Becoming another user, for good and checked (setgroups(2), setresgid(2), setresuid(2)).
//!
//! Called by worker before its first byte (mail_owner) and by courier's children (the recipient). After `Ok` the real,
//! effective and saved ids are the new ones, the supplementary groups are exactly those given, and going back was tried
//! and refused. After an error the process must exit: its identity is undefined.

use crate::explain;
use nix::unistd::{Gid, Uid, getegid, geteuid, getgid, getgroups, getuid, setgroups, setresgid, setresuid};
use std::io;

/// Who a process acts as.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups besides `gid`, usually none.
    pub groups: Vec<u32>,
}

impl Identity {
    /// A user with its group and nothing more.
    pub fn new(uid: u32, gid: u32) -> Self {
        Self { uid, gid, groups: Vec::new() }
    }

    /// The identity of this process (effective ids; supplementary groups left out).
    pub fn current() -> Self {
        Self::new(geteuid().as_raw(), getegid().as_raw())
    }
}

/// Whether the effective user is root.
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// The effective user id.
pub fn effective_uid() -> u32 {
    geteuid().as_raw()
}

/// The real user id: who called a setgid or setuid program.
pub fn real_uid() -> u32 {
    getuid().as_raw()
}

/// The effective group id.
pub fn effective_gid() -> u32 {
    getegid().as_raw()
}

/// Whether the program runs with a group or user that its caller does not have.
pub fn is_set_id() -> bool {
    getuid() != geteuid() || getgid() != getegid()
}

/// Becomes `who`, irrevocably. Without root only the identity that the process already has is possible (then nothing changes).
pub fn become_identity(who: &Identity) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(who.uid), Gid::from_raw(who.gid));
    if !is_root() {
        return already(uid);
    }
    let mut groups = vec![gid];
    groups.extend(who.groups.iter().filter(|&&g| g != who.gid).map(|&g| Gid::from_raw(g)));
    setgroups(&groups).map_err(|e| explain("setgroups", e))?;
    setresgid(gid, gid, gid).map_err(|e| explain(format_args!("setgid {gid}"), e))?;
    setresuid(uid, uid, uid).map_err(|e| explain(format_args!("setuid {uid}"), e))?;
    verify(uid, gid, &groups)
}

/// Runs `work` with the rights of another user, in a thread of its own that ends with it: the rest of the process stays
/// what it is. Without root it runs with the rights that are there.
pub fn as_identity<T: Send>(who: &Identity, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let change = is_root();
    std::thread::scope(|scope| {
        let run = || {
            if change {
                this_thread_becomes(who)?;
            }
            work()
        };
        let thread = std::thread::Builder::new().spawn_scoped(scope, run)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread of another user ended")))
    })
}

/// Credentials are those of a thread; libc's functions change all threads, the bare system calls only this one.
fn this_thread_becomes(who: &Identity) -> io::Result<()> {
    let mut groups = vec![who.gid];
    groups.extend(who.groups.iter().filter(|&&g| g != who.gid));
    let done = |result: libc::c_long| match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: plain system calls; `groups` is as long as said and outlives the call.
    unsafe {
        done(libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()))?;
        done(libc::syscall(libc::SYS_setresgid, who.gid, who.gid, who.gid))?;
        done(libc::syscall(libc::SYS_setresuid, who.uid, who.uid, who.uid))
    }
}

fn already(uid: Uid) -> io::Result<()> {
    if getuid() == uid && geteuid() == uid {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("cannot become user id {uid} without root privileges"),
    ))
}

fn verify(uid: Uid, gid: Gid, groups: &[Gid]) -> io::Result<()> {
    let have = getgroups().map_err(|e| explain("getgroups", e))?;
    let same = have.iter().all(|g| groups.contains(g))
        && (getuid(), geteuid(), getgid(), getegid()) == (uid, uid, gid, gid);
    let back = !uid.is_root() && nix::unistd::seteuid(Uid::from_raw(0)).is_ok();
    if same && !back {
        return Ok(());
    }
    Err(io::Error::other(format!("identity was not changed to {uid}:{gid} for good")))
}

/// Gives up a setgid or setuid right: real ids become effective and saved.
pub fn drop_set_id() -> io::Result<()> {
    let (uid, gid) = (getuid(), getgid());
    setresgid(gid, gid, gid).map_err(|e| explain("setgid", e))?;
    setresuid(uid, uid, uid).map_err(|e| explain("setuid", e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Runs the named ignored-by-default helper of this test binary in a process of its own.
    fn helper(name: &str, who: &str) -> std::process::Output {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env("HIKYAKU_TEST_WHO", who)
            .output()
            .unwrap()
    }

    #[test]
    fn child_becomes_nobody() {
        let Ok(who) = std::env::var("HIKYAKU_TEST_WHO") else { return };
        let ids: Vec<u32> = who.split(':').map(|n| n.parse().unwrap()).collect();
        become_identity(&Identity { uid: ids[0], gid: ids[1], groups: ids[2..].to_vec() }).unwrap();
        assert_eq!((real_uid(), effective_uid(), effective_gid()), (ids[0], ids[0], ids[1]));
        assert!(std::fs::File::open("/etc/shadow").is_err());
        assert!(become_identity(&Identity::new(0, 0)).is_err());
        println!("became {who}");
    }

    #[test]
    fn a_thread_acts_for_another_user_and_the_process_stays() {
        if !is_root() {
            assert_eq!(as_identity(&Identity::new(1, 1), || Ok(effective_uid())).unwrap(), effective_uid());
            return;
        }
        let who = Identity { uid: 65534, gid: 65534, groups: vec![8] };
        let denied = as_identity(&who, || std::fs::File::open("/etc/shadow")).unwrap_err();
        assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
        let status = as_identity(&who, || std::fs::read_to_string("/proc/thread-self/status")).unwrap();
        assert!(
            status.contains("Uid:\t65534\t65534\t65534") && status.contains("Groups:\t8 65534"),
            "{status}"
        );
        assert!(is_root() && std::fs::File::open("/etc/shadow").is_ok());
    }

    #[test]
    fn identity_changes_for_good() {
        assert!(is_root() || std::env::var("CI").is_err(), "needs root");
        if !is_root() {
            return;
        }
        for who in ["65534:65534", "12345:65534:8:9"] {
            let out = helper("privilege::tests::child_becomes_nobody", who);
            let text = String::from_utf8_lossy(&out.stdout);
            assert!(out.status.success() && text.contains(&format!("became {who}")), "{text}");
        }
    }

    #[test]
    fn without_root_only_oneself() {
        if !is_root() {
            assert!(become_identity(&Identity::new(effective_uid(), effective_gid())).is_ok());
            assert!(become_identity(&Identity::new(effective_uid() + 1, 1)).is_err());
        }
    }
}
