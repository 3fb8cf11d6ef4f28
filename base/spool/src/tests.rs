//! Tests of the store on a real folder.

use crate::{FileSpool, Options, Spool, SpoolError};
use base_calls::{Change, Content, Diagnosis, Envelope, Fut, QueueId, Recipient, RecipientState, Timestamp};
use std::{
    path::Path,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub(crate) fn wait<T>(mut f: Fut<'_, T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match f.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(v) => return v,
            Poll::Pending => std::thread::park(),
        }
    }
}

pub(crate) fn envelope(n: usize) -> Envelope {
    let recipient = |i: usize| Recipient { address: format!("user{i}@example.com"), ..Recipient::default() };
    Envelope {
        sender: "sender@example.org".into(),
        recipients: (0..n).map(recipient).collect(),
        ..Envelope::default()
    }
}

pub(crate) fn put(spool: &FileSpool, content: &[u8]) -> Result<QueueId, SpoolError> {
    let mut draft = spool.draft(true)?;
    draft.write(content)?;
    Ok(wait(spool.commit(draft, envelope(2), false))?.id)
}

pub(crate) fn bytes(content: &Content) -> Vec<u8> {
    let mut out = Vec::new();
    while (out.len() as u64) < content.len() {
        out.extend_from_slice(&content.chunk(out.len() as u64, 4096).unwrap());
    }
    out
}

fn small() -> Options {
    Options { segment_size: 64 << 10, large_threshold: 8 << 10, on_damage: None }
}

fn open(dir: &Path) -> FileSpool {
    FileSpool::open(dir, small()).unwrap()
}

fn deferred(i: u32, text: &str) -> Change {
    Change::Deferred(i, Box::new(Diagnosis::new("4.4.1".parse().unwrap(), text)))
}

#[test]
fn what_is_put_in_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let contents: Vec<Vec<u8>> = (0..200usize).map(|n| vec![b'a' + (n % 26) as u8; n * 100]).collect();
    let ids: Vec<QueueId> = contents.iter().map(|c| put(&spool, c).unwrap()).collect();
    wait(spool.change(
        ids[3],
        vec![Change::Done(0), deferred(1, "later"), Change::RetryAt(Timestamp(5))],
        true,
    ))
    .unwrap();
    wait(spool.change(ids[3], vec![Change::Held(true)], false)).unwrap();
    for id in ids.iter().skip(100) {
        wait(spool.remove(*id)).unwrap();
    }
    for round in 0..3 {
        let spool = if round == 0 { &spool } else { &{ open(dir.path()) } };
        assert_eq!(spool.stats().messages, 100, "round {round}");
        assert_eq!(spool.recovery().damage, vec![]);
        for (id, content) in ids.iter().zip(&contents).take(100) {
            let (message, progress) = wait(spool.load(*id)).unwrap();
            assert_eq!(bytes(&message.content), *content);
            assert_eq!((message.id, &message.envelope), (*id, &envelope(2)));
            assert_eq!(progress.held, *id == ids[3]);
        }
        let (_, progress) = wait(spool.load(ids[3])).unwrap();
        assert_eq!(progress.recipients[0], RecipientState::Done);
        assert!(matches!(&progress.recipients[1], RecipientState::Deferred(d) if d.reason == "later"));
        assert_eq!(progress.retry_at, Timestamp(5));
        let summary = spool.list(0, 1000).into_iter().find(|s| s.id == ids[3]).unwrap();
        assert!(summary.held && summary.changed && summary.retry_at == Timestamp::from_secs(1));
        assert!(matches!(wait(spool.load(ids[150])), Err(SpoolError::NotFound)));
        spool.close();
    }
}

#[test]
fn one_writer_many_readers() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let id = put(&spool, b"Subject: x\r\n\r\n").unwrap();
    assert!(matches!(FileSpool::open(dir.path(), small()), Err(SpoolError::Locked)));
    let view = FileSpool::open_read_only(dir.path()).unwrap();
    assert_eq!(view.find(&id.to_string()), Some(id));
    assert_eq!(wait(view.load(id)).unwrap().0.content.len(), 14);
    assert!(matches!(view.draft(false), Err(SpoolError::Closed)));
    assert!(matches!(wait(view.remove(id)), Err(SpoolError::Closed)));
    assert_eq!(wait(spool.load(id)).unwrap().0.id, id);
}

