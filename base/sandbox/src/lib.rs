//! What each program gives up for good when it starts: files, system calls, capabilities.
//!
//! [`worker`] is the strictest: files below its own [`Folders`] alone (Landlock), no program can be started, no process
//! touched, no raw socket made (seccomp), no capability, no new privileges. [`root_server`] is for master and courier, whose
//! children run users' commands and must not inherit limits: only the capabilities that they need stay.
//!
//! Called once in main, before there is a second thread. A kernel that lacks a part is no error: [`Applied::missing`] says
//! what, for one line of the log.

mod calls;
mod capabilities;
mod files;
mod folders;
mod named;
#[cfg(test)]
mod tests;

pub use capabilities::RootServer;
pub use folders::Folders;
pub use named::{Named, named_in, of_configuration};

use base_sys::sandbox;
use std::io;

/// What took effect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// Parts that this kernel does not have, in words.
    pub missing: Vec<String>,
}

/// The worker, and its role that answers lookups: already `mail_owner`.
pub fn worker(folders: &Folders) -> io::Result<Applied> {
    sandbox::hide_memory()?;
    sandbox::no_new_privileges()?;
    capabilities::drop_all()?;
    let mut missing = Vec::new();
    missing.extend(files::restrict(folders)?);
    missing.extend(calls::restrict()?);
    Ok(Applied { missing })
}

/// Master or courier, when it is root: keeps the capabilities of its work.
pub fn root_server(program: RootServer) -> io::Result<()> {
    match base_sys::privilege::is_root() {
        true => capabilities::keep(program),
        false => Ok(()),
    }
}
