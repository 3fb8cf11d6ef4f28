//! A spool that is passed on from one process to the next while both serve: the server is replaced without an interruption.
//!
//! The process that has the spool calls [`Relay::hand_over`]; its successor, which has got everything else ready, waits in
//! [`Heritage::receive`] and then opens the spool ([`Relay::take_over`]). There is one writer at any time: the former owner has
//! written and synced all, and given up the lock, before it sends the heritage, and writes no segment from then on. What its
//! sessions and deliveries want of the spool later goes over the link to the present owner, whose answer they get: a
//! commit is durable when it is `Ok`, here as there. While the spool changes hands commits wait, for as long as it
//! takes to close and open it.
//!
//! A heritage is what is not on disk: slots of drafts (and some for more), messages whose delivery goes on in the former owner
//! (leases), and the links of processes that had the spool before it.
//!
//! When the former owner dies, its slots are free, and what it was delivering is delivered by the present one: as after any
//! kill. When the present owner dies, requests of the former fail, and it ends ([`Relay::lost`]).

mod link;
mod owner;
#[cfg(test)]
mod tests;
mod wire;

pub use owner::Heritage;

use crate::{Draft, FileSpool, Options, Recovery, Spool, SpoolError, Stats, Summary, shared::Op};
use base_calls::{Change, Envelope, Fut, Progress, QueueId, Queued, Timestamp};
use link::{Link, Slots};
use owner::Elder;
use std::{
    collections::HashSet,
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};
use tokio::{
    sync::{RwLock as Turns, oneshot, watch},
    task::JoinHandle,
};
use wire::Holding;

/// How long a disk that has refused a write is left alone.
const AGAIN: Duration = Duration::from_millis(50);

/// Who hears of what former owners do.
pub trait Successor: Send + Sync {
    /// A message of theirs is durable.
    fn arrived(&self, message: Arc<Queued>, held: bool);
    /// Something was recorded about a message at the administrator's request, which they had taken.
    fn changed(&self, id: QueueId);
    /// The delivery of a message that they had is over, one way or another.
    fn ended(&self, id: QueueId);
}

/// Where the ids of new messages come from, and what may be looked at without waiting.
enum Drafts {
    None,
    Own(Arc<FileSpool>),
    Slots(Arc<Slots>),
}

/// Who writes.
enum Store {
    None,
    Own(Arc<FileSpool>),
    Link(Arc<Link>),
}

/// Former owners that are served.
#[derive(Default)]
struct Elders {
    waiting: Vec<Elder>,
    served: Vec<JoinHandle<Option<Elder>>>,
    stop: Option<watch::Sender<bool>>,
}

/// See the module.
pub struct Relay {
    drafts: RwLock<Drafts>,
    /// Held for reading by each operation until it is done.
    store: Turns<Store>,
    elders: Mutex<Elders>,
}

impl Default for Relay {
    fn default() -> Self {
        Self { drafts: RwLock::new(Drafts::None), store: Turns::new(Store::None), elders: Mutex::default() }
    }
}

impl Relay {
    /// Opens the spool that nobody has: see [`FileSpool::open`]. Everything before is [`SpoolError::Closed`].
    pub async fn open(&self, dir: &Path, options: Options) -> Result<Recovery, SpoolError> {
        self.own(FileSpool::open(dir, options)?).await
    }

    /// Opens the spool that another process has just given up. Returns messages that it, or one before it, goes on delivering:
    /// they are not to be delivered here before [`Successor::ended`].
    pub async fn take_over(
        &self,
        dir: &Path,
        options: Options,
        heritage: Heritage,
    ) -> Result<(Recovery, Vec<QueueId>), SpoolError> {
        let spool = FileSpool::open_keeping(dir, options, &heritage.slots())?;
        let mut heritage = heritage;
        {
            // Drafts that were committed meanwhile have none; messages that were deleted are delivered in vain.
            let state = spool.shared.state();
            let reserved: HashSet<u32> = state.slab.reserved().collect();
            for Holding { slots, leases } in heritage.elders.iter_mut().map(|e| &mut e.holding) {
                slots.retain(|slot| reserved.contains(slot));
                leases.retain(|id| state.slab.get(*id).is_some());
            }
        }
        let leases = heritage.leases();
        self.elders().waiting = heritage.elders;
        Ok((self.own(spool).await?, leases))
    }

