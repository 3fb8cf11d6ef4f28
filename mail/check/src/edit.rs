//! Which of the known words was probably meant: the nearest by edits (a wrong, missing, additional letter, or two letters
//! exchanged), if it is near enough.

/// Longest word that is compared.
const MAX: usize = 100;

/// The nearest of `known`; `None` when nothing is near.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    if word.len() < 3 || word.len() > MAX {
        return None;
    }
    let limit = (word.len() / 4).clamp(1, 3);
    let near = known.into_iter().filter(|k| k.len() <= MAX && k.len().abs_diff(word.len()) <= limit);
    let scored = near.map(|k| (distance(&word, &k.to_ascii_lowercase()), k));
    scored.filter(|(d, _)| *d <= limit).min_by_key(|(d, _)| *d).map(|(_, k)| k)
}

/// The number of edits from `a` to `b` (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |r: &[usize], k: usize| r.get(k).copied().unwrap_or(usize::MAX - 1);
            let mut best =
                (at(&last, j) + usize::from(x != y)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let exchanged = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if exchanged {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expect) in [
            ("submet", "subnet", 1),
            ("abc", "acb", 1),
            ("abc", "abc", 0),
            ("abc", "ab", 1),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expect, "{a} {b}");
        }
    }

    #[test]
    fn only_what_is_near() {
        let known = ["class", "subnet", "host", "smtpd_sender_restrictions"];
        assert_eq!(nearest("submet", known), Some("subnet"));
        assert_eq!(nearest("SMTPD_sender_restriction", known), Some("smtpd_sender_restrictions"));
        assert_eq!(nearest("other", known), None);
        assert_eq!(nearest("ab", known), None);
    }
}
