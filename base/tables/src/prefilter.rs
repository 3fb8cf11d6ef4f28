//! Which rules of a table can match a key at all, found in one pass over the key.
//!
//! From each translated pattern the texts are taken that every match contains ("user1@", ".example"). One automaton
//! looks for all of them; a rule without all of its texts in the key is not tried. Patterns without such a text are
//! asked in chunks (see [`crate::chunks`]); those without translation are always tried.

use crate::chunks::Chunks;
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex_syntax::hir::{Hir, HirKind};
use std::collections::HashMap;

/// Texts that a rule needs: one of each clause.
type Clauses = Vec<Vec<Vec<u8>>>;

/// Below this, trying each rule is as quick.
const WORTH: usize = 3;
/// Shorter texts are found everywhere.
const SHORTEST: usize = 2;
/// The most alternatives of a clause, and clauses of a rule.
const MAX_ALTERNATIVES: usize = 32;
const MAX_CLAUSES: usize = 4;
/// Up to this many bytes of text the fastest, largest automaton is made.
const DFA_BYTES: usize = 20_000;

/// What is known about all patterns of a table.
pub struct Prefilter {
    automaton: Option<AhoCorasick>,
    /// For each text the rules to consider when it is there.
    rules_of: Vec<Vec<u32>>,
    /// For each rule its other clauses, as text numbers.
    others: Vec<Vec<Vec<u32>>>,
    /// Rules that are always tried.
    always: Vec<u32>,
    /// Rules without texts.
    chunks: Chunks,
}

impl Prefilter {
    /// One translated pattern, or none, for each rule.
    pub fn new(rules: &[Option<String>]) -> Prefilter {
        let count = u32::try_from(rules.len()).unwrap_or(u32::MAX);
        let all = Prefilter::always(rules.len());
        if rules.len() < WORTH {
            return all;
        }
        let mut texts = Texts::default();
        let mut textless = Vec::new();
        let mut filter = Prefilter { always: Vec::new(), ..all };
        for (number, pattern) in (0..count).zip(rules) {
            let mut clauses = pattern.as_deref().map(clauses_of).unwrap_or_default().into_iter();
            match (clauses.next(), pattern) {
                (None, None) => filter.always.push(number),
                (None, Some(pattern)) => textless.push((number, pattern.clone())),
                (Some(first), _) => {
                    texts.numbers(first).into_iter().for_each(|text| filter.add(text, number))
                }
            }
            filter.others.push(clauses.map(|clause| texts.numbers(clause)).collect());
        }
        let (chunks, few) = Chunks::new(textless);
        filter.chunks = chunks;
        filter.always.extend(few);
        filter.always.sort_unstable();
        filter.rules_of.resize(texts.list.len(), Vec::new());
        let bytes: usize = texts.list.iter().map(Vec::len).sum();
        let kind = if bytes <= DFA_BYTES { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
        let built = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(kind))
            .build(&texts.list);
        match built {
            Ok(automaton) => Prefilter { automaton: Some(automaton), ..filter },
            Err(_) => Prefilter::always(rules.len()),
        }
    }

    /// Every rule is tried.
    pub fn always(rules: usize) -> Prefilter {
        let count = u32::try_from(rules).unwrap_or(u32::MAX);
        Prefilter {
            automaton: None,
            rules_of: Vec::new(),
            others: Vec::new(),
            always: (0..count).collect(),
            chunks: Chunks::default(),
        }
    }

    fn add(&mut self, text: u32, rule: u32) {
        let text = usize::try_from(text).unwrap_or(usize::MAX);
        if self.rules_of.len() <= text {
            self.rules_of.resize(text + 1, Vec::new());
        }
        if let Some(rules) = self.rules_of.get_mut(text) {
            rules.push(rule);
        }
    }

    /// The rules that can match `key`.
    pub fn candidates(&self, key: &[u8]) -> Candidates<'_> {
        Candidates { always: &self.always, hits: self.hits(key) }
    }

    /// The rules whose texts are all in the key, in order.
    fn hits(&self, key: &[u8]) -> Vec<u32> {
        let Some(automaton) = &self.automaton else { return Vec::new() };
        let Ok(matches) = automaton.try_find_overlapping_iter(key) else { return self.others_all() };
        let mut present: Vec<bool> = Vec::new();
        for found in matches {
            if present.is_empty() {
                present.resize(self.rules_of.len(), false);
            }
            if let Some(text) = present.get_mut(found.pattern().as_usize()) {
                *text = true;
            }
        }
        let here = |text: &u32| usize::try_from(*text).is_ok_and(|t| present.get(t).copied().unwrap_or(true));
        let complete = |rule: &u32| {
            let others = usize::try_from(*rule).ok().and_then(|r| self.others.get(r));
            others.is_none_or(|clauses| clauses.iter().all(|clause| clause.iter().any(here)))
        };
        let found = present.iter().zip(&self.rules_of).filter(|(present, _)| **present);
        let mut hits: Vec<u32> =
            found.flat_map(|(_, rules)| rules).filter(|rule| complete(rule)).copied().collect();
        self.chunks.add_hits(key, &mut hits);
        hits.sort_unstable();
        hits.dedup();
        hits
    }

    fn others_all(&self) -> Vec<u32> {
        (0..u32::try_from(self.others.len()).unwrap_or(u32::MAX)).collect()
    }
}

