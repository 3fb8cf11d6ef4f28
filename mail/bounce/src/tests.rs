//! Whole notices, as Debian's Postfix writes them.

use crate::{Bounce, BounceConfig};
use base_calls::{
    Content, Diagnosis, Envelope, Fut, MessageAction, Notice, NoticeKind, Notifier, Notify, QueueId, Queued,
    Recipient, Ret, Submission, Submit, SubmitError, SubmitOptions, Submitted, Timestamp,
};
use base_conf::Config;
use base_log::Log;
use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

/// A cleanup that keeps what it is given.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Letter>>>);

/// Envelope and content.
type Letter = (Envelope, Vec<u8>);

struct Writing {
    kept: Kept,
    envelope: Envelope,
    content: Vec<u8>,
}

const OWN: QueueId = QueueId { time: Timestamp(1_700_000_100_000_002), slot: 2, long: false };

impl Submit for Kept {
    fn open(&self, envelope: Envelope, options: SubmitOptions) -> Result<Box<dyn Submission>, SubmitError> {
        assert_eq!(options, SubmitOptions::INTERNAL);
        Ok(Box::new(Writing { kept: self.clone(), envelope, content: Vec::new() }))
    }
}

impl Submission for Writing {
    fn queue_id(&self) -> QueueId {
        OWN
    }

    fn recipient(&mut self, recipient: Recipient) {
        self.envelope.recipients.push(recipient);
    }

    fn action(&mut self, _: MessageAction) {}

    fn content<'a>(&'a mut self, chunk: &'a [u8]) -> Fut<'a, Result<(), SubmitError>> {
        self.content.extend_from_slice(chunk);
        Box::pin(std::future::ready(Ok(())))
    }

    fn finish(self: Box<Self>) -> Fut<'static, Result<Submitted, SubmitError>> {
        self.kept.0.lock().unwrap().push((self.envelope, self.content));
        Box::pin(std::future::ready(Ok(Submitted { id: OWN })))
    }
}

fn now<T>(mut f: Fut<'_, T>) -> T {
    match f.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(v) => v,
        Poll::Pending => panic!("not ready"),
    }
}

fn message(sender: &str, recipients: Vec<Recipient>) -> Queued {
    let envelope = Envelope {
        arrival: Timestamp::from_secs(1_700_000_000),
        sender: sender.into(),
        recipients,
        ..Envelope::default()
    };
    let content = Content::Memory("Subject: x\r\nFrom: bob@example.com\r\n\r\nbody\r\n".into());
    let id = QueueId { time: Timestamp(1_700_000_000_000_001), slot: 1, long: false };
    Queued { id, envelope, content, accepted: Timestamp::from_secs(1_700_000_000) }
}

fn to(address: &str) -> Recipient {
    let orcpt = format!("rfc822;{address}");
    Recipient { address: address.into(), original: address.into(), orcpt, ..Recipient::default() }
}

fn why(status: &str, text: &str) -> Diagnosis {
    Diagnosis::new(status.parse().unwrap(), text)
}

/// Sends a notice; the letters (sender, recipient, content with dates as D and boundaries as B) and the log.
fn send(
    cf: &str,
    kind: NoticeKind,
    message: Queued,
    about: Vec<(u32, Diagnosis)>,
) -> (Vec<(String, String, String)>, Vec<String>) {
    let cfg = Config::from_text(&format!("myhostname = mail.example.com\nmydomain = example.com\n{cf}"));
    let config = Arc::new(BounceConfig::from_config(&cfg, &base_sys::opener::Plain).unwrap());
    let kept = Kept::default();
    let (log, captured) = Log::test();
    let bounce = Bounce::new(config, Arc::new(kept.clone()), log);
    now(bounce.notify(Notice { kind, message: Arc::new(message), recipients: about })).unwrap();
    let letters = kept.0.lock().unwrap();
    let letters = letters.iter().map(|(e, content)| {
        let text = String::from_utf8(content.clone()).unwrap();
        assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "line ends");
        (e.sender.clone(), e.recipients[0].address.clone(), normal(&text))
    });
    (letters.collect(), captured.texts())
}

