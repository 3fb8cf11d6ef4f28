//! Runs lists: order, nesting, `warn_if_reject`, deferrals, and the log lines.

use crate::{
    Facts, ListName, Memory, Refusal, Restrict, Stage, Verdict,
    access::{self, Effect},
    list::{Arg, Compiler, Element},
    rules::{Ahead, Context, Rule},
    scout::Scout,
    stages::{Outcome, applies, list_subject},
    verdict::{Found, Subject},
};
use base_calls::{Fut, MessageAction};
use base_log::lines::Reject;

/// Nested lists beyond this depth are a configuration error.
const MAX_DEPTH: u32 = 100;

/// What a list came to.
enum End {
    /// The list is through without a word.
    Nothing,
    /// Somebody said yes.
    Permitted,
    Refused(Refusal),
}

/// One evaluation: several lists at one stage.
pub(crate) struct Eval<'a> {
    restrict: &'a Restrict,
    facts: &'a Facts<'a>,
    actions: Vec<MessageAction>,
    defer_if_permit: Option<Refusal>,
    defer_if_reject: Option<Refusal>,
    /// The next element of this depth, with all that is in it, only warns.
    warn: Option<u32>,
    /// `reject_unlisted_*` need not be asked twice.
    asked: Vec<&'static str>,
}

impl<'a> Eval<'a> {
    pub(crate) fn new(restrict: &'a Restrict, facts: &'a Facts<'a>) -> Self {
        Self {
            restrict,
            facts,
            actions: Vec::new(),
            defer_if_permit: None,
            defer_if_reject: None,
            warn: None,
            asked: Vec::new(),
        }
    }

    /// Runs one of the eight lists.
    pub(crate) async fn list(&mut self, name: ListName) -> Option<Refusal> {
        // What a relay restriction defers holds for the recipient restrictions, and the other way round.
        if !matches!(name, ListName::Relay | ListName::Recipient) {
            self.forget_reasons_to_defer();
        }
        if !applies(name, self.facts) || self.restrict.lists.is_empty(name) {
            return None;
        }
        self.warn = None;
        self.facts.tell(|t| t.list(name.parameter()));
        let list = self.restrict.lists.list(name);
        let subject = list_subject(name, self.facts);
        match self.elements(&list, name, subject, 0).await {
            End::Refused(r) => Some(r),
            End::Nothing | End::Permitted => None,
        }
    }

    /// What would make a later refusal a temporary one no longer counts.
    pub(crate) fn forget_reasons_to_defer(&mut self) {
        self.defer_if_reject = None;
    }

    /// Runs a single rule, as if it stood at the end of the list before, unless a list had it already.
    pub(crate) async fn one(&mut self, rule: &'static Rule, name: ListName) -> Option<Refusal> {
        if self.asked.contains(&rule.name) {
            return None;
        }
        self.warn = None;
        let subject = list_subject(name, self.facts);
        match self.rule(rule, &Arg::None, name, &subject, 0).await {
            End::Refused(r) => Some(r),
            End::Nothing | End::Permitted => None,
        }
    }

