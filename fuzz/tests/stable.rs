//! Every check over its corpus and over random mutations of it, for a bounded number of rounds.

use fuzz::TARGETS;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{fs, path::Path};

/// Mutated inputs for each target. `HIKYAKU_FUZZ_ROUNDS` sets another number.
fn rounds() -> u32 {
    std::env::var("HIKYAKU_FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1500)
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())).collect();
    files.sort_by_key(|f| f.as_ref().map(fs::DirEntry::path).ok());
    files.into_iter().map(|f| fs::read(f.unwrap().path()).unwrap()).collect()
}

/// One to eight edits: bytes changed, inserted, removed, doubled, or pieces of another seed put in.
fn mutate(seed: &[u8], other: &[u8], rng: &mut StdRng) -> Vec<u8> {
    const TOKENS: &[&[u8]] = &[
        b"\r\n",
        b"\n",
        b"\r",
        b".",
        b"\r\n.\r\n",
        b"\0",
        b"\xff",
        b"\"",
        b"<",
        b">",
        b"$",
        b"${",
        b"}",
        b"\\",
        b"@",
        b" ",
    ];
    let mut out = seed.to_vec();
    for _ in 0..rng.random_range(1..=8) {
        let at = rng.random_range(0..=out.len());
        match rng.random_range(0..6) {
            0 => out.insert(at, rng.random()),
            1 if at < out.len() => out[at] = rng.random(),
            2 if at < out.len() => drop(out.remove(at)),
            3 => drop(out.splice(at..at, TOKENS[rng.random_range(0..TOKENS.len())].iter().copied())),
            4 => {
                let end = rng.random_range(at..=out.len());
                let piece = out[at..end].to_vec();
                out.splice(at..at, piece);
            }
            _ => {
                let from = rng.random_range(0..=other.len());
                let to = rng.random_range(from..=other.len().min(from + 40));
                out.splice(at..at, other[from..to].iter().copied());
            }
        }
        out.truncate(4096);
    }
    out
}

/// With the stack of a main thread: that is where a configuration is read, and builds without optimization take much of it.
#[test]
fn checks_hold_over_corpora_and_mutations() {
    let run = std::thread::Builder::new().stack_size(8 << 20).spawn(check_all);
    assert!(run.unwrap().join().is_ok());
}

fn check_all() {
    let mut rng = StdRng::seed_from_u64(0x5eed);
    for target in TARGETS {
        let seeds = corpus(target.name);
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        seeds.iter().for_each(|s| (target.check)(s));
        (target.check)(b"");
        for _ in 0..rounds() {
            let seed = &seeds[rng.random_range(0..seeds.len())];
            let other = &seeds[rng.random_range(0..seeds.len())];
            let input = mutate(seed, other, &mut rng);
            let outcome = std::panic::catch_unwind(|| (target.check)(&input));
            assert!(outcome.is_ok(), "{}: {:?}", target.name, input.escape_ascii().to_string());
        }
    }
}

/// Compiling them takes libFuzzer and a build of everything: what stands in them is looked at instead.
#[test]
fn sorted_and_with_a_libfuzzer_target_each() {
    assert!(TARGETS.windows(2).all(|w| w[0].name < w[1].name));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("libfuzzer");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for name in TARGETS.iter().map(|t| t.name) {
        let entry = format!(
            "//! libFuzzer entry for the check of the same name.\n#![no_main]\n\n\
             libfuzzer_sys::fuzz_target!(|input: &[u8]| (fuzz::find(\"{name}\").unwrap().check)(input));\n"
        );
        assert_eq!(fs::read_to_string(folder.join(format!("fuzz_targets/{name}.rs"))).ok(), Some(entry));
        let bin = format!("[[bin]]\nname = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n");
        assert!(manifest.contains(&bin), "{name} is not in libfuzzer/Cargo.toml");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}
