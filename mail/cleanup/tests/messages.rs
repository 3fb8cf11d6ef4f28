//! Messages through the whole stage, with an in-memory spool: what comes out, byte for byte, and what is logged.

use base_calls::{
    AddressClass, Arrivals, Content, Envelope, Fut, MessageAction, Notice, Notifier, Notify, Origin, QueueId,
    Queued, Recipient, Resolution, RewriteContext, Route, RouteError, Submit, SubmitError, SubmitOptions,
    Timestamp,
};
use base_conf::Config;
use base_log::{Captured, Log};
use base_spool::MemorySpool;
use base_tables::Tables;
use mail_cleanup::{Cleanup, CleanupConfig};
use std::sync::{Arc, Mutex};

/// Appends `@example.com`, or `@domain.invalid` for remote clients.
struct FakeRoute;

impl Route for FakeRoute {
    fn rewrite(&self, context: RewriteContext, address: &str) -> String {
        let origin = match context {
            RewriteContext::Local => "example.com",
            RewriteContext::Remote => "domain.invalid",
        };
        if address.is_empty() || address.contains('@') {
            address.into()
        } else {
            format!("{address}@{origin}")
        }
    }

    fn resolve<'a>(&'a self, _: &'a str, recipient: &'a str) -> Fut<'a, Result<Resolution, RouteError>> {
        let resolution = Resolution {
            transport: "local".into(),
            nexthop: "example.com".into(),
            recipient: recipient.into(),
            class: AddressClass::Local,
            routed: false,
            invalid: false,
        };
        Box::pin(async move { Ok(resolution) })
    }

    fn unlisted<'a>(&'a self, _: &'a str) -> Fut<'a, Result<Option<base_calls::Unlisted>, RouteError>> {
        Box::pin(async { Ok(None) })
    }
}

#[derive(Default)]
struct Arrived(Mutex<Vec<(Arc<Queued>, bool)>>);

impl Arrivals for Arrived {
    fn arrived(&self, message: Arc<Queued>, held: bool) {
        self.0.lock().unwrap().push((message, held));
    }
}

#[derive(Default)]
struct Notices(Mutex<Vec<Notice>>);

impl Notifier for Notices {
    fn notify(&self, notice: Notice) -> Fut<'_, Result<Option<QueueId>, SubmitError>> {
        self.0.lock().unwrap().push(notice);
        Box::pin(async { Ok(None) })
    }
}

/// The stage and all around it.
struct Bench {
    cleanup: Cleanup,
    arrived: Arc<Arrived>,
    notices: Arc<Notices>,
    log: Captured,
}

const MAIN_CF: &str = "myhostname = mail.example.com\nmydomain = example.com\nmyorigin = example.com\n\
    mydestination = example.com\nmynetworks = 127.0.0.0/8\ncompatibility_level = 3.6\n";

fn bench(main_cf: &str) -> Bench {
    let config = Config::from_text(&format!("{MAIN_CF}{main_cf}"));
    let config = Arc::new(CleanupConfig::from_config(&config).unwrap());
    let (log, captured) = Log::test();
    let arrived = Arc::new(Arrived::default());
    let tables = Tables::new(base_tables::Options::default());
    let spool = Arc::new(MemorySpool::default());
    let cleanup = Cleanup::new(config, spool, Arc::new(FakeRoute), arrived.clone(), &tables, log);
    Bench { cleanup, arrived, notices: Arc::default(), log: captured }
}

fn rcpt(address: &str) -> Recipient {
    Recipient { address: address.into(), ..Recipient::default() }
}

fn local(sender: &str) -> Envelope {
    Envelope {
        arrival: Timestamp::from_secs(1_795_301_838),
        sender: sender.into(),
        rewrite_local: true,
        ..Envelope::default()
    }
}

fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

impl Bench {
    /// Submits to `to`, the content cut in `cut` byte pieces.
    async fn send_cut(
        &self,
        envelope: Envelope,
        options: SubmitOptions,
        to: &[&str],
        actions: &[MessageAction],
        text: &str,
        cut: usize,
    ) -> Result<Arc<Queued>, SubmitError> {
        let mut s = self.cleanup.open(envelope, options)?;
        to.iter().for_each(|a| s.recipient(rcpt(a)));
        actions.iter().for_each(|a| s.action(a.clone()));
        for chunk in crlf(text).chunks(cut) {
            let _ = s.content(chunk).await;
        }
        s.finish().await?;
        Ok(self.arrived.0.lock().unwrap().last().expect("a message arrived").0.clone())
    }

