//! Which rules of a table can match a key at all, found in one pass over the key.
//!
//! From each pattern the texts are taken that every match contains ("user1@", ".example"). One pass
//! looks for the rarest of each rule (see [`crate::grams`]); a rule without all of its texts in the key is not tried. Patterns without such a text are
//! asked in chunks (see [`crate::chunks`]); those without translation are always tried.

use crate::chunks::Chunks;
use crate::grams::Grams;
use regex_syntax::hir::{Hir, HirKind};
use std::collections::HashMap;

/// Texts that a rule needs: one of each clause.
pub type Clauses = Vec<Vec<Vec<u8>>>;

/// Below this, trying each rule is as quick.
const WORTH: usize = 3;
/// Shorter texts are found everywhere.
const SHORTEST: usize = 2;
/// The most alternatives of a clause, and clauses of a rule.
const MAX_ALTERNATIVES: usize = 32;
const MAX_CLAUSES: usize = 4;

/// What is known about the keys that a rule matches.
pub enum Needs {
    /// They contain a text of each clause.
    Texts(Clauses),
    /// They match this translated pattern.
    Pattern(String),
    /// Nothing: the rule is always tried.
    Nothing,
}

impl Needs {
    /// All these texts, if there is one that tells anything.
    pub fn texts(texts: Vec<Vec<u8>>) -> Option<Needs> {
        let clauses = telling(texts.into_iter().map(|text| vec![text]).collect());
        (!clauses.is_empty()).then_some(Needs::Texts(clauses))
    }
}

/// What is known about all patterns of a table.
pub struct Prefilter {
    grams: Grams,
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
    /// What each rule needs.
    pub fn new(rules: Vec<Needs>) -> Prefilter {
        if rules.len() < WORTH {
            return Prefilter::always(rules.len());
        }
        let mut texts = Texts::default();
        let mut textless = Vec::new();
        let mut filter = Prefilter::always(0);
        for (number, needs) in (0..u32::MAX).zip(rules) {
            let (clauses, pattern) = match needs {
                Needs::Texts(clauses) => (clauses, None),
                Needs::Pattern(pattern) => (clauses_of(&pattern), Some(pattern)),
                Needs::Nothing => (Vec::new(), None),
            };
            match (clauses.is_empty(), pattern) {
                (false, _) => (),
                (true, Some(pattern)) => textless.push((number, pattern)),
                (true, None) => filter.always.push(number),
            }
            filter.others.push(clauses.into_iter().map(|clause| texts.numbers(clause)).collect());
        }
        let (chunks, few) = Chunks::new(textless);
        filter.chunks = chunks;
        filter.always.extend(few);
        filter.always.sort_unstable();
        filter.file(texts);
        filter
    }

    /// Each rule is looked for by the clause whose texts the fewest rules have.
    fn file(&mut self, texts: Texts) {
        self.rules_of.resize(texts.list.len(), Vec::new());
        self.grams = Grams::new(texts.list);
        let users = |clause: &Vec<u32>| -> u64 {
            let uses =
                |text: &u32| usize::try_from(*text).ok().and_then(|text| texts.uses.get(text)).copied();
            clause.iter().filter_map(uses).map(u64::from).sum()
        };
        for (rule, clauses) in (0..u32::MAX).zip(&mut self.others) {
            let Some(rarest) = (0..clauses.len()).min_by_key(|n| clauses.get(*n).map_or(0, users)) else {
                continue;
            };
            for text in clauses.remove(rarest) {
                let Some(rules) = usize::try_from(text).ok().and_then(|text| self.rules_of.get_mut(text))
                else {
                    continue;
                };
                if rules.is_empty() {
                    self.grams.file(text);
                }
                rules.push(rule);
            }
        }
    }

    /// Every rule is tried.
    pub fn always(rules: usize) -> Prefilter {
        let count = u32::try_from(rules).unwrap_or(u32::MAX);
        Prefilter {
            grams: Grams::default(),
            rules_of: Vec::new(),
            others: Vec::new(),
            always: (0..count).collect(),
            chunks: Chunks::default(),
        }
    }

