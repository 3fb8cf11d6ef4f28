//! One lookup: the search, and the searches that DNs and URLs in special attributes ask for.
//!
//! Values come in the order in which a walk through the entries meets them. The depth of the walk is bounded by
//! `recursion_limit`, each search by `size_limit` and the time limit, the whole by a number of searches.

use super::url::{self, Url};
use super::words;
use crate::common::Values;
use crate::settings::Settings;
use base_tables::OpenError;
use ldap3::{DerefAliases, Ldap, ResultEntry, Scope, SearchOptions};
use std::time::Duration;

/// The most searches and entries of one lookup.
const MAX_SEARCHES: usize = 10_000;
const MAX_ENTRIES: usize = 100_000;

/// Which attributes mean what, and the limits.
pub struct Rules {
    ordinary: Vec<String>,
    special: Vec<String>,
    leaf: Vec<String>,
    terminal: Vec<String>,
    recursion: usize,
    options: SearchOptions,
    timeout: Duration,
}

/// Why a search failed.
#[derive(Debug)]
pub enum Failure {
    /// The connection is gone.
    Lost,
    /// A server's answer, or a limit of ours; warned about already.
    Answer(String),
}

/// A search to do.
pub struct Search {
    /// Where.
    pub base: String,
    /// How deep.
    pub scope: Scope,
    /// What.
    pub filter: String,
    /// The base comes from the key, or from a DN in the directory: when it is not there, nothing was found.
    pub base_may_miss: bool,
    attributes: Vec<String>,
    level: usize,
}

/// What is still to be walked through.
enum Step {
    Value(Vec<u8>),
    Search(Search),
}

