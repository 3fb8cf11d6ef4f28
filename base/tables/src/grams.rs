//! Which of many texts stand in a key: tens of thousands of texts, ready in milliseconds, asked in one pass.
//!
//! Each text is filed below a few bytes of it (eight, four or two), those that the fewest others are filed below. The pass looks at
//! each place of the key for bytes that something is filed below, and compares the texts filed there. Called by [`crate::prefilter`].
//! Case does not count.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// How many bytes a text may be filed below.
const LENGTHS: [usize; 3] = [8, 4, 2];
/// Bits of a [`Filed::marks`].
const MARKS: usize = 1 << 17;

/// The texts.
#[derive(Default)]
pub struct Grams {
    texts: Vec<Box<[u8]>>,
    /// By the lengths.
    filed: [Option<Box<Filed>>; LENGTHS.len()],
}

struct Filed {
    /// Where something may be filed: one bit for many grams.
    marks: Box<[u64]>,
    /// Text number and its distance from the gram.
    below: HashMap<u64, Vec<(u32, u32)>, BuildHasherDefault<Mixer>>,
}

impl Grams {
    /// Texts in lower case; none of them is looked for yet.
    pub fn new(texts: Vec<Vec<u8>>) -> Grams {
        Grams { texts: texts.into_iter().map(Vec::into_boxed_slice).collect(), ..Grams::default() }
    }

    /// From now on the text is looked for. One shorter than two bytes is never found.
    pub fn file(&mut self, number: u32) {
        let Some(text) = usize::try_from(number).ok().and_then(|n| self.texts.get(n)) else { return };
        let mut lengths = LENGTHS.iter().zip(&mut self.filed);
        if let Some((length, filed)) = lengths.find(|(length, _)| **length <= text.len()) {
            filed.get_or_insert_with(Box::default).add(number, text, *length);
        }
    }

    /// Whether `key` (in lower case) contains the text.
    pub fn is_in(&self, number: u32, key: &[u8]) -> bool {
        let text = usize::try_from(number).ok().and_then(|n| self.texts.get(n));
        text.is_some_and(|text| memchr::memmem::find(key, text).is_some())
    }

    /// Calls `found` with the number of each filed text in `key` (in lower case), once for each place of it.
    pub fn search(&self, key: &[u8], mut found: impl FnMut(u32)) {
        for (length, filed) in LENGTHS.iter().zip(&self.filed) {
            let Some(filed) = filed else { continue };
            for (at, window) in key.windows(*length).enumerate() {
                for (number, before) in filed.at(gram(window)) {
                    let start = usize::try_from(*before).ok().and_then(|before| at.checked_sub(before));
                    let text = usize::try_from(*number).ok().and_then(|n| self.texts.get(n));
                    let (Some(start), Some(text)) = (start, text) else { continue };
                    if key.get(start..).is_some_and(|key| key.starts_with(text)) {
                        found(*number);
                    }
                }
            }
        }
    }
}

impl Default for Filed {
    fn default() -> Filed {
        Filed { marks: vec![0; MARKS / 64].into_boxed_slice(), below: HashMap::default() }
    }
}

impl Filed {
    fn add(&mut self, number: u32, text: &[u8], length: usize) {
        let others = |window: &[u8]| self.below.get(&gram(window)).map_or(0, Vec::len);
        let best = (0_u32..).zip(text.windows(length)).min_by_key(|(_, window)| others(window));
        let Some((before, window)) = best else { return };
        let gram = gram(window);
        let (word, bit) = mark(gram);
        if let Some(word) = self.marks.get_mut(word) {
            *word |= bit;
        }
        self.below.entry(gram).or_default().push((number, before));
    }

    #[inline]
    fn at(&self, gram: u64) -> &[(u32, u32)] {
        let (word, bit) = mark(gram);
        if self.marks.get(word).is_none_or(|word| word & bit == 0) {
            return &[];
        }
        self.below.get(&gram).map_or(&[], Vec::as_slice)
    }
}

/// At most eight bytes as a number.
#[inline]
fn gram(window: &[u8]) -> u64 {
    window.iter().fold(0, |gram, byte| gram << 8 | u64::from(*byte))
}

#[inline]
fn mix(gram: u64) -> u64 {
    let mixed = gram.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

/// Word and bit of the mark.
#[inline]
fn mark(gram: u64) -> (usize, u64) {
    let mixed = usize::try_from(mix(gram) >> 8 & (MARKS as u64 - 1)).unwrap_or(0);
    (mixed / 64, 1 << (mixed % 64))
}

/// Hashes one number. The texts are the administrator's, not strangers'.
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = mix(self.0 ^ u64::from(*byte)));
    }
    fn write_u64(&mut self, gram: u64) {
        self.0 = mix(gram);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(texts: &[Vec<u8>], key: &[u8]) -> Vec<u32> {
        let mut found = Vec::new();
        let mut grams = Grams::new(texts.to_vec());
        (0..u32::try_from(texts.len()).unwrap()).for_each(|number| grams.file(number));
        grams.search(key, |number| found.push(number));
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn finds_all() {
        let texts =
            ["user00001@", ".example", "ab", "abcd", "bcd", "user00002@"].map(|t| t.as_bytes().to_vec());
        assert_eq!(found(&texts, b"user00001@a.example"), [0, 1]);
        assert_eq!(found(&texts, b"abcd"), [2, 3, 4]);
        assert_eq!(found(&texts, b"ser00001@"), []);
        assert_eq!(found(&texts, b""), []);
    }

    proptest::proptest! {
        #[test]
        fn finds_what_a_search_finds(
            texts in proptest::collection::vec(proptest::collection::vec(b'a'..=b'c', 2..12), 0..20),
            key in proptest::collection::vec(b'a'..=b'c', 0..40),
        ) {
            let want: Vec<u32> = (0..).zip(&texts)
                .filter(|(_, text)| memchr::memmem::find(&key, text).is_some()).map(|(n, _)| n).collect();
            assert_eq!(found(&texts, &key), want);
        }
    }
}
