//! The queue tools' dialogue over real sockets, with the scheduler over the in-memory spool and no agents.

use super::*;
use crate::showq;
use base_calls::listing::ListedMessage;
use base_calls::wire::{put_frame, take_frame};
use base_calls::{
    Deliver, Envelope, Fut, Notice, Notifier, Recipient, Resolution, RewriteContext, Route, RouteError,
    SubmitError, Timestamp,
};
use base_conf::{Config, MasterCf};
use base_log::Log;
use base_spool::{MemorySpool, Spool};
use mail_schedule::{Agents, Parts, ScheduleConfig, Scheduler};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Nothing;

impl Route for Nothing {
    fn rewrite(&self, _: RewriteContext, address: &str) -> String {
        address.to_owned()
    }

    fn resolve<'a>(&'a self, _: &'a str, _: &'a str) -> Fut<'a, Result<Resolution, RouteError>> {
        Box::pin(async { Err(RouteError { status: proto_dsn::Status::new(4, 3, 0), text: "no".into() }) })
    }

    fn unlisted<'a>(&'a self, _: &'a str) -> Fut<'a, Result<Option<base_calls::Unlisted>, RouteError>> {
        Box::pin(async { Ok(None) })
    }
}

impl Agents for Nothing {
    fn agent(&self, _: &str) -> Option<Arc<dyn Deliver>> {
        None
    }
}

impl Notifier for Nothing {
    fn notify(&self, _: Notice) -> Fut<'_, Result<Option<QueueId>, SubmitError>> {
        Box::pin(async { Ok(None) })
    }
}

pub(crate) struct World {
    spool: Arc<MemorySpool>,
    pub(crate) handle: Handle,
    decisions: Arc<Decisions>,
    pub(crate) dir: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let config =
            ScheduleConfig::from_config(&Config::from_text(""), &MasterCf::default()).expect("defaults");
        let parts = Parts {
            config: Arc::new(config),
            route: Arc::new(Nothing),
            agents: Arc::new(Nothing),
            notifier: Arc::new(Nothing),
        };
        let spool = Arc::new(MemorySpool::new());
        let handle = Scheduler::start(parts, spool.clone(), Log::test().0);
        let decisions = Arc::new(Decisions::new(mail_restrict::Bounds { count: 10, bytes: 10_000 }));
        let about = About { handle: handle.clone(), decisions: Arc::clone(&decisions) };
        let dir = tempfile::tempdir().expect("a folder");
        let bind = |name: &str| UnixListener::bind(dir.path().join(name)).expect("a socket");
        tokio::spawn(serve(bind("control"), Access::Private, about.clone()));
        tokio::spawn(serve(bind("qmgr"), Access::Public, about));
        tokio::spawn(showq::serve(bind("showq"), handle.clone(), dir.path().to_owned()));
        Self { spool, handle, decisions, dir }
    }

    pub(crate) async fn store(&self, to: &str, held: bool) -> String {
        let mut draft = self.spool.draft(false).expect("draft");
        draft.write(b"Subject: x\r\n\r\nbody\r\n").expect("room");
        let recipients =
            to.split(' ').map(|a| Recipient { address: a.into(), ..Recipient::default() }).collect();
        let envelope = Envelope {
            sender: "s@x".into(),
            recipients,
            size: 20,
            arrival: Timestamp::now(),
            ..Envelope::default()
        };
        self.spool.commit(draft, envelope, held).await.expect("stored").id.to_string()
    }

    /// Replies up to the last one.
    async fn ask(&self, socket: &str, requests: &[ControlRequest]) -> Vec<ControlReply> {
        let mut stream = UnixStream::connect(self.dir.path().join(socket)).await.expect("served");
        let mut wire = Vec::new();
        requests.iter().for_each(|r| put_frame(&mut wire, &r.encode()));
        stream.write_all(&wire).await.expect("sent");
        stream.shutdown().await.expect("shut down");
        let mut input = Vec::new();
        stream.read_to_end(&mut input).await.expect("answered");
        let mut rest = input.as_slice();
        let mut replies = Vec::new();
        while let Some(frame) = take_frame(&mut rest, usize::MAX).expect("frames") {
            replies.push(ControlReply::decode(frame).expect("a reply"));
        }
        replies
    }

    async fn act(&self, action: ControlAction, select: Select) -> Vec<String> {
        let show = |r: ControlReply| match r {
            ControlReply::Done { id, queue } => format!("{id} {}", queue.as_str()),
            other => format!("{other:?}"),
        };
        self.ask("control", &[ControlRequest::Act(action, select)]).await.into_iter().map(show).collect()
    }

    async fn list(&self) -> Vec<ListedMessage> {
        let mut stream = UnixStream::connect(self.dir.path().join("showq")).await.expect("served");
        let mut input = Vec::new();
        stream.read_to_end(&mut input).await.expect("answered");
        let mut rest = input.as_slice();
        let mut out = Vec::new();
        while let Some(frame) = take_frame(&mut rest, usize::MAX).expect("frames") {
            match ListedMessage::decode(frame).expect("an entry") {
                Some(m) => out.push(m),
                None => return out,
            }
        }
        panic!("no end mark");
    }
}

#[tokio::test]
async fn listing_names_each_queue() {
    let w = World::new().await;
    assert!(w.list().await.is_empty());
    let held = w.store("a@x", true).await;
    let fresh = w.store("b@x c@x", false).await;
    let listed: Vec<_> =
        w.list().await.into_iter().map(|m| (m.queue.as_str(), m.id, m.recipients.len())).collect();
    assert_eq!(listed, [("incoming", fresh, 2), ("hold", held, 1)]);
}

