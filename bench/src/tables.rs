//! `tables`: postmap builds and asks large tables, Debian's and ours in turn, from the same source files.
//!
//! Building: one million entries of hash: and lmdb:. Asking: `postmap -q -` with keys on standard input, of which half are there. The time
//! with a single key is taken off (starting, opening, compiling the rules); it is shown as `load`. Medians of `--runs`.

use crate::options::Options;
use anyhow::{Context, Result, ensure};
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

const ENTRIES: u32 = 1_000_000;
const RULES: u32 = 10_000;

/// One comparison of look-ups.
struct Lookups {
    /// The table type.
    kind: &'static str,
    /// The source file.
    file: &'static str,
    /// The keys.
    keys: &'static str,
    /// How many keys each side gets: the slower side must end within seconds.
    theirs: u32,
    ours: u32,
}

const LOOKUPS: &[Lookups] = &[
    Lookups { kind: "hash", file: "entries", keys: "entry-keys", theirs: ENTRIES, ours: ENTRIES },
    Lookups { kind: "lmdb", file: "entries", keys: "entry-keys", theirs: ENTRIES, ours: ENTRIES },
    Lookups { kind: "cidr", file: "networks", keys: "address-keys", theirs: 20_000, ours: 1_000_000 },
    Lookups { kind: "regexp", file: "rules", keys: "rule-keys", theirs: 200, ours: 200_000 },
    Lookups { kind: "pcre", file: "rules", keys: "rule-keys", theirs: 1_000, ours: 200_000 },
    Lookups { kind: "pcre", file: "textless", keys: "rule-keys", theirs: 1_000, ours: 20_000 },
];

