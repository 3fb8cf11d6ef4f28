//! Rules without a telling text, many at once: their translations in chunks, each an automaton that says in one pass
//! which of them match.
//!
//! Called by [`crate::prefilter`] for patterns such as `^[0-9]+@`. An automaton is built as far as keys need it, inside
//! a fixed amount of memory; when it does not pay (it outgrows that memory, or cannot be built), its rules are simply
//! tried one by one. So a few unusual rules spoil one chunk, not the table, and no key costs more than a walk over the
//! rules would.

use regex_automata::{
    Input, MatchKind, PatternSet,
    hybrid::dfa::{Cache, DFA},
    nfa::thompson,
    util::{pool::Pool, syntax},
};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Rules of a chunk.
const RULES: usize = 64;
/// Fewer than this are as quickly tried.
const WORTH: usize = 4;
/// Memory of an automaton, as compiled and as it grows.
const NFA_BYTES: usize = 1 << 20;
const CACHE_BYTES: usize = 1 << 20;
/// A chunk that gave up this often is left alone from then on.
const FAILURES: u32 = 16;

type Caches = Pool<Cache, Box<dyn Fn() -> Cache + Send + Sync + UnwindSafe + RefUnwindSafe>>;

/// All chunks of a table.
#[derive(Default)]
pub struct Chunks {
    chunks: Vec<Chunk>,
}

struct Chunk {
    /// Rule number and translation, in order.
    rules: Vec<(u32, String)>,
    automaton: OnceLock<Option<Automaton>>,
    failures: AtomicU32,
}

struct Automaton {
    dfa: DFA,
    caches: Caches,
}

impl Chunks {
    /// Rule numbers in order with their translations. Rules that are too few come back.
    pub fn new(rules: Vec<(u32, String)>) -> (Chunks, Vec<u32>) {
        if rules.len() < WORTH {
            return (Chunks::default(), rules.into_iter().map(|(number, _)| number).collect());
        }
        let chunk = |rules: &[(u32, String)]| Chunk {
            rules: rules.to_vec(),
            automaton: OnceLock::new(),
            failures: AtomicU32::new(0),
        };
        (Chunks { chunks: rules.chunks(RULES).map(chunk).collect() }, Vec::new())
    }

    /// Adds the rules that can match `key` to `hits`, in no order.
    pub fn add_hits(&self, key: &[u8], hits: &mut Vec<u32>) {
        self.chunks.iter().for_each(|chunk| chunk.add_hits(key, hits));
    }
}

impl Chunk {
    fn add_hits(&self, key: &[u8], hits: &mut Vec<u32>) {
        match self.matching(key) {
            Some(found) => {
                let rules = found.iter().filter_map(|pattern| self.rules.get(pattern.as_usize()));
                hits.extend(rules.map(|(number, _)| *number));
            }
            None => hits.extend(self.rules.iter().map(|(number, _)| *number)),
        }
    }

    /// The patterns that match, or nothing known.
    fn matching(&self, key: &[u8]) -> Option<PatternSet> {
        if self.failures.load(Ordering::Relaxed) >= FAILURES {
            return None;
        }
        let automaton = self.automaton.get_or_init(|| Automaton::build(&self.rules)).as_ref()?;
        let mut found = PatternSet::new(self.rules.len());
        let mut cache = automaton.caches.get();
        let done = automaton.dfa.try_which_overlapping_matches(&mut cache, &Input::new(key), &mut found);
        if done.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        done.ok().map(|()| found)
    }
}

impl Automaton {
    fn build(rules: &[(u32, String)]) -> Option<Automaton> {
        let patterns: Vec<&str> = rules.iter().map(|(_, pattern)| pattern.as_str()).collect();
        let config = DFA::config()
            .match_kind(MatchKind::All)
            .cache_capacity(CACHE_BYTES)
            .skip_cache_capacity_check(false)
            .minimum_cache_clear_count(Some(2))
            .minimum_bytes_per_state(Some(16));
        let dfa = DFA::builder()
            .configure(config)
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .thompson(thompson::Config::new().utf8(false).nfa_size_limit(Some(NFA_BYTES)))
            .build_many(&patterns)
            .ok()?;
        let maker = dfa.clone();
        Some(Automaton { dfa, caches: Pool::new(Box::new(move || maker.create_cache())) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(patterns: &[&str], key: &str) -> Vec<u32> {
        let rules = (0u32..).zip(patterns.iter().map(|p| format!("(?is-u:{p})"))).collect();
        let (chunks, rest) = Chunks::new(rules);
        assert!(rest.is_empty());
        let mut hits = Vec::new();
        chunks.add_hits(key.as_bytes(), &mut hits);
        hits.sort_unstable();
        hits
    }

    #[test]
    fn which_match() {
        let patterns = ["^[0-9]+@", "[xy]$", "^.{3}$", r"\b[a-c]\b", "[0-9]{3}.*[0-9]{2}"];
        for (key, want) in [
            ("123@x", vec![0, 1]),
            ("a q", vec![2, 3]),
            ("ABC", vec![2]),
            ("", vec![]),
            ("999 - 12", vec![4]),
        ] {
            assert_eq!(hits(&patterns, key), want, "{key}");
        }
    }

    #[test]
    fn what_cannot_be_built_is_tried() {
        let big = "(?:[a-z][0-9]){1,200}".repeat(40);
        assert_eq!(hits(&[&big, "^q$", "^r$", "^s$"], "none"), [0, 1, 2, 3]);
        assert_eq!(hits(&["(", "a", "b", "c"], "none"), [0, 1, 2, 3]);
    }

    #[test]
    fn states_that_explode_stay_within_bounds() {
        let patterns: Vec<String> = (10..74).map(|n| format!("[ab][cd]?.{{{n}}}[xy]")).collect();
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let rules = (0u32..).zip(patterns.iter().map(|p| format!("(?is-u:{p})"))).collect();
        let (chunks, _) = Chunks::new(rules);
        let mut random = 7u64;
        for _ in 0..FAILURES + 2 {
            let key: Vec<u8> = (0..4000)
                .map(|_| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    b"abcdxz"[usize::try_from(random >> 33).unwrap() % 6]
                })
                .collect();
            let mut hits = Vec::new();
            chunks.add_hits(&key, &mut hits);
            assert_eq!(hits.len(), patterns.len());
        }
    }
}