    async fn send(&self, envelope: Envelope, to: &[&str], text: &str) -> Result<Arc<Queued>, SubmitError> {
        self.send_cut(envelope, SubmitOptions::EXTERNAL, to, &[], text, usize::MAX).await
    }
}

/// Content as text, without the date, which depends on the time zone.
fn text(q: &Queued) -> String {
    let Content::Memory(b) = &q.content else { panic!("in memory") };
    let text = String::from_utf8_lossy(b).replace("\r\n", "\n").replace(&q.id.to_string(), "QID");
    let date = q.envelope.arrival.mail_date();
    text.replace(&date, "DATE")
}

fn addresses(q: &Queued) -> Vec<&str> {
    q.envelope.recipients.iter().map(|r| r.address.as_str()).collect()
}

#[tokio::test]
async fn missing_headers_are_added_for_local_clients() {
    let b = bench("");
    let q = b.send(local("a@example.net"), &["alice"], "Subject: x\n\nbody\n").await.unwrap();
    let want = "Subject: x\nMessage-Id: <20261121225718.QID@mail.example.com>\nDate: DATE\nFrom: a@example.net\n\nbody\n";
    assert_eq!(text(&q), want);
    assert_eq!(addresses(&q), ["alice@example.com"]);
    let r = &q.envelope.recipients[0];
    assert_eq!((r.original.as_str(), r.orcpt.as_str()), ("alice", "rfc822;alice@example.com"));
    assert_eq!(b.log.texts(), [format!("{}: message-id=<20261121225718.{}@mail.example.com>", q.id, q.id)]);
}

#[tokio::test]
async fn however_the_content_is_cut() {
    for cut in 1..40 {
        let b = bench("");
        let text_in = "To: a, b (c)\n <d>,\n e\nX : y\nBcc: secret\n\nbody\n.\nmore\n";
        let q = b.send_cut(local("s"), SubmitOptions::EXTERNAL, &["x"], &[], text_in, cut).await.unwrap();
        let want = "To: a@example.com, b (c) <d@example.com>, e@example.com\nX: y\n\
            Message-Id: <20261121225718.QID@mail.example.com>\nDate: DATE\nFrom: s@example.com\n\nbody\n.\nmore\n";
        assert_eq!(text(&q), want, "cut {cut}");
        let Content::Memory(bytes) = &q.content else { panic!() };
        assert_eq!(q.envelope.size, bytes.len() as u64);
    }
}

#[tokio::test]
async fn remote_mail_is_left_alone() {
    let b = bench("");
    let envelope = Envelope { rewrite_local: false, ..local("a@example.net") };
    let content = "Received: x\nTo: alice\nFrom: bob\nBcc: x\n\nbody\n";
    let q = b.send(envelope.clone(), &["alice@example.com"], content).await.unwrap();
    assert_eq!(text(&q), "Received: x\nTo: alice\nFrom: bob\n\nbody\n");
    assert!(b.log.texts()[0].ends_with(": message-id=<>"));
    let b = bench("remote_header_rewrite_domain = domain.invalid\n");
    let q = b
        .send(envelope, &["alice@example.com"], "To: alice, x@y\nDate: d\nMessage-Id: <m@n>\n")
        .await
        .unwrap();
    assert_eq!(text(&q), "To: alice@domain.invalid, x@y\nDate: d\nMessage-Id: <m@n>\nFrom: a@example.net\n");
    assert_eq!(q.envelope.message_id, "<m@n>");
}

