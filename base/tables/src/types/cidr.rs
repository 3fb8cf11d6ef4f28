//! `cidr:/file`, `cidr:{ {rule} … }`: networks and addresses. cidr_table(5).
//!
//! The first rule that holds answers. Rules in a row without `!` and `if` are found by their prefix, so that long
//! lists cost little (also inside `if` blocks); a key that is no address matches nothing.

use super::{Open, TableType};
use crate::lines::{is_space, lines, trim};
use crate::network::{Network, mask, parse_address, widen};
use crate::rules::{read, text_of};
use crate::table::{Answer, OpenError, Table};
use crate::tables::Warn;
use crate::watch::Watched;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "cidr", open, suffix: None };

struct Rule {
    network: Network,
    negated: bool,
    action: Action,
    line: usize,
}

impl Rule {
    /// A rule says nothing about addresses of the other family, not even with `!`.
    fn holds(&self, address: IpAddr) -> bool {
        address.is_ipv6() == self.network.is_v6() && self.network.contains(address) != self.negated
    }

    fn step(&self, address: IpAddr) -> Step<'_> {
        match (&self.action, self.holds(address)) {
            (Action::Result(value), true) => Step::Answer(value),
            (Action::If(end), false) => Step::Jump(*end),
            _ => Step::Next,
        }
    }
}

/// What a rule says about an address.
enum Step<'a> {
    Answer(&'a [u8]),
    Jump(usize),
    Next,
}

enum Action {
    Result(Vec<u8>),
    /// Where to go on when the condition does not hold.
    If(usize),
}

impl Action {
    /// Where a condition that does not hold leads.
    fn target(&self) -> Option<usize> {
        match self {
            Action::If(end) => Some(*end),
            Action::Result(_) => None,
        }
    }
}

/// The first of each prefix; `start` is the number of the first rule.
fn prefixes(rules: &[Rule], start: usize) -> Vec<Prefixes> {
    let mut lengths: Vec<Prefixes> = Vec::new();
    for (number, rule) in (start..).zip(rules) {
        let (v6, length) = (rule.network.is_v6(), rule.network.length());
        let at = lengths.iter().position(|(v, l, _)| (*v, *l) == (v6, length)).unwrap_or_else(|| {
            lengths.push((v6, length, HashMap::new()));
            lengths.len() - 1
        });
        if let Some((_, _, map)) = lengths.get_mut(at) {
            map.entry(rule.network.bits()).or_insert(number);
        }
    }
    lengths
}

struct Rules {
    rules: Vec<Rule>,
    /// Runs of plain results, by the number of their first rule.
    runs: BTreeMap<usize, Run>,
}

/// Rules in a row without `!` and `if`, none of which an `if` jumps to but the first.
struct Run {
    /// Behind the last one.
    end: usize,
    prefixes: Vec<Prefixes>,
}

/// Address family and length of some rules, and which rule comes first for a prefix.
type Prefixes = (bool, u8, HashMap<u128, usize>);

/// Shorter runs are walked.
const WORTH: usize = 8;

struct Cidr {
    spec: String,
    rules: Watched<Rules>,
}

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let (name, warn) = (open.name.to_owned(), open.tables.options().warn.clone());
    let (path, text) = text_of("cidr", open.name)?;
    let opener = open.tables.options().opener.clone();
    let load = move || {
        let text = match &text {
            Some(text) => text.clone(),
            None => read(opener.as_ref(), &name)?,
        };
        Ok(Rules::parse(&text, &name, &warn))
    };
    let rules = Watched::new(path, open.tables.options(), Box::new(load))?;
    Ok(Arc::new(Cidr { spec: open.spec.to_owned(), rules }))
}

impl Table for Cidr {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn lookup_now(&self, key: &[u8]) -> Option<Answer> {
        let Some(address) = std::str::from_utf8(key).ok().and_then(parse_address) else {
            return Some(Ok(None));
        };
        let found = self.rules.with(|rules| rules.find(address).map(<[u8]>::to_vec));
        Some(found.map_err(|e| crate::TableError { table: self.spec.clone(), reason: e.text }))
    }

    fn is_pattern(&self) -> bool {
        true
    }
}

