//! Landlock (landlock(7)): which files the worker may open, make and delete; that it opens no port and signals nobody.
//!
//! Looking at a file's state and connecting to a socket by its path are not covered by Landlock; the file's own
//! permissions decide there. Nothing may be executed anywhere.

use crate::Folders;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope, path_beneath_rules,
};
use std::io;

/// The newest set of rights that the rules speak of; older kernels enforce what they know.
const KNOWN: ABI = ABI::V6;

fn read() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

fn write() -> BitFlags<AccessFs> {
    read()
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::Refer
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
}

/// Applies to this thread and those that it will start. What this kernel does not enforce comes back in words.
pub(crate) fn restrict(folders: &Folders) -> io::Result<Option<String>> {
    let status = apply(folders).map_err(io::Error::other)?;
    Ok(match status {
        RulesetStatus::NotEnforced => {
            Some("the kernel has no Landlock: files outside the mail system's folders are kept by permissions alone".into())
        }
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => None,
    })
}

fn apply(folders: &Folders) -> Result<RulesetStatus, landlock::RulesetError> {
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::Signal)?
        .create()?
        // Any port: for connections from smtp_bind_address.
        .add_rule(NetPort::new(0, AccessNet::BindTcp))?
        .add_rules(path_beneath_rules(folders.read.union(&folders.inner), read()))?
        .add_rules(path_beneath_rules(&folders.write, write()))?
        .restrict_self()?;
    Ok(status.ruleset)
}