fn normal(text: &str) -> String {
    let boundary = text.split("boundary=\"").nth(1).and_then(|t| t.split('"').next()).unwrap();
    let text = text.replace("\r\n", "\n").replace(boundary, "B");
    let date = |line: &str| match line.split_once(": ") {
        Some((name @ ("Date" | "Arrival-Date" | "Will-Retry-Until"), _)) => format!("{name}: D"),
        _ if line.starts_with("\tid ") => line.split(';').next().unwrap_or_default().to_owned() + "; D",
        _ => line.to_owned(),
    };
    text.lines().map(date).collect::<Vec<_>>().join("\n")
}

const HEAD: &str = "\
Received: by mail.example.com (Postfix)
\tid OWN; D
Date: D
From: Mail Delivery System <MAILER-DAEMON>
Subject: SUBJECT
To: WHOM
Auto-Submitted: AUTO
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary=\"B\"
Content-Transfer-Encoding: 8bit

This is a MIME-encapsulated message.

--B
Content-Description: Notification
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

";

fn head(subject: &str, to: &str, auto: &str) -> String {
    let own = OWN.to_string();
    HEAD.replace("OWN", &own).replace("SUBJECT", subject).replace("WHOM", to).replace("AUTO", auto)
}

fn id() -> String {
    message("", vec![]).id.to_string()
}

const HELP: &str = "\
For further assistance, please send mail to postmaster.

If you do so, please include this problem report. You can
delete your own text from the attached returned message.

                   The mail system
";

#[test]
fn a_failure_with_header_only() {
    let mut m = message(
        "bob@example.com",
        vec![to("nosuch1@example.com"), to("v@example.com"), to("quiet@example.com")],
    );
    m.envelope.envid = "id+42".into();
    m.envelope.ret = Some(Ret::Hdrs);
    m.envelope.recipients[0].orcpt = "rfc822;orig@x".into();
    m.envelope.recipients[1].address = "nosuch9@example.com".into();
    m.envelope.recipients[2].notify = Notify { never: true, ..Notify::default() };
    let about = (0..3).map(|i| (i, why("5.1.1", &format!("unknown user: \"n{i}\"")))).collect();
    let (letters, log) = send("", NoticeKind::Failed, m, about);
    let expect = head("Undelivered Mail Returned to Sender", "bob@example.com", "auto-replied")
        + "\
This is the mail system at host mail.example.com.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

" + HELP + "
<nosuch1@example.com>: unknown user: \"n0\"

<nosuch9@example.com> (expanded from <v@example.com>): unknown user: \"n1\"

--B
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.example.com
Original-Envelope-Id: id+42
X-Postfix-Queue-ID: ID
X-Postfix-Sender: rfc822; bob@example.com
Arrival-Date: D

Final-Recipient: rfc822; nosuch1@example.com
Original-Recipient: rfc822;orig@x
Action: failed
Status: 5.1.1
Diagnostic-Code: X-Postfix; unknown user: \"n0\"

Final-Recipient: rfc822; nosuch9@example.com
Original-Recipient: rfc822;v@example.com
Action: failed
Status: 5.1.1
Diagnostic-Code: X-Postfix; unknown user: \"n1\"

--B
Content-Description: Undelivered Message Headers
Content-Type: text/rfc822-headers
Content-Transfer-Encoding: 8bit

Return-Path: <bob@example.com>
Subject: x
From: bob@example.com

--B--";
    assert_eq!(
        letters,
        [(String::new(), "bob@example.com".into(), expect.replace(": ID", &format!(": {}", id())))]
    );
    assert_eq!(log, [format!("{}: sender non-delivery notification: {OWN}", id())]);
}

#[test]
fn a_remote_failure_with_the_whole_message_in_utf8() {
    let mut m = message("bob@example.com", vec![to("j\u{fc}rgen@example.com")]);
    m.envelope.smtputf8 = true;
    let mut d =
        why("5.7.1", "host mx.example.org[198.51.100.25] said: 550 5.7.1 no (in reply to RCPT TO command)");
    d.remote_mta = Some("mx.example.org".into());
    d.diagnostic = Some(("smtp".into(), "550 5.7.1 no".into()));
    let (letters, _) = send("", NoticeKind::Failed, m, vec![(0, d)]);
    let (_, after) = letters[0].2.split_once("--B\nContent-Description: Delivery report\n").unwrap();
    let expect = "\
Content-Type: message/global-delivery-status
Content-Transfer-Encoding: 8bit

Reporting-MTA: dns; mail.example.com
X-Postfix-Queue-ID: ID
X-Postfix-Sender: rfc822; bob@example.com
Arrival-Date: D

Final-Recipient: utf-8; j\u{fc}rgen@example.com
Original-Recipient: rfc822;j\u{fc}rgen@example.com
Action: failed
Status: 5.7.1
Remote-MTA: dns; mx.example.org
Diagnostic-Code: smtp; 550 5.7.1 no

--B
Content-Description: Undelivered Message
Content-Type: message/global
Content-Transfer-Encoding: 8bit

Return-Path: <bob@example.com>
Subject: x
From: bob@example.com

body

--B--";
    assert_eq!(after, expect.replace(": ID", &format!(": {}", id())));
}

