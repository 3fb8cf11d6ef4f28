//! Writing one notice into cleanup.

use crate::{config::BounceConfig, decide::Letter};
use base_calls::{
    BodyType, Content, Diagnosis, Envelope, Notice, NoticeKind, Origin, QueueId, Recipient, Submission,
    Submit, SubmitError, SubmitOptions, Timestamp,
};
use proto_address::external;
use proto_dsn::{Report, ReportRecipient, Returned, Status, Template};

/// Longest Message-ID that is repeated.
const MAX_ID: usize = 900;
/// Bytes of the message copied at a time.
const CHUNK: usize = 64 * 1024;
/// Longest header that is returned; a message without an empty line ends there.
const MAX_HEADER: u64 = 256 * 1024;

/// Sends the letter; its queue id.
pub(crate) async fn send(
    config: &BounceConfig,
    submit: &dyn Submit,
    notice: &Notice,
    letter: &Letter,
) -> Result<QueueId, SubmitError> {
    let original = &notice.message.envelope;
    let now = Timestamp::now();
    let envelope = Envelope {
        arrival: now,
        sender: letter.sender.clone(),
        origin: Origin::Internal,
        body: BodyType::EightBitMime,
        smtputf8: original.smtputf8,
        rewrite_local: true,
        ..Envelope::default()
    };
    let mut submission =
        submit.open(envelope, SubmitOptions { filter: config.filter, ..SubmitOptions::INTERNAL })?;
    let to = Recipient { address: letter.to.clone(), original: letter.to.clone(), ..Recipient::default() };
    submission.recipient(to);
    let report = report(config, notice, letter, submission.queue_id(), now);
    submission.content(&report.head()).await?;
    let end = match report.returned {
        Returned::Full => notice.message.content.len(),
        Returned::Headers => header_end(&notice.message.content)?,
    };
    copy(&notice.message.content, end, &mut *submission).await?;
    submission.content(&report.tail()).await?;
    Ok(submission.finish().await?.id)
}

async fn copy(content: &Content, end: u64, to: &mut dyn Submission) -> Result<(), SubmitError> {
    let mut at = 0;
    while at < end {
        let chunk =
            content.chunk(at, CHUNK.min(usize::try_from(end - at).unwrap_or(CHUNK))).map_err(unreadable)?;
        if chunk.is_empty() {
            break;
        }
        at += chunk.len() as u64;
        to.content(&chunk).await?;
    }
    Ok(())
}

fn unreadable(e: std::io::Error) -> SubmitError {
    SubmitError::new(451, Status::new(4, 3, 0), format!("cannot read the message: {e}"))
}

/// Where the header ends, without the empty line.
fn header_end(content: &Content) -> Result<u64, SubmitError> {
    let limit = content.len().min(MAX_HEADER);
    let mut seen = Vec::new();
    while (seen.len() as u64) < limit {
        let chunk = content.chunk(seen.len() as u64, CHUNK).map_err(unreadable)?;
        let from = seen.len().saturating_sub(3);
        seen.extend_from_slice(&chunk);
        if seen.starts_with(b"\r\n") {
            return Ok(0);
        }
        if let Some(found) = seen[from..].windows(4).position(|w| w == b"\r\n\r\n") {
            return Ok((from + found + 2) as u64);
        }
        if chunk.is_empty() {
            break;
        }
    }
    Ok(limit)
}

fn template<'a>(config: &'a BounceConfig, letter: &Letter) -> &'a Template {
    match letter.kind {
        NoticeKind::Failed => &config.templates.failure,
        NoticeKind::Delayed => &config.templates.delay,
        NoticeKind::Success if letter.asked => &config.templates.verify,
        NoticeKind::Success => &config.templates.success,
    }
}

/// Warnings about names that a template does not know, and times that it shows as zero or in too small a unit (bounce(5)).
pub(crate) fn template_warnings(config: &BounceConfig, letter: &Letter) -> Vec<String> {
    if letter.postmaster {
        return Vec::new();
    }
    let template = template(config, letter);
    let kind = match letter.kind {
        NoticeKind::Failed => "failure",
        NoticeKind::Delayed => "delay",
        NoticeKind::Success if letter.asked => "verify",
        NoticeKind::Success => "success",
    };
    let seen = std::cell::RefCell::new(Vec::new());
    let names = |name: &str| {
        seen.borrow_mut().push(name.to_owned());
        config.template_value(name)
    };
    let source = &template.source;
    let mut out = Vec::new();
    if let Err(reason) = base_conf::expand::expand_once(&names, &template.text) {
        out.push(reason);
        out.push(format!("{source}: bad $name syntax in {kind} template"));
    }
    for name in seen.take() {
        if config.template_value(&name).is_none() {
            out.push(format!("{source}: undefined $name in {kind} template: ${name}"));
        }
        out.extend(config.complaint(source, kind, &name).into_iter().flatten());
    }
    out
}

