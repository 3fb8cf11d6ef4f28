//! Asking DNS lists ahead of time: at once and in the background, for clients that the configuration would ask about.
//!
//! The scout walks the lists as the evaluator would and asks what it is sure to meet unless somebody refuses before. It
//! stops where somebody may permit: who is in mynetworks, or has logged in, is never asked about. The evaluator finds the answers
//! in the session's [`crate::Answers`]; order and results do not depend on the scout.

use crate::{
    Facts, ListName, Restrict, Stage, Verdict,
    list::{Arg, Element},
    rules::{Ahead, Context, Rule},
    stages::{applies, list_subject},
    verdict::{Answer, Subject},
};

/// Classes nest no deeper here.
const MAX_DEPTH: u32 = 10;

/// Whether the walk through a list goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Walk {
    On,
    Over,
}

pub(crate) struct Scout<'a> {
    pub(crate) restrict: &'a Restrict,
    pub(crate) facts: &'a Facts<'a>,
    /// The client's names have been looked up.
    pub(crate) names_known: bool,
}

impl Restrict {
    /// Asks what will be needed about this client, as far as it is known. To be called when the client has connected
    /// (`names_known`: its names have been looked up) and again when more is known; what was asked is not asked again.
    pub fn scout(&self, facts: &Facts<'_>, names_known: bool) {
        if !self.lists.ask_dns() || facts.discarded {
            return;
        }
        let scout = Scout { restrict: self, facts, names_known };
        let names = [
            ListName::Client,
            ListName::Helo,
            ListName::Sender,
            ListName::Relay,
            ListName::Recipient,
            ListName::Data,
            ListName::EndOfData,
        ];
        for name in names {
            // What a list is about may not be known yet: the client always is.
            if name == ListName::Client || applies(name, facts) {
                let subject = list_subject(name, facts);
                scout.elements(&self.lists.list(name), name, &subject, 0);
            }
        }
    }
}

impl Scout<'_> {
    pub(crate) fn elements(&self, list: &[Element], name: ListName, subject: &Subject, depth: u32) -> Walk {
        for element in list {
            let walk = match element {
                Element::Rule(rule, arg) => self.rule(rule, arg, name, subject),
                Element::WarnIfReject => Walk::On,
                Element::Class(class) if depth < MAX_DEPTH => match self.restrict.lists.class(class) {
                    Some(list) => self.elements(&list, name, subject, depth + 1),
                    None => Walk::Over,
                },
                Element::Mistake { harmless: true, .. } => Walk::On,
                Element::Class(_) | Element::Unknown(_) | Element::Mistake { .. } => Walk::Over,
            };
            if walk == Walk::Over {
                return walk;
            }
        }
        Walk::On
    }

    fn rule(&self, rule: &'static Rule, arg: &Arg, name: ListName, subject: &Subject) -> Walk {
        let f = self.facts;
        match rule.ahead {
            Ahead::Passes => Walk::On,
            Ahead::Stops | Ahead::Ends => Walk::Over,
            Ahead::Login if f.login.is_some() => Walk::Over,
            Ahead::Login if !f.sasl_offered || f.stage != Stage::Connect => Walk::On,
            Ahead::Login => Walk::Over,
            Ahead::Client if !self.names_known && !self.restrict.config.numeric_mynetworks => Walk::Over,
            Ahead::Client => {
                let context = Context { restrict: self.restrict, facts: f, list: name, subject, arg, rule };
                match (rule.check)(context) {
                    Answer::Now(Verdict::Dunno) => Walk::On,
                    _ => Walk::Over,
                }
            }
            Ahead::Asks => {
                let context = Context { restrict: self.restrict, facts: f, list: name, subject, arg, rule };
                // A welcome list may permit.
                let welcomes = rule.name.starts_with("permit_");
                if !(welcomes && self.may_relay()) {
                    self.ask(&context);
                }
                if welcomes { Walk::Over } else { Walk::On }
            }
        }
    }

    /// Welcome lists are asked for mail to us only, and this client may want to send elsewhere: it is near, has logged in,
    /// or may log in yet.
    fn may_relay(&self) -> bool {
        let f = self.facts;
        let near = |ip| self.restrict.matches.mynetworks.matches_client_now(&f.client.name, ip);
        f.login.is_some()
            || f.sasl_offered && f.stage == Stage::Connect
            || f.client.ip.is_none_or(|ip| !matches!(near(ip), Some(Ok(false))))
    }

    fn ask(&self, c: &Context<'_>) {
        let Some(list) = c.dns_list() else { return };
        let Some(who) = c.dns_key(self.names_known) else { return };
        if self.restrict.health.is_up(&list.domain) {
            self.facts.answers.ask_early(&self.restrict.resolver, list.question(who.key()));
        }
    }
}
