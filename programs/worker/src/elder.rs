//! The worker that another one replaces: it gives up the spool and ends when its sessions and deliveries have ended.
//!
//! Called by `lifecycle` when master orders it. Accepts nothing more, starts no delivery; what its sessions take in and what
//! becomes of its deliveries goes to the successor. Deliveries have time limits of their own; sessions get [`SESSIONS`] and then, as at
//! an orderly stop, a moment. When the successor is gone it ends at once, as both have died then; so it does when it cannot give up
//! the spool in [`GIVE_UP`], as it accepts nothing: master starts another one.

use crate::{Process, fixed::Fixed, listeners::Listeners};
use anyhow::{Result, bail};
use base_calls::QueueId;
use base_sys::{
    handoff::{Channel, Order, Reply},
    process::is_readable,
};
use std::{
    future::Future,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{sync::mpsc::UnboundedReceiver, time::timeout};

/// Messages that may be on their way at the same time beside two for each session: notices.
const SPARE: usize = 256;

/// From the last connection that is accepted until the spool is given up: the last writes are synced in that time.
pub const GIVE_UP: Duration = Duration::from_secs(60);

/// So long sessions may go on here. Most end within minutes; one whose client never stops would keep this process for ever.
const SESSIONS: Duration = Duration::from_secs(3600);

/// Deliveries that go on here.
pub struct Elder {
    left: usize,
    over: UnboundedReceiver<QueueId>,
}

/// Whether the process that wants the spool has died meanwhile. It says nothing before it gets the spool.
pub fn is_gone(link: &OwnedFd) -> bool {
    is_readable(link.as_fd())
}

/// Gives up the spool. From here on there is no way back: after an error this worker must end. It is ended when that takes longer
/// than [`GIVE_UP`].
pub async fn hand_over(
    process: &Process,
    fixed: &Fixed,
    listeners: &mut Listeners,
    link: OwnedFd,
) -> Result<Elder> {
    let (log, source) = (process.log.clone(), process.source.clone());
    let _fuse = Fuse::light(GIVE_UP, move || {
        log.fatal(&source, "the spool is not given up in time: ending");
        log.flush();
        std::process::abort();
    })?;
    listeners.close_all();
    let (left, over) = fixed.hand_over(link, SPARE + 2 * listeners.sessions()).await?;
    Ok(Elder { left, over })
}

/// Acts when it is not dropped in time; on a thread of its own, whatever the others are waiting for.
struct Fuse(Option<Sender<()>>, Option<JoinHandle<()>>);

impl Fuse {
    fn light(limit: Duration, act: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (put_out, out) = channel();
        let burn = move || {
            if out.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                act();
            }
        };
        let thread = thread::Builder::new().name("fuse".into()).spawn(burn)?;
        Ok(Self(Some(put_out), Some(thread)))
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        drop(self.0.take());
        let _ = self.1.take().map(JoinHandle::join);
    }
}

/// Waits for both; for sessions no longer than [`SESSIONS`]. Whether they have ended.
async fn all_ended(deliveries: impl Future<Output = ()>, sessions: impl Future<Output = ()>) -> bool {
    let ((), sessions) = tokio::join!(deliveries, timeout(SESSIONS, sessions));
    sessions.is_ok()
}

impl Elder {
    /// Until all has ended.
    pub async fn finish(
        mut self,
        process: &Process,
        fixed: &Fixed,
        listeners: &Listeners,
        orders: &mut UnboundedReceiver<Order>,
        channel: &Arc<Channel>,
        grace: Duration,
    ) -> Result<()> {
        let (sessions, deliveries) = (listeners.sessions(), self.left);
        let text =
            format!("replaced by a new process: {sessions} sessions, {deliveries} deliveries to finish");
        process.log.info(&process.source, text);
        let ended = tokio::select! {
            ended = all_ended(self.deliveries(fixed), listeners.idle()) => ended,
            () = fixed.successor_lost() => bail!("the process that has the spool is gone"),
            () = stop_ordered(process, orders, channel) => false,
        };
        if !ended && timeout(grace, listeners.idle()).await.is_err() {
            let text = format!("ending: {} sessions are cut", listeners.sessions());
            process.log.info(&process.source, text);
        }
        process.log.flush();
        Ok(())
    }

    async fn deliveries(&mut self, fixed: &Fixed) {
        while self.left > 0
            && let Some(id) = self.over.recv().await
        {
            fixed.delivered(id).await;
            self.left -= 1;
        }
    }
}

/// Configurations are the successor's business, but for a log that was put aside.
async fn stop_ordered(process: &Process, orders: &mut UnboundedReceiver<Order>, channel: &Arc<Channel>) {
    loop {
        let answer = match orders.recv().await {
            Some(Order::Ping) => channel.reply(&Reply::Pong),
            Some(Order::Configured { generation }) => {
                process.log.reopen();
                channel.reply(&Reply::Ready { generation })
            }
            Some(Order::Stop) | None => return,
            Some(_) => Ok(()),
        };
        if answer.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_sys::handoff::Channel;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::time::{Instant, sleep};

    #[tokio::test(start_paused = true)]
    async fn sessions_have_an_hour_and_deliveries_their_own_limits() {
        const NEVER: u64 = 1_000_000;
        for (deliveries, sessions, want) in [
            (0, 0, (true, 0)),
            (10, 3599, (true, 3599)),
            (0, NEVER, (false, 3600)),
            (7200, 60, (true, 7200)),
            (7200, NEVER, (false, 7200)),
        ] {
            let begun = Instant::now();
            let after = |n| sleep(Duration::from_secs(n));
            let ended = all_ended(after(deliveries), after(sessions)).await;
            assert_eq!((ended, begun.elapsed().as_secs()), want, "{deliveries} {sessions}");
        }
    }

    #[test]
    fn a_fuse_acts_unless_it_is_put_out() {
        for (limit, want) in [(Duration::ZERO, true), (GIVE_UP, false)] {
            let acted = Arc::new(AtomicBool::new(false));
            let acts = Arc::clone(&acted);
            let mut fuse = Fuse::light(limit, move || acts.store(true, Ordering::SeqCst)).unwrap();
            if want {
                fuse.1.take().unwrap().join().unwrap();
            }
            drop(fuse);
            assert_eq!(acted.load(Ordering::SeqCst), want);
        }
    }

    #[test]
    fn a_successor_that_has_died_is_seen() {
        let (ours, theirs) = Channel::pair().unwrap();
        let link = ours.into_fd();
        assert!(!is_gone(&link));
        drop(theirs);
        assert!(is_gone(&link));
    }
}