    /// The rules that can match `key`.
    pub fn candidates(&self, key: &[u8]) -> Candidates<'_> {
        Candidates { always: &self.always, hits: self.hits(key) }
    }

    /// The rules whose texts are all in the key, in order.
    fn hits(&self, key: &[u8]) -> Vec<u32> {
        if self.others.is_empty() {
            return Vec::new();
        }
        let lower = key.to_ascii_lowercase();
        let mut present = Distinct::default();
        self.grams.search(&lower, |text| present.push(text));
        let complete = |rule: &u32| {
            let others = usize::try_from(*rule).ok().and_then(|r| self.others.get(r));
            let here = |clause: &Vec<u32>| clause.iter().any(|text| self.grams.is_in(*text, &lower));
            others.is_none_or(|clauses| clauses.iter().all(here))
        };
        let rules_of = |text: u32| usize::try_from(text).ok().and_then(|text| self.rules_of.get(text));
        let found = present.sorted().into_iter().filter_map(rules_of).flatten();
        let mut hits: Vec<u32> = found.filter(|rule| complete(rule)).copied().collect();
        self.chunks.add_hits(key, &mut hits);
        hits.sort_unstable();
        hits.dedup();
        hits
    }
}

/// Numbers that may come often; takes no more than about twice the room of the different ones.
#[derive(Default)]
struct Distinct {
    all: Vec<u32>,
    limit: usize,
}

impl Distinct {
    fn push(&mut self, number: u32) {
        if self.all.len() > self.limit {
            self.tidy();
            self.limit = self.all.len() * 2 + 1024;
        }
        self.all.push(number);
    }

    fn tidy(&mut self) {
        self.all.sort_unstable();
        self.all.dedup();
    }

    fn sorted(mut self) -> Vec<u32> {
        self.tidy();
        self.all
    }
}

/// The texts of all rules, each once, in lower case.
#[derive(Default)]
struct Texts {
    list: Vec<Vec<u8>>,
    /// How many rules have it.
    uses: Vec<u32>,
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
        let (list, uses) = (&mut self.list, &mut self.uses);
        let number = *self.known.entry(text).or_insert_with_key(|text| {
            list.push(text.clone());
            uses.push(0);
            next
        });
        if let Some(uses) = usize::try_from(number).ok().and_then(|n| uses.get_mut(n)) {
            *uses = uses.saturating_add(1);
        }
        number
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
    telling(parsed.map(|hir| needed(&hir)).unwrap_or_default())
}

/// The clauses that tell most.
fn telling(mut clauses: Clauses) -> Clauses {
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

    fn translated(pattern: &str) -> String {
        translate(pattern.as_bytes(), Dialect { pcre: false, ignore_case: true, multi_line: false }).unwrap()
    }

    fn rule(pattern: &str) -> Needs {
        Needs::Pattern(translated(pattern))
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
        let filter = Prefilter::new(vec![
            rule("abc.*def"),
            Needs::Nothing,
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
        let filter = Prefilter::new(vec![rule("abc"), rule("def")]);
        assert_eq!(candidates(&filter, "x"), [0, 1]);
    }

    proptest::proptest! {
        #[test]
        fn never_leaves_out_a_match(
            patterns in proptest::collection::vec(r"[abc]{1,3}(\.\*|\||\+|)[abcA]{0,3}", 3..8),
            key in "[abcA]{0,10}",
        ) {
            let found = candidates(&Prefilter::new(patterns.iter().map(|p| rule(p)).collect()), &key);
            for (number, pattern) in patterns.iter().enumerate() {
                let regex = regex::bytes::Regex::new(&translated(pattern)).unwrap();
                if regex.is_match(key.as_bytes()) {
                    assert!(found.contains(&number), "{patterns:?} {key:?}");
                }
            }
        }
    }
}