    async fn own(&self, spool: FileSpool) -> Result<Recovery, SpoolError> {
        let recovery = spool.recovery().clone();
        let spool = Arc::new(spool);
        *self.store.write().await = Store::Own(Arc::clone(&spool));
        *self.drafts.write().unwrap_or_else(PoisonError::into_inner) = Drafts::Own(spool);
        Ok(recovery)
    }

    /// Begins to serve former owners. Call it once, when messages can be delivered, within a tokio runtime with IO.
    pub fn serve(&self, successor: &Arc<dyn Successor>) {
        let Some(spool) = self.spool() else { return };
        let (stop, stopped) = watch::channel(false);
        let mut elders = self.elders();
        let waiting = std::mem::take(&mut elders.waiting).into_iter();
        let serve =
            |e| tokio::spawn(owner::serve(e, Arc::clone(&spool), Arc::clone(successor), stopped.clone()));
        elders.served = waiting.map(serve).collect();
        elders.stop = Some(stop);
    }

    /// Whether the disk takes what was asked for so far, within `patience`. To be asked before [`Relay::hand_over`], which would
    /// lose what waits for a disk that takes nothing: the successor would deliver it again.
    pub async fn is_written(&self, patience: Duration) -> bool {
        let Some(spool) = self.spool() else { return false };
        let written = async {
            loop {
                let (done, answer) = oneshot::channel();
                if spool.shared.push(Op::Barrier(done)).is_err() {
                    return false;
                }
                if matches!(answer.await, Ok(Ok(()))) {
                    return true;
                }
                // What it was written with has failed and is written again.
                tokio::time::sleep(AGAIN).await;
            }
        };
        tokio::time::timeout(patience, written).await.unwrap_or(false)
    }

    /// Gives the spool to the process at the other end of `link`: closes it, and goes on as a client of that process.
    /// `leases`: what is being delivered here, and whose end will be told by [`Relay::ended`]. `spare`: how many messages
    /// may be on their way into the spool from here at one time, beside those that are now. After an error the spool is
    /// closed, and the process must end.
    pub async fn hand_over(
        &self,
        link: OwnedFd,
        leases: Vec<QueueId>,
        spare: usize,
    ) -> Result<(), SpoolError> {
        let spool = self.spool().ok_or(SpoolError::Closed)?;
        let elders = self.stop_serving().await;
        let (slots, own) = self.reserve(&spool, spare, &elders);
        // What is under way is done when this returns; what comes waits.
        let mut store = self.store.write().await;
        *store = Store::None;
        tokio::task::spawn_blocking(move || spool.close()).await.map_err(|_| SpoolError::Closed)?;
        owner::bequeath(&link, Holding { slots: own, leases }, elders)?;
        *store = Store::Link(Arc::new(Link::new(link, slots)?));
        Ok(())
    }

    /// From now on ids come from slots that the successor leaves alone. Returns these, and those of drafts there are already.
    fn reserve(&self, spool: &FileSpool, spare: usize, elders: &[Elder]) -> (Arc<Slots>, Vec<u32>) {
        let theirs: HashSet<u32> = elders.iter().flat_map(|e| e.holding.slots.iter().copied()).collect();
        let mut drafts = self.drafts.write().unwrap_or_else(PoisonError::into_inner);
        let mut state = spool.shared.state();
        let now = Timestamp::now();
        let free: Vec<u32> =
            (0..spare).map_while(|_| state.slab.reserve(false, now)).map(|id| id.slot).collect();
        let own = state.slab.reserved().filter(|slot| !theirs.contains(slot)).collect();
        let (disk, threshold) = (Arc::clone(&spool.shared.disk), spool.shared.options.large_threshold);
        let slots = Arc::new(Slots::new(free, state.slab.last_time, disk, threshold));
        *drafts = Drafts::Slots(Arc::clone(&slots));
        (slots, own)
    }

