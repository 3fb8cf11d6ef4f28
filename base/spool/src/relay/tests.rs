//! A spool goes from one owner to the next and on, in one process, with drafts, commits and deliveries on their way.

use super::*;
use crate::{
    sim::{Faults, SimDisk},
    tests::{bytes, envelope},
};
use base_sys::{fds, handoff::Channel};
use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const PATIENCE: Duration = Duration::from_secs(20);

fn options() -> Options {
    Options { segment_size: 64 << 10, large_threshold: 1 << 10, on_damage: None }
}

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Arrived(QueueId, usize),
    Changed(QueueId),
    Ended(QueueId),
}

struct Heard(UnboundedSender<Event>);

impl Successor for Heard {
    fn arrived(&self, message: Arc<Queued>, _: bool) {
        let _ = self.0.send(Event::Arrived(message.id, bytes(&message.content).len()));
    }

    fn changed(&self, id: QueueId) {
        let _ = self.0.send(Event::Changed(id));
    }

    fn ended(&self, id: QueueId) {
        let _ = self.0.send(Event::Ended(id));
    }
}

/// An owner, and what it hears of those before it.
struct Owner {
    relay: Arc<Relay>,
    heard: UnboundedReceiver<Event>,
}

async fn first(dir: &Path) -> Owner {
    let relay = Arc::new(Relay::default());
    relay.open(dir, options()).await.unwrap();
    Owner { relay, heard: unbounded_channel().1 }
}

impl Owner {
    /// Gives the spool to another one.
    async fn next(&self, dir: &Path, leases: Vec<QueueId>, spare: usize) -> (Owner, Vec<QueueId>) {
        let (ours, theirs) = Channel::pair().unwrap();
        let waiting =
            tokio::task::spawn_blocking(move || Heritage::receive(theirs.into_fd(), PATIENCE).unwrap());
        self.relay.hand_over(ours.into_fd(), leases, spare).await.unwrap();
        let relay = Arc::new(Relay::default());
        let heritage = waiting.await.unwrap();
        let (_, leases) = relay.take_over(dir, options(), heritage).await.unwrap();
        let (tell, heard) = unbounded_channel();
        let successor: Arc<dyn Successor> = Arc::new(Heard(tell));
        relay.serve(&successor);
        (Owner { relay, heard }, leases)
    }

    fn draft(&self, content: &[u8]) -> Draft {
        let mut draft = self.relay.draft(true).unwrap();
        draft.write(content).unwrap();
        draft
    }

    async fn commit(&self, draft: Draft) -> QueueId {
        self.relay.commit(draft, envelope(3), false).await.unwrap().id
    }

    async fn put(&self, content: &[u8]) -> QueueId {
        self.commit(self.draft(content)).await
    }

    async fn hears(&mut self) -> Event {
        tokio::time::timeout(PATIENCE, self.heard.recv()).await.unwrap().unwrap()
    }

    async fn content(&self, id: QueueId) -> usize {
        bytes(&self.relay.load(id).await.unwrap().0.content).len()
    }

    fn messages(&self) -> u64 {
        self.relay.stats().messages
    }
}

#[tokio::test]
async fn drafts_and_later_messages_reach_the_next_owner() {
    let dir = tempfile::tempdir().unwrap();
    let a = first(dir.path()).await;
    let before = a.put(b"before").await;
    let (small, large) = (a.draft(&[b's'; 100]), a.draft(&[b'l'; 5000]));
    let given_up = a.draft(&[b'x'; 5000]);
    let (mut b, leases) = a.next(dir.path(), Vec::new(), 4).await;
    assert!(leases.is_empty());
    assert_eq!((b.content(before).await, b.messages()), (6, 1));
    drop(given_up);
    for (draft, len) in [(small, 100), (large, 5000)] {
        let id = a.commit(draft).await;
        assert_eq!(b.hears().await, Event::Arrived(id, len));
        assert_eq!(b.content(id).await, len);
    }
    // More than the spare ones, of both sizes, and between them the owner's own.
    for n in 0..20 {
        let len = if n % 2 == 0 { 10 } else { 3000 };
        let id = a.put(&vec![b'y'; len]).await;
        assert_eq!(b.hears().await, Event::Arrived(id, len));
        b.put(b"own").await;
    }
    assert_eq!(b.messages(), 43);
    // It is all on disk.
    b.relay.close();
    let c = first(dir.path()).await;
    assert_eq!(c.messages(), 43);
}

