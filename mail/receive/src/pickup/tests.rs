//! Files in, submissions out, and what stays in the folder.

use super::{Pickup, PickupConfig, Scanned, Scans};
use base_calls::maildrop::{Maildrop, MaildropWriter};
use base_calls::{
    Envelope, Fut, MessageAction, Notify, Origin, QueueId, Recipient, Submission, Submit, SubmitError,
    SubmitOptions, Submitted, Timestamp,
};
use base_conf::Config;
use base_log::{Captured, Log};
use proto_dsn::Status;
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

type Taken = Arc<Mutex<Vec<(Envelope, SubmitOptions, Vec<u8>)>>>;

/// Keeps what is submitted, or refuses it.
struct FakeSubmit {
    taken: Taken,
    refuse: Option<SubmitError>,
}

struct FakeSubmission {
    envelope: Envelope,
    options: SubmitOptions,
    content: Vec<u8>,
    taken: Taken,
    refuse: Option<SubmitError>,
}

const ID: QueueId = QueueId { time: Timestamp(0x12345), slot: 0, long: false };

impl Submit for FakeSubmit {
    fn open(&self, envelope: Envelope, options: SubmitOptions) -> Result<Box<dyn Submission>, SubmitError> {
        let (taken, refuse) = (self.taken.clone(), self.refuse.clone());
        Ok(Box::new(FakeSubmission { envelope, options, content: Vec::new(), taken, refuse }))
    }
}

impl Submission for FakeSubmission {
    fn queue_id(&self) -> QueueId {
        ID
    }
    fn recipient(&mut self, _: Recipient) {}
    fn action(&mut self, _: MessageAction) {}
    fn content<'a>(&'a mut self, chunk: &'a [u8]) -> Fut<'a, Result<(), SubmitError>> {
        self.content.extend_from_slice(chunk);
        Box::pin(async { Ok(()) })
    }
    fn finish(self: Box<Self>) -> Fut<'static, Result<Submitted, SubmitError>> {
        if let Some(e) = self.refuse {
            return Box::pin(async { Err(e) });
        }
        self.taken.lock().unwrap().push((self.envelope, self.options, self.content));
        Box::pin(async { Ok(Submitted { id: ID }) })
    }
}

struct Bench {
    dir: tempfile::TempDir,
    pickup: Pickup,
    scans: Arc<Scans>,
    taken: Taken,
    log: Captured,
}

fn bench(refuse: Option<SubmitError>) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("maildrop")).unwrap();
    let main_cf = format!(
        "queue_directory = {}\nmyhostname = mail.example.com\ncontent_filter = scan:[127.0.0.1]:10024\n",
        dir.path().display()
    );
    let config = PickupConfig::from_config(&Config::from_text(&main_cf)).unwrap();
    let (log, captured) = Log::test();
    let taken = Taken::default();
    let submit = Arc::new(FakeSubmit { taken: taken.clone(), refuse });
    let scans = Arc::<Scans>::default();
    let pickup = Pickup::new(Arc::new(config), submit, log, Arc::clone(&scans));
    Bench { dir, pickup, scans, taken, log: captured }
}

fn sample() -> Maildrop {
    Maildrop {
        sender: "alice".into(),
        full_name: "Alice A".into(),
        recipients: vec![Recipient {
            address: "bob".into(),
            notify: Notify { success: true, ..Notify::default() },
            ..Recipient::default()
        }],
        recipients_from_header: true,
        ..Maildrop::default()
    }
}

