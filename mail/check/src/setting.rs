//! One parameter as it is set: in main.cf, or by `-o` in master.cf.

use crate::{comment, main_text::Text};
use base_conf::{
    Config, Service,
    grammar::{self, Grammar},
    list,
    params::{self, Kind, Param},
};

/// A definition that counts.
#[derive(Debug, Clone)]
pub struct Setting<'a> {
    /// The parameter.
    pub name: &'a str,
    /// As written, comments behind it left out.
    pub value: String,
    /// Expanded; as written when that fails.
    pub expanded: String,
    /// The file.
    pub text: &'a Text,
    /// First line of the definition.
    pub line: u32,
    /// The configuration in which it counts.
    pub view: &'a Config,
    /// The service that it is set for.
    pub service: Option<&'a Service>,
}

/// A word of a value with its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The word, braces kept.
    pub text: String,
    /// Where it stands.
    pub line: u32,
}

impl<'a> Setting<'a> {
    /// A definition in main.cf.
    pub fn in_main(name: &'a str, value: &str, line: u32, text: &'a Text, view: &'a Config) -> Self {
        let value = if is_free(name) {
            value.to_owned()
        } else {
            uncommented(text, line).unwrap_or(value.to_owned())
        };
        Self::new(name, value, line, text, view, None)
    }

    /// `-o name=value`.
    pub fn in_master(
        name: &'a str,
        value: &str,
        service: &'a Service,
        text: &'a Text,
        view: &'a Config,
    ) -> Self {
        let line = text.line_of(service.line, name);
        Self::new(name, value.to_owned(), line, text, view, Some(service))
    }

    fn new(
        name: &'a str,
        value: String,
        line: u32,
        text: &'a Text,
        view: &'a Config,
        service: Option<&'a Service>,
    ) -> Self {
        let expanded = match params::find(name) {
            Some(p) if p.kind == Kind::Raw => value.clone(),
            _ => view.expand(&value).unwrap_or_else(|_| value.clone()),
        };
        Self { name, value, expanded, text, line, view, service }
    }

    /// The parameter's record: its own, or that of its template.
    pub fn param(&self) -> Option<&'static Param> {
        params::find(self.name).or_else(|| params::template_of(self.name))
    }

    /// What it may hold.
    pub fn grammar(&self) -> Option<Grammar> {
        grammar::of(self.name)
    }

    /// The words of the expanded value.
    pub fn words(&self) -> Vec<Word> {
        let words = list::split(&self.expanded).into_iter();
        words.map(|w| Word { text: w.to_owned(), line: self.text.line_of(self.line, w) }).collect()
    }
}

/// Parameters whose values are free text, in which `#` and the like may stand.
pub fn is_free(name: &str) -> bool {
    let typed = params::find(name)
        .is_some_and(|p| matches!(p.kind, Kind::Int | Kind::Long | Kind::Bool | Kind::Time));
    !typed && !matches!(grammar::of(name), Some(g) if g != Grammar::Command)
}

/// The value of the definition at `line`, each physical line without what looks like a comment behind it.
fn uncommented(text: &Text, line: u32) -> Option<String> {
    let joined: String = text.logical(line).map(|(_, l)| comment::without(l)).collect::<Vec<_>>().join(" ");
    joined.split_once('=').map(|(_, v)| v.trim().to_owned())
}
