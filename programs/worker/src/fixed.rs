//! What stays from the first configuration to the end: the spool, the scheduler, limits per client, caches, DNS.
//!
//! Made in two steps, so that a worker which replaces another one has everything but the spool before that one gives it up:
//! [`Fixed::new`], then [`Fixed::open`] and [`Fixed::start`].

use crate::{Process, acme::Certificates, stages::Stages};
use anyhow::{Context, Result, ensure};
use base_cache::Caches;
use base_calls::{Arrivals, QueueId, Queued};
use base_conf::Config;
use base_dns::Resolver;
use base_log::Log;
use base_spool::{Damage, Heritage, Relay, Spool, Successor};
use mail_receive::{Anvil, Scans};
use mail_restrict::{Bounds, Decisions};
use mail_schedule::{Handle, Scheduler};
use std::{
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use tokio::sync::mpsc::UnboundedReceiver;

/// How long the disk may take to write all that it is asked to before the spool is handed over.
const WRITTEN: Duration = Duration::from_secs(3);

/// How long a file of the maildrop that is being taken in may hold up a successor.
const PICKUP: Duration = Duration::from_secs(3);

/// How long anvil waits for a client before it says what it has seen.
const ANVIL_IDLE: Duration = Duration::from_secs(100);

/// See the module.
pub struct Fixed {
    /// The log.
    pub log: Log,
    relay: Arc<Relay>,
    /// DNS.
    pub resolver: Resolver,
    /// The scheduler, when there is one.
    pub arrivals: Arc<LateArrivals>,
    /// Clients.
    pub anvil: Anvil,
    /// Logins and senders.
    pub users: Anvil,
    /// Caches that outlive a restart.
    pub caches: Arc<Caches>,
    /// Who may look into the maildrop.
    pub scans: Arc<Scans>,
    /// The last decisions, for `postfix explain`.
    pub decisions: Arc<Decisions>,
    /// The certificate of `tls_acme_domains`.
    pub acme: Certificates,
    /// Where they are kept while the server does not run.
    history: PathBuf,
    /// `queue_directory`.
    pub queue_directory: PathBuf,
    /// `queue_minfree` in bytes, as it was at the start.
    pub minfree: u64,
}

/// The scheduler's handle, for stages that are built before it starts.
#[derive(Default)]
pub struct LateArrivals(OnceLock<Handle>);

impl LateArrivals {
    /// It, once it runs.
    pub fn get(&self) -> Option<&Handle> {
        self.0.get()
    }
}

impl Successor for LateArrivals {
    fn arrived(&self, message: Arc<Queued>, held: bool) {
        Arrivals::arrived(self, message, held);
    }

    fn changed(&self, id: QueueId) {
        if let Some(handle) = self.get() {
            handle.changed(id);
        }
    }

    fn ended(&self, id: QueueId) {
        if let Some(handle) = self.get() {
            handle.returned(id);
        }
    }
}

impl Arrivals for LateArrivals {
    fn arrived(&self, message: Arc<Queued>, held: bool) {
        if let Some(handle) = self.0.get() {
            handle.arrived(message, held);
        }
    }

    fn is_crowded(&self) -> bool {
        self.0.get().is_some_and(Arrivals::is_crowded)
    }
}

impl Fixed {
    /// All but the spool: until [`Fixed::open`] it is closed.
    pub fn new(process: &Process) -> Result<Self> {
        let cfg = Config::load(&process.config_dir)?;
        Ok(Self {
            log: process.log.clone(),
            relay: Arc::default(),
            resolver: Resolver::new(base_dns::Options {
                counts: Arc::clone(&process.log.metrics().dns),
                ..base_dns::Options::default()
            }),
            minfree: u64::try_from(cfg.int("queue_minfree")?).unwrap_or(0),
            arrivals: Arc::default(),
            anvil: Anvil::new(),
            users: Anvil::new(),
            caches: Arc::new(caches(&cfg, &process.log)?),
            scans: Arc::default(),
            decisions: Arc::new(Decisions::new(Bounds::from_config(&cfg)?)),
            acme: Certificates::default(),
            history: mail_restrict::history_file(&cfg)?,
            queue_directory: PathBuf::from(cfg.str("queue_directory")?),
        })
    }

    /// The spool, for the stages.
    pub fn spool(&self) -> Arc<dyn Spool> {
        Arc::clone(&self.relay) as Arc<dyn Spool>
    }

    /// Opens the spool (recovering it), or takes it from the worker that had it, and reports what was damaged. Returns messages that
    /// earlier workers are delivering.
    pub async fn open(&self, process: &Process, heritage: Option<Heritage>) -> Result<Vec<QueueId>> {
        let dir = base_spool::directory(&self.queue_directory);
        let (log, source) = (process.log.clone(), process.source.clone());
        let report = move |d: &Damage| log.error(&source, damage_text(d));
        let options =
            base_spool::Options { on_damage: Some(Arc::new(report)), ..base_spool::Options::default() };
        let opened = match heritage {
            Some(heritage) => self.relay.take_over(&dir, options, heritage).await,
            None => self.relay.open(&dir, options).await.map(|recovery| (recovery, Vec::new())),
        };
        let (recovery, lent) = opened.with_context(|| format!("cannot open the spool {}", dir.display()))?;
        for damage in &recovery.damage {
            process.log.error(&process.source, damage_text(damage));
        }
        // There is none after the first start or a crash.
        let _ = self.decisions.load(&self.history);
        Ok(lent)
    }

    /// Starts the scheduler with the first configuration, beside workers that are delivering the messages in `lent`.
    pub fn start(&self, stages: &Stages, lent: &[QueueId]) -> Result<()> {
        let handle = Scheduler::start_beside(stages.parts.clone(), self.spool(), self.log.clone(), lent);
        self.arrivals.0.set(handle).ok().context("the scheduler runs already")?;
        let successor: Arc<dyn Successor> = Arc::clone(&self.arrivals) as Arc<dyn Successor>;
        self.relay.serve(&successor);
        Ok(())
    }

    /// Whether the spool can be handed over now: the disk takes its writes, nobody takes mail from the maildrop any more, and the
    /// files of caches are left alone. Nothing has changed when it cannot.
    pub async fn prepare_to_hand_over(&self) -> Result<()> {
        ensure!(self.relay.is_written(WRITTEN).await, "the disk of the queue takes no writes");
        ensure!(self.scans.pause(PICKUP).await, "mail from the maildrop is still being taken in");
        self.acme.stop();
        tokio::task::block_in_place(|| self.caches.retire());
        self.save_decisions();
        Ok(())
    }

    /// Gives the spool to the worker at the other end. Deliveries under way go on here; each that ends is to be told
    /// by [`Fixed::delivered`].
    pub async fn hand_over(
        &self,
        link: OwnedFd,
        spare: usize,
    ) -> Result<(usize, UnboundedReceiver<QueueId>)> {
        let (in_hand, over) = self.handle()?.retire();
        let count = in_hand.len();
        self.relay.hand_over(link, in_hand, spare).await?;
        Ok((count, over))
    }

    /// After [`Fixed::hand_over`]: everything about this message is done.
    pub async fn delivered(&self, id: QueueId) {
        self.relay.ended(id).await;
    }

    /// After [`Fixed::hand_over`]: returns when the worker that has the spool is gone.
    pub async fn successor_lost(&self) {
        self.relay.lost().await;
    }

    /// Gives the scheduler another configuration.
    pub fn reload(&self, stages: &Stages) -> Result<()> {
        self.handle()?.reload(stages.parts.clone());
        Ok(())
    }

    /// The scheduler.
    pub fn handle(&self) -> Result<&Handle> {
        self.arrivals.0.get().context("the scheduler does not run")
    }

    /// Logs anvil's statistics when it is time: every `anvil_status_update_time`, and when clients have gone.
    pub fn watch_clients(&self, cfg: &Config) -> Result<()> {
        let (anvil, users, log) = (self.anvil.clone(), self.users.clone(), self.log.clone());
        let source = log.session_source(format!("{}/anvil", cfg.str("syslog_name")?));
        let every = cfg.time("anvil_status_update_time")?.max(Duration::from_secs(1));
        tokio::spawn(async move {
            let mut last = Instant::now();
            loop {
                tokio::time::sleep(every.min(ANVIL_IDLE)).await;
                let now = Instant::now();
                if now.duration_since(last) >= every || anvil.is_idle(ANVIL_IDLE, now) {
                    last = now;
                    let lines = anvil.take_statistics().into_iter().chain(users.take_statistics());
                    lines.for_each(|line| log.info(&source, line));
                }
            }
        });
        Ok(())
    }

    /// Ends deliveries and closes the spool.
    pub async fn stop(&self, patience: Duration) {
        if let Ok(handle) = self.handle() {
            handle.shutdown(patience).await;
        }
        self.caches.flush();
        self.save_decisions();
        self.relay.close();
    }

    fn save_decisions(&self) {
        if let Err(e) = self.decisions.save(&self.history) {
            let source = self.log.session_source("postfix/explain");
            self.log.warning(&source, format!("{}: {e}", self.history.display()));
        }
    }
}

/// The caches that outlive a restart; what goes wrong with their files is told by verify(8).
fn caches(cfg: &Config, log: &Log) -> Result<Caches> {
    let source = log.session_source(format!("{}/verify", cfg.str("syslog_name")?));
    let proxymap = log.session_source(format!("{}/proxymap", cfg.str("syslog_name")?));
    let (log, proxy_log) = (log.clone(), log.clone());
    let caches = Caches::new(Arc::new(move |text| log.warning(&source, text)));
    let listed = cfg.process("proxymap").list("proxy_write_maps")?;
    Ok(caches.approving(listed, Arc::new(move |text| proxy_log.warning(&proxymap, text))))
}

fn damage_text(d: &Damage) -> String {
    let id = d.id.map_or_else(|| "unknown".into(), |id| id.to_string());
    format!("{id}: damaged queue record set aside as {}: {}", d.file.display(), d.reason)
}
