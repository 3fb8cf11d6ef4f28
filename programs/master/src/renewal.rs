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
use anyhow::{Result, bail};
use base_sys::handoff::{Channel, Order, PROTOCOL};
use std::time::{Duration, Instant};

/// From the start of a new worker until it is prepared, and of a new courier until it is in charge. A worker that was given the
/// spool has no limit, no more than one that is started in the usual way: a large queue takes what it takes to open.
const LIMIT: Duration = Duration::from_secs(120);
/// Replaced processes that may still have something to do. The oldest is asked to end when there are more.
const ELDERS: usize = 8;

/// A process that is to replace another one.
#[derive(Debug)]
pub struct Next {
    /// It.
    pub process: Running,
    /// How far it is.
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It gets everything ready but the spool; killed when it has not at this time.
    Preparing(Instant),
    /// It knows its listeners and is to begin; killed when it has not at this time.
    Ordered(Option<Instant>),
    /// It was killed: nothing is given to it, and what it has said before is not heard.
    Killed,
}

impl Next {
    /// It knows its listeners and is to begin.
    pub fn is_ordered(&self) -> bool {
        matches!(self.stage, Stage::Ordered(_))
    }

    /// It was killed, and its end has not been seen yet.
    pub fn is_killed(&self) -> bool {
        self.stage == Stage::Killed
    }

    fn kill(&mut self) {
        self.process.kill();
        self.stage = Stage::Killed;
    }

    fn until(&self) -> Option<Instant> {
        match self.stage {
            Stage::Preparing(until) => Some(until),
            Stage::Ordered(until) => until,
            Stage::Killed => None,
        }
    }
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
        let Some(running) = &self.running else { return Ok(false) };
        if !running.ready {
            // Looked at when it is.
            self.again = true;
            return Ok(false);
        }
        let file = ProgramFile::at(&program(settings, self.server));
        if !forced && (file.is_none() || file == running.program) {
            return Ok(false);
        }
        let process = self.launch(settings, now)?;
        let stage = match self.server {
            Server::Courier => {
                process.tell_all(self.server, sockets, generation);
                Stage::Ordered(Some(now + LIMIT))
            }
            Server::Worker => {
                process.tell(|channel| channel.order(&Order::Prepare));
                Stage::Preparing(now + LIMIT)
            }
        };
        self.next = Some(Next { process, stage });
        Ok(true)
    }

    /// A replacement that has read a configuration which is not the last one is of no use.
    pub fn outdated(&mut self) {
        self.next.iter_mut().filter(|n| !n.is_ordered()).for_each(Next::kill);
    }

    /// The new worker has everything but the spool: the old one gives it up, when the new one has taken all its orders.
    pub fn prepared(&mut self, protocol: u32, sockets: &Sockets, generation: u32) -> Result<()> {
        let preparing = |n: &&mut Next| matches!(n.stage, Stage::Preparing(_));
        let Some(next) = self.next.as_mut().filter(preparing) else { return Ok(()) };
        if protocol != PROTOCOL {
            next.kill();
            bail!("it cannot replace a running process: stop and start the mail system");
        }
        let (ours, theirs) = Channel::pair().inspect_err(|_| next.kill())?;
        let link = Order::TakeOver(theirs.into_fd());
        let taken = next.process.try_tell(|channel| channel.order(&link));
        drop(link);
        if !taken || !next.process.tell_all(self.server, sockets, generation) {
            next.kill();
            return Ok(());
        }
        next.stage = Stage::Ordered(None);
        if let Some(running) = &self.running {
            running.tell(|channel| channel.order(&Order::HandOver(ours.into_fd())));
        }
        Ok(())
    }

    /// The new process is in charge; the old one, if it is there, finishes what it has.
    pub fn promote(&mut self, sockets: &Sockets, generation: u32) {
        let Some(next) = self.next.take_if(|n| !n.is_killed()) else { return };
        if !next.is_ordered() {
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

    /// When the replacement's time is up.
    pub fn until(&self) -> Option<Instant> {
        self.next.as_ref()?.until()
    }

    /// Kills a replacement whose time is up.
    pub fn expire(&mut self, now: Instant) {
        let expired = |n: &&mut Next| n.until().is_some_and(|until| until <= now);
        self.next.iter_mut().filter(expired).for_each(Next::kill);
    }
}
