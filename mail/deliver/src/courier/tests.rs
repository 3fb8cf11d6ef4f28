//! Against a courier that gives scripted answers.

use crate::testing::{Bench, delivery, delivery_of};
use base_calls::{
    Diagnosis, Envelope, Fut, Notify, Outcome, QueueId, Recipient, Submission, Submit, SubmitError,
    SubmitOptions, Submitted, Timestamp,
    courier::{
        ContentPlace, CourierAnswer, CourierRequest, Deposit, Forward, TargetAnswer, Verdict, frame_len,
    },
};
use proto_dsn::Status;
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
};

type Asked = Arc<Mutex<Vec<(CourierRequest, Vec<u8>)>>>;

/// Starts a courier in `dir` that gives the answers in turn; what it was asked is kept with the inline content.
fn courier(dir: &std::path::Path, answers: Vec<CourierAnswer>) -> Asked {
    std::fs::create_dir_all(dir.join("private")).unwrap();
    let listener = UnixListener::bind(dir.join("private/courier")).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    tokio::spawn(async move {
        let mut answers = answers.into_iter();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            loop {
                let mut header = [0; 4];
                if stream.read_exact(&mut header).await.is_err() {
                    break;
                }
                let mut body = vec![0; frame_len(header).unwrap()];
                stream.read_exact(&mut body).await.unwrap();
                let request = CourierRequest::parse(&body).unwrap();
                let mut content = Vec::new();
                if let ContentPlace::Inline { len } = request.content {
                    content = vec![0; usize::try_from(len).unwrap()];
                    stream.read_exact(&mut content).await.unwrap();
                }
                log.lock().unwrap().push((request, content));
                let Some(answer) = answers.next() else { break };
                stream.write_all(&answer.to_frame()).await.unwrap();
            }
        }
    });
    asked
}

fn sent(text: &str) -> Verdict {
    Verdict::Sent(Status::new(2, 0, 0), text.into())
}

fn answer(targets: Vec<TargetAnswer>) -> CourierAnswer {
    CourierAnswer { targets }
}

/// Keeps what is submitted.
#[derive(Default, Clone)]
struct Kept(Arc<Mutex<Vec<(Envelope, String)>>>);

struct Open {
    kept: Kept,
    envelope: Envelope,
    content: Vec<u8>,
}

const NEW: QueueId = QueueId { time: Timestamp(77), slot: 7, long: false };

impl Submit for Kept {
    fn open(&self, envelope: Envelope, _: SubmitOptions) -> Result<Box<dyn Submission>, SubmitError> {
        Ok(Box::new(Open { kept: self.clone(), envelope, content: Vec::new() }))
    }
}

impl Submission for Open {
    fn queue_id(&self) -> QueueId {
        NEW
    }

    fn recipient(&mut self, recipient: Recipient) {
        self.envelope.recipients.push(recipient);
    }

    fn action(&mut self, _: base_calls::MessageAction) {}

    fn content<'a>(&'a mut self, chunk: &'a [u8]) -> Fut<'a, Result<(), SubmitError>> {
        self.content.extend_from_slice(chunk);
        Box::pin(async { Ok(()) })
    }

    fn finish(self: Box<Self>) -> Fut<'static, Result<Submitted, SubmitError>> {
        Box::pin(async move {
            let content = String::from_utf8(self.content).unwrap();
            self.kept.0.lock().unwrap().push((self.envelope, content));
            Ok(Submitted { id: NEW })
        })
    }
}

const LOCAL: &str = "local unix - n n - - local";