#[tokio::test]
async fn a_long_listing_is_complete() {
    let w = World::new().await;
    for i in 0..1_000 {
        w.store(&format!("{i}@x"), i % 2 == 0).await;
    }
    let all = w.list().await;
    assert_eq!(all.len(), 1_000);
    assert_eq!(all.iter().filter(|m| m.queue == QueueName::Hold).count(), 500);
}

#[tokio::test]
async fn actions_on_one_and_on_all() {
    let w = World::new().await;
    let (a, b) = (w.store("a@x", true).await, w.store("b@x", true).await);
    let any = Vec::new;
    assert_eq!(w.act(ControlAction::Hold, Select::Id(a.clone(), any())).await, ["End"]);
    assert_eq!(w.act(ControlAction::Delete, Select::Id("FFFFFFF".into(), any())).await, ["End"]);
    assert_eq!(w.act(ControlAction::Delete, Select::Id(a.clone(), vec![QueueName::Deferred])).await, ["End"]);
    assert_eq!(
        w.act(ControlAction::Expire, Select::All(any())).await,
        [format!("{a} hold"), format!("{b} hold"), "End".into()]
    );
    assert!(w.list().await.iter().all(|m| m.forced_expire));
    assert_eq!(
        w.act(ControlAction::Delete, Select::Id(a.clone(), vec![QueueName::Hold])).await,
        [format!("{a} hold"), "End".into()]
    );
    assert_eq!(
        w.act(ControlAction::Delete, Select::All(vec![QueueName::Hold])).await,
        [format!("{b} hold"), "End".into()]
    );
    assert!(w.list().await.is_empty());
}

#[tokio::test]
async fn released_mail_is_tried_at_the_next_flush() {
    let w = World::new().await;
    let id = w.store("a@x", true).await;
    assert_eq!(
        w.act(ControlAction::Release, Select::All(Vec::new())).await,
        [format!("{id} hold"), "End".into()]
    );
    assert_eq!(w.list().await[0].queue, QueueName::Deferred);
    w.handle.flush();
    while w.list().await.first().is_none_or(|m| m.recipients[0].1.is_none()) {
        tokio::task::yield_now().await;
    }
    let entry = w.list().await.remove(0);
    assert_eq!(entry.recipients, [("a@x".into(), Some("address resolver failure".into()))]);
    assert_eq!(w.handle.active(), 0);
}

#[tokio::test]
async fn cat_sends_envelope_and_content() {
    let w = World::new().await;
    let id = w.store("a@x", true).await;
    let replies =
        w.ask("control", &[ControlRequest::Cat(id.clone()), ControlRequest::Cat("FFFFFF".into())]).await;
    let [ControlReply::Message(m), ControlReply::Content(body), ControlReply::End, ControlReply::End] =
        &replies[..]
    else {
        panic!("{replies:?}");
    };
    assert_eq!((m.id.as_str(), m.queue, m.content_len), (id.as_str(), QueueName::Hold, 20));
    assert_eq!(m.envelope.recipients[0].address, "a@x");
    assert_eq!(body, b"Subject: x\r\n\r\nbody\r\n");
}

#[tokio::test]
async fn the_public_socket_only_asks_for_deliveries() {
    let w = World::new().await;
    let id = w.store("a@x", true).await;
    let refused = ControlReply::Error("this request is not allowed here".into());
    let select = || Select::Id(id.clone(), Vec::new());
    for (request, allowed) in [
        (ControlRequest::FlushAll, true),
        (ControlRequest::FlushSite("x".into()), true),
        (ControlRequest::Act(ControlAction::Deliver, select()), true),
        (ControlRequest::Act(ControlAction::Deliver, Select::All(Vec::new())), false),
        (ControlRequest::Act(ControlAction::Delete, select()), false),
        (ControlRequest::Cat(id.clone()), false),
        (ControlRequest::Explain(1, "x".into()), false),
    ] {
        let want = if allowed { ControlReply::End } else { refused.clone() };
        assert_eq!(w.ask("qmgr", std::slice::from_ref(&request)).await, [want], "{request:?}");
    }
    assert_eq!(w.list().await.len(), 1);
}

#[tokio::test]
async fn decisions_are_told() {
    let w = World::new().await;
    for id in ["A", "B", "C"] {
        w.decisions.push(&mail_restrict::Decision { id, addr: "192.0.2.1", ..Default::default() });
    }
    let replies = w.ask("control", &[ControlRequest::Explain(2, "192.0.2.1".into())]).await;
    let told = replies.iter().map(|r| match r {
        ControlReply::Decision(frame) => mail_restrict::Decision::decode(frame).map_or("?", |d| d.id),
        _ => ".",
    });
    assert_eq!(told.collect::<String>(), "BC.");
}

#[tokio::test]
async fn junk_is_refused() {
    let w = World::new().await;
    let mut stream = UnixStream::connect(w.dir.path().join("control")).await.expect("served");
    let mut wire = Vec::new();
    put_frame(&mut wire, b"junk");
    put_frame(&mut wire, &[b'C'; 5_000]);
    stream.write_all(&wire).await.expect("sent");
    let mut input = Vec::new();
    // The rest of the request is never read, so the end may look like a reset.
    let _ = stream.read_to_end(&mut input).await;
    let mut rest = input.as_slice();
    let frame = take_frame(&mut rest, 1_000).expect("a frame").expect("whole");
    assert!(matches!(ControlReply::decode(frame), Ok(ControlReply::Error(_))));
    assert!(rest.is_empty(), "the oversized request ends the connection");
}