/// The texts of all rules, each once, in lower case.
#[derive(Default)]
struct Texts {
    list: Vec<Vec<u8>>,
    known: HashMap<Vec<u8>, u32>,
}

impl Texts {
    fn numbers(&mut self, clause: Vec<Vec<u8>>) -> Vec<u32> {
        let mut numbers: Vec<u32> =
            clause.into_iter().map(|text| self.number(text.to_ascii_lowercase())).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    fn number(&mut self, text: Vec<u8>) -> u32 {
        let next = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        let list = &mut self.list;
        *self.known.entry(text).or_insert_with_key(|text| {
            list.push(text.clone());
            next
        })
    }
}

/// The rules to try for one key, in order.
pub struct Candidates<'a> {
    always: &'a [u32],
    hits: Vec<u32>,
}

impl Candidates<'_> {
    /// The first candidate that is not before rule `at`.
    pub fn next(&self, at: usize) -> Option<usize> {
        let at = u32::try_from(at).ok()?;
        let first = |list: &[u32]| list.get(list.partition_point(|rule| *rule < at)).copied();
        let next = match (first(self.always), first(&self.hits)) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b)?,
        };
        usize::try_from(next).ok()
    }
}

/// The clauses of a translated pattern, the most telling one first.
fn clauses_of(pattern: &str) -> Clauses {
    // The automaton does not regard case; here letters must stay letters.
    let exact = pattern.strip_prefix("(?i").map(|rest| format!("(?{rest}"));
    let pattern = exact.as_deref().unwrap_or(pattern);
    let parsed = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern);
    let mut clauses = parsed.map(|hir| needed(&hir)).unwrap_or_default();
    clauses.retain(|clause| weight(clause) >= SHORTEST);
    clauses.sort_by_key(|clause| std::cmp::Reverse(weight(clause)));
    clauses.truncate(MAX_CLAUSES);
    clauses
}

/// How much a clause tells: the length of its shortest text.
fn weight(clause: &[Vec<u8>]) -> usize {
    clause.iter().map(Vec::len).min().unwrap_or(0)
}

fn needed(hir: &Hir) -> Clauses {
    match hir.kind() {
        HirKind::Literal(literal) => vec![vec![literal.0.to_vec()]],
        HirKind::Concat(parts) => parts.iter().flat_map(needed).collect(),
        HirKind::Capture(capture) => needed(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => needed(&repetition.sub),
        HirKind::Alternation(branches) => {
            let best = |branch: &Hir| needed(branch).into_iter().max_by_key(|clause| weight(clause));
            let all: Option<Vec<_>> = branches.iter().map(best).collect();
            match all.map(|clauses| clauses.concat()) {
                Some(clause) if clause.len() <= MAX_ALTERNATIVES => vec![clause],
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::{Dialect, translate};

    fn rule(pattern: &str) -> Option<String> {
        translate(pattern.as_bytes(), Dialect { pcre: false, ignore_case: true, multi_line: false })
    }

    fn candidates(filter: &Prefilter, key: &str) -> Vec<usize> {
        let candidates = filter.candidates(key.as_bytes());
        let mut found = Vec::new();
        while let Some(next) = candidates.next(found.last().map_or(0, |last| last + 1)) {
            found.push(next);
        }
        found
    }

    #[test]
    fn rules_without_their_texts_are_left_out() {
        let filter = Prefilter::new(&[
            rule("abc.*def"),
            None,
            rule("^user1@.*\\.example$"),
            rule("(free|cheap) (money|pills)"),
            rule("[0-9]{3}"),
            rule("(xyz)+"),
            rule("(xyz)?q"),
        ]);
        let cases: &[(&str, &[usize])] = &[
            ("nothing", &[1, 4, 6]),
            ("xx ABC def", &[0, 1, 4, 6]),
            ("abc only", &[1, 4, 6]),
            ("User1@a.Example", &[1, 2, 4, 6]),
            ("cheap pills", &[1, 3, 4, 6]),
            ("cheap", &[1, 4, 6]),
            ("xyz", &[1, 4, 5, 6]),
            ("", &[1, 4, 6]),
        ];
        for (key, want) in cases {
            assert_eq!(candidates(&filter, key), *want, "{key}");
        }
    }

    #[test]
    fn small_tables_try_everything() {
        let filter = Prefilter::new(&[rule("abc"), rule("def")]);
        assert_eq!(candidates(&filter, "x"), [0, 1]);
    }

    proptest::proptest! {
        #[test]
        fn never_leaves_out_a_match(
            patterns in proptest::collection::vec(r"[abc]{1,3}(\.\*|\||\+|)[abcA]{0,3}", 3..8),
            key in "[abcA]{0,10}",
        ) {
            let rules: Vec<_> = patterns
                .iter()
                .map(|p| translate(p.as_bytes(), Dialect { pcre: false, ignore_case: true, multi_line: false }))
                .collect();
            let found = candidates(&Prefilter::new(&rules), &key);
            for (number, translated) in rules.iter().enumerate() {
                let regex = regex::bytes::Regex::new(translated.as_deref().unwrap()).unwrap();
                if regex.is_match(key.as_bytes()) {
                    assert!(found.contains(&number), "{patterns:?} {key:?}");
                }
            }
        }
    }
}
