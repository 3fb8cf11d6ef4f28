//! More clients than there is room for: the connection is accepted, told `421` and closed, so that nobody waits for a greeting
//! that does not come.
//!
//! Room is a share of the descriptors that the process may have: the rest is for deliveries, tables and the queue. When even
//! those are used up, a descriptor that was kept for it lets one client at a time be told.

use crate::Process;
use base_log::{Log, Source};
use base_net::{Listener, Socket};
use std::{
    fs::File,
    io,
    time::{Duration, Instant},
};
use tokio::io::AsyncWriteExt;

/// Descriptors that are not for sessions, at least.
const OTHERS: u64 = 40;
/// Most sessions of the process, whatever the number of descriptors: some ten KiB each.
const MOST: usize = 20_000;
/// How long the reply may take to leave.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the log says that clients are turned away.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// As postscreen(8) says it.
const BUSY: &[u8] = b"421 4.3.2 All server ports are busy\r\n";
/// Errors of accept(2): the process, or the machine, has no more descriptors.
const OUT: [i32; 2] = [24, 23];

/// The room of one listener's process.
pub struct Shed {
    room: usize,
    spare: Option<File>,
    said: Option<Instant>,
    log: Log,
    source: Source,
}

impl Shed {
    /// For a process with so many descriptors.
    pub fn new(process: &Process) -> Self {
        let (log, source) = (process.log.clone(), process.source.clone());
        Self { room: room(process.open_files), spare: spare(), said: None, log, source }
    }

    /// Whether one more session may begin beside so many.
    pub fn has_room(&self, sessions: usize) -> bool {
        sessions < self.room
    }

    /// Whether accept(2) failed for want of a descriptor.
    pub fn is_out_of_descriptors(error: &io::Error) -> bool {
        error.raw_os_error().is_some_and(|number| OUT.contains(&number))
    }

    /// Tells a client to come back later.
    pub fn refuse(&mut self, socket: Socket) {
        self.say();
        tokio::spawn(tell(socket));
    }

    /// Tells the client that waits, with the descriptor that is kept for it; a moment later when that is gone too.
    pub async fn refuse_next(&mut self, listener: &Listener) {
        self.say();
        if self.spare.take().is_some()
            && let Ok(Ok((socket, _))) = tokio::time::timeout(PATIENCE, listener.accept()).await
        {
            tell(socket).await;
        } else {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.spare = spare();
    }

    fn say(&mut self) {
        if self.said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            self.said = Some(Instant::now());
            self.log.warning(&self.source, "no room for more sessions: clients are told to try again later");
        }
    }
}

fn room(open_files: u64) -> usize {
    usize::try_from(open_files.saturating_sub(OTHERS) / 2).unwrap_or(MOST).clamp(1, MOST)
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

async fn tell(socket: Socket) {
    let mut io = socket.boxed();
    let _ = tokio::time::timeout(PATIENCE, async {
        io.write_all(BUSY).await?;
        io.shutdown().await
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_follows_the_descriptors() {
        for (files, want) in [(0, 1), (64, 12), (130, 45), (1024, 492), (262_144, 20_000), (u64::MAX, 20_000)]
        {
            assert_eq!(room(files), want, "{files}");
        }
    }

    #[test]
    fn what_means_that_there_are_none() {
        for (number, want) in [(24, true), (23, true), (103, false), (12, false)] {
            assert_eq!(Shed::is_out_of_descriptors(&io::Error::from_raw_os_error(number)), want, "{number}");
        }
    }
}
