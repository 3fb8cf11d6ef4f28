//! Which lists are asked at which stage (SMTPD_ACCESS_README, `smtpd_delay_reject`).

use crate::{
    Facts, ListName, Memory, Refusal, Restrict, Stage,
    eval::Eval,
    rules::{reject_unlisted_recipient, reject_unlisted_sender},
    verdict::{Kind, Subject},
};
use base_calls::MessageAction;

/// What came out of a stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The client is refused; the log knows.
    pub refusal: Option<Refusal>,
    /// What access tables want done to the message, even if this recipient is refused.
    pub actions: Vec<MessageAction>,
}

impl Restrict {
    /// A client has connected.
    pub async fn connect(&self, facts: &Facts<'_>, memory: &mut Memory) -> Outcome {
        if self.config.delay_reject {
            return Outcome::default();
        }
        let mut eval = Eval::new(self, facts);
        let refusal = eval.list(ListName::Client).await;
        memory.client = eval.deferral();
        eval.outcome(refusal)
    }

    /// HELO or EHLO.
    pub async fn helo(&self, facts: &Facts<'_>, memory: &mut Memory) -> Outcome {
        memory.helo = None;
        if self.config.delay_reject {
            return Outcome::default();
        }
        let mut eval = Eval::new(self, facts);
        let refusal = eval.list(ListName::Helo).await;
        memory.helo = eval.deferral();
        eval.outcome(refusal)
    }

    /// MAIL FROM.
    pub async fn mail(&self, facts: &Facts<'_>, memory: &mut Memory) -> Outcome {
        memory.sender = None;
        if self.config.delay_reject {
            return Outcome::default();
        }
        let mut eval = Eval::new(self, facts);
        let mut refusal = eval.list(ListName::Sender).await;
        if refusal.is_none() && self.config.unlisted_sender {
            refusal = eval.one(&reject_unlisted_sender::RULE, ListName::Sender).await;
        }
        memory.sender = eval.deferral();
        eval.outcome(refusal)
    }

    /// RCPT TO, and VRFY, which asks the same.
    pub async fn rcpt(&self, facts: &Facts<'_>, memory: &Memory) -> Outcome {
        // RFC 5321 4.5.1: the bare postmaster can always be reached.
        if facts.recipient.is_some_and(|r| r.eq_ignore_ascii_case("postmaster")) {
            return Outcome::default();
        }
        if facts.discarded {
            return Outcome::default();
        }
        let mut eval = Eval::new(self, facts);
        for saved in [&memory.client, &memory.helo, &memory.sender].into_iter().flatten() {
            eval.defer_if_permit(saved.clone());
        }
        let refusal = self.rcpt_lists(&mut eval).await;
        eval.outcome(refusal)
    }

    async fn rcpt_lists(&self, eval: &mut Eval<'_>) -> Option<Refusal> {
        if self.config.delay_reject {
            for name in [ListName::Client, ListName::Helo, ListName::Sender] {
                if let Some(r) = eval.list(name).await {
                    return Some(r);
                }
            }
            if self.config.unlisted_sender
                && let Some(r) = eval.one(&reject_unlisted_sender::RULE, ListName::Sender).await
            {
                return Some(r);
            }
        }
        eval.forget_reasons_to_defer();
        let order = if self.config.relay_first {
            [ListName::Relay, ListName::Recipient]
        } else {
            [ListName::Recipient, ListName::Relay]
        };
        for name in order {
            if let Some(r) = eval.list(name).await {
                return Some(r);
            }
        }
        // As in Postfix, what only this check would refuse is deferred where a list wants that.
        if let Some(r) = eval.refuse_deferred() {
            return Some(r);
        }
        if self.config.unlisted_recipient {
            return eval.one(&reject_unlisted_recipient::RULE, ListName::Recipient).await;
        }
        None
    }

    /// DATA or the first BDAT.
    pub async fn data(&self, facts: &Facts<'_>) -> Outcome {
        self.simple(facts, ListName::Data).await
    }

    /// Nobody has a say at DATA or at the end of the message.
    pub fn is_silent(&self, stage: Stage) -> bool {
        self.lists.is_empty(if stage == Stage::Data { ListName::Data } else { ListName::EndOfData })
    }

    /// The content is in.
    pub async fn end_of_data(&self, facts: &Facts<'_>) -> Outcome {
        self.simple(facts, ListName::EndOfData).await
    }

    async fn simple(&self, facts: &Facts<'_>, name: ListName) -> Outcome {
        if facts.discarded || self.lists.is_empty(name) {
            return Outcome::default();
        }
        let mut eval = Eval::new(self, facts);
        let refusal = eval.list(name).await.or_else(|| eval.refuse_deferred());
        eval.outcome(refusal)
    }

    /// ETRN.
    pub async fn etrn(&self, facts: &Facts<'_>, memory: &Memory) -> Outcome {
        let mut eval = Eval::new(self, facts);
        for saved in [&memory.client, &memory.helo].into_iter().flatten() {
            eval.defer_if_permit(saved.clone());
        }
        let mut refusal = None;
        let before = if self.config.delay_reject { &[ListName::Client, ListName::Helo] as &[_] } else { &[] };
        for &name in before.iter().chain([&ListName::Etrn]) {
            refusal = eval.list(name).await;
            if refusal.is_some() {
                break;
            }
        }
        let refusal = refusal.or_else(|| eval.refuse_deferred());
        eval.outcome(refusal)
    }
}

/// What a list is about, when its rules do not say.
pub(crate) fn list_subject(name: ListName, facts: &Facts<'_>) -> Subject {
    match name {
        ListName::Client => Subject::new(facts.client.namaddr(), Kind::Client),
        ListName::Helo => Subject::new(facts.helo.unwrap_or_default(), Kind::Helo),
        ListName::Sender => Subject::new(facts.sender.unwrap_or_default(), Kind::Sender),
        ListName::Relay | ListName::Recipient => {
            Subject::new(facts.recipient.unwrap_or_default(), Kind::Recipient)
        }
        ListName::Data => Subject::command(Stage::Data, Kind::Data),
        ListName::EndOfData => Subject::command(Stage::EndOfMessage, Kind::EndOfData),
        ListName::Etrn => Subject::new(facts.etrn.unwrap_or_default(), Kind::Etrn),
    }
}

/// A list has no say when what it is about is not known: no HELO was given.
pub(crate) fn applies(name: ListName, facts: &Facts<'_>) -> bool {
    match name {
        ListName::Helo => facts.helo.is_some(),
        ListName::Sender => facts.sender.is_some(),
        _ => true,
    }
}
