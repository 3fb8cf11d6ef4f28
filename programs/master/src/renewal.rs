//! Replacing a child by the program that was installed over it, while it serves: an upgrade without an interruption.
//!
//! At a reload the executable is compared with the file that the child was started from; a child may also ask for it. The
//! listening sockets are master's, so no client is refused: between the two processes connections wait in the kernel. The new
//! worker gets everything ready first ([`Order::Prepare`]); when it does not, the old one goes on as if nothing had been. Then the
//! old one hands over (`base_spool::Relay`) and ends when its sessions have. A new courier is simply the one that gets the next
//! requests. One replacement at a time for each child; what comes meanwhile is looked at afterwards.

use crate::{
    children::{ProgramFile, Running, Slot, program},
    endpoints::Server,
    settings::Settings,
    sockets::Sockets,
};
use anyhow::{Result, ensure};
use base_sys::handoff::{Channel, Order, PROTOCOL};
use std::time::{Duration, Instant};

/// From the start of the new process until it is in charge.
const LIMIT: Duration = Duration::from_secs(120);
/// Replaced processes that may still have something to do. The oldest is asked to end when there are more.
const ELDERS: usize = 8;

/// A process that is to replace another one.
#[derive(Debug)]
pub struct Next {
    /// It.
    pub process: Running,
    /// It knows its listeners and is to begin.
    pub ordered: bool,
    /// Killed when it is not ready at this time.
    pub until: Instant,
}

impl Slot {
    /// Starts the replacement when the executable is another one than that which runs, or `forced`. Whether it did.
    pub fn renew(
        &mut self,
        forced: bool,
        settings: &Settings,
        sockets: &Sockets,
        generation: u32,
        now: Instant,
    ) -> Result<bool> {
        if self.next.is_some() {
            self.again = true;
            return Ok(false);
        }
        let Some(running) = self.running.as_ref().filter(|r| r.ready) else { return Ok(false) };
        let file = ProgramFile::at(&program(settings, self.server));
        if !forced && (file.is_none() || file == running.program) {
            return Ok(false);
        }
        let process = self.launch(settings, now)?;
        let ordered = self.server == Server::Courier;
        match ordered {
            true => process.tell_all(self.server, sockets, generation),
            false => process.tell(|channel| channel.order(&Order::Prepare)),
        }
        self.next = Some(Next { process, ordered, until: now + LIMIT });
        Ok(true)
    }

    /// A replacement that has read a configuration which is not the last one is of no use.
    pub fn outdated(&self) {
        self.next.iter().filter(|n| !n.ordered).for_each(|n| n.process.kill());
    }

    /// The new worker has everything but the spool: the old one gives it up.
    pub fn prepared(&mut self, protocol: u32, sockets: &Sockets, generation: u32) -> Result<()> {
        let Some(next) = self.next.as_mut().filter(|n| !n.ordered) else { return Ok(()) };
        if protocol != PROTOCOL {
            next.process.kill();
        }
        ensure!(protocol == PROTOCOL, "it cannot replace a running process: stop and start the mail system");
        next.ordered = true;
        if let Some(running) = &self.running {
            let (ours, theirs) = Channel::pair()?;
            running.tell(|channel| channel.order(&Order::HandOver(ours.into_fd())));
            next.process.tell(|channel| channel.order(&Order::TakeOver(theirs.into_fd())));
        }
        next.process.tell_all(self.server, sockets, generation);
        Ok(())
    }

    /// The new process is in charge; the old one, if it is there, finishes what it has.
    pub fn promote(&mut self, sockets: &Sockets, generation: u32) {
        let Some(next) = self.next.take() else { return };
        if !next.ordered {
            next.process.tell_all(self.server, sockets, generation);
        }
        let Some(old) = self.running.replace(next.process) else { return };
        if self.server == Server::Courier {
            old.tell(|channel| channel.order(&Order::Retire));
        }
        self.elders.push(old);
        let most = self.elders.len().saturating_sub(ELDERS);
        self.elders.iter().take(most).for_each(|e| e.tell(|channel| channel.order(&Order::Stop)));
    }

    /// Kills a replacement whose time is up. When the next one's is.
    pub fn limit(&self, now: Instant) -> Option<Instant> {
        let next = self.next.as_ref()?;
        if next.until <= now {
            next.process.kill();
            return None;
        }
        Some(next.until)
    }
}