/// The Message-ID that a notice refers to; one that is no plain text is left out.
fn thread(config: &BounceConfig, message_id: &str) -> String {
    let plain = message_id.len() <= MAX_ID && !message_id.contains(char::is_control);
    if config.threaded && plain { message_id.to_owned() } else { String::new() }
}

fn report(config: &BounceConfig, notice: &Notice, letter: &Letter, own: QueueId, now: Timestamp) -> Report {
    let message = &notice.message;
    let envelope = &message.envelope;
    let template = template(config, letter);
    let big = message.content.len() > config.size_limit;
    let sender = match envelope.sender.as_str() {
        "" => format!("MAILER-DAEMON@{}", config.myhostname),
        s => external(s).into_owned(),
    };
    Report {
        boundary: format!("{}.{}/{}", message.id, now.secs(), config.myhostname),
        reporting_mta: config.myhostname.clone(),
        mail_name: config.mail_name.clone(),
        queue_id: message.id.to_string(),
        own_id: own.to_string(),
        date: now.mail_date(),
        arrival: envelope.arrival.mail_date(),
        sender,
        envid: envelope.envid.clone(),
        from: template.from.clone(),
        subject: if letter.postmaster {
            template.postmaster_subject.clone()
        } else {
            template.subject.clone()
        },
        to: external(&letter.to).into_owned(),
        thread: thread(config, &envelope.message_id),
        auto_submitted: if letter.postmaster { "auto-generated" } else { "auto-replied" }.into(),
        text: if letter.postmaster { String::new() } else { config.text(template) },
        // Plain ASCII text says utf-8, as addresses may be.
        charset: match template.charset.as_str() {
            c if c.eq_ignore_ascii_case("us-ascii") => "utf-8".to_owned(),
            c => c.to_owned(),
        },
        utf8: envelope.smtputf8,
        encoding: if envelope.body == BodyType::SevenBit { "7bit" } else { "8bit" },
        description: match letter.kind {
            NoticeKind::Success => "Message",
            NoticeKind::Failed | NoticeKind::Delayed => "Undelivered Message",
        },
        returned: if big { Returned::Headers } else { letter.returned },
        recipients: recipients(config, notice, letter),
    }
}

/// Who this is about: a member of an alias, or the recipient itself.
fn final_address<'a>(r: &'a Recipient, d: &'a Diagnosis) -> &'a str {
    d.address.as_deref().unwrap_or(&r.address)
}

fn recipients(config: &BounceConfig, notice: &Notice, letter: &Letter) -> Vec<ReportRecipient> {
    let envelope = &notice.message.envelope;
    let retry_until =
        (letter.kind == NoticeKind::Delayed).then(|| envelope.arrival.plus(config.lifetime).mail_date());
    let default_action = match letter.kind {
        NoticeKind::Failed => "failed",
        NoticeKind::Delayed => "delayed",
        NoticeKind::Success => "delivered",
    };
    let known = letter.about.iter().filter_map(|(i, d)| Some((envelope.recipients.get(*i as usize)?, d)));
    known
        .flat_map(|(r, d)| d.each().map(move |d| (r, d)))
        .map(|(r, d)| ReportRecipient {
            address: external(final_address(r, d)).into_owned(),
            expanded_from: match r.original.as_str() {
                original if original == final_address(r, d) => String::new(),
                original => external(original).into_owned(),
            },
            original: match r.orcpt.as_str() {
                "" if r.original.is_empty() => String::new(),
                "" => format!("rfc822;{}", external(&r.original)),
                orcpt => orcpt.to_owned(),
            },
            action: d.action.clone().unwrap_or_else(|| default_action.to_owned()),
            status: d.status,
            reason: d.reason.clone(),
            remote_mta: d.remote_mta.clone(),
            diagnostic: d
                .diagnostic
                .clone()
                .unwrap_or_else(|| (format!("X-{}", config.mail_name), d.reason.clone())),
            retry_until: retry_until.clone(),
        })
        .collect()
}
