//! The eight lists and the restriction classes, compiled once: words become rules with their arguments.

use crate::{
    RestrictConfig,
    rules::{Argument, RULES, Rule},
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
    Text(String),
}

/// One element of a list.
#[derive(Clone)]
pub(crate) enum Element {
    Rule(&'static Rule, Arg),
    /// The next element only warns.
    WarnIfReject,
    Class(String),
    Unknown(String),
    /// A rule without its argument.
    Incomplete(&'static Rule),
}

pub(crate) type List = Arc<[Element]>;

/// All lists of a configuration.
pub(crate) struct Lists {
    lists: HashMap<ListName, List>,
    classes: HashMap<String, List>,
}

impl Lists {
    pub(crate) fn compile(config: &RestrictConfig, tables: &Tables) -> Self {
        let compile = |name, words: &[String]| compile(words, name, config, tables);
        Self {
            lists: config.lists.iter().map(|(n, w)| (*n, compile(*n, w))).collect(),
            classes: config
                .classes
                .iter()
                .map(|(n, w)| (n.clone(), compile(ListName::Recipient, w)))
                .collect(),
        }
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
}

/// Words to elements. `name` says what a bare table means.
pub(crate) fn compile(words: &[String], name: ListName, config: &RestrictConfig, tables: &Tables) -> List {
    let mut words = words.iter();
    let mut out = Vec::new();
    while let Some(word) = words.next() {
        out.push(element(word, &mut words, name, config, tables));
    }
    out.into()
}

fn element<'a>(
    word: &str,
    rest: &mut impl Iterator<Item = &'a String>,
    name: ListName,
    config: &RestrictConfig,
    tables: &Tables,
) -> Element {
    if word.eq_ignore_ascii_case("warn_if_reject") {
        return Element::WarnIfReject;
    }
    if config.class(word).is_some() {
        return Element::Class(word.to_owned());
    }
    let open = |spec: &str| Arg::Table(tables.open(spec, Usage::LOOKUP));
    if word.contains(':')
        && let Some(rule) = find(name.own_access())
    {
        return Element::Rule(rule, open(word));
    }
    let Some(rule) = find(word) else { return Element::Unknown(word.to_owned()) };
    match (rule.argument, rule.argument == Argument::None) {
        (_, true) => Element::Rule(rule, Arg::None),
        (Argument::Table, _) => {
            rest.next().map_or(Element::Incomplete(rule), |spec| Element::Rule(rule, open(spec)))
        }
        _ => rest.next().map_or(Element::Incomplete(rule), |t| Element::Rule(rule, Arg::Text(t.clone()))),
    }
}

/// The rule with this name, in any case.
pub(crate) fn find(name: &str) -> Option<&'static Rule> {
    let name = name.to_ascii_lowercase();
    RULES.binary_search_by(|r| r.name.cmp(&name)).ok().and_then(|i| RULES.get(i)).copied()
}
