//! What a process that holds mail gives up besides the limits of base/sandbox: worker, and courier's children.

use crate::{explain, limits};
use std::io;

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
