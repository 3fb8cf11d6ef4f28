//! The present owner's side: what it takes over, and serving processes that had the spool before.
//!
//! Requests are taken in the order in which they come; commits of one process are made durable together with all others. When such a
//! process ends, its slots are free again and what it was delivering is taken up here.

use super::{
    Successor,
    link::{self, Arrived},
    wire::{self, Answer, Holding, Request},
};
use crate::{
    Draft, FileSpool, Spool, SpoolError,
    draft::{DraftStore, Finished, LargeFile},
    large,
};
use base_calls::{Change, QueueId, Queued, Timestamp, codec};
use base_sys::{fds, process::wait_readable};
use std::{
    collections::HashSet,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{net::UnixStream, sync::watch, task::JoinSet};

/// A process that had the spool and still has something to do.
pub(super) struct Elder {
    pub(super) socket: OwnedFd,
    pub(super) holding: Holding,
}

/// What the former owner hands over beside the files: itself first, then those before it.
pub struct Heritage {
    pub(super) elders: Vec<Elder>,
}

impl Heritage {
    /// Waits until the owner at the other end has given up the spool. It was not given up when this fails.
    pub fn receive(link: OwnedFd, patience: Duration) -> io::Result<Self> {
        let until = Instant::now() + patience;
        let (_, body) = packet(&link, until)?;
        let holdings =
            wire::decode_holdings(&wire::read_body(body)?).map_err(|_| io::ErrorKind::InvalidData)?;
        let mut sockets = Vec::new();
        for _ in 1..holdings.len() {
            sockets.push(packet(&link, until)?.1.ok_or(io::ErrorKind::InvalidData)?);
        }
        let sockets = std::iter::once(link).chain(sockets);
        let elders = sockets.zip(holdings).map(|(socket, holding)| Elder { socket, holding }).collect();
        Ok(Self { elders })
    }

    /// Slots that others have.
    pub(super) fn slots(&self) -> HashSet<u32> {
        self.elders.iter().flat_map(|e| e.holding.slots.iter().copied()).collect()
    }

    /// Messages that others are delivering.
    pub(super) fn leases(&self) -> Vec<QueueId> {
        self.elders.iter().flat_map(|e| e.holding.leases.iter().copied()).collect()
    }
}

fn packet(link: &OwnedFd, until: Instant) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if wait_readable(&[link.as_fd()], Some(left))? == [true] {
            return wire::receive(link)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Sends the heritage; the counterpart of [`Heritage::receive`].
pub(super) fn bequeath(link: &OwnedFd, own: Holding, elders: Vec<Elder>) -> io::Result<()> {
    let (sockets, holdings): (Vec<_>, Vec<_>) = elders.into_iter().map(|e| (e.socket, e.holding)).unzip();
    let all: Vec<Holding> = std::iter::once(own).chain(holdings).collect();
    let body = wire::body(&wire::encode_holdings(&all))?;
    fds::send_with_fd(link.as_fd(), b"H", Some(body.as_fd()))?;
    for socket in sockets {
        fds::send_with_fd(link.as_fd(), b"S", Some(socket.as_fd()))?;
    }
    Ok(())
}

/// What the process at the other end has, as it changes.
struct Held {
    slots: HashSet<u32>,
    leases: HashSet<QueueId>,
}

struct Service {
    socket: UnixStream,
    spool: Arc<FileSpool>,
    held: Mutex<Held>,
    successor: Arc<dyn Successor>,
    turn: tokio::sync::Mutex<()>,
}

/// Serves one until it ends (`None`), or `stop` becomes true: then what it has is given back, all requests taken so far answered.
pub(super) async fn serve(
    elder: Elder,
    spool: Arc<FileSpool>,
    successor: Arc<dyn Successor>,
    mut stop: watch::Receiver<bool>,
) -> Option<Elder> {
    let Holding { slots, leases } = elder.holding;
    let held = Mutex::new(Held { slots: slots.into_iter().collect(), leases: leases.into_iter().collect() });
    let socket = wire::stream(elder.socket).ok()?;
    let service = Arc::new(Service { socket, spool, held, successor, turn: tokio::sync::Mutex::default() });
    let mut running = JoinSet::new();
    let stopped = loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break true,
            taken = wire::next(&service.socket) => {
                let Ok(Some((packet, body))) = taken else { break false };
                let Ok(request) = Request::decode(&packet) else { break false };
                if service.take(request, body, &mut running).is_err() {
                    break false;
                }
                while running.try_join_next().is_some() {}
            }
        }
    };
    while running.join_next().await.is_some() {}
    if !stopped {
        service.release();
        return None;
    }
    let service = Arc::into_inner(service)?;
    let held = service.held.into_inner().unwrap_or_else(PoisonError::into_inner);
    let holding =
        Holding { slots: held.slots.into_iter().collect(), leases: held.leases.into_iter().collect() };
    Some(Elder { socket: service.socket.into_std().ok()?.into(), holding })
}