#[tokio::test]
async fn deliveries_end_where_they_began() {
    let dir = tempfile::tempdir().unwrap();
    let a = first(dir.path()).await;
    let (done, later) = (a.put(b"1").await, a.put(b"2").await);
    let (mut b, leases) = a.next(dir.path(), vec![done, later], 1).await;
    assert_eq!(leases, [done, later]);
    a.relay.remove(done).await.unwrap();
    a.relay.ended(done).await;
    let at = Timestamp::from_secs(2_000_000_000);
    a.relay.change(later, vec![Change::RetryAt(at)], true).await.unwrap();
    a.relay.ended(later).await;
    let heard = [b.hears().await, b.hears().await, b.hears().await];
    assert_eq!(heard, [Event::Ended(done), Event::Changed(later), Event::Ended(later)]);
    assert_eq!(b.messages(), 1);
    assert_eq!(b.relay.load(later).await.unwrap().1.retry_at, at);
    assert!(matches!(a.relay.change(done, vec![Change::RetryAt(at)], true).await, Err(SpoolError::NotFound)));
}

#[tokio::test]
async fn the_eldest_goes_on_through_several() {
    let dir = tempfile::tempdir().unwrap();
    let a = first(dir.path()).await;
    let lease = a.put(b"lease").await;
    let open = a.draft(&[b'l'; 5000]);
    let (b, _) = a.next(dir.path(), vec![lease], 8).await;
    let other = b.put(b"other").await;
    let (c, _) = b.next(dir.path(), vec![other], 8).await;
    let (mut d, leases) = c.next(dir.path(), Vec::new(), 8).await;
    assert_eq!(leases.len(), 2);
    let id = a.commit(open).await;
    assert_eq!(d.hears().await, Event::Arrived(id, 5000));
    for owner in [&a, &b, &c, &a] {
        let id = owner.put(b"later").await;
        assert_eq!(d.hears().await, Event::Arrived(id, 5));
    }
    a.relay.ended(lease).await;
    assert_eq!(d.hears().await, Event::Ended(lease));
    // One that dies without a word leaves what it had.
    drop(b);
    assert_eq!(d.hears().await, Event::Ended(other));
    drop((a, c));
    assert_eq!(d.messages(), 7);
    d.put(b"own").await;
}

#[tokio::test]
async fn commits_under_load_are_there_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut owners = vec![first(dir.path()).await];
    let load = |relay: Arc<Relay>| {
        tokio::spawn(async move {
            let mut ids = Vec::new();
            for n in 0..100 {
                let mut draft = relay.draft(true).unwrap();
                draft.write(&vec![b'z'; if n % 5 == 0 { 2000 } else { 20 }]).unwrap();
                ids.push(relay.commit(draft, envelope(1), false).await.unwrap().id);
            }
            ids
        })
    };
    let mut loads: Vec<_> = (0..4).map(|_| load(Arc::clone(&owners[0].relay))).collect();
    for n in 0..4 {
        owners[0].put(b"between").await;
        let (next, _) = owners[n].next(dir.path(), Vec::new(), 16).await;
        loads.push(load(Arc::clone(&next.relay)));
        owners.push(next);
    }
    let mut all = HashSet::new();
    for ids in loads {
        all.extend(ids.await.unwrap());
    }
    assert_eq!(all.len(), 800);
    let last = owners.last().unwrap();
    assert_eq!(last.messages(), 804);
    for id in all {
        assert!([20, 2000].contains(&last.content(id).await));
    }
}

#[tokio::test]
async fn without_the_owner_nothing_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let a = first(dir.path()).await;
    let (b, _) = a.next(dir.path(), Vec::new(), 4).await;
    let draft = a.draft(b"late");
    // The owner's end: its tasks are cut off from the socket.
    let elders = b.relay.stop_serving().await;
    assert_eq!(elders.len(), 1);
    drop(elders);
    tokio::time::timeout(PATIENCE, a.relay.lost()).await.unwrap();
    assert!(matches!(a.relay.commit(draft, envelope(1), false).await, Err(SpoolError::Closed)));
    assert!(a.relay.remove(QueueId { time: Timestamp(1), slot: 0, long: false }).await.is_err());
}

#[tokio::test]
async fn one_that_never_had_it_has_nothing() {
    let relay = Relay::default();
    assert!(matches!(relay.draft(false), Err(SpoolError::Closed)));
    assert!(relay.list(0, 10).is_empty());
    let (ours, theirs) = Channel::pair().unwrap();
    assert!(relay.hand_over(ours.into_fd(), Vec::new(), 1).await.is_err());
    assert!(Heritage::receive(theirs.into_fd(), PATIENCE).is_err());
}

/// A former owner by hand: it says what it likes.
struct Byhand {
    socket: OwnedFd,
    slot: u32,
    lease: QueueId,
    gone: QueueId,
}

