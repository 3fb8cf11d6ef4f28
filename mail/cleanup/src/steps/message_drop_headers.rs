//! `message_drop_headers`: Bcc:, Content-Length:, Resent-Bcc:, Return-Path: are taken out.

use super::{HeaderWork, Phase, Step, Verdict};
use crate::message::Message;

pub(super) const STEP: Step = Step { name: "message_drop_headers", phase: Phase::Header(run) };

fn run(m: &mut Message, work: &mut HeaderWork<'_>) {
    let name = work.header.name();
    if m.config().message_drop_headers.iter().any(|d| d.as_bytes().eq_ignore_ascii_case(name)) {
        work.verdict = Verdict::Drop;
    }
}