impl Service {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out a request, or starts to. An error ends the connection.
    fn take(
        self: &Arc<Self>,
        request: Request,
        body: Option<OwnedFd>,
        running: &mut JoinSet<()>,
    ) -> io::Result<()> {
        match request {
            Request::Commit { number, id, held, large } => {
                let body = wire::read_body(body)?;
                if !self.held().slots.remove(&id.slot) || !self.spool.shared.state().slab.claim(id) {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                let this = Arc::clone(self);
                running.spawn(async move { this.commit(number, id, held, large, body).await });
            }
            Request::Change { number, id } => {
                let changes = codec::decode_changes(&wire::read_body(body)?);
                let changes = changes.map_err(|_| io::ErrorKind::InvalidData)?;
                self.change(number, id, changes, running);
            }
            Request::Remove { id } => Self::now(self.spool.remove(id)),
            Request::Ended { id } => {
                if self.held().leases.remove(&id) {
                    self.successor.ended(id);
                }
            }
        }
        Ok(())
    }

    fn change(self: &Arc<Self>, number: u64, id: QueueId, changes: Vec<Change>, running: &mut JoinSet<()>) {
        if number == 0 {
            return Self::now(self.spool.change(id, changes, false));
        }
        let this = Arc::clone(self);
        running.spawn(async move {
            let result = this.spool.change(id, changes, true).await;
            this.answer(Answer { number, result, slot: None }).await;
        });
    }

    /// For what resolves at once.
    fn now<T>(mut operation: base_calls::Fut<'_, T>) {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let _ = operation.as_mut().poll(&mut context);
    }

    async fn commit(&self, number: u64, id: QueueId, held: bool, large: Option<(u64, u32)>, body: Vec<u8>) {
        let result = self.store(id, held, large, body).await;
        let slot = self.spool.shared.state().slab.reserve(false, Timestamp::now()).map(|id| id.slot);
        self.held().slots.extend(slot);
        let (queued, result) = match result {
            Ok(queued) => (Some(queued), Ok(())),
            Err(e) => (None, Err(e)),
        };
        self.answer(Answer { number, result, slot }).await;
        if let Some(queued) = queued {
            self.successor.arrived(queued, held);
        }
    }

    async fn store(
        &self,
        id: QueueId,
        held: bool,
        large: Option<(u64, u32)>,
        body: Vec<u8>,
    ) -> Result<Arc<Queued>, SpoolError> {
        let (envelope, content) =
            link::small(body).map_err(|_| SpoolError::Io(io::ErrorKind::InvalidData.into()))?;
        let shared = &self.spool.shared;
        let finished = match large {
            None => Finished::Small(content),
            Some((len, crc)) => {
                let content = large::content(shared.disk.as_ref(), id, &large::reference(len, crc));
                let content = content.map_err(|e| SpoolError::Io(io::Error::other(e)))?;
                Finished::Large(Box::new(Arrived { len, crc, content }) as Box<dyn LargeFile>)
            }
        };
        let draft = Draft::of(id, Arc::clone(shared) as Arc<dyn DraftStore>, finished);
        self.spool.commit(draft, envelope, held).await
    }

    async fn answer(&self, answer: Answer) {
        let packet = answer.encode();
        let _turn = self.turn.lock().await;
        // Nobody is there to hear it when this fails.
        let _ = wire::send(&self.socket, &packet, None).await;
    }

    /// The process has ended.
    fn release(&self) {
        let (slots, leases) = {
            let mut held = self.held();
            (std::mem::take(&mut held.slots), std::mem::take(&mut held.leases))
        };
        let mut state = self.spool.shared.state();
        slots.into_iter().for_each(|slot| state.slab.give_back(slot));
        drop(state);
        leases.into_iter().for_each(|id| self.successor.ended(id));
    }
}