#[tokio::test]
async fn deposits() {
    let dir = tempfile::tempdir().unwrap();
    let failed = Diagnosis::new(Status::new(5, 1, 1), "unknown user: \"b\"");
    let busy = Diagnosis::new(Status::new(4, 2, 0), "cannot update mailbox");
    let first = answer(vec![
        TargetAnswer::single(1, "b@x", Verdict::Failed(failed)),
        TargetAnswer::single(0, "a@x", sent("delivered to mailbox")),
    ]);
    let second = answer(vec![TargetAnswer::single(0, "a@x", Verdict::Deferred(busy))]);
    let asked = courier(dir.path(), vec![first, second]);
    let mut bench = Bench::new("");
    bench.deps.queue_directory = dir.path().into();
    let agent = bench.agent(LOCAL);
    let mut d = delivery("x", &["a@x", "b@x", "c@x"]);
    Arc::get_mut(&mut d.message).unwrap().envelope.recipients[0].notify =
        Notify { success: true, ..Notify::default() };
    let report = agent.deliver(d).await;
    let reason = "delivery via local: delivered to mailbox";
    assert!(
        matches!(&report.outcomes[0].1, Outcome::Sent(Some(d)) if d.reason == reason && d.action.as_deref() == Some("delivered"))
    );
    assert!(matches!(report.outcomes[1], (1, Outcome::Failed(_))));
    assert!(matches!(report.outcomes[2], (2, Outcome::Deferred(_))));
    agent.deliver(delivery("x", &["a@x"])).await;
    assert_eq!(
        bench.log(),
        [
            "to=<a@x>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)",
            "to=<b@x>, relay=local, dsn=5.1.1, status=bounced (unknown user: \"b\")",
            "to=<c@x>, relay=none, dsn=4.3.0, status=deferred (mail transport unavailable)",
            "to=<a@x>, relay=local, dsn=4.2.0, status=deferred (cannot update mailbox)",
        ]
    );
    let asked = asked.lock().unwrap();
    let (request, content) = &asked[0];
    assert_eq!(
        (request.service.as_str(), request.targets.len(), request.envelope.recipients.len()),
        ("local", 3, 3)
    );
    assert_eq!(content, b"Subject: x\r\n\r\n.dot\r\nx\r\n");
    assert_eq!(asked[1].0.envelope.recipients.len(), 1);
}

#[tokio::test]
async fn large_content_travels_as_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let ok = answer(vec![TargetAnswer::single(0, "a@x", sent("delivered to maildir"))]);
    let asked = courier(dir.path(), vec![ok]);
    let mut bench = Bench::new("");
    bench.deps.queue_directory = dir.path().into();
    let content = "x\r\n".repeat(1 << 19);
    let report =
        bench.agent("virtual unix - n n - - virtual").deliver(delivery_of("x", &["a@x"], &content)).await;
    assert_eq!(report.outcomes, [(0, Outcome::Sent(None))]);
    assert_eq!(bench.log(), ["to=<a@x>, relay=virtual, dsn=2.0.0, status=sent (delivered to maildir)"]);
    let len = content.len() as u64;
    assert_eq!(asked.lock().unwrap()[0].0.content, ContentPlace::File { offset: 0, len });
}

