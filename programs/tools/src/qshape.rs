//! qshape(1): how the queue is distributed over domains and ages.
//!
//! One row for each domain, those with most first; one column for each span of age, each twice as long as the one before (or
//! equal with `-l`). Without queue names: incoming and active. Reads the queue as mailq does; nothing is shown before all of it is
//! counted (`-N` has no meaning), and only the first 20 domains on a terminal (`-n`).

use crate::console::{Console, Fatal, load_config, queue_directory};
use crate::{getopt, listing, tools::Tool};
use base_calls::Timestamp;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// The record.
pub const TOOL: Tool = Tool { name: "qshape", run, about: "the queue by domain and age" };

const USAGE: &str = "usage: qshape [-s] [-p] [-m min_subdomains] [-b bucket_count] [-t bucket_time] [-l] [-w terminal_width] \
    [-N batch_msg_count] [-n batch_top_domains] [-c config_directory] [queue_name ...]";
/// Columns of a terminal; `-w` makes it wider.
const WIDTH: usize = 80;
/// Most columns.
const MAX_BUCKETS: usize = 1000;

/// The command line.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    dir: Option<OsString>,
    senders: bool,
    parents: bool,
    min_subdomains: usize,
    buckets: usize,
    minutes: u64,
    linear: bool,
    width: usize,
    top: usize,
    queues: Vec<String>,
}

impl Options {
    fn parse(args: &[OsString]) -> Result<Self, String> {
        let parsed = getopt::parse("slpm:b:t:w:N:n:c:", args)?;
        let number = |letter: char, default: usize| match parsed.value(letter) {
            None => Ok(default),
            Some(text) => {
                let n = text.to_str().and_then(|t| t.parse().ok());
                n.ok_or_else(|| format!("bad number for -{letter}: {}", text.display()))
            }
        };
        let mut queues: Vec<String> =
            parsed.operands.iter().map(|q| q.to_string_lossy().trim_end_matches('/').to_owned()).collect();
        if queues.is_empty() {
            queues = vec!["incoming".to_owned(), "active".to_owned()];
        }
        // A path is as good as the name of its queue.
        for queue in &mut queues {
            *queue = queue.rsplit('/').next().unwrap_or_default().to_owned();
        }
        Ok(Self {
            dir: parsed.value('c').map(OsString::from),
            senders: parsed.has('s'),
            parents: parsed.has('p'),
            min_subdomains: number('m', 5)?,
            buckets: number('b', 10)?.clamp(1, MAX_BUCKETS),
            minutes: u64::try_from(number('t', 5)?).unwrap_or(u64::MAX).max(1),
            linear: parsed.has('l'),
            width: number('w', WIDTH)?.max(WIDTH),
            top: number('n', 20)?,
            queues,
        })
    }

    /// Upper ends of the columns but the last, in minutes.
    fn limits(&self) -> Vec<u64> {
        let factor = |i: usize| match self.linear {
            true => i as u64 + 1,
            false => 1u64.checked_shl(u32::try_from(i).unwrap_or(u32::MAX)).unwrap_or(u64::MAX),
        };
        (0..self.buckets.saturating_sub(1)).map(|i| self.minutes.saturating_mul(factor(i))).collect()
    }
}

fn run(args: &[OsString]) -> ExitCode {
    let console = Console::unlogged("qshape");
    let made = Options::parse(args).map_err(|e| Fatal::usage(e, USAGE)).and_then(|o| show(&o));
    match made {
        Ok(text) => match io::stdout().lock().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(why) => console.fatal(&why),
    }
}

fn show(options: &Options) -> Result<String, Fatal> {
    let config = load_config(options.dir.as_deref())?;
    let mut table = Table::new(options, Timestamp::now());
    listing::each(&queue_directory(&config)?, |message| {
        if !options.queues.iter().any(|q| q == message.queue.as_str()) {
            return;
        }
        if options.senders {
            return table.count(&message.sender, message.arrival);
        }
        for (recipient, _) in &message.recipients {
            table.count(recipient, message.arrival);
        }
    })?;
    Ok(table.render(io::stdout().is_terminal()))
}

/// Counts by name and column.
struct Table<'a> {
    options: &'a Options,
    limits: Vec<u64>,
    now: Timestamp,
    total: Vec<u64>,
    rows: HashMap<String, Vec<u64>>,
}

impl<'a> Table<'a> {
    fn new(options: &'a Options, now: Timestamp) -> Self {
        let limits = options.limits();
        Self { options, total: vec![0; limits.len() + 1], limits, now, rows: HashMap::new() }
    }

    fn count(&mut self, address: &str, arrival: Timestamp) {
        let minutes = self.now.since(arrival).as_secs() / 60;
        let column = self.limits.iter().position(|end| minutes < *end).unwrap_or(self.limits.len());
        let name = match address.rsplit_once('@') {
            Some((_, domain)) => domain.to_lowercase(),
            None if address.is_empty() => "MAILER-DAEMON".to_owned(),
            None => address.to_lowercase(),
        };
        let width = self.total.len();
        let row = self.rows.entry(name).or_insert_with(|| vec![0; width]);
        for counts in [&mut self.total, row] {
            if let Some(n) = counts.get_mut(column) {
                *n += 1;
            }
        }
    }

