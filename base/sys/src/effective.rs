//! Acting as another user for a while: postmap(1) as root writes a table with the rights of its source's owner.
//!
//! Only the effective ids change, and come back when the guard is dropped; a failure to come back ends the process,
//! since nobody could say any more with which rights it runs.

use crate::explain;
use nix::unistd::{Gid, Uid, getegid, geteuid, setegid, seteuid};
use std::io;

/// Acts as another user until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct ActingAs {
    back: Option<(Uid, Gid)>,
}

/// Takes on the effective ids. Without root nothing changes.
pub fn act_as(uid: u32, gid: u32) -> io::Result<ActingAs> {
    let own = (geteuid(), getegid());
    if !own.0.is_root() || uid == 0 {
        return Ok(ActingAs { back: None });
    }
    setegid(Gid::from_raw(gid)).map_err(|e| explain("setegid", e))?;
    let acting = ActingAs { back: Some(own) };
    seteuid(Uid::from_raw(uid)).map_err(|e| explain("seteuid", e))?;
    Ok(acting)
}

impl Drop for ActingAs {
    fn drop(&mut self) {
        let Some((uid, gid)) = self.back else { return };
        if seteuid(uid).and_then(|()| setegid(gid)).is_err() {
            std::process::abort();
        }
    }
}
