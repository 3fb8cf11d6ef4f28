//! The eight lists and the restriction classes, compiled once: words become rules with their arguments.

use crate::{
    RestrictConfig,
    dnslist::DnsList,
    policy::Server,
    rules::{Ahead, Argument, RULES, Rule, check_ccert_access::CertOrder},
};
use base_tables::{Table, Tables, Usage};
use std::{collections::HashMap, sync::Arc};

/// The lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListName {
    /// `smtpd_client_restrictions`
    Client,
    /// `smtpd_helo_restrictions`
    Helo,
    /// `smtpd_sender_restrictions`
    Sender,
    /// `smtpd_relay_restrictions`
    Relay,
    /// `smtpd_recipient_restrictions`
    Recipient,
    /// `smtpd_data_restrictions`
    Data,
    /// `smtpd_end_of_data_restrictions`
    EndOfData,
    /// `smtpd_etrn_restrictions`
    Etrn,
}

impl ListName {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Client,
        Self::Helo,
        Self::Sender,
        Self::Relay,
        Self::Recipient,
        Self::Data,
        Self::EndOfData,
        Self::Etrn,
    ];

    /// The parameter.
    pub const fn parameter(self) -> &'static str {
        match self {
            Self::Client => "smtpd_client_restrictions",
            Self::Helo => "smtpd_helo_restrictions",
            Self::Sender => "smtpd_sender_restrictions",
            Self::Relay => "smtpd_relay_restrictions",
            Self::Recipient => "smtpd_recipient_restrictions",
            Self::Data => "smtpd_data_restrictions",
            Self::EndOfData => "smtpd_end_of_data_restrictions",
            Self::Etrn => "smtpd_etrn_restrictions",
        }
    }

    /// What a bare `type:table` in this list means.
    const fn own_access(self) -> &'static str {
        match self {
            Self::Client | Self::Data | Self::EndOfData => "check_client_access",
            Self::Helo => "check_helo_access",
            Self::Sender => "check_sender_access",
            Self::Relay | Self::Recipient => "check_recipient_access",
            Self::Etrn => "check_etrn_access",
        }
    }
}

/// The argument of a rule, ready for use.
#[derive(Clone)]
pub(crate) enum Arg {
    None,
    Table(Arc<dyn Table>),
    CertTable(Arc<dyn Table>, CertOrder),
    Text(String),
    Dns(Arc<DnsList>),
    Policy(Arc<Server>),
}

/// One element of a list.
#[derive(Clone)]
pub(crate) enum Element {
    Rule(&'static Rule, Arg),
    /// The next element only warns.
    WarnIfReject,
    Class(String),
    Unknown(String),
    /// A rule whose argument is missing or makes no sense: what the log says, and whether mail goes on.
    Mistake {
        text: String,
        harmless: bool,
    },
}

pub(crate) type List = Arc<[Element]>;

/// All lists of a configuration.
pub(crate) struct Lists {
    lists: HashMap<ListName, List>,
    classes: HashMap<String, List>,
    /// Mistakes that no server can run with.
    faults: Vec<String>,
    ask_dns: bool,
}

impl Lists {
    pub(crate) fn compile(config: &RestrictConfig, tables: &Tables) -> Self {
        let mut compiler = Compiler::new(config, tables);
        let mut compile = |name, words: &[String]| compiler.list(words, name);
        let lists: HashMap<ListName, List> = config.lists.iter().map(|(n, w)| (*n, compile(*n, w))).collect();
        let classes: HashMap<String, List> =
            config.classes.iter().map(|(n, w)| (n.clone(), compile(ListName::Recipient, w))).collect();
        let undefined = config.classes.iter().filter(|(_, w)| w.is_empty());
        let undefined = undefined.map(|(n, _)| format!("restriction class `{n}' needs a definition"));
        let faults = undefined.chain(compiler.faults).collect();
        let asks = |e: &Element| matches!(e, Element::Rule(rule, _) if rule.ahead == Ahead::Asks);
        let ask_dns = lists.values().chain(classes.values()).any(|l| l.iter().any(asks));
        Self { lists, classes, faults, ask_dns }
    }

    pub(crate) fn list(&self, name: ListName) -> List {
        self.lists.get(&name).cloned().unwrap_or_else(|| Arc::new([]))
    }

    pub(crate) fn is_empty(&self, name: ListName) -> bool {
        self.lists.get(&name).is_none_or(|l| l.is_empty())
    }

