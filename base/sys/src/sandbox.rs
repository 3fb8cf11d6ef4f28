//! Giving up what a process will never need: called by worker after it became mail_owner, and by courier's children.
//!
//! Now: no new privileges by exec, no core dump or ptrace by others. Landlock rules and a seccomp filter join here; each
//! step is best effort on kernels without it, and what was applied is returned for the log.

use crate::{explain, limits};
use std::io;

/// What was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// PR_SET_NO_NEW_PRIVS.
    pub no_new_privileges: bool,
    /// PR_SET_DUMPABLE 0 and no core files.
    pub not_dumpable: bool,
}

/// Hides the memory of this process from its user (PR_SET_DUMPABLE) and forbids core files.
pub fn hide_memory() -> io::Result<()> {
    nix::sys::prctl::set_dumpable(false).map_err(|e| explain("PR_SET_DUMPABLE", e))?;
    limits::no_core_dumps()
}

/// No exec of this process or its children gains privileges any more. Not for processes that run `sendmail` or
/// users' commands: setgid programs must work there.
pub fn no_new_privileges() -> io::Result<()> {
    nix::sys::prctl::set_no_new_privs().map_err(|e| explain("PR_SET_NO_NEW_PRIVS", e))
}

/// Everything for a process that starts no programs: the worker.
pub fn enter() -> io::Result<Applied> {
    hide_memory()?;
    no_new_privileges()?;
    Ok(Applied { no_new_privileges: true, not_dumpable: true })
}