/// As seen with Postfix 3.7.11.
#[tokio::test]
async fn odd_header_sections() {
    let added = "Message-Id: <20261121225718.QID@mail.example.com>\nDate: DATE\nFrom: a@example.com\n";
    for (content, want) in [
        ("X: y\n cont\nX Y: z\n\nb\n", format!("X: y\n cont\n{added}\nX Y: z\n\nb\n")),
        (":nothing\nX: y\n\nb\n", format!("{added}\n:nothing\nX: y\n\nb\n")),
        ("X: y\n \nSubject: z\n   \n\nb\n", format!("X: y\n \nSubject: z\n   \n{added}\nb\n")),
        ("X-Foo  :bar\nX-Foo\t: bar\nTO : x\n", format!("X-Foo:bar\nX-Foo: bar\nTO: x@example.com\n{added}")),
        ("", added.to_owned()),
        ("\nb\n", format!("{added}\nb\n")),
    ] {
        let q = bench("").send(local("a"), &["x"], content).await.unwrap();
        assert_eq!(text(&q), want, "{content:?}");
    }
}

#[tokio::test]
async fn resent_headers_are_completed_instead() {
    let b = bench("");
    let q = b.send(local("a"), &["x"], "Resent-To: bob\nMessage-ID:\nX: y\n").await.unwrap();
    let id = "Resent-Message-Id: <20261121225718.QID@mail.example.com>";
    let want = format!(
        "Resent-To: bob@example.com\nMessage-ID:\nX: y\n{id}\nResent-Date: DATE\nResent-From: a@example.com\n"
    );
    assert_eq!(text(&q), want);
    let log: Vec<String> = b.log.texts().iter().map(|l| l.replace(&q.id.to_string(), "QID")).collect();
    assert_eq!(log, ["QID: message-id=", "QID: resent-message-id=<20261121225718.QID@mail.example.com>"]);
}

#[tokio::test]
async fn senders() {
    for (sender, name, want) in [
        ("", "", "From: MAILER-DAEMON\n"),
        ("a b@example.net", "", "From: \"a b\"@example.net\n"),
        ("alice", "Alice Test", "From: Alice Test <alice@example.com>\n"),
        ("alice", "Dr. A", "From: \"Dr. A\" <alice@example.com>\n"),
    ] {
        let mut envelope = local(sender);
        envelope.attributes.push(("full_name".into(), name.into()));
        let q = bench("").send(envelope, &["x"], "Date: d\nMessage-Id: <m>\n").await.unwrap();
        assert_eq!(text(&q), format!("Date: d\nMessage-Id: <m>\n{want}"));
    }
}

#[tokio::test]
async fn too_many_hops() {
    let content = "Received: 1\nReceived: 2\nReceived: 3\nMessage-Id: <m>\n\nx\n";
    let b = bench("hopcount_limit = 3\n");
    let error = b.send(local("a"), &["x"], content).await.unwrap_err();
    assert_eq!(error.to_string(), "554 5.4.0 Error: too many hops");
    assert!(b.log.texts()[0].ends_with(": message rejected: hopcount exceeded"), "{:?}", b.log.texts());
    assert_eq!(b.log.texts().len(), 1);
    let b = bench("hopcount_limit = 4\n");
    b.send(local("a"), &["x"], content).await.unwrap();
}

#[tokio::test]
async fn mail_waits_when_no_table_says_whether_it_is_ours() {
    for (clients, want) in [
        ("192.0.2.0/24", None),
        ("198.51.100.0/24", None),
        ("fail:1", Some("451 4.7.0 Error: message cannot be signed")),
    ] {
        // There is no key for this author's domain: what is ours goes out as it is.
        let keys = "dkim_signing_keys = other.example:sel:/nonexistent.pem";
        let b = bench(&format!("{keys}\ndkim_signing_clients = {clients}\n"));
        b.cleanup.set_authentication(&mail_cleanup::Around {
            dns: Arc::new(base_dns::Resolver::new(base_dns::Options::default())),
            opener: &base_sys::opener::Plain,
            tables: &Tables::new(base_tables::Options::default()),
            caches: &base_cache::Caches::new(Arc::new(|_| ())),
            complain: &|_| (),
        });
        let mut envelope = Envelope { origin: Origin::Smtpd, ..local("a") };
        envelope.client.addr = "192.0.2.1".into();
        let sent = b.send(envelope, &["x"], "From: a@example.com\n\nx\n").await;
        assert_eq!(sent.err().map(|e| e.to_string()).as_deref(), want, "{clients}");
    }
}

