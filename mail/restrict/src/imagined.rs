//! A session that did not happen: what the server would say to a client, asked with the server's own evaluator. For `postfix
//! explain` and the configuration check.

use crate::{Answers, Facts, Login, Memory, Outcome, Peer, Restrict, Stage, Tape, Tls};
use base_log::Source;

/// What the client would be and say.
#[derive(Debug, Clone)]
pub struct Imagined {
    /// The client.
    pub client: Peer,
    /// Its HELO name.
    pub helo: Option<String>,
    /// Sender, in internal form.
    pub sender: String,
    /// Recipient, in internal form.
    pub recipient: String,
    /// How it has logged in.
    pub login: Option<Login>,
    /// The encrypted session.
    pub tls: Option<Tls>,
    /// Size of the message in bytes, 0 when it is not said.
    pub size: u64,
}

impl Restrict {
    /// The outcome of each stage, up to the first refusal; DATA comes last. The way there goes to the tape.
    pub async fn imagine(&self, s: &Imagined, source: &Source, tape: Option<&Tape>) -> Vec<(Stage, Outcome)> {
        let answers = Answers::default();
        let base = Facts { tape, ..facts(s, source, &answers) };
        let mut memory = Memory::default();
        let mut out = Vec::new();
        for stage in [Stage::Connect, Stage::Ehlo, Stage::Mail, Stage::Rcpt, Stage::Data] {
            let facts = up_to(stage, &base);
            let outcome = match stage {
                Stage::Connect => self.connect(&facts, &mut memory).await,
                Stage::Ehlo => self.helo(&facts, &mut memory).await,
                Stage::Mail => self.mail(&facts, &mut memory).await,
                Stage::Rcpt => self.rcpt(&facts, &memory).await,
                _ => self.data(&facts).await,
            };
            let refused = outcome.refusal.is_some();
            out.push((stage, outcome));
            if refused {
                break;
            }
        }
        out
    }
}

/// What is known at a stage.
fn up_to<'a>(stage: Stage, all: &Facts<'a>) -> Facts<'a> {
    let mut facts = Facts { stage, ..all.clone() };
    if stage == Stage::Connect {
        facts.helo = None;
    }
    if matches!(stage, Stage::Connect | Stage::Ehlo) {
        facts.sender = None;
    }
    if !matches!(stage, Stage::Rcpt | Stage::Data) {
        facts.recipient = None;
    }
    facts.recipients = u32::from(stage == Stage::Data);
    facts
}

fn facts<'a>(s: &'a Imagined, source: &'a Source, answers: &'a Answers) -> Facts<'a> {
    Facts {
        source,
        stage: Stage::Connect,
        client: &s.client,
        helo: s.helo.as_deref(),
        protocol: "ESMTP",
        sender: Some(&s.sender),
        recipient: Some(&s.recipient),
        recipients: 0,
        etrn: None,
        queue_id: None,
        pipelined: false,
        login: s.login.as_ref(),
        sasl_sender: None,
        sasl_offered: s.login.is_some(),
        tls: s.tls.as_ref(),
        ccert_asked: s.tls.as_ref().is_some_and(|t| t.client.is_some()),
        client_port: 0,
        server_port: 0,
        instance: 0,
        stressed: false,
        answers,
        size: s.size,
        held: false,
        discarded: false,
        tape: None,
    }
}
