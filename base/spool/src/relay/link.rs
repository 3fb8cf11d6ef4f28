//! The former owner's side: a spool that another process writes now. Sessions and deliveries that began here go on with it.
//!
//! Ids for new messages come from slots that the present owner keeps free for this process; each commit brings a new one. Large
//! content is written to its file here and referred to. When the owner is gone every request fails with
//! [`SpoolError::Closed`]: whatever was answered before is on disk.

use super::wire::{self, Answer, PACKET, Request};
use crate::{
    Draft, SpoolError,
    disk::Disk,
    draft::{DraftStore, Finished, LargeFile},
    large,
    shared::encode_changes,
};
use base_calls::{Change, Content, Envelope, QueueId, Queued, Timestamp, codec};
use bytes::Bytes;
use std::{
    collections::{HashMap, VecDeque},
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    net::UnixStream,
    sync::{oneshot, watch},
    task::AbortHandle,
};

/// Slots for new messages, and the times given out with them.
pub(super) struct Slots {
    free: Mutex<(VecDeque<u32>, u64)>,
    disk: Arc<dyn Disk>,
    threshold: usize,
}

impl Slots {
    pub(super) fn new(free: Vec<u32>, last_time: u64, disk: Arc<dyn Disk>, threshold: usize) -> Self {
        Self { free: Mutex::new((free.into(), last_time)), disk, threshold }
    }

    fn free(&self) -> MutexGuard<'_, (VecDeque<u32>, u64)> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn draft(self: &Arc<Self>, long: bool) -> Result<Draft, SpoolError> {
        let mut free = self.free();
        let slot = free.0.pop_front().ok_or(SpoolError::Full)?;
        free.1 = Timestamp::now().0.max(free.1.saturating_add(1));
        let id = QueueId { time: Timestamp(free.1), slot, long };
        drop(free);
        Ok(Draft::new(id, Arc::clone(self) as Arc<dyn DraftStore>))
    }
}

impl DraftStore for Slots {
    fn threshold(&self) -> usize {
        self.threshold
    }

    fn open_large(&self, id: QueueId) -> Result<Box<dyn LargeFile>, SpoolError> {
        Ok(Box::new(large::Writing::create(Arc::clone(&self.disk), id)?))
    }

    fn discard(&self, id: QueueId) {
        self.free().0.push_back(id.slot);
    }
}

type Waiting = HashMap<u64, oneshot::Sender<Result<(), SpoolError>>>;

/// What the sender and the receiver of a link share.
#[derive(Default)]
struct Open {
    /// Requests without an answer; `None` when the owner is gone.
    waiting: Option<Waiting>,
    last: u64,
}

/// The connection with the present owner.
pub(super) struct Link {
    socket: Arc<UnixStream>,
    /// Packets go out one at a time, in the order of the calls.
    turn: tokio::sync::Mutex<()>,
    open: Arc<Mutex<Open>>,
    slots: Arc<Slots>,
    lost: watch::Receiver<bool>,
    listener: AbortHandle,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// Over this socket. Must run within a tokio runtime with IO.
    pub(super) fn new(socket: OwnedFd, slots: Arc<Slots>) -> io::Result<Self> {
        let socket = Arc::new(wire::stream(socket)?);
        let open = Arc::new(Mutex::new(Open { waiting: Some(Waiting::new()), last: 0 }));
        let (gone, lost) = watch::channel(false);
        let listener = tokio::spawn(listen(Arc::clone(&socket), Arc::clone(&open), Arc::clone(&slots), gone));
        let listener = listener.abort_handle();
        Ok(Self { socket, turn: tokio::sync::Mutex::default(), open, slots, lost, listener })
    }

    /// Returns when the owner is gone.
    pub(super) async fn lost(&self) {
        let _ = self.lost.clone().wait_for(|lost| *lost).await;
    }

    pub(super) async fn commit(
        &self,
        draft: Draft,
        envelope: Envelope,
        held: bool,
    ) -> Result<Arc<Queued>, SpoolError> {
        let id = draft.id();
        let accepted = Timestamp::now();
        let mut body = Vec::with_capacity(1024);
        codec::encode_envelope(&envelope, &mut body);
        let (large, content) = match draft.finish() {
            Finished::Small(bytes) => {
                let mut whole = Vec::with_capacity(body.len() + bytes.len() + 8);
                codec::put_uint(&mut whole, body.len() as u64);
                whole.extend_from_slice(&body);
                whole.extend_from_slice(&bytes);
                body = whole;
                (None, Content::Memory(bytes))
            }
            Finished::Large(file) => {
                let mut whole = Vec::with_capacity(body.len() + 8);
                codec::put_uint(&mut whole, body.len() as u64);
                whole.extend_from_slice(&body);
                body = whole;
                let (reference, content) = self.sync(file).await.inspect_err(|_| self.slots.discard(id))?;
                (Some(reference), content)
            }
        };
        let file = wire::body(&body).inspect_err(|_| self.slots.discard(id))?;
        let number = |number| Request::Commit { number, id, held, large };
        self.ask(number, file).await?;
        Ok(Arc::new(Queued { id, envelope, content, accepted }))
    }

