//! Restriction lists taken apart: the eight lists of main.cf and of each service, and the classes.

use crate::{
    Site,
    facts::restrictions::{self, Argument, Restriction},
    setting::{Setting, Word},
    specs,
};
use base_conf::{Config, grammar::Grammar};
use std::path::PathBuf;

/// An element of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A restriction and what follows it.
    Known(Restriction, Word, Option<Word>),
    /// A restriction that lacks what must follow it, or has something else behind it.
    Incomplete(Restriction, Word, Option<Word>),
    /// A bare `type:table`.
    Table(Word),
    /// A class.
    Class(Word),
    /// Nothing that exists.
    Unknown(Word),
}

/// One list.
#[derive(Debug, Clone)]
pub struct List<'a> {
    /// Its parameter, or the class's name.
    pub name: String,
    /// Where it is set.
    pub file: PathBuf,
    /// Its elements.
    pub items: Vec<Item>,
    /// The classes of the configuration.
    pub classes: Vec<String>,
    /// The configuration in which it counts.
    pub view: &'a Config,
}

/// Every list that is set somewhere.
pub fn all(site: &Site) -> Vec<List<'_>> {
    let classes = restrictions::classes(site);
    let settings = site.settings();
    let lists = settings
        .into_iter()
        .filter(|s| s.grammar() == Some(Grammar::Restrictions) || classes.iter().any(|c| c == s.name));
    lists
        .map(|s| List {
            name: s.name.to_owned(),
            file: s.text.file.clone(),
            items: items(&s, &classes),
            classes: classes.clone(),
            view: s.view,
        })
        .collect()
}

fn items(setting: &Setting<'_>, classes: &[String]) -> Vec<Item> {
    let mut words = setting.words().into_iter().peekable();
    let mut out = Vec::new();
    while let Some(word) = words.next() {
        if classes.contains(&word.text) {
            out.push(Item::Class(word));
        } else if let Some(r) = restrictions::find(&word.text) {
            if r.argument == Argument::None {
                out.push(Item::Known(r, word, None));
                continue;
            }
            let fits = words.peek().is_some_and(|next| suits(r.argument, &next.text));
            // A restriction's name is no argument of another.
            let taken = words.next_if(|next| fits || restrictions::find(&next.text).is_none());
            out.push(if fits { Item::Known(r, word, taken) } else { Item::Incomplete(r, word, taken) });
        } else if specs::is_spec(&word.text) {
            out.push(Item::Table(word));
        } else {
            out.push(Item::Unknown(word));
        }
    }
    out
}

/// Whether a word can be what a restriction needs behind it.
fn suits(argument: Argument, word: &str) -> bool {
    match argument {
        Argument::None => true,
        Argument::Table | Argument::CertTable => specs::is_spec(word) || word.starts_with('{'),
        Argument::DnsList => word.contains('.') && restrictions::find(word).is_none(),
        Argument::Policy => {
            ["inet:", "unix:", "{"].iter().any(|p| word.starts_with(p))
                || (word.contains(':') && !specs::is_spec(word))
        }
        Argument::Seconds => word.bytes().next().is_some_and(|b| b.is_ascii_digit()),
    }
}
