//! Start, reload, stop, giving way to another worker: obeying master.

use crate::{
    Process, elder,
    fixed::Fixed,
    listeners::Listeners,
    opener::ThroughMaster,
    stages::{Faults, Stages},
    watchdog,
};
use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use base_conf::{Config, MasterCf};
use base_sandbox::Folders;
use base_spool::Heritage;
use base_sys::handoff::{Channel, Order, PROTOCOL, Reply};
use std::{io, os::fd::OwnedFd, sync::Arc, thread, time::Duration};
use tokio::{sync::mpsc, task::JoinHandle};

/// How long open sessions may go on after a stop before they are cut.
const STOP_GRACE: Duration = Duration::from_secs(4);

/// How long the worker that is replaced may take until it has given up the spool: what it has just begun to do first, and
/// [`elder::GIVE_UP`], after which it is gone and the spool free.
const HAND_OVER: Duration = elder::GIVE_UP.saturating_add(Duration::from_secs(60));

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
    /// Sends reports to other domains.
    reports: JoinHandle<()>,
}

/// All but the spool.
struct Prepared {
    fixed: Fixed,
    stages: Arc<ArcSwap<Stages>>,
}

impl Prepared {
    fn new(process: &Process, faults: Faults) -> Result<Self> {
        let fixed = Fixed::new(process)?;
        let stages = Arc::new(ArcSwap::from_pointee(Stages::build(process, &fixed, faults)?));
        Ok(Self { fixed, stages })
    }

    /// With the spool: of the worker that is replaced, or the one that nobody has.
    async fn start(self, process: &Process, link: Option<OwnedFd>) -> Result<Running> {
        let Self { fixed, stages } = self;
        let heritage = match link {
            Some(link) => {
                let received = tokio::task::spawn_blocking(|| Heritage::receive(link, HAND_OVER)).await?;
                // When it is gone the spool is free; when it goes on this will fail.
                received
                    .inspect_err(|_| process.log.info(&process.source, "the old process kept the spool"))
                    .ok()
            }
            None => None,
        };
        let lent = fixed.open(process, heritage).await?;
        fixed.start(&stages.load_full(), &lent)?;
        tokio::spawn(scan_maildrop(Arc::clone(&stages)));
        let reports = tokio::spawn(crate::reports::run(Arc::clone(&stages)));
        fixed.watch_clients(&Config::load(&process.config_dir)?)?;
        Ok(Running { fixed, stages, reports })
    }
}

/// What came before the first configuration, from master.
#[derive(Default)]
struct Ahead {
    prepared: Option<Prepared>,
    link: Option<OwnedFd>,
}

async fn obey(process: &Process, channel: Arc<Channel>) -> Result<()> {
    let mut orders = listen(Arc::clone(&channel), Arc::clone(&process.opener))?;
    let mut listeners = Listeners::default();
    let mut running: Option<Running> = None;
    let mut ahead = Ahead::default();
    loop {
        match orders.recv().await {
            Some(Order::Listener(key, fd)) => listeners.add(key, fd),
            Some(Order::Close(key)) => listeners.close(&key),
            Some(Order::Prepare) => {
                let prepared = Prepared::new(process, Faults::Refuse);
                channel.reply(&match &prepared {
                    Ok(_) => Reply::Prepared { protocol: PROTOCOL },
                    Err(e) => Reply::Failed { generation: 0, reason: format!("{e:#}") },
                })?;
                ahead.prepared = Some(prepared?);
            }
            Some(Order::TakeOver(link)) => ahead.link = Some(link),
            Some(Order::Configured { generation }) => {
                if running.is_some() && !has_folders(process) {
                    process.log.info(
                        &process.source,
                        "the configuration names new folders: a new process is needed",
                    );
                    channel.reply(&Reply::Renew { generation })?;
                    continue;
                }
                process.log.reopen();
                let result =
                    configure(process, &mut running, &mut listeners, std::mem::take(&mut ahead)).await;
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
            Some(Order::HandOver(link)) => {
                let Some(r) = &running else { continue };
                if elder::is_gone(&link) {
                    process.log.warning(&process.source, "the new process is gone: not replaced by it");
                    continue;
                }
                if let Err(e) = r.fixed.prepare_to_hand_over().await {
                    process.log.warning(&process.source, format!("{e:#}: not replaced by a new process"));
                    continue;
                }
                r.reports.abort();
                let elder = elder::hand_over(process, &r.fixed, &mut listeners, link).await?;
                return elder.finish(process, &r.fixed, &listeners, &mut orders, &channel, STOP_GRACE).await;
            }
            Some(Order::Opened { .. } | Order::Retire) => {}
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
    ahead: Ahead,
) -> Result<()> {
    match running {
        None => {
            let prepared = match ahead.prepared {
                Some(prepared) => prepared,
                None => Prepared::new(process, Faults::StopService)?,
            };
            *running = Some(prepared.start(process, ahead.link).await?);
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