/// Builds and asks, and prints.
pub fn compare(o: &Options) -> Result<()> {
    let base = std::env::var_os("BENCH_DIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    let dir = base.join(format!("bench-tables.{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let done = Bench { dir: dir.clone(), ours: o.prefix.join("sbin/postmap"), runs: o.runs }.run();
    fs::remove_dir_all(&dir)?;
    done
}

struct Bench {
    dir: PathBuf,
    ours: PathBuf,
    runs: u32,
}

impl Bench {
    fn run(&self) -> Result<()> {
        fs::write(self.dir.join("main.cf"), "compatibility_level = 3.6\n")?;
        self.sources()?;
        println!("{:8} {:10} {:>12} {:>12} {:>8}", "", "", "Postfix", "Hikyaku", "ratio");
        for kind in ["hash", "lmdb"] {
            let theirs = self.median(|| self.build(Path::new("/usr/sbin/postmap"), kind, "theirs"))?;
            let ours = self.median(|| self.build(&self.ours, kind, "ours"))?;
            row(kind, "build s", theirs, ours, theirs / ours);
        }
        LOOKUPS.iter().try_for_each(|lookups| self.lookups(lookups))
    }

    fn sources(&self) -> Result<()> {
        let write = |name: &str, count: u32, line: &dyn Fn(u32) -> String| -> Result<()> {
            let mut out = BufWriter::new(File::create(self.dir.join(name))?);
            (0..count).try_for_each(|n| writeln!(out, "{}", line(n)))?;
            Ok(out.flush()?)
        };
        // The order of hash values: no table likes it better than another.
        let mixed = |n: u32| n.wrapping_mul(2_654_435_761) % 100_000_000;
        for side in ["theirs", "ours"] {
            write(&format!("entries.{side}"), ENTRIES, &|n| {
                format!("user{}@domain{}.example  value{n}", mixed(n), n % 977)
            })?;
        }
        write("entry-keys", ENTRIES, &|n| {
            let n = mixed(n) % (2 * ENTRIES);
            format!("user{}@domain{}.example", mixed(n), n % 977)
        })?;
        write("networks", RULES, &|n| format!("10.{}.{}.{}/30  r{n}", n / 2500, n / 10 % 250, n % 10 * 16))?;
        write("address-keys", ENTRIES, &|n| format!("10.{}.{}.{}", mixed(n) % 8, n % 250, n % 4))?;
        write("rules", RULES, &|n| match n % 4 {
            0 => format!("/^Subject: .*offer{n}[0-9]*/  r{n}"),
            1 => format!("/^From: .*@spam{n}\\.example/  r{n}"),
            2 => format!("/(buy|order) (pills|watch){n}/  r{n}"),
            _ => format!("/name=\"?[^\"]*doc{n}\\.(exe|scr)/  r{n}"),
        })?;
        write("textless", RULES, &|n| format!("/^[0-9]{{{}}}[a-f]{{{}}}@/  r{n}", 1 + n % 90, 1 + n / 90))?;
        write("rule-keys", ENTRIES, &|n| match n % 4 {
            0 => format!("Subject: a special offer{} for you and all of your friends", mixed(n) % RULES),
            1 => format!("From: Someone Else <someone@host{}.example>", n % 977),
            2 => format!(
                "Received: from mail{n}.example.com (mail{n}.example.com [192.0.2.1]) by mx with ESMTP"
            ),
            _ => format!("Content-Type: application/octet-stream; name=\"doc{}.pdf\"", mixed(n) % RULES),
        })
    }

    fn build(&self, postmap: &Path, kind: &str, side: &str) -> Result<f64> {
        for suffix in ["db", "lmdb"] {
            let _ = fs::remove_file(self.dir.join(format!("entries.{side}.{suffix}")));
        }
        self.timed(self.postmap(postmap).arg(format!("{kind}:{}/entries.{side}", self.dir.display())), 0)
    }

    fn lookups(&self, l: &Lookups) -> Result<()> {
        let indexed = ["hash", "lmdb"].contains(&l.kind);
        let sides =
            [("theirs", Path::new("/usr/sbin/postmap"), l.theirs), ("ours", self.ours.as_path(), l.ours)];
        let mut loads = Vec::new();
        let mut rates = Vec::new();
        for (side, postmap, count) in sides {
            if indexed {
                self.build(postmap, l.kind, side)?;
            }
            let file = if indexed { format!("{}.{side}", l.file) } else { l.file.to_owned() };
            let table = format!("{}:{}/{file}", l.kind, self.dir.display());
            let ask = |count: u32| -> Result<f64> {
                self.keys(l.keys, count)?;
                self.median(|| self.timed(self.postmap(postmap).args(["-q", "-", &table]), 1))
            };
            let load = ask(1)?;
            loads.push(load);
            rates.push(f64::from(count) / (ask(count)? - load).max(1e-9));
        }
        let (theirs, ours) = (rates[0], rates[1]);
        row(l.kind, "load s", loads[0], loads[1], loads[0] / loads[1]);
        row(l.kind, &format!("{}/s", l.file), theirs, ours, ours / theirs);
        Ok(())
    }

    /// The first `count` keys, as the file `keys`.
    fn keys(&self, from: &str, count: u32) -> Result<()> {
        let text = fs::read_to_string(self.dir.join(from))?;
        let lines: Vec<&str> = text.split_inclusive('\n').take(usize::try_from(count)?).collect();
        Ok(fs::write(self.dir.join("keys"), lines.concat())?)
    }

    fn postmap(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(&self.dir).stdout(Stdio::null());
        command
    }

    /// Seconds until the command ends. `worst` is the worst exit status that is fine (1: a single key is not there).
    fn timed(&self, command: &mut Command, worst: i32) -> Result<f64> {
        let keys = self.dir.join("keys");
        let input = File::open(&keys).map_or_else(|_| Stdio::null(), Stdio::from);
        let start = Instant::now();
        let status = command.stdin(input).status().with_context(|| format!("{command:?}"))?;
        ensure!(status.code().is_some_and(|code| code <= worst), "{command:?}: {status}");
        Ok(start.elapsed().as_secs_f64())
    }

    fn median(&self, mut run: impl FnMut() -> Result<f64>) -> Result<f64> {
        let mut times = (0..self.runs.max(1)).map(|_| run()).collect::<Result<Vec<_>>>()?;
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().context("no run")
    }
}

fn row(kind: &str, what: &str, theirs: f64, ours: f64, ratio: f64) {
    let digits = if theirs.max(ours) < 100.0 { 3 } else { 0 };
    println!("{kind:8} {what:10} {theirs:12.digits$} {ours:12.digits$} {ratio:8.1}");
}
