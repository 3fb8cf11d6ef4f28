//! The `type:table` names in a configuration: in which setting, on which line, and for what they are used.

use crate::{Site, facts::restrictions, setting::Setting};
use base_conf::{grammar::Grammar, list};

/// What a table is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Lookups.
    Lookup,
    /// access(5) actions.
    Access,
    /// header_checks(5) actions.
    Content,
    /// Aliases, which have their own text format.
    Aliases,
    /// Written by the server: need not exist.
    Cache,
}

/// One table.
#[derive(Debug, Clone)]
pub struct Spec {
    /// `type:name`.
    pub text: String,
    /// Parameter that names it.
    pub parameter: String,
    /// Set in master.cf.
    pub in_master: bool,
    /// Where.
    pub line: u32,
    /// For what.
    pub purpose: Purpose,
}

impl Spec {
    /// The type.
    pub fn kind(&self) -> &str {
        self.text.split_once(':').map_or("", |(kind, _)| kind)
    }

    /// The name behind the type.
    pub fn name(&self) -> &str {
        self.text.split_once(':').map_or("", |(_, name)| name)
    }
}

/// Every table of the settings of `site`.
pub fn all(site: &Site) -> Vec<Spec> {
    let classes = restrictions::classes(site);
    site.settings().iter().flat_map(|s| of(s, &classes)).collect()
}

/// The tables that one setting names.
pub fn of(setting: &Setting<'_>, classes: &[String]) -> Vec<Spec> {
    let grammar = match setting.grammar() {
        None if classes.iter().any(|c| c == setting.name) => Some(Grammar::Restrictions),
        other => other,
    };
    let mut out = Vec::new();
    let words = setting.words();
    match grammar {
        Some(Grammar::Tables | Grammar::Domains | Grammar::Networks) => {
            for w in words.iter().filter(|w| is_spec(&w.text)) {
                push(&mut out, setting, w.text.trim_start_matches('!'), w.line, purpose(setting.name));
            }
        }
        Some(Grammar::Restrictions) => {
            let mut words = words.iter();
            while let Some(w) = words.next() {
                let table = match restrictions::find(&w.text) {
                    Some(r) if r.takes_table() => words.next(),
                    Some(r) => {
                        if r.argument != restrictions::Argument::None {
                            words.next();
                        }
                        None
                    }
                    None => Some(w),
                };
                if let Some(t) = table.filter(|t| is_spec(&t.text)) {
                    push(&mut out, setting, &t.text, t.line, Purpose::Access);
                }
            }
        }
        _ => {}
    }
    out
}

fn purpose(parameter: &str) -> Purpose {
    match parameter {
        "alias_maps" | "alias_database" => Purpose::Aliases,
        n if n.ends_with("_cache_database") || n.ends_with("_cache_map") || n == "address_verify_map" => {
            Purpose::Cache
        }
        n if n.ends_with("_checks") => Purpose::Content,
        _ => Purpose::Lookup,
    }
}

/// `type:name`, with a type that cannot be a part of an address.
pub fn is_spec(word: &str) -> bool {
    let word = word.trim_start_matches('!');
    word.split_once(':').is_some_and(|(kind, name)| {
        !kind.is_empty() && !name.is_empty() && kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
    })
}

/// The tables inside of a table, too.
fn push(out: &mut Vec<Spec>, setting: &Setting<'_>, text: &str, line: u32, purpose: Purpose) {
    let (kind, name) = text.split_once(':').unwrap_or_default();
    match kind {
        "proxy" => return push(out, setting, name, line, purpose),
        "unionmap" | "pipemap" => {
            for inner in list::split(list::unbrace(name)).into_iter().filter(|w| is_spec(w)) {
                push(out, setting, inner, line, purpose);
            }
            return;
        }
        _ => {}
    }
    out.push(Spec {
        text: text.to_owned(),
        parameter: setting.name.to_owned(),
        in_master: setting.service.is_some(),
        line,
        purpose,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_table() {
        for (word, expect) in [
            ("hash:/etc/x", true),
            ("!cidr:/etc/x", true),
            ("regexp:", false),
            (":/etc/x", false),
            ("[::1]/128", false),
            ("2001:db8::/32", false),
            ("example.com", false),
        ] {
            assert_eq!(is_spec(word), expect, "{word}");
        }
    }
}