    pub(crate) fn class(&self, name: &str) -> Option<List> {
        self.classes.get(name).cloned()
    }

    /// Whether some restriction asks DNS lists.
    pub(crate) fn ask_dns(&self) -> bool {
        self.ask_dns
    }

    pub(crate) fn fault(&self) -> Option<&str> {
        self.faults.first().map(String::as_str)
    }
}

/// Turns words into elements.
pub(crate) struct Compiler<'a> {
    config: &'a RestrictConfig,
    tables: &'a Tables,
    faults: Vec<String>,
}

impl<'a> Compiler<'a> {
    pub(crate) fn new(config: &'a RestrictConfig, tables: &'a Tables) -> Self {
        Self { config, tables, faults: Vec::new() }
    }

    /// `name` says what a bare table means.
    pub(crate) fn list(&mut self, words: &[String], name: ListName) -> List {
        let mut words = words.iter();
        let mut out = Vec::new();
        while let Some(word) = words.next() {
            out.push(self.element(word, &mut words, name));
        }
        out.into()
    }

    fn element<'w>(
        &mut self,
        word: &str,
        rest: &mut impl Iterator<Item = &'w String>,
        name: ListName,
    ) -> Element {
        if word.eq_ignore_ascii_case("warn_if_reject") {
            return Element::WarnIfReject;
        }
        if self.config.class(word).is_some() {
            return Element::Class(word.to_owned());
        }
        if word.contains(':')
            && let Some(rule) = find(name.own_access())
        {
            return Element::Rule(rule, self.table(word));
        }
        let Some(rule) = find(word) else { return Element::Unknown(word.to_owned()) };
        if rule.argument == Argument::None {
            return Element::Rule(rule, Arg::None);
        }
        match rest.next() {
            Some(text) => self.with_argument(rule, text),
            None => missing(rule),
        }
    }

    fn table(&self, spec: &str) -> Arg {
        Arg::Table(self.tables.open(spec, Usage::LOOKUP))
    }

    fn with_argument(&mut self, rule: &'static Rule, text: &str) -> Element {
        match rule.argument {
            Argument::None => Element::Rule(rule, Arg::None),
            Argument::Seconds if text.bytes().any(|b| !b.is_ascii_digit()) => missing(rule),
            Argument::Seconds => Element::Rule(rule, Arg::Text(text.to_owned())),
            Argument::Table if text.contains(':') => Element::Rule(rule, self.table(text)),
            Argument::Table => bad_table(rule, text),
            Argument::CertTable => match CertOrder::parse(text) {
                Ok((spec, order)) if spec.contains(':') => {
                    Element::Rule(rule, Arg::CertTable(self.tables.open(spec, Usage::LOOKUP), order))
                }
                Ok((spec, _)) => bad_table(rule, spec),
                Err(text) => Element::Mistake { text, harmless: false },
            },
            Argument::DnsList => match DnsList::parse(text) {
                Some(list) => Element::Rule(rule, Arg::Dns(Arc::new(list))),
                None => {
                    Element::Mistake { text: format!("bad filter in DNS list \"{text}\""), harmless: true }
                }
            },
            Argument::Policy => match Server::parse(text, &self.config.policy) {
                Ok(server) => Element::Rule(rule, Arg::Policy(Arc::new(server))),
                Err(fault) => {
                    self.faults.push(fault.clone());
                    Element::Mistake { text: fault, harmless: false }
                }
            },
        }
    }
}

fn missing(rule: &'static Rule) -> Element {
    let text = match rule.argument {
        Argument::Table | Argument::CertTable => return bad_table(rule, rule.name),
        Argument::DnsList => format!("restriction {} requires domain name argument", rule.name),
        Argument::Seconds => format!("restriction {} must be followed by number", rule.name),
        _ => format!("restriction {} must be followed by transport:server", rule.name),
    };
    Element::Mistake { text, harmless: rule.argument == Argument::DnsList }
}

fn bad_table(rule: &'static Rule, argument: &str) -> Element {
    let text = format!("restriction {}: bad argument \"{argument}\": need maptype:mapname", rule.name);
    Element::Mistake { text, harmless: false }
}

/// The rule with this name, in any case.
pub(crate) fn find(name: &str) -> Option<&'static Rule> {
    let name = name.to_ascii_lowercase();
    RULES.binary_search_by(|r| r.name.cmp(&name)).ok().and_then(|i| RULES.get(i)).copied()
}
