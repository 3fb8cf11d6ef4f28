//! One message passing through: the state that the steps work on, and the order in which they are called.

use crate::{
    CleanupConfig, Core,
    addresses::Mapper,
    characters::Characters,
    checks::{Fate, Inspected},
    output::Output,
    recipients::{Duplicates, RecipientError},
    reply, steps,
    steps::{HeaderWork, Phase, Verdict},
    stray::StrayCr,
};
use base_calls::{
    BodyType, Change, Diagnosis, Envelope, Filters, Fut, MessageAction, Notice, NoticeKind, Notifier, Origin,
    QueueId, Queued, Recipient, Ret, RewriteContext, Submission, SubmitError, SubmitOptions, Submitted,
    Timestamp,
};
use base_log::{
    Source,
    lines::{Delays, Delivery, DeliveryStatus},
};
use proto_message::{
    Header, Id, Limits,
    mime::{Cut, MimeError, MimeOptions, MimeStream, Piece, Pieces, Section},
    truncated,
};
use std::{borrow::Cow, collections::VecDeque, sync::Arc};

/// A message being received.
pub struct Message {
    pub(crate) core: Arc<Core>,
    pub(crate) id: QueueId,
    pub(crate) source: Source,
    /// The envelope as far as it is known; recipients are those that are worked out.
    pub(crate) envelope: Envelope,
    pub(crate) options: SubmitOptions,
    /// The last recipient as given, for the log.
    pub(crate) last_recipient: Option<String>,
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
    /// Header and body checks apply (still).
    checking: bool,
    stray: StrayCr,
    characters: Option<Characters>,
    stream: MimeStream,
    started: bool,
    pub(crate) out: Output,
    /// Milters of the session that the message came by.
    pub(crate) filters: Option<Arc<dyn Filters>>,
    /// Those of mail that came by none.
    pub(crate) local_milters: Option<base_milter::Shared>,
    /// A milter has taken all recipients away.
    pub(crate) emptied: bool,
    /// The size that is told of a message that milters have seen.
    pub(crate) milter_size: Option<u64>,
    /// What was found out about who sent it.
    pub(crate) findings: Option<Box<base_auth::Findings>>,
    error: Option<SubmitError>,
    /// The error that becomes a notice.
    notice: Option<SubmitError>,
    /// The header section is complete.
    headers_done: bool,
    /// What is wrong in the header section, which is worked on to its end.
    bad_structure: Option<SubmitError>,
    /// DISCARD by a check: what follows is not looked at.
    ended: bool,
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

/// How the content of a message is taken apart.
fn mime_options(c: &CleanupConfig, envelope: &Envelope, checking: bool, by_line: bool) -> MimeOptions {
    MimeOptions {
        limits: Limits { header_size: c.header_size_limit, line_length: c.line_length_limit },
        structure: !c.disable_mime_input_processing,
        convert: c.force_mime_input_conversion && !c.disable_mime_input_processing,
        nesting: c.mime_nesting_limit,
        report_nesting: checking,
        boundary: c.mime_boundary_length_limit,
        pieces: if checking && by_line { Pieces::Lines } else { Pieces::Any },
        strict_headers: checking && c.strict_7bit_headers && !envelope.smtputf8,
        strict_body: checking && c.strict_8bitmime_body,
        strict_domain: checking && c.strict_mime_encoding_domain,
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
        let checking = options.filter;
        let by_line = core.checks.has(Inspected::Body(0));
        let stream = MimeStream::new(mime_options(&c, &envelope, checking, by_line));
        let characters = Characters::new(&c.message_strip_characters, &c.message_reject_characters);
        let mut envelope = envelope;
        let pending: VecDeque<Recipient> = std::mem::take(&mut envelope.recipients).into();
        Ok(Self {
            core,
            id,
            source,
            envelope,
            options,
            last_recipient: pending.back().map(|r| r.address.clone()),
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
            checking,
            stray: StrayCr::default(),
            characters: characters.filter(|_| checking),
            stream,
            started: false,
            out: Output::new(draft, c.line_length_limit, c.message_size_limit),
            filters: None,
            local_milters: None,
            emptied: false,
            milter_size: None,
            findings: None,
            error: None,
            notice: None,
            headers_done: false,
            bad_structure: None,
            ended: false,
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

    /// Whether the message is refused.
    pub(crate) fn failed(&self) -> bool {
        self.error.is_some()
    }

    /// Whether a permanent error will become a notice.
    pub(crate) fn has_notice(&self) -> bool {
        self.notice.is_some()
    }

    /// Whether the message is taken and thrown away.
    pub(crate) fn is_discarded(&self) -> bool {
        self.discarded
    }

    /// Refuses the message because of its content: of one that goes back to its sender the header is enough.
    pub(crate) fn refuse(&mut self, error: SubmitError) {
        if self.options.bounce_errors {
            self.envelope.ret.get_or_insert(Ret::Hdrs);
        }
        self.fail(error);
    }

    /// Throws the message away and says that it was taken.
    pub(crate) fn end_here(&mut self) {
        self.discarded = true;
        self.ended = true;
        self.out.discard();
    }

    /// No header and body checks from here on.
    pub(crate) fn stop_checks(&mut self) {
        self.checking = false;
        self.stream.set_pieces(Pieces::Any);
    }

    /// Whether the message goes to the hold queue.
    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    /// Warns in the log about a table.
    pub(crate) fn complain(&self, text: &str) {
        self.core.log.warning(&self.source, format_args!("{text}"));
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
        if self.error.is_none() {
            crate::milters::begin(self).await;
        }
        let prepend = std::mem::take(&mut self.prepend);
        if !prepend.is_empty() {
            self.take(&prepend).await;
        }
    }

    /// Content as it came.
    async fn content_chunk(&mut self, chunk: &[u8]) {
        if self.ended {
            return;
        }
        if self.error.is_some() {
            return self.count_refused(chunk);
        }
        let chunk = match self.config().cleanup_replace_stray_cr_lf {
            true => self.stray.push(chunk),
            false => Cow::Borrowed(chunk),
        };
        let Some(characters) = &mut self.characters else { return self.take(&chunk).await };
        let mut left = Vec::with_capacity(chunk.len());
        let bad = characters.push(&chunk, &mut left);
        self.take(&left).await;
        if let Some(line) = bad {
            self.bad_character(&line);
        }
    }

    /// A message that was refused for its content may still turn out to be too big, which counts more.
    fn count_refused(&mut self, chunk: &[u8]) {
        if self.error.as_ref().is_some_and(|e| matches!(e.code, 451 | 550)) && self.out.count(chunk).is_err()
        {
            self.error = Some(reply::too_big());
        }
    }

    fn bad_character(&mut self, line: &[u8]) {
        let error = reply::characters();
        self.log_content("reject", "content", line, &format!("{} {}", error.status, error.text), true);
        self.characters = None;
        self.stop_checks();
        self.refuse(error);
    }

    /// Takes content of any kind.
    async fn take(&mut self, chunk: &[u8]) {
        if self.stream.passes() {
            return self.write(chunk);
        }
        let mut cut = Cut::default();
        self.stream.push(chunk, &mut cut);
        self.pass(cut).await;
    }

    async fn pass(&mut self, cut: Cut) {
        let mut out = Vec::with_capacity(cut.size() + 256);
        for (piece, text) in cut.pieces() {
            if self.error.is_some() || self.ended {
                break;
            }
            match piece {
                Piece::Header(section) => self.header(section, text, &mut out).await,
                Piece::EndOfHeaders(separator_missing) => {
                    self.headers_done = true;
                    self.end_of_headers(&mut out);
                    if separator_missing {
                        out.extend_from_slice(b"\r\n");
                    }
                    if let Some(error) = self.bad_structure.take() {
                        self.refuse(error);
                    }
                }
                Piece::Body(offset) => {
                    if let Some(left) = self.inspected(Inspected::Body(offset), text, &mut out).await {
                        out.extend_from_slice(&left);
                    }
                }
                Piece::Error(error) => self.mime_error(error, text),
            }
        }
        self.write(&out);
    }

    /// What is left of a header or line after all steps that look at it; what stands in front of it is put into `out`.
    async fn inspected<'t>(
        &mut self,
        what: Inspected,
        text: &'t [u8],
        out: &mut Vec<u8>,
    ) -> Option<Cow<'t, [u8]>> {
        let mut text = Cow::Borrowed(text);
        for step in steps::STEPS {
            let Phase::Inspect { wanted, run } = step.phase else { continue };
            if !self.checking || !wanted(self, what) {
                continue;
            }
            match run(self, what, &text).await {
                Fate::Keep => {}
                Fate::Drop => return None,
                Fate::Replace(new) => text = new.into(),
                Fate::Prepend(line) => out.extend_from_slice(&line),
            }
        }
        Some(text)
    }

    fn mime_error(&mut self, error: MimeError, text: &[u8]) {
        if self.notice.is_none() && self.bad_structure.is_none() {
            let what = format!("mime-error {}:", error.text());
            self.log_content("reject", &what, &proto_message::checks::key(text), "", false);
            self.stop_checks();
            match !self.headers_done {
                true => self.bad_structure = Some(reply::mime(error)),
                false => self.refuse(reply::mime(error)),
            }
        }
    }

    /// A header, in the form that checks see: without blanks before the colon.
    async fn header(&mut self, section: Section, raw: &[u8], out: &mut Vec<u8>) {
        let Some(header) = Header::parse(raw) else { return };
        let raw = match header.has_blank_before_colon() {
            true => Cow::Owned([header.name(), header.from_colon()].concat()),
            false => Cow::Borrowed(raw),
        };
        let what = Inspected::Header(section.class(header.known().map(|known| known.id)));
        let Some(left) = self.inspected(what, &raw, out).await else { return };
        let raw = truncated(&left, self.config().header_size_limit);
        for step in steps::STEPS {
            if let Phase::AnyHeader(run) = step.phase {
                run(self, &raw);
            }
        }
        match Header::parse(&raw) {
            Some(header) if section == Section::Primary => self.own_header(header, out).await,
            _ => out.extend_from_slice(&raw),
        }
    }

    /// A header of the message itself.
    async fn own_header(&mut self, header: Header<'_>, out: &mut Vec<u8>) {
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
        if self.config().detect_8bit_encoding_header && self.stream.eight_bit() {
            self.envelope.body = BodyType::EightBitMime;
        }
        if self.stream.converted() {
            self.envelope.body = BodyType::SevenBit;
        }
        for step in steps::STEPS {
            if let Phase::End(run) = step.phase
                && self.error.is_none()
            {
                run(self).await;
            }
        }
        self.redirect();
    }

    /// All recipients become one: the first, with another address (access(5) REDIRECT).
    fn redirect(&mut self) {
        let Some(address) = self.redirect.take() else { return };
        // It overrides every filter.
        self.envelope.content_filter.clear();
        self.envelope.recipients.truncate(1);
        if let Some(first) = self.envelope.recipients.first_mut() {
            first.address = self.core.route.rewrite(RewriteContext::Local, &address);
        }
    }

    /// Does what an access table or a check says.
    pub(crate) fn apply(&mut self, action: MessageAction) {
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

    /// The steps that come behind milters.
    async fn complete_content(&mut self) {
        for step in steps::STEPS {
            if let Phase::Complete(run) = step.phase
                && self.error.is_none()
                && self.notice.is_none()
                && !self.discarded
            {
                run(self).await;
            }
        }
    }

    async fn complete(mut self) -> Result<Submitted, SubmitError> {
        self.start().await;
        if self.error.is_none() && !self.ended {
            self.end().await;
        }
        if self.error.is_none() && self.notice.is_none() && !self.discarded {
            crate::milters::run(&mut self).await;
            self.redirect();
            self.complete_content().await;
        }
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let done = Submitted { id: self.id };
        if self.discarded || self.emptied {
            return Ok(done);
        }
        if self.envelope.recipients.is_empty() {
            return Err(reply::no_recipients());
        }
        self.envelope.size = self.milter_size.unwrap_or_else(|| self.out.size());
        let from_outside = matches!(self.envelope.origin, Origin::Smtpd | Origin::Pickup);
        if from_outside && !self.core.config.in_flow_delay.is_zero() && self.core.arrivals.is_crowded() {
            tokio::time::sleep(self.core.config.in_flow_delay).await;
        }
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
            tls: "",
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
        self.last_recipient = Some(recipient.address.clone());
        self.pending.push_back(recipient);
    }

    fn action(&mut self, action: MessageAction) {
        self.apply(action);
    }

    fn filters(&mut self, filters: Arc<dyn Filters>) {
        self.filters = Some(filters);
    }

    fn content<'a>(&'a mut self, chunk: &'a [u8]) -> Fut<'a, Result<(), SubmitError>> {
        Box::pin(async move {
            self.start().await;
            self.content_chunk(chunk).await;
            self.error.clone().map_or(Ok(()), Err)
        })
    }

    fn finish(self: Box<Self>) -> Fut<'static, Result<Submitted, SubmitError>> {
        Box::pin((*self).complete())
    }
}