#[tokio::test]
async fn aliases() {
    for (owner, notify, want_notify, want_orcpt) in [
        ("s@example.com", "success", "never", "rfc822;mix@x"),
        ("owner-mix@x", "success", "", ""),
        ("s@example.com", "never", "never", "rfc822;mix@x"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let target = TargetAnswer {
            index: 0,
            deposits: vec![Deposit {
                address: "alice@x".into(),
                member: "alice@x".into(),
                verdict: sent("delivered to mailbox"),
            }],
            forwards: vec![Forward {
                address: "mix@x".into(),
                sender: owner.into(),
                delivered_to: "mix@x".into(),
                recipients: vec!["y@example.org".into()],
            }],
            expanded: true,
        };
        courier(dir.path(), vec![answer(vec![target])]);
        let kept = Kept::default();
        let mut bench = Bench::new("");
        bench.deps.queue_directory = dir.path().into();
        bench.deps.submit = Arc::new(kept.clone());
        let mut d = delivery("x", &["mix@x"]);
        let wish = Notify { success: notify == "success", never: notify == "never", ..Notify::default() };
        Arc::get_mut(&mut d.message).unwrap().envelope.recipients[0].notify = wish;
        let report = bench.agent(LOCAL).deliver(d).await;
        let noticed = matches!(&report.outcomes[0].1, Outcome::Sent(Some(n)) if n.reason == "delivery via local: alias expanded");
        assert_eq!(noticed, notify == "success");
        assert_eq!(
            bench.log(),
            [
                "to=<alice@x>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)".to_owned(),
                format!("to=<mix@x>, relay=local, dsn=2.0.0, status=sent (forwarded as {NEW})"),
            ]
        );
        let kept = kept.0.lock().unwrap();
        let (envelope, content) = &kept[0];
        let member = &envelope.recipients[0];
        assert_eq!(envelope.sender, owner);
        assert_eq!((member.address.as_str(), member.orcpt.as_str()), ("y@example.org", want_orcpt));
        assert_eq!((member.notify.never, member.notify.success), (want_notify == "never", false));
        let mut lines = content.split("\r\n");
        assert_eq!(lines.next(), Some("Received: by mail.example.com (Postfix)"));
        assert!(lines.next().is_some_and(|l| l.starts_with(&format!("\tid {NEW}; "))));
        assert_eq!(lines.next(), Some("Delivered-To: mix@x"));
        assert_eq!(lines.next(), Some("Subject: x"));
    }
}

/// What is done of an alias is named when the rest must wait, and is told to the courier the next time.
#[tokio::test]
async fn members_that_are_done() {
    let dir = tempfile::tempdir().unwrap();
    let late = Verdict::Deferred(Diagnosis::new(Status::new(4, 2, 2), "later"));
    let deposit = |address: &str, member: &str, verdict| Deposit {
        address: address.into(),
        member: member.into(),
        verdict,
    };
    let target = TargetAnswer {
        index: 0,
        deposits: vec![
            deposit("Alice@x", "alice@x", sent("delivered to mailbox")),
            deposit("mix@x", "|command", sent("delivered to command: command")),
            deposit("bob@x", "bob@x", late),
        ],
        forwards: vec![Forward {
            address: "Mix@x".into(),
            sender: "s@example.com".into(),
            delivered_to: "mix@x".into(),
            recipients: vec!["Y@example.org".into()],
        }],
        expanded: true,
    };
    let asked = courier(dir.path(), vec![answer(vec![target])]);
    let mut bench = Bench::new("");
    bench.deps.queue_directory = dir.path().into();
    bench.deps.submit = Arc::new(Kept::default());
    let mut d = delivery("x", &["Mix@x"]);
    d.done = vec![(0, vec!["carol@x".into()])];
    let report = bench.agent(LOCAL).deliver(d).await;
    assert_eq!(asked.lock().unwrap()[0].0.done, [["carol@x"]]);
    let [(0, Outcome::Deferred(why))] = &report.outcomes[..] else { panic!("{report:?}") };
    assert_eq!(why.done, ["alice@x", "|command", "y@example.org"]);
}

#[tokio::test]
async fn no_courier() {
    let bench = Bench::new("");
    let report = bench.agent("p unix - n n - - pipe argv=/bin/true").deliver(delivery("x", &["a@x"])).await;
    assert!(report.destination_down.is_some());
    assert_eq!(
        bench.log(),
        [
            "warning: connect to transport private/courier: No such file or directory",
            "to=<a@x>, relay=none, dsn=4.3.0, status=deferred (mail transport unavailable)"
        ]
    );
}

#[tokio::test]
async fn handed_over() {
    let dir = tempfile::tempdir().unwrap();
    let over = answer(vec![TargetAnswer::single(0, "a@x", Verdict::HandOver("discard:gone".into()))]);
    courier(dir.path(), vec![over]);
    let mut bench = Bench::new("");
    bench.deps.queue_directory = dir.path().into();
    let (agent, _discard) = (bench.agent(LOCAL), bench.agent("discard unix - - n - - discard"));
    let report = agent.deliver(delivery("x", &["a@x"])).await;
    assert_eq!(report.outcomes, [(0, Outcome::Sent(None))]);
    let log = bench.log();
    assert!(log[0].ends_with("passing <a@x> to transport=discard"), "{log:?}");
    assert_eq!(log[1..], ["to=<a@x>, relay=none, dsn=2.0.0, status=sent (gone)"]);
}
