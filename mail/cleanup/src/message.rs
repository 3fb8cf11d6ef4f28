//! One message passing through: the state that the steps work on, and the order in which they are called.

use crate::{
    CleanupConfig, Core,
    addresses::Mapper,
    output::Output,
    recipients::{Duplicates, RecipientError},
    reply, steps,
    steps::{HeaderWork, Phase, Verdict},
    stray::StrayCr,
};
use base_calls::{
    Change, Diagnosis, Envelope, Fut, MessageAction, Notice, NoticeKind, Notifier, QueueId, Queued,
    Recipient, RewriteContext, Submission, SubmitError, SubmitOptions, Submitted, Timestamp,
};
use base_log::{
    Source,
    lines::{Delays, Delivery, DeliveryStatus},
};
use proto_message::{Header, HeaderStream, Id, Limits, Sink};
use std::{collections::VecDeque, sync::Arc};

/// A message being received.
pub struct Message {
    pub(crate) core: Arc<Core>,
    pub(crate) id: QueueId,
    pub(crate) source: Source,
    /// The envelope as far as it is known; recipients are those that are worked out.
    pub(crate) envelope: Envelope,
    pub(crate) options: SubmitOptions,
    /// Recipients as they were given.
    pub(crate) pending: VecDeque<Recipient>,
    pub(crate) duplicates: Duplicates,
    /// Addresses that get a copy.
    pub(crate) copies: Vec<String>,
    /// Recipients found in the header, plain and `Resent-`.
    pub(crate) extracted: [Vec<String>; 2],
    pub(crate) seen: Seen,
    pub(crate) hops: u32,
    /// What the end-of-header steps add.
    pub(crate) added: Vec<u8>,
    prepend: Vec<u8>,
    redirect: Option<String>,
    held: bool,
    discarded: bool,
    stray: StrayCr,
    stream: HeaderStream,
    in_body: bool,
    started: bool,
    out: Output,
    error: Option<SubmitError>,
    /// The error that becomes a notice.
    notice: Option<SubmitError>,
}

/// Which headers passed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen(u64);

impl Seen {
    pub fn add(&mut self, id: Id) {
        self.0 |= 1 << id as u32;
    }

    pub fn has(self, id: Id) -> bool {
        self.0 & (1 << id as u32) != 0
    }
}

/// What one chunk of content was cut into.
#[derive(Default)]
struct Cut {
    headers: Vec<u8>,
    ends: Vec<usize>,
    separator_missing: Option<bool>,
    body: Vec<u8>,
}

impl Sink for Cut {
    fn header(&mut self, header: Header<'_>) {
        self.headers.extend_from_slice(header.raw());
        self.ends.push(self.headers.len());
    }

    fn end_of_headers(&mut self, separator_missing: bool) {
        self.separator_missing = Some(separator_missing);
    }

    fn body(&mut self, chunk: &[u8]) {
        self.body.extend_from_slice(chunk);
    }
}

impl Message {
    /// Starts a message: it has its queue id from here on.
    pub(crate) fn open(
        core: Arc<Core>,
        envelope: Envelope,
        options: SubmitOptions,
    ) -> Result<Self, SubmitError> {
        let c = core.config.clone();
        let draft = core.spool.draft(c.enable_long_queue_ids).map_err(|e| reply::spool(&e))?;
        let id = draft.id();
        let source = core.log.session_source(c.log_name.as_str());
        let limits = Limits { header_size: c.header_size_limit, line_length: c.line_length_limit };
        let mut envelope = envelope;
        let pending = std::mem::take(&mut envelope.recipients).into();
        Ok(Self {
            core,
            id,
            source,
            envelope,
            options,
            pending,
            duplicates: Duplicates::default(),
            copies: Vec::new(),
            extracted: [Vec::new(), Vec::new()],
            seen: Seen::default(),
            hops: 0,
            added: Vec::new(),
            prepend: Vec::new(),
            redirect: None,
            held: false,
            discarded: false,
            stray: StrayCr::default(),
            stream: HeaderStream::new(limits),
            in_body: false,
            started: false,
            out: Output::new(draft, c.line_length_limit, c.message_size_limit),
            error: None,
            notice: None,
        })
    }

    pub(crate) fn config(&self) -> &CleanupConfig {
        &self.core.config
    }