    fn elements<'b>(
        &'b mut self,
        list: &'b [Element],
        name: ListName,
        subject: Subject,
        depth: u32,
    ) -> Fut<'b, End> {
        Box::pin(async move {
            for (i, element) in list.iter().enumerate() {
                let rest = list.get(i + 1..).unwrap_or_default();
                self.ahead(element, rest, name, &subject);
                let end = self.element(element, name, &subject, depth).await;
                if !matches!(element, Element::WarnIfReject) && self.warn.is_some_and(|of| of >= depth) {
                    self.warn = None;
                }
                if !matches!(end, End::Nothing) {
                    self.ignored(element, rest);
                    return end;
                }
            }
            End::Nothing
        })
    }

    async fn element(&mut self, element: &Element, name: ListName, subject: &Subject, depth: u32) -> End {
        match element {
            Element::WarnIfReject => {
                self.facts.tell(|t| t.asked("warn_if_reject", &Arg::None));
                // The one around a class covers all of it.
                self.warn.get_or_insert(depth);
                return End::Nothing;
            }
            Element::Rule(rule, arg) => return self.rule(rule, arg, name, subject, depth).await,
            Element::Class(class) => {
                if let Some(list) = self.restrict.lists.class(class).filter(|_| depth < MAX_DEPTH) {
                    self.facts.tell(|t| t.class(class));
                    return self.elements(&list, name, subject.clone(), depth + 1).await;
                }
                self.warning(format!("restriction class `{class}' needs too many levels"));
            }
            Element::Unknown(word) => self.warning(format!("unknown smtpd restriction: \"{word}\"")),
            Element::Mistake { text, harmless } => {
                self.warning(text.clone());
                if *harmless {
                    return End::Nothing;
                }
            }
        }
        self.mistaken()
    }

    /// Asks DNS for all that follows until somebody may permit, before the first one waits for it.
    fn ahead(&self, element: &Element, rest: &[Element], name: ListName, subject: &Subject) {
        if matches!(element, Element::Rule(rule, _) if rule.ahead == Ahead::Asks) {
            let scout = Scout { restrict: self.restrict, facts: self.facts, names_known: true };
            scout.elements(rest, name, subject, 0);
        }
    }

    /// What stands behind an element that always ends a list is a mistake.
    fn ignored(&self, element: &Element, rest: &[Element]) {
        let (Element::Rule(rule, _), Some(next)) = (element, rest.first()) else { return };
        if rule.ahead == Ahead::Ends && !matches!(rule.argument, crate::rules::Argument::Table) {
            let next = match next {
                Element::Rule(next, _) => next.name,
                Element::WarnIfReject => "warn_if_reject",
                Element::Class(name) | Element::Unknown(name) => name,
                Element::Mistake { .. } => return,
            };
            self.warning(format!("restriction `{next}' after `{}' is ignored", rule.name));
        }
    }

    async fn rule(
        &mut self,
        rule: &'static Rule,
        arg: &Arg,
        name: ListName,
        subject: &Subject,
        depth: u32,
    ) -> End {
        self.asked.push(rule.name);
        self.facts.tell(|t| t.asked(rule.name, arg));
        let context = Context { restrict: self.restrict, facts: self.facts, list: name, subject, arg, rule };
        let verdict = (rule.check)(context).verdict().await;
        self.facts.tell(|t| t.verdict(&verdict));
        self.verdict(verdict, rule, (name, subject), depth).await
    }

    async fn verdict(
        &mut self,
        verdict: Verdict,
        rule: &'static Rule,
        (name, subject): (ListName, &Subject),
        depth: u32,
    ) -> End {
        match verdict {
            Verdict::Dunno => End::Nothing,
            Verdict::Permit => {
                let subject = rule.permits.subject(self.facts, subject);
                self.log_permit(rule.name, &subject, "").await;
                End::Permitted
            }
            Verdict::Reject(r) => self.refused(r),
            Verdict::DeferIfPermit(r) => {
                if self.warn.is_some() {
                    self.log("reject_warning", &r);
                } else {
                    self.defer_if_permit(r);
                }
                End::Nothing
            }
            Verdict::DeferIfReject(r) => {
                self.defer_if_reject.get_or_insert(r);
                End::Nothing
            }
            Verdict::Found(found) => {
                let shown = found.subject.name.clone();
                let end = self.found(*found, name, depth).await;
                let discarded = self.actions.contains(&MessageAction::Discard);
                if rule.forbids_ok && matches!(end, End::Permitted) && !discarded {
                    return self.not_allowed(rule, &shown);
                }
                end
            }
        }
    }

    /// DNS is in the hands of those who want to get in: it may not permit.
    fn not_allowed(&mut self, rule: &Rule, shown: &str) -> End {
        self.warning(format!("restriction {} returns OK for {shown}", rule.name));
        self.warning("this is not allowed for security reasons".to_owned());
        self.warning("use DUNNO instead of OK if you want to make an exception".to_owned());
        self.mistaken()
    }

    /// An entry of an access table.
    async fn found(&mut self, found: Found, name: ListName, depth: u32) -> End {
        if found.value.trim().is_empty() {
            self.warning(format!("access table {} entry {} has empty value", found.table, found.key));
            return End::Nothing;
        }
        match access::effect(&found, &self.restrict.config.codes) {
            Effect::Verdict(v) => {
                // Never another table hit: `Found` comes from rules only.
                match v {
                    Verdict::Reject(r) => self.refused(r),
                    Verdict::DeferIfPermit(r) => {
                        if self.warn.is_some() {
                            self.log("reject_warning", &r)
                        } else {
                            self.defer_if_permit(r)
                        }
                        End::Nothing
                    }
                    Verdict::DeferIfReject(r) => {
                        self.defer_if_reject.get_or_insert(r);
                        End::Nothing
                    }
                    Verdict::Permit => {
                        let action = found.value.split_ascii_whitespace().next().unwrap_or_default();
                        self.log_permit(action, &found.subject, &format!("from {}", found.table)).await;
                        End::Permitted
                    }
                    Verdict::Dunno | Verdict::Found(_) => End::Nothing,
                }
            }
            Effect::Message { log, text, action } => {
                if action == Some(MessageAction::Hold) && self.is_held() {
                    return End::Nothing;
                }
                if matches!(action, Some(MessageAction::Prepend(_)))
                    && self.facts.stage == Stage::EndOfMessage
                {
                    let table = &found.table;
                    self.warning(format!(
                        "access table {table}: action PREPEND must be used before smtpd_end_of_data_restrictions"
                    ));
                    return End::Nothing;
                }
                if !log.is_empty() {
                    self.note(log, &text);
                }
                let discard = action == Some(MessageAction::Discard);
                action.iter().for_each(|a| self.facts.tell(|t| t.action(a)));
                self.actions.extend(action);
                if discard { End::Permitted } else { End::Nothing }
            }
            Effect::BadEntry(what) => {
                self.warning(format!("access table {} entry \"{}\" requires {what}", found.table, found.key));
                End::Nothing
            }
            Effect::List(_) if found.value.contains(':') => {
                let (table, value) = (&found.table, found.value.trim());
                self.warning(format!("access table {table} has entry with lookup table: {value}"));
                self.warning("do not specify lookup tables inside SMTPD access maps".to_owned());
                self.warning("define a restriction class and specify its name instead.".to_owned());
                self.mistaken()
            }
            Effect::List(words) => {
                if depth >= MAX_DEPTH {
                    self.warning(format!(
                        "access table {} entry \"{}\" has too many levels",
                        found.table, found.key
                    ));
                    return self.mistaken();
                }
                let config = &self.restrict.config;
                let words = if config.only_relay { config.relay_words(&words) } else { words };
                let list = Compiler::new(config, &self.restrict.tables).list(&words, name);
                self.elements(&list, name, found.subject, depth + 1).await
            }
        }
    }

    /// A list that makes no sense: nothing softens that.
    fn mistaken(&mut self) -> End {
        self.warn = None;
        self.refused(Refusal::configuration())
    }

    fn refused(&mut self, refusal: Refusal) -> End {
        if self.warn.is_some() {
            self.facts.tell(|t| t.said("only warns, because of warn_if_reject"));
            self.log("reject_warning", &refusal);
            return End::Nothing;
        }
        let refusal = match &self.defer_if_reject {
            Some(later) if refusal.code >= 500 => later.clone(),
            _ if self.restrict.config.soft_bounce => refusal.softened(),
            _ => refusal,
        };
        self.log("reject", &refusal);
        End::Refused(refusal)
    }

    fn is_held(&self) -> bool {
        self.facts.held || self.actions.contains(&MessageAction::Hold)
    }

    /// `smtpd_log_access_permit_actions`. `from`: the table, if it was one.
    async fn log_permit(&self, action: &str, subject: &Subject, from: &str) {
        let wanted = &self.restrict.matches.log_permits;
        if wanted.is_empty() || !wanted.matches(action).await.unwrap_or(false) {
            return;
        }
        let (class, name) = (subject.kind.class(), &subject.name);
        self.note("permit", &format!("action={action} for {class}={name} {from}"));
    }

    /// Remembers the first deferral.
    pub(crate) fn defer_if_permit(&mut self, refusal: Refusal) {
        self.defer_if_permit.get_or_insert(refusal);
    }

    /// The deferral that a later stage must know of.
    pub(crate) fn deferral(&self) -> Option<Refusal> {
        self.defer_if_permit.clone()
    }

    /// Nobody said no: a deferral that waited for that is due.
    pub(crate) fn refuse_deferred(&mut self) -> Option<Refusal> {
        let refusal = self.defer_if_permit.take()?;
        self.asked.push("defer_if_permit");
        self.log("reject", &refusal);
        Some(refusal)
    }

    pub(crate) fn outcome(self, refusal: Option<Refusal>) -> Outcome {
        Outcome { refusal, actions: self.actions }
    }

    fn warning(&self, text: String) {
        self.facts.tell(|t| t.said(&text));
        self.restrict.log.warning(self.facts.source, text);
    }

    fn log(&self, action: &str, r: &Refusal) {
        if let Some((asked, kind)) = r.mapped {
            let text = format!("mapping DSN status {asked} into {} status {}", kind.class(), r.status);
            self.restrict.log.info(self.facts.source, text);
        }
        self.note(action, &format!("{} {} {}", r.code, r.status, r.text));
    }

    fn note(&self, action: &str, text: &str) {
        let restriction = self.asked.last().copied().unwrap_or_default();
        self.restrict.note_of(restriction, self.facts, action, text);
    }
}

impl Restrict {
    /// Writes a `reject:`-like line about this session.
    pub fn note(&self, facts: &Facts<'_>, action: &str, text: &str) {
        self.note_of("", facts, action, text);
    }

    /// The same, of a restriction.
    fn note_of(&self, restriction: &'static str, facts: &Facts<'_>, action: &str, text: &str) {
        let id = facts.queue_id.map_or_else(|| "NOQUEUE".to_owned(), |id| id.to_string());
        let sender = facts.sender.map(proto_address::external);
        let recipient = facts.recipient.map(proto_address::external);
        let context = [
            ("from", sender.as_deref()),
            ("to", recipient.as_deref()),
            ("proto", Some(facts.protocol)),
            ("helo", facts.helo),
        ];
        let client = facts.client.namaddr();
        let line = Reject {
            id: &id,
            action,
            stage: facts.stage.name(),
            restriction,
            client: &client,
            text,
            context: &context,
        };
        self.log.line(facts.source, &line);
    }
}

impl Memory {
    /// The transaction is over.
    pub fn end_of_transaction(&mut self) {
        self.sender = None;
    }
}
