//! Questions, probes and their results.

use crate::{ProbeResults, Verifier, VerifyConfig};
use base_cache::Caches;
use base_calls::{
    Content, Deliverable, Diagnosis, Envelope, Fut, MessageAction, Notice, NoticeKind, Notifier, QueueId,
    Queued, Recipient, Submission, Submit, SubmitError, SubmitOptions, Submitted, Timestamp, Verify,
};
use base_conf::Config;
use base_log::Log;
use proto_dsn::Status;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

const ID: QueueId = QueueId { time: Timestamp(1_700_000_000_000_000), slot: 1, long: false };

/// Keeps what is submitted.
#[derive(Default, Clone)]
struct Queue(Arc<Mutex<Vec<Envelope>>>);

struct Draft(Queue, Envelope);

impl Submit for Queue {
    fn open(&self, envelope: Envelope, _: SubmitOptions) -> Result<Box<dyn Submission>, SubmitError> {
        Ok(Box::new(Draft(self.clone(), envelope)))
    }
}

impl Submission for Draft {
    fn queue_id(&self) -> QueueId {
        ID
    }

    fn recipient(&mut self, recipient: Recipient) {
        self.1.recipients.push(recipient);
    }

    fn action(&mut self, _: MessageAction) {}

    fn content<'a>(&'a mut self, _: &'a [u8]) -> Fut<'a, Result<(), SubmitError>> {
        Box::pin(async { Ok(()) })
    }

    fn finish(self: Box<Self>) -> Fut<'static, Result<Submitted, SubmitError>> {
        self.0.0.lock().unwrap().push(self.1);
        Box::pin(async { Ok(Submitted { id: ID }) })
    }
}

struct Nobody;

impl Notifier for Nobody {
    fn notify(&self, _: Notice) -> Fut<'_, Result<Option<QueueId>, SubmitError>> {
        panic!("a probe is nobody's business")
    }
}

/// Takes nothing.
struct Full;

impl Submit for Full {
    fn open(&self, _: Envelope, _: SubmitOptions) -> Result<Box<dyn Submission>, SubmitError> {
        Err(SubmitError::new(452, Status::new(4, 3, 1), "Insufficient system storage"))
    }
}

struct Bench {
    verifier: Verifier,
    queue: Queue,
}

impl Bench {
    fn new(main: &str) -> Self {
        let queue = Queue::default();
        Self { verifier: verifier(main, Arc::new(queue.clone())), queue }
    }

    fn probes(&self) -> Vec<String> {
        let queue = self.queue.0.lock().unwrap();
        queue.iter().map(|e| e.recipients[0].address.clone()).collect()
    }

    async fn ask(&self, address: &str) -> Deliverable {
        self.verifier.verify(address, Duration::ZERO).await.status
    }

    /// What became of the newest probe.
    async fn result(&self, action: &str, status: Status) {
        let envelope = self.queue.0.lock().unwrap().last().cloned().expect("a probe");
        let content = Content::Memory(Vec::new().into());
        let message = Arc::new(Queued { id: ID, envelope, content, accepted: Timestamp::now() });
        let why = Diagnosis { action: Some(action.into()), ..Diagnosis::new(status, "because") };
        let notice = Notice { kind: NoticeKind::Success, message, recipients: vec![(0, why)] };
        let results = ProbeResults::new(self.verifier.clone(), Arc::new(Nobody));
        results.notify(notice).await.expect("taken");
    }
}

fn verifier(main: &str, submit: Arc<dyn Submit>) -> Verifier {
    let main = format!("myhostname = mail.example.com\naddress_verify_map =\n{main}\n");
    let config = VerifyConfig::from_config(&Config::from_text(&main)).expect("config");
    Verifier::new(config, Arc::new(Caches::new(Arc::new(|_| ()))), submit, Log::test().0)
}

#[tokio::test]
async fn one_probe_tells_everybody() {
    let b = Bench::new("");
    assert_eq!(b.ask("u@x.test").await, Deliverable::Unknown);
    assert_eq!(b.ask("U@x.test").await, Deliverable::Unknown);
    assert_eq!(b.probes(), ["u@x.test"], "one at a time");
    b.result("deliverable", Status::new(2, 1, 5)).await;
    assert_eq!(b.ask("u@X.test").await, Deliverable::Yes);
    for (status, want) in
        [(Status::new(5, 1, 1), Deliverable::No), (Status::new(4, 4, 1), Deliverable::Deferred)]
    {
        let address = format!("u{status}@x.test");
        assert_eq!(b.ask(&address).await, Deliverable::Unknown);
        b.result("undeliverable", status).await;
        let answer = b.verifier.verify(&address, Duration::ZERO).await;
        assert_eq!((answer.status, answer.text.as_str()), (want, "because"));
    }
    assert_eq!(b.probes().len(), 3);
}

#[tokio::test]
async fn a_session_waits_for_its_probe() {
    let b = Bench::new("");
    let asked = b.verifier.verify("u@x.test", Duration::from_secs(20));
    let told = async {
        while b.probes().is_empty() {
            tokio::task::yield_now().await;
        }
        b.result("deliverable", Status::new(2, 1, 5)).await;
    };
    let (answer, ()) = tokio::join!(asked, told);
    assert_eq!(answer.status, Deliverable::Yes);
}

#[tokio::test]
async fn no_flood_of_probes() {
    let b = Bench::new("address_verify_pending_request_limit = 2");
    for address in ["a@x.test", "b@x.test"] {
        assert_eq!(b.ask(address).await, Deliverable::Unknown);
    }
    assert_eq!(b.ask("c@x.test").await, Deliverable::Deferred);
    b.result("deliverable", Status::new(2, 1, 5)).await;
    assert_eq!(b.ask("c@x.test").await, Deliverable::Unknown);
    assert_eq!(b.probes(), ["a@x.test", "b@x.test", "c@x.test"]);
}

#[tokio::test]
async fn a_probe_that_was_not_queued_holds_no_place() {
    let v = verifier("address_verify_pending_request_limit = 1", Arc::new(Full));
    for address in ["a@x.test", "b@x.test"] {
        assert_eq!(v.verify(address, Duration::ZERO).await.status, Deliverable::Unknown, "{address}");
    }
}

#[tokio::test]
async fn who_asks_at_the_same_moment_sends_no_second_probe() {
    let b = Bench::new("");
    let claim = |key: &str, now| matches!(b.verifier.shared.claim(key, now), crate::Claim::Ours);
    assert_eq!((claim("a@x.test", 10), claim("a@x.test", 11), claim("b@x.test", 11)), (true, false, true));
    assert!(claim("a@x.test", 2000), "the first one is lost");
}