    /// Address mapping with this configuration.
    pub(crate) fn mapper(&self) -> Mapper<'_> {
        Mapper {
            config: &self.core.config,
            mappings: &self.core.mappings,
            route: self.core.route.as_ref(),
            log: &self.core.log,
            source: &self.source,
            id: self.id,
        }
    }

    /// Which rules apply to header addresses; `None`: headers stay as they are.
    pub(crate) fn header_context(&self) -> Option<RewriteContext> {
        if self.envelope.rewrite_local {
            Some(RewriteContext::Local)
        } else if !self.config().remote_header_rewrite_domain.is_empty() {
            Some(RewriteContext::Remote)
        } else {
            None
        }
    }

    /// Whether `Resent-` headers are completed instead of the plain ones.
    pub(crate) fn is_resent(&self) -> bool {
        proto_message::KNOWN.iter().any(|k| k.resent && self.seen.has(k.id))
    }

    /// Refuses the message; for local submission a permanent error becomes a notice, and the message goes on.
    pub(crate) fn fail(&mut self, error: SubmitError) {
        let permanent = error.code >= 500;
        if self.options.bounce_errors && permanent && self.core.notifier().is_some() {
            self.notice.get_or_insert(error);
        } else if self.error.is_none() {
            self.error = Some(error);
            self.out.discard();
        }
    }

    /// Whether [`Message::fail`] will turn a permanent error into a notice.
    pub(crate) fn failed(&self) -> bool {
        self.error.is_some()
    }

    /// Warns in the log, with the queue id in front.
    pub(crate) fn warn(&self, text: &str) {
        self.core.log.warning(&self.source, format_args!("{}: {text}", self.id));
    }

    /// Refuses the message because `address` could not be mapped.
    pub(crate) fn fail_mapping(&mut self, error: &RecipientError, address: &str) {
        self.warn(&error.log_text(address));
        self.fail(error.reply());
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.error.is_some() || self.notice.as_ref().is_some_and(|n| n.code == 552) {
            return;
        }
        if let Err(e) = self.out.write(bytes) {
            if e.code == 552 {
                self.warn("queue file size limit exceeded");
            }
            self.fail(e);
        }
    }

    async fn start(&mut self) {
        if self.started {
            return;
        }
        self.started = true;
        for step in steps::STEPS {
            if let Phase::Start(run) = step.phase
                && self.error.is_none()
            {
                run(self).await;
            }
        }
        let prepend = std::mem::take(&mut self.prepend);
        if !prepend.is_empty() {
            self.take(&prepend).await;
        }
    }

    /// Takes content of any kind.
    async fn take(&mut self, chunk: &[u8]) {
        if self.in_body {
            return self.write(chunk);
        }
        let mut cut = Cut::default();
        self.stream.push(chunk, &mut cut);
        self.pass(cut).await;
    }

    async fn pass(&mut self, cut: Cut) {
        let mut out = Vec::with_capacity(cut.headers.len() + 256);
        let mut at = 0;
        for end in cut.ends {
            if self.error.is_some() {
                return;
            }
            if let Some(header) = cut.headers.get(at..end).and_then(Header::parse) {
                self.header(header, &mut out).await;
            }
            at = end;
        }
        if let Some(separator_missing) = cut.separator_missing {
            self.in_body = true;
            self.end_of_headers(&mut out);
            if separator_missing {
                out.extend_from_slice(b"\r\n");
            }
        }
        self.write(&out);
        self.write(&cut.body);
    }

    async fn header(&mut self, header: Header<'_>, out: &mut Vec<u8>) {
        let mut work = HeaderWork { header, known: header.known(), verdict: Verdict::Keep };
        for step in steps::STEPS {
            match step.phase {
                Phase::Header(run) => run(self, &mut work),
                Phase::HeaderMaps { wanted, run } if wanted(self, &work) => run(self, &mut work).await,
                _ => {}
            }
        }
        match work.verdict {
            Verdict::Drop => {}
            Verdict::Replace(text) => out.extend_from_slice(&text),
            Verdict::Keep if header.has_blank_before_colon() => {
                out.extend_from_slice(header.name());
                out.extend_from_slice(header.from_colon());
            }
            Verdict::Keep => out.extend_from_slice(header.raw()),
        }
    }

    fn end_of_headers(&mut self, out: &mut Vec<u8>) {
        for step in steps::STEPS {
            if let Phase::EndOfHeaders(run) = step.phase {
                run(self);
            }
        }
        out.append(&mut self.added);
    }

    async fn end(&mut self) {
        let rest = self.stray.finish();
        if !rest.is_empty() {
            self.take(rest).await;
        }
        let mut cut = Cut::default();
        self.stream.finish(&mut cut);
        self.pass(cut).await;
        for step in steps::STEPS {
            if let Phase::End(run) = step.phase
                && self.error.is_none()
            {
                run(self).await;
            }
        }
        if let Some(address) = self.redirect.take() {
            self.redirect_to(&address);
        }
    }

    /// All recipients become one: the first, with another address (access(5) REDIRECT).
    fn redirect_to(&mut self, address: &str) {
        self.envelope.recipients.truncate(1);
        if let Some(first) = self.envelope.recipients.first_mut() {
            first.address = self.core.route.rewrite(RewriteContext::Local, address);
        }
    }

    async fn complete(mut self) -> Result<Submitted, SubmitError> {
        self.start().await;
        if self.error.is_none() {
            self.end().await;
        }
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let done = Submitted { id: self.id };
        if self.discarded {
            return Ok(done);
        }
        if self.envelope.recipients.is_empty() {
            return Err(reply::no_recipients());
        }
        self.envelope.size = self.out.size();
        let Some(draft) = self.out.into_draft() else { return Err(reply::write_error()) };
        let core = self.core;
        let committed = core.spool.commit(draft, self.envelope, self.held).await;
        let queued = committed.map_err(|e| {
            core.log.warning(&self.source, format_args!("{}: queue file write error: {e}", self.id));
            reply::spool(&e)
        })?;
        match (self.notice, core.notifier()) {
            (Some(error), Some(notifier)) => {
                bounce(&core, &self.source, notifier.as_ref(), queued, &error).await?;
            }
            _ => core.arrivals.arrived(queued, self.held),
        }
        Ok(done)
    }
}