impl Rules {
    fn parse(text: &[u8], name: &str, warn: &Warn) -> Rules {
        let mut rules = Rules { rules: Vec::new(), runs: BTreeMap::new() };
        let mut ifs = Vec::new();
        for line in lines(text) {
            if line.text.first().is_some_and(|b| is_space(*b)) {
                let text = String::from_utf8_lossy(&line.text).into_owned();
                warn(&format!("{name}: logical line must not start with whitespace: \"{text}\""));
            } else if let Err(problem) = rules.line(line.number, &line.text, &mut ifs) {
                warn(&format!("cidr map {name}, line {}: {problem}: skipping this rule", line.number));
            }
        }
        let end = rules.rules.len();
        for open in ifs {
            let Some(rule) = rules.rules.get_mut(open) else { continue };
            rule.action = Action::If(end);
            warn(&format!("cidr map {name}, line {}: IF has no matching ENDIF", rule.line));
        }
        rules.index();
        rules
    }

    fn line(&mut self, line: usize, text: &[u8], ifs: &mut Vec<usize>) -> Result<(), String> {
        let text = String::from_utf8_lossy(text);
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((&text, ""));
        if word.eq_ignore_ascii_case("endif") {
            let open = ifs.pop().ok_or("ENDIF without IF")?;
            let end = self.rules.len();
            if let Some(rule) = self.rules.get_mut(open) {
                rule.action = Action::If(end);
            }
            return Ok(());
        }
        let is_if = word.eq_ignore_ascii_case("if");
        let (pattern, value) = if is_if { (rest.trim(), "") } else { (word, rest.trim()) };
        let bare = pattern.trim_start_matches('!').trim_start();
        let negated = pattern.chars().take_while(|c| *c == '!').count() % 2 == 1;
        // "!" with the pattern behind a space.
        let (bare, value) = match bare.is_empty() && !is_if {
            true => value.split_once(char::is_whitespace).map_or((value, ""), |(p, v)| (p, v.trim())),
            false => (bare, value),
        };
        let network = Network::parse(bare)?;
        if is_if {
            ifs.push(self.rules.len());
        } else if value.is_empty() {
            return Err("no lookup result".to_owned());
        }
        let action =
            if is_if { Action::If(usize::MAX) } else { Action::Result(trim(value.as_bytes()).to_vec()) };
        self.rules.push(Rule { network, negated, action, line });
        Ok(())
    }

    /// Prepares the quick search in every run that is worth it.
    fn index(&mut self) {
        let plain = |rule: &Rule| !rule.negated && matches!(rule.action, Action::Result(_));
        let jumps: HashSet<usize> = self.rules.iter().filter_map(|rule| rule.action.target()).collect();
        let mut start = 0;
        while start < self.rules.len() {
            let rest = self.rules.iter().enumerate().skip(start);
            let run = rest.take_while(|(at, rule)| plain(rule) && (*at == start || !jumps.contains(at)));
            let end = start + run.count();
            if end - start >= WORTH {
                let prefixes = prefixes(self.rules.get(start..end).unwrap_or_default(), start);
                self.runs.insert(start, Run { end, prefixes });
            }
            start = end.max(start + 1);
        }
    }

    fn find(&self, address: IpAddr) -> Option<&[u8]> {
        let (v6, bits, _) = widen(address);
        let mut at = 0;
        while let Some(rule) = self.rules.get(at) {
            let Some(run) = self.runs.get(&at) else {
                match rule.step(address) {
                    Step::Answer(value) => return Some(value),
                    Step::Jump(end) => at = end,
                    Step::Next => at += 1,
                }
                continue;
            };
            let same = run.prefixes.iter().filter(|(v, _, _)| *v == v6);
            let first = same.filter_map(|(_, length, map)| map.get(&(bits & mask(*length)))).min();
            match first.and_then(|first| self.rules.get(*first)).map(|rule| &rule.action) {
                Some(Action::Result(value)) => return Some(value),
                _ => at = run.end,
            }
        }
        None
    }