impl Rules {
    /// Reads the settings.
    pub fn read(settings: &Settings, timeout: Duration, expansion: usize) -> Result<Rules, OpenError> {
        let list = |name: &str, default: &str| {
            let text = settings.or(name, default);
            base_conf::list::split(&text).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let size = settings.limit("size_limit", expansion)?;
        let options = SearchOptions::new()
            .deref(match settings.or("dereference", "0").as_str() {
                "1" => DerefAliases::Searching,
                "2" => DerefAliases::Finding,
                "3" => DerefAliases::Always,
                _ => DerefAliases::Never,
            })
            .sizelimit(i32::try_from(size).unwrap_or(0))
            .timelimit(i32::try_from(timeout.as_secs()).unwrap_or(0));
        Ok(Rules {
            ordinary: list("result_attribute", "maildrop"),
            special: list("special_result_attribute", ""),
            leaf: list("leaf_result_attribute", ""),
            terminal: list("terminal_result_attribute", ""),
            recursion: usize::try_from(settings.number("recursion_limit", 1000, 1)?).unwrap_or(usize::MAX),
            options,
            timeout,
        })
    }

    /// The first search of a lookup.
    pub fn first(&self, base: String, scope: Scope, filter: String, base_may_miss: bool) -> Search {
        let all = [&self.ordinary, &self.special, &self.leaf, &self.terminal];
        let attributes = all.into_iter().flatten().cloned().collect();
        Search { base, scope, filter, base_may_miss, attributes, level: 1 }
    }

    /// Does a search and all that follow from it.
    pub async fn walk(&self, ldap: &mut Ldap, first: Search, values: &mut Values<'_>) -> Result<(), Failure> {
        let (mut steps, mut searches) = (vec![Step::Search(first)], 0);
        let mut level = 1;
        while let Some(step) = steps.pop() {
            let search = match step {
                Step::Value(value) => {
                    let who = format!("dict_ldap_get_values[{level}]");
                    values.add_as(&who, &value).map_err(Failure::Answer)?;
                    continue;
                }
                Step::Search(search) => search,
            };
            searches += 1;
            if searches > MAX_SEARCHES {
                return Err(Failure::Answer("too many nested searches".to_owned()));
            }
            level = search.level;
            let entries = self.search(ldap, &search, values).await?;
            let mut next = Vec::new();
            for entry in entries {
                self.steps_of(&entry, &search, values, &mut next)?;
            }
            steps.extend(next.into_iter().rev());
        }
        Ok(())
    }

    async fn search(
        &self,
        ldap: &mut Ldap,
        search: &Search,
        values: &Values<'_>,
    ) -> Result<Vec<Entry>, Failure> {
        let asked = ldap.with_search_options(self.options.clone()).with_timeout(self.timeout);
        let mut stream = asked
            .streaming_search(&search.base, search.scope, &search.filter, search.attributes.clone())
            .await
            .map_err(|error| failed(&error, values))?;
        let mut entries = Vec::new();
        while let Some(entry) = stream.next().await.map_err(|error| failed(&error, values))? {
            if !entry.is_ref() && !entry.is_intermediate() {
                entries.extend(Entry::read(entry));
            }
            if entries.len() > MAX_ENTRIES {
                return Err(Failure::Lost);
            }
        }
        let result = stream.finish().await;
        match result.rc {
            0 | 10 => Ok(entries),
            32 if search.base_may_miss => Ok(Vec::new()),
            32 => {
                let base = &search.base;
                values.warn_lookup(&format!("Search base '{base}' not found: 32: {}", words(32)));
                Err(Failure::Answer(words(32).to_owned()))
            }
            88 => Err(Failure::Lost),
            code => {
                values.warn(&format!("dict_ldap_lookup: Search error {code}: {} ", words(code)));
                Err(Failure::Answer(words(code).to_owned()))
            }
        }
    }

    /// What follows from an entry, in the order of its attributes.
    fn steps_of(
        &self,
        entry: &Entry,
        search: &Search,
        values: &Values<'_>,
        next: &mut Vec<Step>,
    ) -> Result<(), Failure> {
        let has = |names: &[String]| {
            entry.attributes.iter().any(|(name, all)| among(names, name) && !all.is_empty())
        };
        let terminal = has(&self.terminal);
        let leaf = !terminal && !has(&self.special);
        for (name, all) in &entry.attributes {
            let counts = match terminal {
                true => among(&self.terminal, name),
                false => {
                    among(&self.ordinary, name)
                        || among(&self.terminal, name)
                        || leaf && among(&self.leaf, name)
                }
            };
            if counts {
                next.extend(all.iter().map(|value| Step::Value(value.clone())));
            } else if !terminal && among(&self.special, name) {
                for value in all {
                    next.extend(self.follow(name, value, search, values)?.map(Step::Search));
                }
            }
        }
        Ok(())
    }

    /// The search that a value of a special attribute asks for.
    fn follow(
        &self,
        name: &str,
        value: &[u8],
        search: &Search,
        values: &Values<'_>,
    ) -> Result<Option<Search>, Failure> {
        let value = String::from_utf8_lossy(value).into_owned();
        let level = search.level;
        if level >= self.recursion {
            let who = format!("dict_ldap_get_values[{level}]");
            let text = format!("Recursion limit exceeded for special attribute {name}={value}");
            values.warn_as(&who, &text);
            return Err(Failure::Answer("recursion limit exceeded".to_owned()));
        }
        let found = if url::is_url(&value) {
            let Some(url) = Url::parse(&value) else {
                values.warn(&format!("dict_ldap_get_values[{level}]: malformed URL {value}"));
                return Ok(None);
            };
            let all = self.first(url.base, url.scope, url.filter, true);
            let wanted = |name: &String| url.attributes.is_empty() || among(&url.attributes, name);
            let attributes: Vec<_> = all.attributes.iter().filter(|name| wanted(name)).cloned().collect();
            if attributes.is_empty() {
                return Ok(None);
            }
            Search { attributes, ..all }
        } else {
            self.first(value, Scope::Base, "(objectClass=*)".to_owned(), true)
        };
        Ok(Some(Search { level: level + 1, ..found }))
    }
}

fn among(names: &[String], name: &str) -> bool {
    names.iter().any(|n| n.eq_ignore_ascii_case(name))
}

fn failed(error: &ldap3::LdapError, values: &Values<'_>) -> Failure {
    let (code, text) = match error {
        ldap3::LdapError::FilterParsing => ("-7", "Bad search filter"),
        ldap3::LdapError::Timeout { .. } => ("-5", "Timed out"),
        _ => return Failure::Lost,
    };
    values.warn(&format!("dict_ldap_lookup: Search error {code}: {text} "));
    Failure::Answer(text.to_owned())
}

/// An entry's attributes in the server's order.
struct Entry {
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Entry {
    /// Takes the protocol's structure apart (RFC 4511 4.5.2); `None` when it is no such structure.
    fn read(entry: ResultEntry) -> Option<Entry> {
        let mut parts = entry.0.expect_constructed()?.into_iter().skip(1);
        let list = parts.next()?.expect_constructed()?;
        let one = |attribute: ldap3::asn1::StructureTag| {
            let mut parts = attribute.expect_constructed()?.into_iter();
            let name = String::from_utf8(parts.next()?.expect_primitive()?).ok()?;
            let values = parts.next()?.expect_constructed()?.into_iter();
            Some((name, values.filter_map(ldap3::asn1::StructureTag::expect_primitive).collect()))
        };
        Some(Entry { attributes: list.into_iter().filter_map(one).collect() })
    }
}
