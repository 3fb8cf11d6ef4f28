//! Start, reload, stop: obeying master.

use crate::{
    Process,
    listeners::Listeners,
    opener::ThroughMaster,
    stages::{Faults, Fixed, Stages},
    watchdog,
};
use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use base_conf::{Config, MasterCf};
use base_sandbox::Folders;
use base_sys::handoff::{Channel, Order, Reply};
use std::{io, sync::Arc, thread, time::Duration};
use tokio::sync::mpsc;

/// How long open sessions may go on after a stop before they are cut.
const STOP_GRACE: Duration = Duration::from_secs(4);

/// How often the maildrop is looked at without a wake-up call (pickup's usual wake-up time in master.cf).
const MAILDROP_SCAN: Duration = Duration::from_secs(60);

/// Runs until master says stop or is gone.
pub fn run(process: &Process, channel: Arc<Channel>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("worker")
        .build()
        .context("cannot start the runtime")?;
    watchdog::watch(runtime.handle(), process.log.clone(), process.source.clone())?;
    let result = runtime.block_on(obey(process, channel));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// The server once it has its first configuration.
struct Running {
    fixed: Fixed,
    stages: Arc<ArcSwap<Stages>>,
}

async fn obey(process: &Process, channel: Arc<Channel>) -> Result<()> {
    let mut orders = listen(Arc::clone(&channel), Arc::clone(&process.opener))?;
    let mut listeners = Listeners::default();
    let mut running: Option<Running> = None;
    loop {
        match orders.recv().await {
            Some(Order::Listener(key, fd)) => listeners.add(key, fd),
            Some(Order::Close(key)) => listeners.close(&key),
            Some(Order::Configured { generation }) => {
                if running.is_some() && !has_folders(process) {
                    process.log.info(&process.source, "the configuration names new folders: starting again");
                    break;
                }
                process.log.reopen();
                let result = configure(process, &mut running, &mut listeners).await;
                let reply = match &result {
                    Ok(()) => Reply::Ready { generation },
                    Err(e) => Reply::Failed { generation, reason: format!("{e:#}") },
                };
                channel.reply(&reply)?;
                if running.is_none() {
                    return result;
                }
                if let Err(e) = result {
                    process.log.error(&process.source, format!("{e:#}: keeping the previous configuration"));
                }
            }
            Some(Order::Opened { .. }) => {}
            Some(Order::Ping) => channel.reply(&Reply::Pong)?,
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

/// Whether the sandbox has what the configuration asks for now. It cannot grow: a new process gets a new one.
fn has_folders(process: &Process) -> bool {
    let now = Config::load(&process.config_dir)
        .ok()
        .zip(MasterCf::load(&process.config_dir).ok())
        .map(|(config, master)| Folders::of(&config, &master));
    now.is_none_or(|now| process.folders.cover(&now))
}

/// A thread of its own waits for master; the end of the channel is the end of master. Files that were asked for go to
/// their askers at once, who may be what the orders wait for.
fn listen(channel: Arc<Channel>, opener: Arc<ThroughMaster>) -> io::Result<mpsc::UnboundedReceiver<Order>> {
    let (send, orders) = mpsc::unbounded_channel();
    let wait = move || {
        while let Ok(Some(order)) = channel.next_order() {
            let taken = match order {
                Order::Opened { number, file } => {
                    opener.answered(number, file);
                    Ok(())
                }
                order => send.send(order),
            };
            if taken.is_err() {
                break;
            }
        }
    };
    thread::Builder::new().name("orders".into()).spawn(wait)?;
    Ok(orders)
}

/// Builds the stages from the configuration as it is now: all of it, or nothing changes.
async fn configure(
    process: &Process,
    running: &mut Option<Running>,
    listeners: &mut Listeners,
) -> Result<()> {
    match running {
        None => {
            let fixed = Fixed::open(process)?;
            let stages =
                Arc::new(ArcSwap::from_pointee(Stages::build(process, &fixed, Faults::StopService)?));
            fixed.start(&stages.load_full())?;
            tokio::spawn(scan_maildrop(Arc::clone(&stages)));
            tokio::spawn(crate::dmarc_reports::run(Arc::clone(&stages)));
            fixed.watch_clients(&Config::load(&process.config_dir)?)?;
            *running = Some(Running { fixed, stages });
        }
        Some(r) => {
            let fresh = Arc::new(Stages::build(process, &r.fixed, Faults::Refuse)?);
            r.fixed.reload(&fresh)?;
            r.stages.store(fresh);
        }
    }
    if let Some(r) = running {
        r.fixed.acme.configure(process);
        listeners.start_new(process, &r.fixed, &r.stages);
    }
    Ok(())
}

/// Looks for mail that nobody woke us up for.
async fn scan_maildrop(stages: Arc<ArcSwap<Stages>>) {
    loop {
        let pickup = Arc::clone(&stages.load().pickup);
        pickup.scan().await;
        tokio::time::sleep(MAILDROP_SCAN).await;
    }
}

/// Lets sessions and deliveries end, then closes the spool.
async fn stop(r: Running, listeners: &Listeners) {
    let _ = tokio::time::timeout(STOP_GRACE, listeners.idle()).await;
    r.fixed.stop(STOP_GRACE).await;
}
