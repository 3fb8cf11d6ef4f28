//! Replies at every stage of a client transaction.

use super::*;
use crate::client::{ReplyReader, Taken};
use crate::ehlo::Keywords;

fn reply(text: &str) -> ServerReply {
    match ReplyReader::default().line(text.as_bytes()) {
        Ok(Taken::Reply(r)) => r,
        other => panic!("{other:?}"),
    }
}

/// Plays a transaction for a@x, b@x against the replies; the log shows `> command`, content and the results.
fn play(keywords: &[Keyword], lmtp: bool, replies: &[&str]) -> String {
    play_as(keywords, lmtp, None, replies)
}

fn play_as(keywords: &[Keyword], lmtp: bool, probe: Option<Probe>, replies: &[&str]) -> String {
    let features = Features { keywords: Keywords::of(keywords), ..Features::default() };
    let rcpts = ["a@x", "b@x"].map(|address| RcptParams { address, ..RcptParams::default() }).to_vec();
    let mut t = Transaction::new(&features, lmtp, true, MailParams::default(), rcpts);
    if let Some(at) = probe {
        t = t.probe(at);
    }
    let mut log = Vec::new();
    let mut replies = replies.iter();
    loop {
        match t.waiting() {
            Waiting::Reply(_) => {
                let mut out = Vec::new();
                t.commands(&mut out);
                if !out.is_empty() {
                    let verbs: Vec<_> =
                        String::from_utf8(out).unwrap().lines().map(|l| l[..4].to_owned()).collect();
                    log.push(verbs.join("+"));
                }
                let Some(r) = replies.next() else { break };
                t.reply(reply(r));
            }
            Waiting::Content { wanted } => {
                log.push(if wanted { "content".into() } else { "dot".into() });
                t.content_sent();
            }
            Waiting::Reset => {
                log.push("reset".into());
                break;
            }
            Waiting::Done => {
                log.push("done".into());
                break;
            }
        }
    }
    assert_eq!(replies.next(), None, "replies left");
    for i in 0..2 {
        log.push(match t.result(i) {
            None => "?".into(),
            Some(Ok(r)) => r.code.to_string(),
            Some(Err(r)) => format!("{:?}{}", r.stage, r.reply.code),
        });
    }
    log.join(" ")
}

const P: &[Keyword] = &[Keyword::Pipelining];
const ALL: &str = "MAIL+RCPT+RCPT+DATA";

#[test]
fn probes_end_before_data() {
    for (keywords, replies, want) in [
        (P, &["250", "250", "450"] as &[&str], "MAIL+RCPT+RCPT reset 250 Rcpt450"),
        (P, &["550", "503", "503"], "MAIL+RCPT+RCPT reset Mail550 Mail550"),
        (&[], &["250", "250", "550"], "MAIL RCPT RCPT reset 250 Rcpt550"),
        (&[], &["550"], "MAIL reset Mail550 Mail550"),
    ] {
        assert_eq!(play_as(keywords, false, Some(Probe::Rcpt), replies), want, "{replies:?}");
    }
}

#[test]
fn probes_may_go_on_to_data() {
    for (keywords, replies, want) in [
        (P, &["250", "250", "450", "354"] as &[&str], "MAIL+RCPT+RCPT+DATA done 354 Rcpt450"),
        (P, &["250", "250", "250", "550"], "MAIL+RCPT+RCPT+DATA reset Data550 Data550"),
        (&[], &["250", "250", "550", "354"], "MAIL RCPT RCPT DATA done 354 Rcpt550"),
    ] {
        assert_eq!(play_as(keywords, false, Some(Probe::Data), replies), want, "{replies:?}");
    }
}

#[test]
fn pipelined() {
    for (replies, want) in [
        (&["250", "250", "250", "354", "250"] as &[&str], "content done 250 250"),
        (&["250", "550", "250", "354", "250"], "content done Rcpt550 250"),
        (&["250", "550", "450", "554"], "reset Rcpt550 Rcpt450"),
        (&["250", "550", "450", "354", "250"], "dot done Rcpt550 Rcpt450"),
        (&["550", "503", "503", "503"], "reset Mail550 Mail550"),
        (&["550", "250", "250", "354", "554"], "dot done Mail550 Mail550"),
        (&["250", "250", "250", "451"], "reset Data451 Data451"),
        (&["250", "250", "250", "250"], "reset Data250 Data250"),
        (&["250", "250", "250", "354", "451"], "content done Dot451 Dot451"),
        (&["250", "250", "354"], "? Rcpt354"),
        (&["250", "550"], "Rcpt550 ?"),
        (&["250", "421", "250", "354", "250"], "content done Rcpt421 250"),
    ] {
        assert_eq!(play(P, false, replies), format!("{ALL} {want}"), "{replies:?}");
    }
}

#[test]
fn one_after_the_other() {
    for (replies, want) in [
        (&["250", "250", "250", "354", "250"] as &[&str], "MAIL RCPT RCPT DATA content done 250 250"),
        (&["550"], "MAIL reset Mail550 Mail550"),
        (&["250", "550", "450"], "MAIL RCPT RCPT reset Rcpt550 Rcpt450"),
        (&["250", "550", "250", "354", "554"], "MAIL RCPT RCPT DATA content done Rcpt550 Dot554"),
        (&["250", "250", "250", "451"], "MAIL RCPT RCPT DATA reset Data451 Data451"),
        (&["250", "250"], "MAIL RCPT RCPT ? ?"),
    ] {
        assert_eq!(play(&[], false, replies), want, "{replies:?}");
    }
}

#[test]
fn lmtp_answers_each_recipient() {
    for (replies, want) in [
        (&["250", "250", "250", "354", "250", "554"] as &[&str], "content done 250 Dot554"),
        (&["250", "550", "250", "354", "250"], "content done Rcpt550 250"),
        (&["250", "250", "250", "354", "250"], "content 250 ?"),
        (&["250", "550", "550", "354"], "dot done Rcpt550 Rcpt550"),
    ] {
        assert_eq!(play(P, true, replies), format!("{ALL} {want}"), "{replies:?}");
    }
}

#[test]
fn protocol_error() {
    let r = Rejection { stage: Stage::Data, reply: Arc::new(reply("250 ok")) };
    assert!(r.is_protocol_error());
    assert_eq!(r.reply.failure_status().to_string(), "5.5.0");
}
