//! What an access table entry means (access(5)): one file per action and a sorted registry; a code with text; a list of
//! restrictions. Pure: the evaluator acts.

use crate::{
    Codes, Refusal, Verdict,
    verdict::{Found, Subject},
};
use base_calls::MessageAction;
use proto_dsn::Status;

mod bcc;
mod defer;
mod defer_if_permit;
mod defer_if_reject;
mod discard;
mod dunno;
mod filter;
mod hold;
mod info;
mod ok;
mod prepend;
mod redirect;
mod reject;
mod relay;
mod warn;

/// What to do about an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A verdict, as a restriction would give it.
    Verdict(Verdict),
    /// Log `log: … text` (nothing when `log` is empty), do `action`, and go on.
    Message {
        /// Word of the log line.
        log: &'static str,
        /// Its text.
        text: String,
        /// For the message.
        action: Option<MessageAction>,
    },
    /// The entry is not usable: this is what it would need.
    BadEntry(&'static str),
    /// Evaluate these restrictions.
    List(Vec<String>),
}

/// What an action sees.
pub struct Entry<'a> {
    /// Text after the action's name.
    pub text: &'a str,
    /// What was looked up.
    pub subject: &'a Subject,
    /// Reply codes.
    pub codes: &'a Codes,
}

impl Entry<'_> {
    /// A refusal with a code, the status and text of the entry or these.
    fn refusal(&self, code: u16, status: Status, text: &str) -> Refusal {
        let (own, rest) = Status::split_prefix(self.text).map_or((None, self.text), |(s, t)| (Some(s), t));
        let text = if rest.is_empty() { text } else { rest };
        Refusal::of(self.subject, code, own.unwrap_or(status), text)
    }

    /// `<name>: Class text`, for the log.
    fn log_text(&self, text: &str) -> String {
        format!("<{}>: {} {text}", self.subject.name, self.subject.kind.class())
    }
}

/// One action.
pub struct Action {
    /// Upper-case name.
    pub name: &'static str,
    /// What it does.
    pub effect: fn(&Entry<'_>) -> Effect,
}

/// All actions, sorted by name.
pub static ACTIONS: &[&Action] = &[
    &bcc::ACTION,
    &defer::ACTION,
    &defer_if_permit::ACTION,
    &defer_if_reject::ACTION,
    &discard::ACTION,
    &dunno::ACTION,
    &filter::ACTION,
    &hold::ACTION,
    &info::ACTION,
    &ok::ACTION,
    &prepend::ACTION,
    &redirect::ACTION,
    &reject::ACTION,
    &relay::ACTION,
    &warn::ACTION,
];

/// What the entry means.
pub fn effect(found: &Found, codes: &Codes) -> Effect {
    let value = found.value.trim();
    let (word, text) = value.split_once([' ', '\t']).map_or((value, ""), |(w, t)| (w, t.trim_start()));
    let entry = Entry { text, subject: &found.subject, codes };
    let name = word.to_ascii_uppercase();
    if let Ok(i) = ACTIONS.binary_search_by(|a| a.name.cmp(name.as_str())) {
        return ACTIONS.get(i).map_or(Effect::List(Vec::new()), |a| (a.effect)(&entry));
    }
    if let Some(code) = reply_code(word).filter(|_| !text.is_empty()) {
        let refusal = entry.refusal(code, Status::new(5, 7, 1), "Access denied");
        return Effect::Verdict(Verdict::Reject(refusal));
    }
    // Any number means yes.
    if value.bytes().all(|b| b.is_ascii_digit()) {
        return Effect::Verdict(Verdict::Permit);
    }
    Effect::List(base_conf::list::split(value).into_iter().map(str::to_owned).collect())
}

fn reply_code(word: &str) -> Option<u16> {
    let digits = word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit());
    word.parse().ok().filter(|c| digits && (400..600).contains(c))
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