impl Bench {
    fn put(&self, name: &str, bytes: &[u8], mode: u32) -> PathBuf {
        let path = self.dir.path().join("maildrop").join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn message(content: &[u8]) -> Vec<u8> {
        let mut w = MaildropWriter::new(Vec::new(), &sample()).unwrap();
        w.content(content).unwrap();
        w.finish().unwrap()
    }
}

const SUBMITTED: Scanned = Scanned { submitted: 1, left: 0, corrupt: 0 };
const LEFT: Scanned = Scanned { submitted: 0, left: 1, corrupt: 0 };
const CORRUPT: Scanned = Scanned { submitted: 0, left: 0, corrupt: 1 };

#[tokio::test]
async fn while_paused_files_stay() {
    let b = bench(None);
    let path = b.put("A1", &Bench::message(b"x\r\n"), 0o744);
    let turn = b.scans.turn.lock().await;
    assert!(!b.scans.pause(Duration::ZERO).await, "one is in hand");
    drop(turn);
    assert!(b.scans.pause(Duration::from_secs(60)).await);
    assert_eq!(b.pickup.scan().await, Scanned::default());
    assert!(path.exists());
}

#[tokio::test]
async fn a_message() {
    let b = bench(None);
    let path = b.put("A1", &Bench::message(b"Subject: x\r\n\r\nbody\r\n"), 0o744);
    let uid = fs::metadata(&path).unwrap().uid();
    assert_eq!(b.pickup.scan().await, SUBMITTED);
    assert!(!path.exists());
    let taken = b.taken.lock().unwrap();
    let (envelope, options, content) = &taken[0];
    assert_eq!((envelope.sender.as_str(), envelope.origin), ("alice", Origin::Pickup));
    assert!(envelope.rewrite_local && options.recipients_from_header && options.bounce_errors);
    assert_eq!(envelope.recipients, sample().recipients);
    assert_eq!(envelope.content_filter, "scan:[127.0.0.1]:10024");
    assert_eq!(envelope.attributes, [("full_name".to_owned(), "Alice A".to_owned())]);
    let date = envelope.arrival.mail_date();
    let want = format!(
        "Received: by mail.example.com (Postfix, from userid {uid})\r\n\tid {ID}; {date}\r\nSubject: x\r\n\r\nbody\r\n"
    );
    assert_eq!(String::from_utf8_lossy(content), want);
    assert_eq!(b.log.texts(), [format!("{ID}: uid={uid} from=<alice>")]);
}

#[tokio::test]
async fn what_is_not_ready_stays() {
    let b = bench(None);
    let good = Bench::message(b"x\r\n");
    let paths = [b.put("A", &good, 0o600), b.put(".B", &good, 0o744)];
    symlink(b.put("C", &good, 0o600), b.dir.path().join("maildrop/D")).unwrap();
    let linked = b.put("E", &good, 0o744);
    fs::hard_link(&linked, b.dir.path().join("elsewhere")).unwrap();
    fs::create_dir(b.dir.path().join("maildrop/F")).unwrap();
    assert_eq!(b.pickup.scan().await, Scanned::default());
    assert!(paths.iter().all(|p| p.exists()) && linked.exists());
    assert!(b.taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_corrupt_is_set_aside() {
    let good = Bench::message(b"x\r\n");
    let mut flipped = good.clone();
    let middle = good.len() / 2;
    flipped[middle] ^= 1;
    for bad in [&b""[..], b"junk", &good[..good.len() - 1], &flipped] {
        let b = bench(None);
        let path = b.put("A", bad, 0o744);
        assert_eq!(b.pickup.scan().await, CORRUPT);
        assert!(!path.exists());
        assert_eq!(fs::read(b.dir.path().join("corrupt/A")).unwrap(), bad);
        assert!(b.taken.lock().unwrap().is_empty());
        assert!(b.log.texts().iter().any(|l| l.contains("maildrop/A: malformed maildrop file")));
    }
}

#[tokio::test]
async fn a_temporary_error_leaves_the_file() {
    let b = bench(Some(SubmitError::new(451, Status::new(4, 3, 0), "later")));
    let path = b.put("A", &Bench::message(b"x\r\n"), 0o744);
    assert_eq!(b.pickup.scan().await, LEFT);
    assert!(path.exists());
    let b = bench(Some(SubmitError::new(550, Status::new(5, 1, 0), "never")));
    let path = b.put("A", &Bench::message(b"x\r\n"), 0o744);
    assert_eq!(b.pickup.scan().await, CORRUPT);
    assert!(!path.exists() && b.dir.path().join("corrupt/A").exists());
}

#[tokio::test]
async fn many_in_one_scan() {
    let b = bench(None);
    for i in 0..100 {
        b.put(&format!("F{i}"), &Bench::message(b"x\r\n"), 0o744);
    }
    assert_eq!(b.pickup.scan().await.submitted, 100);
    assert_eq!(b.pickup.scan().await, Scanned::default());
}

#[tokio::test]
async fn a_file_of_postfix_stays_for_the_import() {
    let b = bench(None);
    let paths = ["A", "B"].map(|n| b.put(n, b"T\x111795328264 754690A\x05x=yzz", 0o744));
    assert_eq!(b.pickup.scan().await, Scanned::default());
    assert_eq!(b.pickup.scan().await, Scanned::default());
    assert!(paths.iter().all(|p| p.exists()) && !b.dir.path().join("corrupt").exists());
    let [line] = &b.log.texts()[..] else { panic!("{:?}", b.log.texts()) };
    assert!(line.ends_with("a file of Postfix: stop the server and run \"postfix import-queue\""), "{line}");
}

#[tokio::test]
async fn an_older_corrupt_file_is_not_replaced() {
    let b = bench(None);
    for bad in ["one", "two", "three"] {
        b.put("A", bad.as_bytes(), 0o744);
        assert_eq!(b.pickup.scan().await, CORRUPT);
    }
    for (name, bad) in [("A", "one"), ("A.1", "two"), ("A.2", "three")] {
        assert_eq!(fs::read_to_string(b.dir.path().join("corrupt").join(name)).unwrap(), bad);
    }
}