    /// Rule by rule, to check [`Rules::find`] against.
    #[cfg(test)]
    fn walk(&self, address: IpAddr) -> Option<&[u8]> {
        let mut at = 0;
        while let Some(rule) = self.rules.get(at) {
            match rule.step(address) {
                Step::Answer(value) => return Some(value),
                Step::Jump(end) => at = end,
                Step::Next => at += 1,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn parse(text: &str) -> (Rules, Vec<String>) {
        let log = Arc::new(Mutex::new(Vec::new()));
        let sink = log.clone();
        let warn: Warn = Arc::new(move |text: &str| sink.lock().unwrap().push(text.to_owned()));
        let rules = Rules::parse(text.as_bytes(), "/t", &warn);
        let log = log.lock().unwrap().clone();
        (rules, log)
    }

    fn find(rules: &Rules, address: &str) -> Option<String> {
        rules.find(address.parse().unwrap()).map(|v| String::from_utf8_lossy(v).into_owned())
    }

    #[test]
    fn rules_in_order() {
        let (rules, log) = parse(
            "192.168.0.0/16 yes\n!10.0.0.0/8 not10\nif 10.1.0.0/16\n10.1.2.3 exact\nendif\n2001:db8::/32 v6\n",
        );
        assert_eq!(log, Vec::<String>::new());
        let cases = [
            ("192.168.3.4", Some("yes")),
            ("10.1.2.3", Some("exact")),
            ("10.1.2.4", None),
            ("11.1.2.3", Some("not10")),
            ("2001:db8::1", Some("v6")),
        ];
        for (address, want) in cases {
            assert_eq!(find(&rules, address).as_deref(), want, "{address}");
        }
    }

    #[test]
    fn the_quick_search_keeps_the_order() {
        let mut text = String::from("10.1.0.0/16 wide\n10.1.2.0/24 narrow\n10.3.3.3 one\n10.3.3.0/24 all\n");
        (0..100).for_each(|i| text.push_str(&format!("10.200.{i}.0/24 r{i}\n")));
        let (rules, _) = parse(&text);
        assert_eq!(rules.runs.len(), 1);
        for (address, want) in [
            ("10.1.2.3", Some("wide")),
            ("10.3.3.3", Some("one")),
            ("10.3.3.4", Some("all")),
            ("10.200.77.1", Some("r77")),
            ("10.201.0.0", None),
            ("::1", None),
        ] {
            assert_eq!(find(&rules, address).as_deref(), want, "{address}");
            assert_eq!(rules.walk(address.parse().unwrap()), rules.find(address.parse().unwrap()));
        }
    }

    #[test]
    fn warnings() {
        let cases = [
            ("bad.pattern x", "line 1: bad address pattern: \"bad.pattern\": skipping this rule"),
            ("10.0.0.0/33 mask", "line 1: bad mask length in \"10.0.0.0/33\": skipping this rule"),
            ("1.2.3.4", "line 1: no lookup result: skipping this rule"),
            ("foo", "line 1: bad address pattern: \"foo\": skipping this rule"),
            ("if 1.2.3.0/24 extra", "line 1: bad mask value in \"1.2.3.0/24 extra\": skipping this rule"),
            ("endif", "line 1: ENDIF without IF: skipping this rule"),
            ("if 1.2.3.4", "line 1: IF has no matching ENDIF"),
            ("!if 3.0.0.0/8", "line 1: bad address pattern: \"if\": skipping this rule"),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text).1, [format!("cidr map /t, {want}")], "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_quick_search_changes_nothing(
            lines in proptest::collection::vec("(if !?|!|)(10\\.[0-2]\\.[0-2]\\.0/(24|25|31)|10\\.[0-2]\\.0\\.0/16|10.1.2.[0-3])( [a-d]|)|endif", 0..60),
            addresses: [u32; 4],
        ) {
            let (rules, _) = parse(&(lines.join("\n") + "\n"));
            for bits in addresses {
                let address = IpAddr::from((0x0a00_0000 | bits & 0x0003_0383).to_be_bytes());
                assert_eq!(rules.find(address), rules.walk(address), "{address} {lines:?}");
            }
        }

        #[test]
        fn never_panics(text: Vec<u8>) {
            let warn: Warn = Arc::new(|_: &str| ());
            Rules::parse(&text, "t", &warn).find("1.2.3.4".parse().unwrap());
        }
    }
}