#[tokio::test]
async fn local_errors_become_notices() {
    let b = bench("hopcount_limit = 1\n");
    b.cleanup.set_notifier(b.notices.clone());
    let options = SubmitOptions { bounce_errors: true, ..SubmitOptions::EXTERNAL };
    let mut s = b.cleanup.open(local("a"), options).unwrap();
    s.recipient(rcpt("alice"));
    s.content(b"Received: 1\r\nMessage-Id: <m>\r\n\r\nx\r\n").await.unwrap();
    let id = s.finish().await.unwrap().id;
    assert!(b.arrived.0.lock().unwrap().is_empty());
    let notices = b.notices.0.lock().unwrap();
    assert_eq!(notices[0].recipients[0].1.reason, "too many hops");
    assert_eq!(notices[0].recipients[0].1.status.to_string(), "5.4.0");
    let line = &b.log.texts()[1];
    assert!(
        line.starts_with(&format!("{id}: to=<alice@example.com>, orig_to=<alice>, relay=none, delay=")),
        "{line}"
    );
    assert!(line.ends_with("dsn=5.4.0, status=bounced (too many hops)"), "{line}");
}

#[tokio::test]
async fn too_big() {
    let b = bench("message_size_limit = 1000\n");
    let error = b.send(local("a"), &["x"], &format!("A: b\n\n{}", "x\n".repeat(500))).await.unwrap_err();
    assert_eq!(error.to_string(), "552 5.3.4 Error: message file too big");
    assert!(b.arrived.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn recipients_from_the_header() {
    let options = SubmitOptions { recipients_from_header: true, ..SubmitOptions::EXTERNAL };
    let content = "To: alice, Bob <bob>\nCc: g: c@d;\nBcc: admin, alice\n\nx\n";
    let q = bench("").send_cut(local("a"), options, &[], &[], content, usize::MAX).await.unwrap();
    assert_eq!(addresses(&q), ["alice@example.com", "bob@example.com", "c@d", "admin@example.com"]);
    let content = "Resent-To: alice\nTo: bob\n";
    let q = bench("").send_cut(local("a"), options, &["admin"], &[], content, usize::MAX).await.unwrap();
    assert_eq!(addresses(&q), ["admin@example.com", "alice@example.com"]);
    let error = bench("").send_cut(local("a"), options, &[], &[], "X: y\n", 100).await.unwrap_err();
    assert_eq!(error.text, "no recipients specified");
}

#[tokio::test]
async fn actions() {
    let b = bench("always_bcc = archive\ncontent_filter = never:asked\n");
    let all = [
        MessageAction::Hold,
        MessageAction::Prepend(b"X-Pre: 1".to_vec()),
        MessageAction::Bcc("copy@example.org".into()),
    ];
    let q = b
        .send_cut(
            local("a"),
            SubmitOptions::EXTERNAL,
            &["x", "X@example.com"],
            &all,
            "From: y@z\nDate: d\nMessage-Id: m\n",
            3,
        )
        .await
        .unwrap();
    assert_eq!(text(&q), "X-Pre: 1\nFrom: y@z\nDate: d\nMessage-Id: m\n");
    assert_eq!(addresses(&q), ["x@example.com", "X@example.com", "copy@example.org", "archive@example.com"]);
    assert_eq!(q.envelope.recipients[3].notify, Notify { never: true, ..Notify::default() });
    assert_eq!(q.envelope.recipients[3].original, "archive@example.com");
    // What received the message decides: smtpd and pickup, with their own overrides.
    assert_eq!(q.envelope.content_filter, "");
    assert!(b.arrived.0.lock().unwrap()[0].1, "held");

    let redirect = [MessageAction::Redirect("other".into()), MessageAction::Filter("f:g".into())];
    let q = b.send_cut(local("a"), SubmitOptions::EXTERNAL, &["x"], &redirect, "A: b\n", 3).await.unwrap();
    // access(5): REDIRECT overrides FILTER.
    assert_eq!((addresses(&q), q.envelope.content_filter.as_str()), (vec!["other@example.com"], ""));
    let filter = [MessageAction::Filter("f:g".into())];
    let f = b.send_cut(local("a"), SubmitOptions::EXTERNAL, &["x"], &filter, "A: b\n", 3).await.unwrap();
    assert_eq!(f.envelope.content_filter, "f:g");
    assert_eq!(q.envelope.recipients[0].original, "x");

    let count = b.arrived.0.lock().unwrap().len();
    let mut s = b.cleanup.open(local("a"), SubmitOptions::EXTERNAL).unwrap();
    s.recipient(rcpt("x"));
    s.action(MessageAction::Discard);
    s.content(b"A: b\r\n").await.unwrap();
    s.finish().await.unwrap();
    assert_eq!(b.arrived.0.lock().unwrap().len(), count);
}

/// As seen with Postfix 3.7.11: a copy about which nobody is told is no duplicate of a recipient.
#[tokio::test]
async fn duplicates() {
    let b = bench("always_bcc = bob@example.com\n");
    let to = ["alice@example.com", "ALICE@example.com", "alice@EXAMPLE.com", "alice", "bob@example.com"];
    let q = b.send(local("a"), &to, "A: b\n").await.unwrap();
    assert_eq!(
        addresses(&q),
        ["alice@example.com", "alice@example.com", "bob@example.com", "bob@example.com"]
    );
    let b = bench("enable_original_recipient = no\n");
    let q = b.send(local("a"), &to, "A: b\n").await.unwrap();
    assert_eq!(addresses(&q), ["alice@example.com", "bob@example.com"]);
}

/// As seen with Postfix 3.7.11: a canonical loop leaves the address as it was.
#[tokio::test]
async fn canonical_chains() {
    let b = bench(
        "canonical_maps = inline:{{c1@example.com=c2@example.com},{c2@example.com=c3@example.com},\
         {c3@example.com=alice@example.com},{loopa@example.com=loopb@example.com},{loopb@example.com=loopa@example.com}}\n",
    );
    let q = b.send(local("a"), &["c1", "loopa"], "A: b\n").await.unwrap();
    assert_eq!(addresses(&q), ["alice@example.com", "loopa@example.com"]);
    assert!(b.log.texts()[0].ends_with(
        "unreasonable canonical_maps map nesting for loopa@example.com -- message not accepted, try again later"
    ));
}

#[tokio::test]
async fn undisclosed_recipients() {
    let b = bench("undisclosed_recipients_header = To: undisclosed-recipients:;\n");
    let q = b.send(local("a"), &["x"], "From: y@z\nDate: d\nMessage-Id: m\n\nx\n").await.unwrap();
    assert_eq!(text(&q), "From: y@z\nDate: d\nMessage-Id: m\nTo: undisclosed-recipients:;\n\nx\n");
    let q = b.send(local("a"), &["x"], "Cc: a@b\nFrom: y@z\nDate: d\nMessage-Id: m\n").await.unwrap();
    assert!(!text(&q).contains("undisclosed"));
}

#[tokio::test]
async fn virtual_aliases() {
    let maps = "virtual_alias_maps = inline:{{many@example.com=alice,bob,carol,admin}, \
        {deep1@example.com=deep2@example.com}, {deep2@example.com=deep3@example.com}, \
        {deep3@example.com=deep4@example.com}, {deep4@example.com=alice}, \
        {self@example.com=self@example.com,bob}, {few@example.com=alice,bob@example.com}, {@alias.example=@example.com}}\n\
        virtual_alias_expansion_limit = 3\nvirtual_alias_recursion_limit = 3\n";
    let b = bench(maps);
    let error = b.send(local("a"), &["many@example.com"], "A: b\n").await.unwrap_err();
    assert_eq!(error.to_string(), "451 4.6.0 Alias expansion error");
    assert!(b.log.texts()[0].ends_with(
        "unreasonable virtual_alias_maps map expansion size for many@example.com -- message not accepted, try again later"
    ));
    b.send(local("a"), &["deep1@example.com"], "A: b\n").await.unwrap_err();
    assert!(b.log.texts()[1].ends_with(
        "unreasonable virtual_alias_maps map nesting for deep1@example.com -- message not accepted, try again later"
    ));
    let q = b
        .send(local("a"), &["few@example.com", "x@alias.example", "self@example.com"], "A: b\n")
        .await
        .unwrap();
    assert_eq!(
        addresses(&q),
        ["alice@example.com", "bob@example.com", "x@example.com", "self@example.com", "bob@example.com"]
    );
    assert_eq!(q.envelope.recipients[0].original, "few@example.com");
    let b = bench(&format!("{maps}enable_original_recipient = no\n"));
    let q = b.send(local("a"), &["few@example.com", "self@example.com"], "A: b\n").await.unwrap();
    assert_eq!(addresses(&q), ["alice@example.com", "bob@example.com", "self@example.com"]);
}

/// The rewriting scenario of the conformance tests.
#[tokio::test]
async fn canonical_maps() {
    let b = bench(
        "canonical_maps = inline:{{old@example.com=alice@example.com}, {@old.example=@example.com}, \
         {localname=full.name@example.com}, {withext@example.com=alice@example.com}}\n\
         sender_canonical_maps = inline:{{from@example.net=rewritten-from@example.net}}\n\
         recipient_canonical_maps = inline:{{to@example.com=bob@example.com}}\nrecipient_delimiter = +\n",
    );
    let content = "From: \"The Sender\" <from@example.net>\nTo: Old <old@example.com>, bob@old.example (Bob), to@example.com\n\
        Cc: localname, undisclosed: withext+foo@example.com;\nReply-To: from@example.net, old@example.com\n\
        Sender: from@example.net\nErrors-To: old@example.com\nSubject: canonical old@example.com\nDate: d\nMessage-Id: m\n\nx\n";
    let to = ["old@example.com", "bob@old.example", "to@example.com", "withext+foo@example.com"];
    let q = b.send(local("from@example.net"), &to, content).await.unwrap();
    assert_eq!(
        text(&q),
        "From: \"The Sender\" <rewritten-from@example.net>\nTo: Old <alice@example.com>, bob@example.com (Bob), bob@example.com\n\
         Cc: full.name@example.com, undisclosed: alice+foo@example.com;\nReply-To: rewritten-from@example.net, alice@example.com\n\
         Sender: rewritten-from@example.net\nErrors-To: alice@example.com\nSubject: canonical old@example.com\nDate: d\nMessage-Id: m\n\nx\n"
    );
    assert_eq!(q.envelope.sender, "rewritten-from@example.net");
    assert_eq!(
        addresses(&q),
        ["alice@example.com", "bob@example.com", "bob@example.com", "alice+foo@example.com"]
    );
}

#[tokio::test]
async fn masquerading() {
    let b = bench(
        "masquerade_domains = !keep.example.com example.com\nmasquerade_exceptions = root\n\
         masquerade_classes = envelope_sender, envelope_recipient, header_sender, header_recipient\n",
    );
    let content = "From: user@host.example.com\nTo: root@host.example.com, x@keep.example.com\nDate: d\nMessage-Id: m\n";
    let q = b.send(local("user@host.example.com"), &["alice@pc.example.com"], content).await.unwrap();
    assert_eq!(
        text(&q),
        "From: user@example.com\nTo: root@host.example.com, x@keep.example.com\nDate: d\nMessage-Id: m\n"
    );
    assert_eq!((q.envelope.sender.as_str(), addresses(&q)), ("user@example.com", vec!["alice@example.com"]));
}

#[tokio::test]
async fn bcc_maps() {
    let b = bench(
        "sender_bcc_maps = inline:{{a@example.com=sbcc}}\nrecipient_bcc_maps = inline:{{x@example.com=rbcc@example.org}}\n",
    );
    let q = b.send(local("a"), &["x", "y"], "A: b\n").await.unwrap();
    assert_eq!(addresses(&q), ["x@example.com", "y@example.com", "sbcc@example.com", "rbcc@example.org"]);
}

#[tokio::test]
async fn header_settings() {
    let mut envelope = local("alice");
    envelope.attributes.push(("full_name".into(), "A (x)".into()));
    let b = bench("message_drop_headers = x-secret\nheader_from_format = obsolete\n");
    let content = "Date: d\nMessage-Id: <m>\nX-SECRET: 1\nContent-Length: 3\n";
    let q = b.send(envelope, &["x"], content).await.unwrap();
    let want = "Date: d\nMessage-Id: <m>\nContent-Length: 3\nFrom: alice@example.com (A \\(x\\))\n";
    assert_eq!(text(&q), want);
}
