//! Check functions for arbitrary input, run by the fuzz targets and, over random mutations, by the tests.

use crate::{Config, MainCf, MasterCf, computed::Machine, params};
use std::path::Path;

/// main.cf: nothing panics; what was read prints to a text that reads the same; every value expands or fails.
pub fn check_main_cf(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let Ok(first) = MainCf::parse(&text, Path::new("main.cf")) else { return };
    let Ok(second) = MainCf::parse(&first.print(), Path::new("main.cf")) else {
        panic!("printed main.cf does not read: {:?}", first.print());
    };
    let pairs =
        |cf: &MainCf| cf.entries.iter().map(|e| (e.name.clone(), e.value.clone())).collect::<Vec<_>>();
    assert_eq!(pairs(&first), pairs(&second));
    let names: Vec<String> = first.names().map(str::to_owned).collect();
    let cfg = Config::new(Path::new("/etc/postfix"), first, Machine::example());
    for name in names.iter().take(20) {
        read_value(&cfg, name);
    }
}

fn read_value(cfg: &Config, name: &str) {
    let _ = (cfg.str(name), cfg.list(name));
    if params::find(name).is_some() {
        let _ = (cfg.int(name), cfg.bool(name), cfg.time(name));
    }
}

/// master.cf: nothing panics; what was read prints to a text that reads the same.
pub fn check_master_cf(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let Ok(first) = MasterCf::parse(&text) else { return };
    if first.services.iter().flat_map(|s| &s.words).any(|w| unbalanced(w)) {
        return;
    }
    let Ok(second) = MasterCf::parse(&first.print()) else {
        panic!("printed master.cf does not read: {:?}", first.print());
    };
    let plain = |cf: &MasterCf| {
        cf.services.iter().map(|s| (s.words.clone(), s.overrides.clone())).collect::<Vec<_>>()
    };
    assert_eq!(plain(&first), plain(&second));
}

/// A word that only came to be by forgiving a missing brace cannot be written back.
fn unbalanced(word: &str) -> bool {
    let mut depth = 0_i64;
    word.chars().any(|c| {
        depth += i64::from(c == '{') - i64::from(c == '}');
        depth < 0
    }) || depth != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WORDS: &[&str] = &[
        "a",
        "b",
        " ",
        "\n",
        "=",
        "$",
        "{",
        "}",
        "?",
        ":",
        "==",
        "<level",
        "#",
        ",",
        "smtp",
        "inet",
        "unix",
        "n",
        "-",
        "60?",
        "-o",
        "x=y",
        "-v",
        "$a",
        "${b}",
        "${a?",
        "(",
        ")",
        "\t",
        "\r",
        "é",
        "\u{b}",
        "\\",
        "/",
        "smtp inet n - n - - smtpd",
        "a = ",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn words(picks in proptest::collection::vec(0..WORDS.len(), 0..40)) {
            let text: String = picks.iter().map(|&i| WORDS[i]).collect();
            check_main_cf(text.as_bytes());
            check_master_cf(text.as_bytes());
        }

        #[test]
        fn bytes(input in proptest::collection::vec(any::<u8>(), 0..80)) {
            check_main_cf(&input);
            check_master_cf(&input);
        }
    }
}
