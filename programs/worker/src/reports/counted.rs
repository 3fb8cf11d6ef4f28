//! What was counted for reports: which rows of the cache belong to which domain, and whose last report could not be sent.
//!
//! A row stays in the cache until its domain's turn. Rows that no report has room for are dropped, so that nobody can fill
//! the cache for more than one interval.

use super::{Batch, SINCE};
use base_cache::Cache;
use std::collections::BTreeMap;

/// The most rows of a report.
pub const MAX_ROWS: usize = 5_000;
/// Between the fields of a row.
const SEPARATOR: char = '\t';
/// Before the domain in the entry of one whose last report could not be sent.
const FAILED: char = '!';

/// What there is for a domain.
#[derive(Debug, Default)]
pub struct Counted {
    /// At most [`MAX_ROWS`].
    keys: Vec<String>,
    /// How many more there were.
    pub surplus: usize,
    /// The last report could not be sent, and some of the rows are its.
    pub failed: bool,
}

impl Counted {
    /// Takes the rows out of the cache.
    pub fn take(&self, cache: &Cache) -> Vec<(String, u64)> {
        let count = |key: &String| cache.take(key)?.parse().ok();
        self.keys.iter().filter_map(|key| Some((key.clone(), count(key)?))).collect()
    }
}

/// Which rows there are, by domain. Those that are too many for one report, marks of failures and what makes no sense leave the cache.
pub fn collect(cache: &Cache) -> BTreeMap<String, Counted> {
    let mut out: BTreeMap<String, Counted> = BTreeMap::new();
    cache.retain(|key, count| {
        let Some((domain, _)) = key.split_once(SEPARATOR) else {
            if let Some(domain) = key.strip_prefix(FAILED) {
                out.entry(domain.to_owned()).or_default().failed = true;
            }
            return key == SINCE;
        };
        if count.parse::<u64>().is_err() {
            return false;
        }
        let counted = out.entry(domain.to_owned()).or_default();
        let room = counted.keys.len() < MAX_ROWS;
        match room {
            true => counted.keys.push(key.to_owned()),
            false => counted.surplus += 1,
        }
        room
    });
    out.retain(|_, counted| !counted.keys.is_empty());
    out
}

/// For the next report, and that it is the last one to try.
pub fn put_back(cache: &Cache, batch: &Batch) {
    batch.rows.iter().for_each(|(row, count)| cache.add(row, *count));
    cache.put(&format!("{FAILED}{}", batch.domain), "1");
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_cache::Caches;
    use std::sync::Arc;

    #[test]
    fn what_was_counted() {
        let cache = Caches::new(Arc::new(|_| ())).open("");
        for (key, count) in [("a.test\tx", 1), ("b.test\tx", 2), ("a.test\ty", 3), (SINCE, 4), ("odd", 5)] {
            cache.add(key, count);
        }
        (0..MAX_ROWS + 2).for_each(|i| cache.add(&format!("c.test\t{i}"), 1));
        let all = collect(&cache);
        let told: Vec<_> = all.iter().map(|(d, c)| (d.as_str(), c.keys.len(), c.surplus, c.failed)).collect();
        assert_eq!(told, [("a.test", 2, 0, false), ("b.test", 1, 0, false), ("c.test", MAX_ROWS, 2, false)]);
        // Since when it is counted stays; what was too much does not.
        assert_eq!((cache.get(SINCE).as_deref(), cache.get("odd")), (Some("4"), None));
        assert_eq!((collect(&cache)["c.test"].keys.len(), collect(&cache)["c.test"].surplus), (MAX_ROWS, 0));
        let mut rows = all["a.test"].take(&cache);
        rows.sort();
        assert_eq!(rows, [("a.test\tx".to_owned(), 1), ("a.test\ty".to_owned(), 3)]);
        assert_eq!((cache.get("a.test\tx"), cache.get("b.test\tx").as_deref()), (None, Some("2")));
        // A failure is known once, and only where there are rows.
        for domain in ["a.test", "none.test"] {
            let rows = if domain == "a.test" { rows.clone() } else { Vec::new() };
            put_back(&cache, &Batch { kind: "x", domain: domain.to_owned(), rows, span: (0, 1) });
        }
        let failed: Vec<_> = collect(&cache).into_iter().filter_map(|(d, c)| c.failed.then_some(d)).collect();
        assert_eq!(failed, ["a.test"]);
        assert!(!collect(&cache)["a.test"].failed);
    }
}
