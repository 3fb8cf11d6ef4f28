//! The text format of scenarios.
//!
//! ```text
//! ### name: what it shows
//! @main               lines that replace or add to the base main.cf (@rawmain: the whole file)
//! @master             entries that replace or add to the base master.cf (@rawmaster: the whole file)
//! @nostart            the server is not started
//! @needs PROGRAM …    programs or paths of packages that must be installed
//! @file PATH [mode=755]
//! @map hash:PATH      the file, and postmap on it
//! @dns                NAME TYPE DATA
//! @serve KIND ADDRESS [key=value …]  a fake peer (services/KIND.rs) with its script; "@sink ADDRESS" is "@serve sink ADDRESS"
//! @daemon COMMAND     a real peer, in the background, started before the server; ends with the namespace
//! @wait PATH|HOST:PORT until it exists or accepts
//! @smtp [src=IP] [dst=IP:PORT] [nobanner] [wrap] [sni=NAME] [cert=client]     a dialogue: lines are sent, replies recorded; "+LINE" is sent together with the
//!                     next one; "!raw N TEXT" sends escaped text and reads N replies; "!starttls [TEXT]" (escaped
//!                     text, sent in one piece with the command), "!close", "!sleep S"
//!                     The files of testkit/src/tls.rs stand in /mnt/tls.
//! @run COMMAND        a command; its output and exit status are recorded
//! @sleep SECONDS
//! @check smtp,mail,cmd,log   what is compared (default: all)
//! @differs WHY        a known difference (docs/parity.md): reported, no failure
//! ```

use anyhow::{Result, bail};

/// One step or setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The word after `@`.
    pub kind: String,
    /// The rest of that line.
    pub arg: String,
    /// The lines below.
    pub body: Vec<String>,
}

/// A scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// Its items in order.
    pub items: Vec<Item>,
}

impl Scenario {
    /// Bodies of all items of a kind.
    pub fn bodies(&self, kind: &str) -> Vec<String> {
        self.items.iter().filter(|i| i.kind == kind).flat_map(|i| i.body.clone()).collect()
    }
}

const KINDS: &[&str] = &[
    "aliases",
    "check",
    "daemon",
    "differs",
    "dns",
    "file",
    "main",
    "map",
    "master",
    "needs",
    "nostart",
    "rawmain",
    "rawmaster",
    "run",
    "serve",
    "settle",
    "sink",
    "sleep",
    "smtp",
    "wait",
];

/// Parses a file of scenarios.
pub fn parse(text: &str) -> Result<Vec<Scenario>> {
    let mut all: Vec<Scenario> = Vec::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("### ") {
            let name = head.split([':', ' ']).next().unwrap_or_default().to_owned();
            all.push(Scenario { name, items: Vec::new() });
            continue;
        }
        let Some(scenario) = all.last_mut() else { continue };
        if let Some(rest) = line.strip_prefix('@') {
            let (kind, arg) = rest.split_once(' ').unwrap_or((rest, ""));
            if !KINDS.contains(&kind) {
                bail!("{}: unknown item @{kind}", scenario.name);
            }
            scenario.items.push(Item { kind: kind.into(), arg: arg.trim().into(), body: Vec::new() });
        } else if let Some(item) = scenario.items.last_mut() {
            item.body.push(line.strip_prefix('\\').unwrap_or(line).to_owned());
        }
    }
    for item in all.iter_mut().flat_map(|s| &mut s.items) {
        while item.body.last().is_some_and(|l| l.trim().is_empty()) {
            item.body.pop();
        }
    }
    Ok(all)
}

/// Options `key=value` of an argument, and what is left.
pub fn options(arg: &str) -> (Vec<&str>, Vec<(&str, &str)>) {
    let (mut plain, mut named) = (Vec::new(), Vec::new());
    for word in arg.split_whitespace() {
        match word.split_once('=') {
            Some(pair) => named.push(pair),
            None => plain.push(word),
        }
    }
    (plain, named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_and_bodies() {
        let all = parse("### a: b c\n@main\nx = 1\n\n@smtp src=1.2.3.4\nEHLO c\n\\@x\n\n### d\n@run mailq\n")
            .unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].name.as_str(), all[1].name.as_str()), ("a", "d"));
        assert_eq!(all[0].items[1].body, ["EHLO c", "@x"]);
        assert_eq!(options(&all[0].items[1].arg).1, [("src", "1.2.3.4")]);
        assert!(parse("### a\n@nosuch\n").is_err());
    }
}