    /// The delivery of a message that was handed over as a lease is over.
    pub async fn ended(&self, id: QueueId) {
        if let Some(link) = self.link().await {
            let _ = link.ended(id).await;
        }
    }

    /// Returns when the process that the spool was given to is gone; at once when it was not given away.
    pub async fn lost(&self) {
        if let Some(link) = self.link().await {
            link.lost().await;
        }
    }

    async fn link(&self) -> Option<Arc<Link>> {
        match &*self.store.read().await {
            Store::Link(link) => Some(Arc::clone(link)),
            _ => None,
        }
    }

    /// The spool, as long as it is this process's own.
    fn spool(&self) -> Option<Arc<FileSpool>> {
        match &*self.drafts.read().unwrap_or_else(PoisonError::into_inner) {
            Drafts::Own(spool) => Some(Arc::clone(spool)),
            _ => None,
        }
    }

    fn elders(&self) -> std::sync::MutexGuard<'_, Elders> {
        self.elders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Former owners, with what they have; nothing more is taken from them.
    async fn stop_serving(&self) -> Vec<Elder> {
        let Elders { mut waiting, served, stop } = std::mem::take(&mut *self.elders());
        if let Some(stop) = stop {
            let _ = stop.send(true);
        }
        for task in served {
            waiting.extend(task.await.ok().flatten());
        }
        waiting
    }
}

impl Spool for Relay {
    fn draft(&self, long_id: bool) -> Result<Draft, SpoolError> {
        match &*self.drafts.read().unwrap_or_else(PoisonError::into_inner) {
            Drafts::None => Err(SpoolError::Closed),
            Drafts::Own(spool) => spool.draft(long_id),
            Drafts::Slots(slots) => slots.draft(long_id),
        }
    }

    fn commit<'a>(
        &'a self,
        draft: Draft,
        envelope: Envelope,
        held: bool,
    ) -> Fut<'a, Result<Arc<Queued>, SpoolError>> {
        Box::pin(async move {
            match &*self.store.read().await {
                Store::None => Err(SpoolError::Closed),
                Store::Own(spool) => spool.commit(draft, envelope, held).await,
                Store::Link(link) => link.commit(draft, envelope, held).await,
            }
        })
    }

    fn change<'a>(
        &'a self,
        id: QueueId,
        changes: Vec<Change>,
        sync: bool,
    ) -> Fut<'a, Result<(), SpoolError>> {
        Box::pin(async move {
            match &*self.store.read().await {
                Store::None => Err(SpoolError::Closed),
                Store::Own(spool) => spool.change(id, changes, sync).await,
                Store::Link(link) => link.change(id, &changes, sync).await,
            }
        })
    }

    fn remove<'a>(&'a self, id: QueueId) -> Fut<'a, Result<(), SpoolError>> {
        Box::pin(async move {
            match &*self.store.read().await {
                Store::None => Err(SpoolError::Closed),
                Store::Own(spool) => spool.remove(id).await,
                Store::Link(link) => link.remove(id).await,
            }
        })
    }

    fn load<'a>(&'a self, id: QueueId) -> Fut<'a, Result<(Arc<Queued>, Progress), SpoolError>> {
        Box::pin(async move {
            match &*self.store.read().await {
                Store::Own(spool) => spool.load(id).await,
                Store::None | Store::Link(_) => Err(SpoolError::Closed),
            }
        })
    }

    fn find(&self, text: &str) -> Option<QueueId> {
        self.spool()?.find(text)
    }

    fn list(&self, from_slot: u32, max: usize) -> Vec<Summary> {
        self.spool().map(|spool| spool.list(from_slot, max)).unwrap_or_default()
    }

    fn stats(&self) -> Stats {
        self.spool().map(|spool| spool.stats()).unwrap_or_default()
    }

    fn close(&self) {
        match &*self.drafts.read().unwrap_or_else(PoisonError::into_inner) {
            Drafts::Own(spool) => spool.close(),
            // The process ends: nobody hears of what it still asks for.
            Drafts::None | Drafts::Slots(_) => {}
        }
    }
}