    /// Makes large content durable, on a thread that may wait for the disk.
    async fn sync(&self, mut file: Box<dyn LargeFile>) -> Result<((u64, u32), Content), SpoolError> {
        let work = move || {
            if let Err(e) = file.sync() {
                file.delete();
                return Err(e);
            }
            Ok(((file.len(), file.checksum()), file.content()))
        };
        tokio::task::spawn_blocking(work).await.unwrap_or(Err(SpoolError::Closed))
    }

    pub(super) async fn change(&self, id: QueueId, changes: &[Change], sync: bool) -> Result<(), SpoolError> {
        let file = wire::body(&encode_changes(changes))?;
        match sync {
            true => self.ask(|number| Request::Change { number, id }, file).await,
            false => self.send(Request::Change { number: 0, id }, Some(file)).await,
        }
    }

    pub(super) async fn remove(&self, id: QueueId) -> Result<(), SpoolError> {
        self.send(Request::Remove { id }, None).await
    }

    pub(super) async fn ended(&self, id: QueueId) -> Result<(), SpoolError> {
        self.send(Request::Ended { id }, None).await
    }

    async fn ask(&self, request: impl FnOnce(u64) -> Request, file: OwnedFd) -> Result<(), SpoolError> {
        let (done, answer) = oneshot::channel();
        let number = {
            let mut open = lock(&self.open);
            open.last += 1;
            let number = open.last;
            open.waiting.as_mut().ok_or(SpoolError::Closed)?.insert(number, done);
            number
        };
        if let Err(e) = self.send(request(number), Some(file)).await {
            lock(&self.open).waiting.iter_mut().for_each(|w| drop(w.remove(&number)));
            return Err(e);
        }
        answer.await.unwrap_or(Err(SpoolError::Closed))
    }

    async fn send(&self, request: Request, file: Option<OwnedFd>) -> Result<(), SpoolError> {
        if lock(&self.open).waiting.is_none() {
            return Err(SpoolError::Closed);
        }
        let packet = request.encode();
        let _turn = self.turn.lock().await;
        wire::send(&self.socket, &packet, file.as_ref()).await.map_err(|_| SpoolError::Closed)
    }
}

/// Takes answers until the owner is gone.
async fn listen(
    socket: Arc<UnixStream>,
    open: Arc<Mutex<Open>>,
    slots: Arc<Slots>,
    gone: watch::Sender<bool>,
) {
    while let Ok(Some((packet, _))) = wire::next(&socket).await {
        debug_assert!(packet.len() < PACKET);
        let Ok(answer) = Answer::decode(&packet) else { break };
        slots.free().0.extend(answer.slot);
        let done = lock(&open).waiting.as_mut().and_then(|w| w.remove(&answer.number));
        if let Some(done) = done {
            let _ = done.send(answer.result);
        }
    }
    lock(&open).waiting = None;
    let _ = gone.send(true);
}

/// Content that was written and synced by the former owner.
pub(super) struct Arrived {
    pub(super) len: u64,
    pub(super) crc: u32,
    pub(super) content: Content,
}

impl LargeFile for Arrived {
    fn append(&mut self, _: &[u8]) -> Result<(), SpoolError> {
        Err(SpoolError::Closed)
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn sync(&mut self) -> Result<(), SpoolError> {
        Ok(())
    }

    fn checksum(&self) -> u32 {
        self.crc
    }

    fn content(&self) -> Content {
        self.content.clone()
    }

    fn delete(&mut self) {}
}

/// Small content that came with a commit.
pub(super) fn small(mut body: Vec<u8>) -> Result<(Envelope, Bytes), codec::Malformed> {
    let mut rest = body.as_slice();
    let len = usize::try_from(codec::take_uint(&mut rest)?).map_err(|_| codec::Malformed)?;
    let (envelope, content) = rest.split_at_checked(len).ok_or(codec::Malformed)?;
    let (envelope, content) = (codec::decode_envelope(envelope)?, content.len());
    Ok((envelope, Bytes::from(body.split_off(body.len() - content))))
}
