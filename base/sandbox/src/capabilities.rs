//! Capabilities (capabilities(7)): the worker has none, master and courier those of their work.
//!
//! Whatever no mail system and no command started by one needs also leaves the bounding set, which children inherit: it
//! cannot come back by a set-user-id program either.

use caps::{CapSet, Capability as Cap, CapsHashSet};
use std::io;

/// A program that stays root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootServer {
    /// Binds ports, makes folders, starts and ends the others.
    Master,
    /// Becomes the recipient's user.
    Courier,
}

/// What both need: files and folders of others, users, signals, limits.
const COMMON: [Cap; 9] = [
    Cap::CAP_CHOWN,
    Cap::CAP_DAC_OVERRIDE,
    Cap::CAP_DAC_READ_SEARCH,
    Cap::CAP_FOWNER,
    Cap::CAP_FSETID,
    Cap::CAP_KILL,
    Cap::CAP_SETGID,
    Cap::CAP_SETUID,
    Cap::CAP_SYS_RESOURCE,
];

/// What nothing that starts from here needs.
const NOBODY: [Cap; 19] = [
    Cap::CAP_AUDIT_CONTROL,
    Cap::CAP_AUDIT_READ,
    Cap::CAP_BLOCK_SUSPEND,
    Cap::CAP_BPF,
    Cap::CAP_CHECKPOINT_RESTORE,
    Cap::CAP_IPC_OWNER,
    Cap::CAP_LEASE,
    Cap::CAP_LINUX_IMMUTABLE,
    Cap::CAP_MAC_ADMIN,
    Cap::CAP_MAC_OVERRIDE,
    Cap::CAP_MKNOD,
    Cap::CAP_PERFMON,
    Cap::CAP_SYSLOG,
    Cap::CAP_SYS_BOOT,
    Cap::CAP_SYS_MODULE,
    Cap::CAP_SYS_PACCT,
    Cap::CAP_SYS_RAWIO,
    Cap::CAP_SYS_TIME,
    Cap::CAP_WAKE_ALARM,
];

/// The permitted and effective sets become those of the work, as far as they were there.
pub(crate) fn keep(program: RootServer) -> io::Result<()> {
    bound()?;
    let mut wanted: CapsHashSet = COMMON.into_iter().collect();
    if program == RootServer::Master {
        wanted.insert(Cap::CAP_NET_BIND_SERVICE);
    }
    let had = caps::read(None, CapSet::Permitted).map_err(io::Error::other)?;
    let wanted: CapsHashSet = wanted.intersection(&had).copied().collect();
    set(CapSet::Effective, &wanted)?;
    set(CapSet::Permitted, &wanted)
}

/// No capability at all.
pub(crate) fn drop_all() -> io::Result<()> {
    let none = CapsHashSet::new();
    // Kernels before 4.3 have no ambient set, and then nothing to clear.
    let _ = caps::clear(None, CapSet::Ambient);
    [CapSet::Effective, CapSet::Inheritable, CapSet::Permitted].into_iter().try_for_each(|s| set(s, &none))
}

/// Takes [`NOBODY`] out of the bounding set; not without the right to (in a container).
fn bound() -> io::Result<()> {
    if !caps::has_cap(None, CapSet::Effective, Cap::CAP_SETPCAP).map_err(io::Error::other)? {
        return Ok(());
    }
    for cap in NOBODY {
        // A capability that this kernel does not know is not there either.
        if caps::has_cap(None, CapSet::Bounding, cap).unwrap_or(false) {
            caps::drop(None, CapSet::Bounding, cap).map_err(io::Error::other)?;
        }
    }
    Ok(())
}

fn set(which: CapSet, to: &CapsHashSet) -> io::Result<()> {
    caps::set(None, which, to).map_err(io::Error::other)
}