    /// Parent domains with enough subdomains, but top level ones (`-p`).
    fn parents(&self) -> Vec<(String, Vec<u64>)> {
        let mut found: HashMap<&str, (usize, Vec<u64>)> = HashMap::new();
        for (name, counts) in &self.rows {
            let mut rest = name.as_str();
            while let Some((_, parent)) = rest.split_once('.').filter(|(_, parent)| parent.contains('.')) {
                let (children, sums) = found.entry(parent).or_insert_with(|| (0, vec![0; counts.len()]));
                *children += 1;
                sums.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n);
                rest = parent;
            }
        }
        let enough = found.into_iter().filter(|(_, (children, _))| *children >= self.options.min_subdomains);
        enough.map(|(name, (_, sums))| (format!(".{name}"), sums)).collect()
    }

    fn render(&self, terminal: bool) -> String {
        let mut rows: Vec<(String, Vec<u64>)> =
            self.rows.iter().map(|(n, c)| (n.clone(), c.clone())).collect();
        if self.options.parents {
            rows.extend(self.parents());
        }
        let sum = |counts: &[u64]| counts.iter().sum::<u64>();
        rows.sort_by(|a, b| sum(&b.1).cmp(&sum(&a.1)).then_with(|| a.0.cmp(&b.0)));
        if terminal {
            rows.truncate(self.options.top);
        }
        rows.insert(0, ("TOTAL".to_owned(), self.total.clone()));
        let last = self.limits.last().map_or("0+".to_owned(), |end| format!("{end}+"));
        let heads: Vec<String> = std::iter::once("T".to_owned())
            .chain(self.limits.iter().map(u64::to_string))
            .chain([last])
            .collect();
        let cells = |counts: &[u64]| -> Vec<String> {
            std::iter::once(sum(counts)).chain(counts.iter().copied()).map(|n| n.to_string()).collect()
        };
        let body: Vec<Vec<String>> = rows.iter().map(|(_, counts)| cells(counts)).collect();
        let widths: Vec<usize> = (0..heads.len())
            .map(|i| {
                std::iter::once(&heads)
                    .chain(&body)
                    .filter_map(|c| c.get(i))
                    .map(String::len)
                    .max()
                    .unwrap_or(0)
                    .max(2)
            })
            .collect();
        let used: usize = widths.iter().map(|w| w + 1).sum();
        let longest = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0).min(SHORT);
        let room = self.options.width.saturating_sub(used).max(longest);
        let mut out = String::new();
        line(&mut out, room, "", &heads, &widths);
        for ((name, _), cells) in rows.iter().zip(&body) {
            line(&mut out, room, &shorten(name, room), cells, &widths);
        }
        out
    }
}

/// Bytes of a name that is cut, with its mark.
const SHORT: usize = 18;

/// A name that does not fit keeps its end.
fn shorten(name: &str, room: usize) -> String {
    if name.len() <= room {
        return name.to_owned();
    }
    let mark = if name.starts_with('.') { ".+" } else { "+" };
    let from = name.len().saturating_sub(SHORT - mark.len());
    format!("{mark}{}", String::from_utf8_lossy(name.as_bytes().get(from..).unwrap_or_default()))
}

fn line(out: &mut String, room: usize, name: &str, cells: &[String], widths: &[usize]) {
    use std::fmt::Write as _;
    let _ = write!(out, "{name:>room$}");
    for (cell, width) in cells.iter().zip(widths) {
        let _ = write!(out, " {cell:>width$}");
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<Options, String> {
        Options::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn columns() {
        let limits = |line: &str| options(line).expect("options").limits();
        assert_eq!(limits(""), [5, 10, 20, 40, 80, 160, 320, 640, 1280]);
        assert_eq!(limits("-b 3 -t 1"), [1, 2]);
        assert_eq!(limits("-l -b 4"), [5, 10, 15]);
        assert_eq!(limits("-b 0"), [] as [u64; 0]);
        assert_eq!(options("-b x"), Err("bad number for -b: x".into()));
        assert_eq!(
            options("/var/spool/postfix/hold/ deferred").expect("options").queues,
            ["hold", "deferred"]
        );
    }

    #[test]
    fn rows() {
        let options = options("-p -m 2 -b 3 -w 40").expect("options");
        let mut table = Table::new(&options, Timestamp::from_secs(100_000));
        let mut count = |address: &str, minutes: u64| {
            table.count(address, Timestamp::from_secs(100_000 - minutes * 60));
        };
        count("a@x.example.com", 0);
        count("a@Y.example.com", 7);
        count("b@y.example.com", 100);
        count("", 4);
        count("a@a-very-long-name-of-a-domain.example.org", 5);
        let shown = table.render(false);
        assert!(shown.lines().all(|line| line.len() == 80), "{shown}");
        let rows: Vec<&str> = shown.lines().map(str::trim_start).collect();
        assert_eq!(
            rows,
            [
                "T  5 10 10+",
                "TOTAL  5  2  2   1",
                ".example.com  3  1  1   1",
                "y.example.com  2  0  1   1",
                "MAILER-DAEMON  1  1  0   0",
                "a-very-long-name-of-a-domain.example.org  1  0  1   0",
                "x.example.com  1  1  0   0",
            ]
        );
        assert_eq!(shorten("a-very-long-name-of-a-domain.example.org", 20), "+omain.example.org");
        assert_eq!(shorten(".a-very-long-name-of-a-domain.example.org", 20), ".+main.example.org");
    }
}
