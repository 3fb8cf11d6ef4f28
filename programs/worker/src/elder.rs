//! The worker that another one replaces: it gives up the spool and ends when its sessions and deliveries have ended.
//!
//! Called by `lifecycle` when master orders it. Accepts nothing more, starts no delivery; what its sessions take in and what
//! becomes of its deliveries goes to the successor. An orderly stop gives it a moment; when the successor is gone it ends at
//! once, as both have died then.

use crate::{Process, fixed::Fixed, listeners::Listeners};
use anyhow::{Result, bail};
use base_calls::QueueId;
use base_sys::handoff::{Channel, Order, Reply};
use std::{os::fd::OwnedFd, sync::Arc, time::Duration};
use tokio::sync::mpsc::UnboundedReceiver;

/// Messages that may be on their way at the same time beside two for each session: notices.
const SPARE: usize = 256;

/// Deliveries that go on here.
pub struct Elder {
    left: usize,
    over: UnboundedReceiver<QueueId>,
}

/// Gives up the spool. From here on there is no way back: after an error this worker must end.
pub async fn hand_over(fixed: &Fixed, listeners: &mut Listeners, link: OwnedFd) -> Result<Elder> {
    listeners.close_all();
    let (left, over) = fixed.hand_over(link, SPARE + 2 * listeners.sessions()).await?;
    Ok(Elder { left, over })
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
        let ending = async {
            self.deliveries(fixed).await;
            listeners.idle().await;
        };
        tokio::select! {
            () = ending => Ok(()),
            () = fixed.successor_lost() => bail!("the process that has the spool is gone"),
            () = stop_ordered(process, orders, channel) => {
                let _ = tokio::time::timeout(grace, listeners.idle()).await;
                Ok(())
            }
        }
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