#[test]
fn dead_segments_are_used_again_and_sparse_ones_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let mut kept = Vec::new();
    for n in 0..3000u32 {
        let content = vec![b'x'; 2000];
        let id = put(&spool, &content).unwrap();
        if n % 100 == 0 {
            wait(spool.change(id, vec![deferred(0, "later")], false)).unwrap();
            wait(spool.change(id, vec![Change::Done(1)], false)).unwrap();
            kept.push(id);
        } else {
            wait(spool.remove(id)).unwrap();
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(1500));
    put(&spool, b"x").unwrap();
    let stats = spool.stats();
    assert!(stats.segment_bytes < 4 * stats.live_bytes + 6 * (64 << 10), "{stats:?}");
    drop(spool);
    let spool = open(dir.path());
    assert_eq!(spool.stats().messages, 31);
    for id in kept {
        let (message, progress) = wait(spool.load(id)).unwrap();
        assert_eq!(message.content.len(), 2000);
        assert!(matches!(&progress.recipients[..], [RecipientState::Deferred(_), RecipientState::Done]));
    }
}

#[test]
fn requeue_forgets_hold_and_expiry() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let id = put(&spool, b"x").unwrap();
    let check = |spool: &FileSpool, held, expired| {
        let (summary, progress) = (spool.list(0, 1)[0], wait(spool.load(id)).unwrap().1);
        assert_eq!((summary.held, summary.expired), (held, expired));
        assert_eq!((progress.held, progress.expired), (held, expired));
    };
    wait(spool.change(id, vec![Change::Held(true), Change::Expired(true)], true)).unwrap();
    check(&spool, true, Some(true));
    wait(spool.change(id, vec![Change::Requeued], true)).unwrap();
    check(&spool, false, None);
    drop(spool);
    check(&open(dir.path()), false, None);
}

#[test]
fn long_chains_of_changes_fold() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let id = put(&spool, b"x").unwrap();
    for n in 0..100 {
        wait(spool.change(id, vec![deferred(0, &format!("attempt {n}"))], true)).unwrap();
        if n == 50 {
            wait(spool.change(id, vec![Change::Requeued], true)).unwrap();
        }
    }
    let check = |spool: &FileSpool| {
        let (_, progress) = wait(spool.load(id)).unwrap();
        assert!(matches!(&progress.recipients[0], RecipientState::Deferred(d) if d.reason == "attempt 99"));
        assert_eq!(progress.recipients[1], RecipientState::Pending);
    };
    check(&spool);
    assert!(spool.stats().live_bytes < 5000, "{:?}", spool.stats());
    drop(spool);
    check(&open(dir.path()));
}

#[test]
fn a_damaged_message_is_set_aside_and_the_rest_lives() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let ids: Vec<QueueId> = (0..5).map(|_| put(&spool, &[b'y'; 3000]).unwrap()).collect();
    let options = Options { on_damage: None, ..small() };
    drop(spool);
    let segment = dir.path().join("segments/00000001.seg");
    let mut data = std::fs::read(&segment).unwrap();
    let at = data.windows(3000).position(|w| w.iter().all(|b| *b == b'y')).unwrap();
    data[at + 100] ^= 1;
    std::fs::write(&segment, &data).unwrap();
    let spool = FileSpool::open(dir.path(), options).unwrap();
    assert!(matches!(wait(spool.load(ids[0])), Err(SpoolError::Corrupt(_))));
    assert_eq!(spool.stats().messages, 4);
    assert_eq!(std::fs::read_dir(dir.path().join("corrupt")).unwrap().count(), 1);
    for id in &ids[1..] {
        wait(spool.load(*id)).unwrap();
    }
    drop(spool);
    assert_eq!(open(dir.path()).stats().messages, 4);
}

#[test]
fn a_view_beside_a_busy_writer_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Arc::new(open(dir.path()));
    let kept: Vec<QueueId> = (0..20).map(|_| put(&spool, &[b'k'; 500]).unwrap()).collect();
    let busy = {
        let spool = spool.clone();
        std::thread::spawn(move || {
            for _ in 0..1500 {
                let id = put(&spool, &[b'x'; 3000]).unwrap();
                wait(spool.remove(id)).unwrap();
            }
        })
    };
    while !busy.is_finished() {
        let view = FileSpool::open_read_only(dir.path()).unwrap();
        for id in &kept {
            assert_eq!(view.find(&id.to_string()), Some(*id));
        }
        assert!(view.stats().messages <= 30, "{:?}", view.stats());
    }
    busy.join().unwrap();
}