#[test]
fn a_delay_warning_and_its_copy() {
    let cf = "notify_classes = delay\ndelay_warning_time = 4h\n";
    let m = message("bob@example.com", vec![to("x@dead.example")]);
    let d = why("4.4.1", "connect to dead.example[198.51.100.77]:25: Connection refused");
    let (letters, log) = send(cf, NoticeKind::Delayed, m, vec![(0, d)]);
    assert_eq!(letters.len(), 2);
    let text = "\
This is the mail system at host mail.example.com.

####################################################################
# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #
####################################################################

Your message could not be delivered for more than 4 hour(s).
It will be retried until it is 5 day(s) old.

";
    let start = head("Delayed Mail (still being retried)", "bob@example.com", "auto-replied") + text + HELP;
    assert!(letters[0].2.starts_with(&start), "{}", letters[0].2);
    let fields = "\
Action: delayed
Status: 4.4.1
Diagnostic-Code: X-Postfix; connect to dead.example[198.51.100.77]:25:
    Connection refused
Will-Retry-Until: D

--B
Content-Description: Undelivered Message Headers
";
    assert!(letters[0].2.contains(fields), "{}", letters[0].2);
    let (sender, to, copy) = &letters[1];
    assert_eq!((sender.as_str(), to.as_str()), ("double-bounce@mail.example.com", "postmaster"));
    let start = head("Postmaster Warning: Delayed Mail", "postmaster", "auto-generated")
        + "\n<x@dead.example>: connect to dead.example[198.51.100.77]:25: Connection refused\n\n--B\n";
    assert!(copy.starts_with(&start), "{copy}");
    let id = id();
    assert_eq!(
        log,
        [
            format!("{id}: sender delay notification: {OWN}"),
            format!("{id}: postmaster delay notification: {OWN}")
        ]
    );
}

#[test]
fn a_success_report() {
    let mut m = message("bob@example.com", vec![to("alice@example.com")]);
    m.envelope.recipients[0].notify = Notify { success: true, ..Notify::default() };
    m.envelope.ret = Some(Ret::Full);
    let (letters, log) =
        send("", NoticeKind::Success, m, vec![(0, why("2.0.0", "delivery via local: delivered to mailbox"))]);
    let text = &letters[0].2;
    assert!(text.contains("\n<alice@example.com>: delivery via local: delivered to mailbox\n"), "{text}");
    assert!(text.contains("Action: delivered\nStatus: 2.0.0\n"), "{text}");
    assert!(
        text.contains("Content-Description: Message Headers\nContent-Type: text/rfc822-headers\n"),
        "{text}"
    );
    assert_eq!(log, [format!("{}: sender delivery status notification: {OWN}", id())]);
}

#[test]
fn a_double_bounce_goes_to_postmaster_and_its_failure_nowhere() {
    let cf = "notify_classes = 2bounce\n2bounce_notice_recipient = alice\nbounce_size_limit = 10\n";
    let about = || vec![(0, why("5.1.1", "no"))];
    let (letters, _) = send(cf, NoticeKind::Failed, message("", vec![to("gone@example.com")]), about());
    let (sender, to_whom, text) = &letters[0];
    assert_eq!((sender.as_str(), to_whom.as_str()), ("double-bounce@mail.example.com", "alice"));
    assert!(text.contains("X-Postfix-Sender: rfc822; MAILER-DAEMON@mail.example.com\n"), "{text}");
    // bounce_size_limit
    assert!(text.contains("Content-Type: text/rfc822-headers\n"), "{text}");
    let lost = message("double-bounce@mail.example.com", vec![to("alice")]);
    let (letters, log) = send(cf, NoticeKind::Failed, lost, about());
    assert_eq!(letters, []);
    assert_eq!(log.len(), 1);
}
