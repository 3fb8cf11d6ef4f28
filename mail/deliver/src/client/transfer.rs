//! One message over one session: drives `proto_smtp::client::Transaction`.

use super::{
    checks::Filter,
    config::ClientConfig,
    generic::Body,
    session::{Broken, Session},
};
use crate::report::Reporter;
use base_calls::{BodyType, Delivery, Recipient, Ret, Target};
use proto_smtp::{
    Keyword,
    client::{BodyWriter, MailParams, RcptParams, Stage, Transaction, Waiting},
};

/// How much content is read and sent at once.
const CHUNK: usize = 64 * 1024;

/// The MAIL parameters of a message.
pub(crate) fn mail_params(delivery: &Delivery, requiretls: bool, dummy_auth: bool) -> MailParams<'_> {
    let envelope = &delivery.message.envelope;
    MailParams {
        sender: delivery.sender(),
        size: envelope.size,
        eight_bit: envelope.body == BodyType::EightBitMime,
        smtputf8: envelope.smtputf8,
        requiretls,
        dummy_auth,
        envid: &envelope.envid,
        ret: match envelope.ret {
            None => "",
            Some(Ret::Full) => "FULL",
            Some(Ret::Hdrs) => "HDRS",
        },
    }
}

/// The RCPT parameters of a target.
pub(crate) fn rcpt_params<'a>(target: &'a Target, recipient: Option<&'a Recipient>) -> RcptParams<'a> {
    let plain = RcptParams { address: &target.address, ..RcptParams::default() };
    let Some(r) = recipient else { return plain };
    RcptParams {
        original: &r.original,
        orcpt: &r.orcpt,
        never: r.notify.never,
        success: r.notify.success,
        failure: r.notify.failure,
        delay: r.notify.delay,
        ..plain
    }
}

/// Runs a transaction to its end. `keep`: the session is wanted afterwards; otherwise QUIT goes out with the end of the
/// data where pipelining allows. An error tells the stage; what was decided before it stays in the transaction.
pub(crate) async fn run(
    session: &mut Session,
    cfg: &ClientConfig,
    transaction: &mut Transaction<'_>,
    content: &Body<'_>,
    keep: bool,
    log: &Reporter<'_>,
) -> Result<(), (Stage, Broken)> {
    loop {
        match transaction.waiting() {
            Waiting::Reply(stage) => {
                transaction.commands(session.stream.output());
                session.begin(cfg, stage);
                transaction.reply(session.reply(log).await.map_err(|e| (stage, e))?);
            }
            Waiting::Content { wanted } => {
                let content = wanted.then_some(content);
                send(session, cfg, content, keep, log).await.map_err(|e| (Stage::Body, e))?;
                transaction.content_sent();
            }
            Waiting::Reset => return reset(session, cfg, log).await.map_err(|e| (Stage::Rset, e)),
            Waiting::Done => return Ok(()),
        }
    }
}

/// The content, the dot, and QUIT: a small message is one write.
async fn send(
    session: &mut Session,
    cfg: &ClientConfig,
    content: Option<&Body<'_>>,
    keep: bool,
    log: &Reporter<'_>,
) -> Result<(), Broken> {
    session.begin(cfg, Stage::Body);
    let quit: &[u8] = if !keep && session.features.has(Keyword::Pipelining) { b"QUIT\r\n" } else { b"" };
    let mut writer = BodyWriter::new(cfg.line_limit);
    let declared = log.delivery.message.envelope.body == BodyType::SevenBit;
    let mut filter = Filter::new(cfg, !declared && !session.features.has(Keyword::EightBitMime));
    let total = content.map_or(0, Body::len);
    let mut at = 0;
    loop {
        let chunk = match content {
            Some(c) if at < total => c.chunk(at, CHUNK).map_err(|_| Broken::Local)?,
            _ => bytes::Bytes::new(),
        };
        if chunk.is_empty() && at < total {
            return Err(Broken::Local);
        }
        at += chunk.len() as u64;
        let chunk = match &mut filter {
            Some(filter) => filtered(filter, &chunk, at >= total, log).await?,
            None => chunk,
        };
        let mut parts: Vec<&[u8]> = Vec::with_capacity(8);
        writer.push(&chunk, |part| parts.push(part));
        if at >= total {
            if let Some(delay) = session.pix.delay {
                session.stream.send_with(&std::mem::take(&mut parts)).await?;
                tokio::time::sleep(delay).await;
                session.begin(cfg, Stage::Body);
            }
            parts.push(writer.finish());
            parts.push(quit);
        }
        session.stream.send_with(&parts).await?;
        if at >= total {
            if writer.has_broken() {
                log.info(&format!("breaking line > {} bytes with <CR><LF>SPACE", cfg.line_limit));
            }
            session.quit_sent = !quit.is_empty();
            return Ok(());
        }
    }
}

/// What is sent of a chunk.
async fn filtered(
    filter: &mut Filter<'_>,
    chunk: &[u8],
    last: bool,
    log: &Reporter<'_>,
) -> Result<bytes::Bytes, Broken> {
    let mut out = Vec::with_capacity(chunk.len() + 1024);
    filter.push(chunk, log, &mut out).await.map_err(|_| Broken::Local)?;
    if last {
        filter.finish(log, &mut out).await.map_err(|_| Broken::Local)?;
    }
    Ok(out.into())
}

/// RSET after a transaction that came to nothing.
async fn reset(session: &mut Session, cfg: &ClientConfig, log: &Reporter<'_>) -> Result<(), Broken> {
    session.begin(cfg, Stage::Rset);
    session.stream.output().extend_from_slice(b"RSET\r\n");
    session.reply(log).await.map(drop)
}
