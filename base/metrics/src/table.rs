//! Counters by label, with a bound: who comes when the table is full is counted as others.
//!
//! Looking up goes over the places in order, without lock; a place once taken keeps its label. Meant for a few dozen labels.

use crate::Counter;
use std::sync::OnceLock;

/// The most labels of one table.
const PLACES: usize = 96;

/// Counters by label.
#[derive(Debug)]
pub struct Table<K> {
    places: [(OnceLock<K>, Counter); PLACES],
    others: Counter,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { places: std::array::from_fn(|_| Default::default()), others: Counter::default() }
    }
}

impl<K> Table<K> {
    /// More of those whose label `is` the one; `make` makes it the first time.
    pub fn add(&self, n: u64, is: impl Fn(&K) -> bool, make: impl Fn() -> K) {
        for (label, counter) in &self.places {
            if is(label.get_or_init(&make)) {
                return counter.add(n);
            }
        }
        self.others.add(n);
    }

    /// The labels with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&K, u64)> {
        self.places.iter().map_while(|(label, counter)| Some((label.get()?, counter.get())))
    }

    /// Those without a place.
    pub fn others(&self) -> u64 {
        self.others.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded() {
        let table = Table::default();
        for _ in 0..2 {
            for n in 0..PLACES + 10 {
                table.add(1, |k| *k == n, || n);
            }
        }
        assert_eq!(table.iter().count(), PLACES);
        assert!(table.iter().enumerate().all(|(i, (k, n))| i == *k && n == 2));
        assert_eq!(table.others(), 20);
    }
}
