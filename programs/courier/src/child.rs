//! A child: becomes its user, then does one job after another until its parent closes the socket.
//!
//! It inherits one socket and nothing else, reads no configuration, and holds nothing of a message after its job. What a
//! user can do to a process of theirs (kill it) costs a deferral of their own mail.

use crate::frame::{self, Frames};
use anyhow::{Context, Result, bail};
use base_calls::{codec::take_uint, courier::ContentPlace};
use base_sys::{
    fds, limits,
    privilege::{Identity, become_identity},
    sandbox,
};
use mail_deposit::{Job, perform};
use std::os::unix::net::UnixStream;

/// The first argument of a child.
pub const ARGUMENT: &str = "--child";

/// The environment variable with the number of its socket.
pub const ENV: &str = "HIKYAKU_JOB_FD";

/// The arguments for a child of this identity.
pub fn arguments(who: &Identity) -> Vec<String> {
    let ids = [who.uid, who.gid].into_iter().chain(who.groups.iter().copied());
    std::iter::once(ARGUMENT.to_owned()).chain(ids.map(|n| n.to_string())).collect()
}

fn identity(args: &[String]) -> Result<Identity> {
    let ids: Vec<u32> =
        args.iter().map(|a| a.parse()).collect::<Result<_, _>>().context("bad user or group id")?;
    match ids.split_first_chunk::<2>() {
        Some(([uid, gid], groups)) => Ok(Identity { uid: *uid, gid: *gid, groups: groups.to_vec() }),
        None => bail!("user and group id are needed"),
    }
}

/// The child's main.
pub fn run(args: &[String]) -> Result<()> {
    let number = std::env::var(ENV).context("not started by the courier")?;
    let mut frames = Frames::new(UnixStream::from(fds::adopt(&number)?), None);
    become_identity(&identity(args)?)?;
    sandbox::hide_memory()?;
    limits::set_umask(0o077);
    while one(&mut frames)? {}
    Ok(())
}

/// One job; false at the end of the stream.
fn one(frames: &mut Frames) -> Result<bool> {
    let Some(len) = frames.next_len()? else { return Ok(false) };
    let (place, job) = parse(&frames.bytes(len)?).ok_or_else(frame::malformed)?;
    let content = frames.content(place)?;
    let report = perform(&job, &content);
    frames.reply(&frame::framed(&report.encode()))?;
    Ok(true)
}

/// Where the content is, then the job.
pub fn encode(place: ContentPlace, job: &Job) -> Vec<u8> {
    let (kind, offset, len) = match place {
        ContentPlace::Inline { len } => (0, 0, len),
        ContentPlace::File { offset, len } => (1, offset, len),
    };
    let mut out = Vec::with_capacity(512);
    for n in [kind, offset, len] {
        base_calls::codec::put_uint(&mut out, n);
    }
    out.extend_from_slice(&job.encode());
    frame::framed(&out)
}

fn parse(mut input: &[u8]) -> Option<(ContentPlace, Job)> {
    let mut number = || take_uint(&mut input).ok();
    let place = match (number()?, number()?, number()?) {
        (0, 0, len) => ContentPlace::Inline { len },
        (1, offset, len) => ContentPlace::File { offset, len },
        _ => return None,
    };
    Some((place, Job::parse(input).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_travel_as_arguments() {
        let who = Identity { uid: 5001, gid: 5002, groups: vec![8] };
        let args = arguments(&who);
        assert_eq!(args, ["--child", "5001", "5002", "8"]);
        assert_eq!(identity(&args[1..]).unwrap(), who);
        for bad in [&["1"][..], &["x", "1"], &[]] {
            assert!(identity(&bad.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()).is_err());
        }
    }
}