impl Byhand {
    /// It was the owner; so is the other one now.
    async fn before(dir: &Path) -> (Self, Owner) {
        let a = first(dir).await;
        let (lease, gone) = (a.put(b"lease").await, a.put(b"gone").await);
        a.relay.remove(gone).await.unwrap();
        assert!(a.relay.is_written(PATIENCE).await);
        a.relay.close();
        let (ours, theirs) = Channel::pair().unwrap();
        let slot = 100;
        let holding = Holding { slots: vec![slot], leases: vec![lease, gone] };
        let heritage = Heritage { elders: vec![Elder { socket: theirs.into_fd(), holding }] };
        let b = Arc::new(Relay::default());
        let (_, leases) = b.take_over(dir, options(), heritage).await.unwrap();
        assert_eq!(leases, [lease], "what was deleted is nobody's");
        let (tell, heard) = unbounded_channel();
        let successor: Arc<dyn Successor> = Arc::new(Heard(tell));
        b.serve(&successor);
        (Self { socket: ours.into_fd(), slot, lease, gone }, Owner { relay: b, heard })
    }

    fn say(&self, packet: &[u8]) {
        fds::send_with_fd(self.socket.as_fd(), packet, None).unwrap();
    }

    /// Without its content: the owner had no descriptor left for it.
    fn commit(&self, number: u64) -> Vec<u8> {
        let id = QueueId { time: Timestamp::now(), slot: self.slot, long: false };
        wire::Request::Commit { number, id, held: false, large: None }.encode()
    }

    async fn hear(&self) -> Option<Vec<u8>> {
        let socket = self.socket.try_clone().unwrap();
        let hear = move || wire::receive(socket).unwrap().map(|(packet, _)| packet);
        tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(hear)).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_commit_without_its_content_is_refused_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (a, mut b) = Byhand::before(dir.path()).await;
    for number in 1..4 {
        a.say(&a.commit(number));
        let answer = wire::Answer::decode(&a.hear().await.unwrap()).unwrap();
        assert_eq!((answer.number, answer.slot), (number, Some(a.slot)));
        assert!(matches!(answer.result, Err(SpoolError::Io(e)) if e.raw_os_error() == Some(24)));
    }
    a.say(&wire::Request::Change { number: 9, id: a.lease }.encode());
    assert!(wire::Answer::decode(&a.hear().await.unwrap()).unwrap().result.is_err());
    a.say(&wire::Request::Change { number: 0, id: a.lease }.encode());
    a.say(&wire::Request::Ended { id: a.gone }.encode());
    a.say(&wire::Request::Ended { id: a.lease }.encode());
    assert_eq!(b.hears().await, Event::Ended(a.lease));
}

#[tokio::test]
async fn what_it_delivers_is_taken_up_when_it_is_gone_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let (a, mut b) = Byhand::before(dir.path()).await;
    a.say(b"nonsense");
    assert_eq!(a.hear().await, None, "the end of the connection");
    assert!(b.heard.try_recv().is_err());
    // It has delivered the message, and says so before it ends.
    a.say(&wire::Request::Remove { id: a.lease }.encode());
    let lease = a.lease;
    drop(a);
    assert_eq!(b.hears().await, Event::Ended(lease));
    assert_eq!(b.messages(), 0);
}

#[tokio::test]
async fn one_that_does_not_read_its_answers_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (a, mut b) = Byhand::before(dir.path()).await;
    let (socket, packet) = (a.socket.try_clone().unwrap(), a.commit(1));
    // More than the socket has room for on the way back.
    let flood = tokio::task::spawn_blocking(move || {
        (0..2_000).for_each(|_| fds::send_with_fd(socket.as_fd(), &packet, None).map(drop).unwrap());
    });
    flood.await.unwrap();
    let begun = Instant::now();
    assert!(b.relay.stop_serving().await.is_empty());
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(b.hears().await, Event::Ended(a.lease));
}

#[tokio::test]
async fn a_disk_that_takes_nothing_is_known_before() {
    let disk = SimDisk::new(Faults::default());
    let relay = Relay::default();
    assert!(!relay.is_written(PATIENCE).await, "there is none");
    let spool = FileSpool::open_on(Arc::new(disk.clone()), options(), &HashSet::new()).unwrap();
    relay.own(spool).await.unwrap();
    let a = Owner { relay: Arc::new(relay), heard: unbounded_channel().1 };
    let id = a.put(b"done").await;
    assert!(a.relay.is_written(PATIENCE).await);
    disk.set_faults(Faults { stop_at: Some(0), ..Faults::default() });
    a.relay.remove(id).await.unwrap();
    assert!(!a.relay.is_written(Duration::from_millis(300)).await);
    disk.set_faults(Faults::default());
    assert!(a.relay.is_written(PATIENCE).await);
}