/// Tells the sender of a message in the queue that it cannot be delivered, and removes it.
async fn bounce(
    core: &Core,
    source: &Source,
    notifier: &dyn Notifier,
    queued: Arc<Queued>,
    error: &SubmitError,
) -> Result<(), SubmitError> {
    let reason = reply::notice_text(error);
    let diagnosis = Diagnosis::new(error.status, reason);
    let before = Timestamp::now().since(queued.envelope.arrival);
    for r in &queued.envelope.recipients {
        let line = Delivery {
            id: queued.id,
            to: &r.address,
            orig_to: &r.original,
            relay: "none",
            conn_use: 0,
            delays: Delays { before, ..Delays::default() },
            dsn: error.status,
            status: DeliveryStatus::Bounced,
            reason,
        };
        core.log.line(source, &line);
    }
    let count = u32::try_from(queued.envelope.recipients.len()).unwrap_or(u32::MAX);
    let recipients: Vec<_> = (0..count).map(|i| (i, diagnosis.clone())).collect();
    let changes = recipients.iter().map(|(i, d)| Change::Failed(*i, Box::new(d.clone()))).collect();
    let id = queued.id;
    core.spool.change(id, changes, true).await.map_err(|e| reply::spool(&e))?;
    let notice = Notice { kind: NoticeKind::Failed, message: queued, recipients };
    match notifier.notify(notice).await {
        Ok(_) => core.spool.remove(id).await.map_err(|e| reply::spool(&e)),
        Err(error) => {
            core.spool.remove(id).await.map_err(|e| reply::spool(&e))?;
            Err(error)
        }
    }
}

impl Submission for Message {
    fn queue_id(&self) -> QueueId {
        self.id
    }

    fn recipient(&mut self, recipient: Recipient) {
        self.pending.push_back(recipient);
    }

    fn action(&mut self, action: MessageAction) {
        match action {
            MessageAction::Hold => self.held = true,
            MessageAction::Discard => self.discarded = true,
            MessageAction::Filter(to) => self.envelope.content_filter = to,
            MessageAction::Redirect(to) => self.redirect = Some(to),
            MessageAction::Bcc(to) => self.copies.push(to),
            MessageAction::Prepend(header) => {
                self.prepend.extend_from_slice(&header);
                if !header.ends_with(b"\r\n") {
                    self.prepend.extend_from_slice(b"\r\n");
                }
            }
        }
    }

    fn content<'a>(&'a mut self, chunk: &'a [u8]) -> Fut<'a, Result<(), SubmitError>> {
        Box::pin(async move {
            self.start().await;
            if self.error.is_none() && self.config().cleanup_replace_stray_cr_lf {
                let chunk = self.stray.push(chunk);
                self.take(&chunk).await;
            } else if self.error.is_none() {
                self.take(chunk).await;
            }
            self.error.clone().map_or(Ok(()), Err)
        })
    }

    fn finish(self: Box<Self>) -> Fut<'static, Result<Submitted, SubmitError>> {
        Box::pin((*self).complete())
    }
}
