//! The present owner's side: what it takes over, and serving processes that had the spool before.
//!
//! Requests are taken in the order in which they come; commits of one process are made durable together with all others. When such a
//! process ends, its slots are free again and what it was delivering is taken up here. One that breaks the rules, or does not
//! read its answers, is told that its connection is over and gets a moment to end: two that deliver the same are worse than a
//! short delay.

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
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{io::AsyncWriteExt, net::UnixStream, sync::watch, task::JoinSet, time::timeout};

/// How long what a process has asked for may take when it is not served any more, before answers that it does not read are cut.
const ANSWERED: Duration = Duration::from_millis(if cfg!(test) { 300 } else { 9_000 });
/// How long an answer may take from then on.
const STALLED: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 1_000 });
/// How long a process may take to end after the end of its connection.
const PARTING: Duration = Duration::from_millis(if cfg!(test) { 1_000 } else { 10_000 });

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
    /// True: answers that cannot be sent in [`STALLED`] are not sent.
    deaf: watch::Sender<bool>,
    /// There was one.
    cut: AtomicBool,
}

/// Serves one until it ends (`None`), or `stop` becomes true: then what it has is given back, all requests taken so far answered.
/// One that does not take its answers has come to its end.
pub(super) async fn serve(
    elder: Elder,
    spool: Arc<FileSpool>,
    successor: Arc<dyn Successor>,
    mut stop: watch::Receiver<bool>,
) -> Option<Elder> {
    let Holding { slots, leases } = elder.holding;
    let held = Held { slots: slots.into_iter().collect(), leases: leases.into_iter().collect() };
    let Ok(socket) = wire::stream(elder.socket) else {
        held.release(&spool, &*successor);
        return None;
    };
    let (held, turn) = (Mutex::new(held), tokio::sync::Mutex::default());
    let (deaf, cut) = (watch::Sender::new(false), AtomicBool::new(false));
    let service = Arc::new(Service { socket, spool, held, successor, turn, deaf, cut });
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
    if timeout(ANSWERED, all(&mut running)).await.is_err() {
        service.deaf.send_replace(true);
        all(&mut running).await;
    }
    let mut service = Arc::into_inner(service)?;
    if stopped && !*service.cut.get_mut() {
        return service.into_elder();
    }
    service.part().await;
    service.release();
    None
}

async fn all(running: &mut JoinSet<()>) {
    while running.join_next().await.is_some() {}
}

impl Held {
    /// Nobody has it any more.
    fn release(self, spool: &FileSpool, successor: &dyn Successor) {
        let mut state = spool.shared.state();
        self.slots.into_iter().for_each(|slot| state.slab.give_back(slot));
        drop(state);
        self.leases.into_iter().for_each(|id| successor.ended(id));
    }
}

impl Service {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn into_elder(self) -> Option<Elder> {
        let held = self.held.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (slots, leases) = (held.slots.into_iter().collect(), held.leases.into_iter().collect());
        Some(Elder { socket: self.socket.into_std().ok()?.into(), holding: Holding { slots, leases } })
    }

    /// Tells the process that the connection is over, and waits until it is gone. What it has done is noted meanwhile, so that
    /// it is not done again.
    async fn part(&mut self) {
        let _ = self.socket.shutdown().await;
        let end = async {
            while let Ok(Some((packet, body))) = wire::next(&self.socket).await {
                let _ = Request::decode(&packet).map(|request| self.note(request, body));
            }
        };
        let _ = timeout(PARTING, end).await;
    }

    /// Carries out a request, or starts to. An error ends the connection.
    fn take(
        self: &Arc<Self>,
        request: Request,
        body: Option<OwnedFd>,
        running: &mut JoinSet<()>,
    ) -> io::Result<()> {
        let this = Arc::clone(self);
        match request {
            Request::Commit { number, id, held, large } => {
                if !self.held().slots.contains(&id.slot) {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                let body = match wire::read_body(body) {
                    Ok(body) => body,
                    Err(e) => {
                        running.spawn(async move { this.refuse(number, id, e).await });
                        return Ok(());
                    }
                };
                self.held().slots.remove(&id.slot);
                if !self.spool.shared.state().slab.claim(id) {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                running.spawn(async move { this.commit(number, id, held, large, body).await });
            }
            Request::Change { number, id } if number != 0 => {
                let changes = wire::read_body(body).map(|bytes| codec::decode_changes(&bytes));
                let changes = changes.map(|c| c.map_err(|_| io::ErrorKind::InvalidData));
                let changes = changes.and_then(|c| Ok(c?)).map_err(SpoolError::Io);
                running.spawn(async move { this.change(number, id, changes).await });
            }
            other => self.note(other, body)?,
        }
        Ok(())
    }

    /// Carries out what has no answer.
    fn note(&self, request: Request, body: Option<OwnedFd>) -> io::Result<()> {
        match request {
            Request::Change { number: 0, id } => {
                // Without it a recipient may get the message twice; the end of the connection would do so for many.
                let Ok(bytes) = wire::read_body(body) else { return Ok(()) };
                let changes = codec::decode_changes(&bytes).map_err(|_| io::ErrorKind::InvalidData)?;
                Self::now(self.spool.change(id, changes, false));
            }
            Request::Remove { id } => Self::now(self.spool.remove(id)),
            Request::Ended { id } => {
                if self.held().leases.remove(&id) {
                    self.successor.ended(id);
                }
            }
            Request::Commit { .. } | Request::Change { .. } => {}
        }
        Ok(())
    }

    async fn change(&self, number: u64, id: QueueId, changes: Result<Vec<Change>, SpoolError>) {
        let result = match changes {
            Ok(changes) => self.spool.change(id, changes, true).await,
            Err(e) => Err(e),
        };
        if result.is_ok() {
            self.successor.changed(id);
        }
        self.answer(Answer { number, result, slot: None }).await;
    }

    /// A commit whose content did not arrive: its slot is free for another.
    async fn refuse(&self, number: u64, id: QueueId, why: io::Error) {
        self.spool.shared.delete_large(id);
        self.answer(Answer { number, result: Err(SpoolError::Io(why)), slot: Some(id.slot) }).await;
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
        let result = result.map(|queued| self.successor.arrived(queued, held));
        self.answer(Answer { number, result, slot }).await;
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
        let send = async {
            let _turn = self.turn.lock().await;
            // Nobody is there to hear it when this fails.
            let _ = wire::send(&self.socket, &packet, None).await;
        };
        let mut deaf = self.deaf.subscribe();
        let stalled = async {
            let _ = deaf.wait_for(|deaf| *deaf).await;
            tokio::time::sleep(STALLED).await;
        };
        tokio::select! {
            () = send => {}
            () = stalled => self.cut.store(true, Relaxed),
        }
    }

    /// The process has ended, or must.
    fn release(self) {
        drop(self.socket);
        let held = self.held.into_inner().unwrap_or_else(PoisonError::into_inner);
        held.release(&self.spool, &*self.successor);
    }
}
