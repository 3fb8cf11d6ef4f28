//! Start, reload, stop: obeying master.

use crate::{Process, listeners::Listeners, stages::{Fixed, Stages}};
use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use base_sys::handoff::{Channel, Order, Reply};
use std::{io, sync::Arc, time::Duration};
use tokio::io::{Interest, unix::AsyncFd};

/// How long open sessions may go on after a stop before they are cut.
const STOP_GRACE: Duration = Duration::from_secs(4);

/// Runs until master says stop or is gone.
pub fn run(process: &Process, channel: Channel) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("worker")
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(obey(process, channel));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// The server once it has its first configuration.
struct Running {
    fixed: Fixed,
    stages: Arc<ArcSwap<Stages>>,
}

async fn obey(process: &Process, channel: Channel) -> Result<()> {
    channel.set_nonblocking()?;
    let channel = AsyncFd::with_interest(channel, Interest::READABLE)?;
    let mut listeners = Listeners::default();
    let mut running: Option<Running> = None;
    loop {
        match next_order(&channel).await? {
            Some(Order::Listener(key, fd)) => listeners.add(key, fd),
            Some(Order::Close(key)) => listeners.close(&key),
            Some(Order::Configured { generation }) => {
                let result = configure(process, &mut running, &mut listeners).await;
                let reply = match &result {
                    Ok(()) => Reply::Ready { generation },
                    Err(e) => Reply::Failed { generation, reason: format!("{e:#}") },
                };
                channel.get_ref().reply(&reply)?;
                if running.is_none() {
                    return result;
                }
                if let Err(e) = result {
                    process.log.error(&process.source, format!("{e:#}: keeping the previous configuration"));
                }
            }
            Some(Order::Stop) | None => break,
        }
    }
    listeners.close_all();
    if let Some(r) = running {
        stop(r, &listeners).await;
    }
    process.log.flush();
    Ok(())
}

async fn next_order(channel: &AsyncFd<Channel>) -> io::Result<Option<Order>> {
    loop {
        let mut ready = channel.readable().await?;
        match ready.try_io(|c| c.get_ref().next_order()) {
            Ok(order) => return order,
            Err(_would_block) => {}
        }
    }
}

/// Builds the stages from the configuration as it is now: all of it, or nothing changes.
async fn configure(process: &Process, running: &mut Option<Running>, listeners: &mut Listeners) -> Result<()> {
    match running {
        None => {
            let fixed = Fixed::open(process)?;
            let stages = Arc::new(ArcSwap::from_pointee(Stages::build(process, &fixed)?));
            fixed.start(&stages.load_full())?;
            *running = Some(Running { fixed, stages });
        }
        Some(r) => {
            let fresh = Arc::new(Stages::build(process, &r.fixed)?);
            r.fixed.reload(&fresh)?;
            r.stages.store(fresh);
        }
    }
    if let Some(r) = running {
        listeners.start_new(process, &r.fixed, &r.stages);
    }
    Ok(())
}

/// Lets sessions and deliveries end, then closes the spool.
async fn stop(r: Running, listeners: &Listeners) {
    let _ = tokio::time::timeout(STOP_GRACE, listeners.idle()).await;
    r.fixed.stop(STOP_GRACE).await;
}
