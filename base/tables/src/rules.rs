//! Tables of rules: what regexp: and pcre: have in common. regexp_table(5), pcre_table(5).
//!
//! `/pattern/flags result`, `!/pattern/flags result`, `if /pattern/flags` … `endif`. A rule that makes no sense is
//! warned about with file and line, in Postfix's words, and left out. A prefilter over all patterns says which
//! rules can match at all; the others are not tried.

use crate::TableError;
use crate::lines::{self, is_space, lines, trim};
use crate::plain::{Meaning, Plain};
use crate::prefilter::{Needs, Prefilter};
use crate::table::{Answer, OpenError, Table};
use crate::tables::{Usage, Warn};
use crate::template::{Fault, Template};
use crate::types::Open;
use crate::watch::Watched;
use base_sys::opener::Opener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// The most rules of a table.
const MAX_RULES: usize = 1_000_000;
/// The largest file of rules, in bytes.
const MAX_FILE: u64 = 1 << 30;

/// Where the whole pattern and its groups matched.
pub type Groups = Vec<Option<Range<usize>>>;

/// A compiled pattern of one of the two types.
pub trait Engine: Send + Sync + Sized + 'static {
    /// `regexp` or `pcre`.
    const NAME: &'static str;
    /// The flags as toggled.
    type Flags: Copy;
    /// The flags of a pattern without any.
    fn default_flags() -> Self::Flags;
    /// Toggles a flag: false when there is no such flag. `Err` is a warning, the flag is ignored.
    fn toggle(flags: &mut Self::Flags, letter: u8) -> Result<bool, String>;
    /// Compiles a pattern, or says why not.
    fn compile(pattern: &[u8], flags: Self::Flags) -> Result<Self, String>;
    /// What the flags mean for a plain pattern (see [`crate::plain`]), if there is any with these flags.
    fn plain(pattern: &[u8], flags: Self::Flags) -> Option<Meaning>;
    /// The pattern in the syntax of the regex crate, matching at least what this one matches.
    fn for_prefilter(pattern: &[u8], flags: Self::Flags) -> Option<String>;
    /// Is the translation tried before the pattern, because that is slow?
    const SLOW: bool;
    /// The number of groups.
    fn groups(&self) -> usize;
    /// Does it match?
    fn is_match(&self, key: &[u8]) -> Result<bool, String>;
    /// Where it matches.
    fn captures(&self, key: &[u8]) -> Result<Option<Groups>, String>;
}

struct Rule<E: Engine> {
    line: usize,
    negated: bool,
    pattern: Pattern<E>,
    action: Action,
}

enum Pattern<E: Engine> {
    Plain(Plain),
    Compiled(E),
    /// A slow engine, with the translation, which is tried first once the rule was tried often enough to be worth it.
    Slow(E, Quick),
}

struct Quick {
    translated: String,
    compiled: OnceLock<Option<regex::bytes::Regex>>,
    asked: AtomicU32,
}

/// A rule that was tried this often is worth its translation.
const OFTEN: u32 = 8;

impl Quick {
    /// True when the pattern cannot match.
    fn says_no(&self, key: &[u8]) -> bool {
        if self.asked.load(Ordering::Relaxed) < OFTEN {
            self.asked.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let compile = || regex::bytes::Regex::new(&self.translated).ok();
        self.compiled.get_or_init(compile).as_ref().is_some_and(|regex| !regex.is_match(key))
    }
}

impl<E: Engine> Pattern<E> {
    fn groups(&self) -> usize {
        match self {
            Pattern::Plain(_) => 0,
            Pattern::Compiled(engine) | Pattern::Slow(engine, _) => engine.groups(),
        }
    }

    fn is_match(&self, key: &[u8]) -> Result<bool, String> {
        match self {
            Pattern::Plain(plain) => Ok(plain.is_match(key)),
            Pattern::Slow(_, quick) if quick.says_no(key) => Ok(false),
            Pattern::Compiled(engine) | Pattern::Slow(engine, _) => engine.is_match(key),
        }
    }

    /// The groups; a plain pattern has none.
    fn captures(&self, key: &[u8]) -> Result<Option<Groups>, String> {
        match self {
            Pattern::Plain(plain) => Ok(plain.is_match(key).then(Groups::new)),
            Pattern::Slow(_, quick) if quick.says_no(key) => Ok(None),
            Pattern::Compiled(engine) | Pattern::Slow(engine, _) => engine.captures(key),
        }
    }
}

enum Action {
    Result(Template),
    /// `if`: where to go on when the pattern does not hold.
    If(usize),
}

/// The rules of one table.
pub struct Rules<E: Engine> {
    rules: Vec<Rule<E>>,
    /// Where `if` blocks start and end.
    ifs: Vec<(usize, usize)>,
    prefilter: Prefilter,
}

/// Opens a table of rules: a file, or `{ {rule} … }`.
pub fn open<E: Engine>(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let (name, usage, warn) = (open.name.to_owned(), open.usage, open.tables.options().warn.clone());
    let (path, text) = text_of(E::NAME, open.name)?;
    let opener = open.tables.options().opener.clone();
    let load = move || {
        let text = match &text {
            Some(text) => text.clone(),
            None => read(opener.as_ref(), &name)?,
        };
        Ok(Rules::<E>::parse(&text, &name, usage, &warn))
    };
    let rules = Watched::new(path, open.tables.options(), Box::new(load))?;
    Ok(Arc::new(RuleTable {
        spec: open.spec.to_owned(),
        name: open.name.to_owned(),
        fold: usage.fold_patterns,
        rules,
    }))
}

/// The file to read, or the text of an inline table.
pub fn text_of(kind: &str, name: &str) -> Result<(Vec<PathBuf>, Option<Vec<u8>>), OpenError> {
    if !name.starts_with('{') {
        return Ok((vec![name.into()], None));
    }
    let bad = |what: String| OpenError::new(format!("{kind} map: {what}"));
    let mut text = Vec::new();
    for rule in lines::tokens(lines::braces(name).map_err(bad)?) {
        text.extend_from_slice(lines::braces(rule).map_err(bad)?.as_bytes());
        text.push(b'\n');
    }
    Ok((Vec::new(), Some(text)))
}

/// Reads a rule file.
pub fn read(opener: &dyn Opener, name: &str) -> Result<Vec<u8>, OpenError> {
    let text = opener.read(Path::new(name), MAX_FILE);
    text.map_err(|e| OpenError::new(format!("open {name}: {}", base_sys::system_text(&e))))
}

struct RuleTable<E: Engine> {
    spec: String,
    name: String,
    fold: bool,
    rules: Watched<Rules<E>>,
}

impl<E: Engine> Table for RuleTable<E> {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn lookup_now(&self, key: &[u8]) -> Option<Answer> {
        let error = |reason| TableError { table: self.spec.clone(), reason };
        let found = crate::fold::fold_if(self.fold, key, |key| self.rules.with(|rules| rules.find(key)));
        Some(match found {
            Ok(Ok(value)) => Ok(value),
            Ok(Err((line, reason))) => {
                Err(error(format!("{} map {}, line {line}: {reason}", E::NAME, self.name)))
            }
            Err(open) => Err(error(open.text)),
        })
    }

    fn is_pattern(&self) -> bool {
        true
    }
}

impl<E: Engine> Rules<E> {
    /// Reads the rules of `text`.
    pub fn parse(text: &[u8], name: &str, usage: Usage, warn: &Warn) -> Rules<E> {
        let mut parser =
            Parser { name, usage, warn, rules: Vec::new(), ifs: Vec::new(), filters: Vec::new() };
        for line in lines(text) {
            if parser.rules.len() >= MAX_RULES {
                parser.warn(line.number, "too many rules: ignoring the rest");
                break;
            }
            parser.line(line.number, &line.text);
        }
        let end = parser.rules.len();
        for open in std::mem::take(&mut parser.ifs) {
            let Some(rule) = parser.rules.get_mut(open) else { continue };
            rule.action = Action::If(end);
            let line = rule.line;
            parser.warn(line, "IF has no matching ENDIF");
        }
        let (prefilter, rules) = (Prefilter::new(parser.filters), parser.rules);
        let ifs = rules.iter().enumerate().filter_map(|(open, rule)| match rule.action {
            Action::If(end) => Some((open, end)),
            Action::Result(_) => None,
        });
        Rules { ifs: ifs.collect(), prefilter, rules }
    }

    /// The same rules without the filter and the translations (to check these against).
    pub fn without_filter(self) -> Rules<E> {
        let prefilter = Prefilter::always(self.rules.len());
        let plainly = |rule: Rule<E>| match rule.pattern {
            Pattern::Slow(engine, _) => Rule { pattern: Pattern::Compiled(engine), ..rule },
            _ => rule,
        };
        Rules { rules: self.rules.into_iter().map(plainly).collect(), prefilter, ..self }
    }

    /// The result of the first rule that holds; the error comes with the line of its rule.
    pub fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, (usize, String)> {
        let candidates = self.prefilter.candidates(key);
        let mut at = 0;
        while let Some(number) = candidates.next(at) {
            let Some(rule) = self.rules.get(number) else { break };
            // The body of an `if` that is no candidate itself is passed over with it.
            if let Some(end) = self.skipped(at, number) {
                at = end;
                continue;
            }
            at = number + 1;
            let failed = |reason| (rule.line, reason);
            match &rule.action {
                Action::If(end) => {
                    if rule.pattern.is_match(key).map_err(failed)? == rule.negated {
                        at = *end;
                    }
                }
                Action::Result(template) => {
                    if let Some(value) = rule.result(template, key).map_err(failed)? {
                        return Ok(Some(value));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Between `at` and the candidate `number` stand rules that cannot match; the first `if` among them that
    /// encloses the candidate rules it out: where to go on.
    fn skipped(&self, at: usize, number: usize) -> Option<usize> {
        let start = self.ifs.partition_point(|(open, _)| *open < at);
        let passed = self.ifs.get(start..)?.iter().take_while(|(open, _)| *open < number);
        passed.map(|(_, end)| *end).find(|end| *end > number)
    }
}

impl<E: Engine> Rule<E> {
    fn result(&self, template: &Template, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        if let Some(fixed) = template.fixed() {
            return Ok((self.pattern.is_match(key)? != self.negated).then(|| fixed.to_vec()));
        }
        let Some(groups) = self.pattern.captures(key)? else { return Ok(None) };
        Ok(Some(template.expand(|n| key.get(groups.get(n)?.clone()?))))
    }
}

struct Parser<'a, E: Engine> {
    name: &'a str,
    usage: Usage,
    warn: &'a Warn,
    rules: Vec<Rule<E>>,
    ifs: Vec<usize>,
    filters: Vec<Needs>,
}

/// A pattern as read, and what stands behind it.
struct Read<'a, F> {
    pattern: &'a [u8],
    flags: F,
    negated: bool,
    rest: &'a [u8],
}

const SKIPPING: &str = ": skipping this rule";

impl<E: Engine> Parser<'_, E> {
    fn warn(&self, line: usize, text: &str) {
        (self.warn)(&format!("{} map {}, line {line}: {text}", E::NAME, self.name));
    }

    fn line(&mut self, line: usize, text: &[u8]) {
        match text.first() {
            Some(b) if is_space(*b) => {
                let start = String::from_utf8_lossy(text.get(..30).unwrap_or(text)).into_owned();
                let more = if text.len() > 30 { "..." } else { "" };
                (self.warn)(&format!(
                    "{}: logical line must not start with whitespace: \"{start}{more}\"",
                    self.name
                ));
            }
            Some(b) if b.is_ascii_alphanumeric() => match keyword(text) {
                (b"if", rest) => self.if_line(line, rest),
                (b"endif", rest) => self.endif_line(line, rest),
                _ => self.warn(line, "ignoring unrecognized request"),
            },
            _ => self.rule_line(line, text),
        }
    }

    fn if_line(&mut self, line: usize, text: &[u8]) {
        let Some(read) = self.pattern(line, text) else { return };
        if !read.rest.is_empty() {
            let extra = String::from_utf8_lossy(read.rest).into_owned();
            self.warn(line, &format!("ignoring extra text after IF statement: \"{extra}\""));
            self.warn(line, "do not prepend whitespace to statements between IF and ENDIF");
        }
        if let Some((pattern, needs)) = self.compile(line, &read) {
            self.ifs.push(self.rules.len());
            self.push(line, &read, pattern, needs, Action::If(usize::MAX));
        }
    }

    fn endif_line(&mut self, line: usize, rest: &[u8]) {
        if !trim(rest).is_empty() {
            self.warn(line, "ignoring extra text after ENDIF");
        }
        let Some(open) = self.ifs.pop() else {
            return self.warn(line, "ignoring ENDIF without matching IF");
        };
        let end = self.rules.len();
        if let Some(rule) = self.rules.get_mut(open) {
            rule.action = Action::If(end);
        }
    }

    fn rule_line(&mut self, line: usize, text: &[u8]) {
        let Some(read) = self.pattern(line, text) else { return };
        if read.rest.is_empty() {
            self.warn(line, "no replacement text: using empty string");
        }
        let Some(template) = self.template(line, &read) else { return };
        let Some((pattern, needs)) = self.compile(line, &read) else { return };
        if template.highest > pattern.groups() {
            let what = format!("out of range replacement index \"{}\"{SKIPPING}", template.highest);
            return self.warn(line, &what);
        }
        self.push(line, &read, pattern, needs, Action::Result(template));
    }

    fn template(&self, line: usize, read: &Read<'_, E::Flags>) -> Option<Template> {
        let template = match Template::parse(read.rest) {
            Ok(template) => template,
            Err(faults) => {
                for fault in faults {
                    match fault {
                        Fault::Plain(text) => (self.warn)(&text),
                        Fault::AtLine(text) => self.warn(line, &text),
                    }
                }
                self.warn(line, &format!("bad replacement syntax{SKIPPING}"));
                return None;
            }
        };
        if template.highest > 0 && read.negated {
            self.warn(line, &format!("$number found in negative match replacement text{SKIPPING}"));
            return None;
        }
        if template.highest > 0 && !self.usage.substitution {
            self.warn(line, &format!("regular expression substitution is not allowed{SKIPPING}"));
            return None;
        }
        Some(template)
    }

    fn compile(&self, line: usize, read: &Read<'_, E::Flags>) -> Option<(Pattern<E>, Needs)> {
        let translated = || E::for_prefilter(read.pattern, read.flags);
        let needs = |translated: Option<String>| translated.map_or(Needs::Nothing, Needs::Pattern);
        let plain = E::plain(read.pattern, read.flags).and_then(|meaning| Plain::new(read.pattern, meaning));
        if let Some((plain, texts)) = plain {
            return Some((Pattern::Plain(plain), Needs::texts(texts).unwrap_or_else(|| needs(translated()))));
        }
        let engine = match E::compile(read.pattern, read.flags) {
            Ok(engine) => engine,
            Err(reason) => {
                self.warn(line, &reason);
                return None;
            }
        };
        Some(match translated() {
            Some(translated) if E::SLOW => {
                let (compiled, asked) = (OnceLock::new(), AtomicU32::new(0));
                let quick = Quick { translated: translated.clone(), compiled, asked };
                (Pattern::Slow(engine, quick), Needs::Pattern(translated))
            }
            translated => (Pattern::Compiled(engine), needs(translated)),
        })
    }

    fn push(
        &mut self,
        line: usize,
        read: &Read<'_, E::Flags>,
        pattern: Pattern<E>,
        needs: Needs,
        action: Action,
    ) {
        self.filters.push(if read.negated { Needs::Nothing } else { needs });
        self.rules.push(Rule { line, negated: read.negated, pattern, action });
    }

    fn pattern<'a>(&self, line: usize, text: &'a [u8]) -> Option<Read<'a, E::Flags>> {
        let mut rest = text;
        let mut negated = false;
        while let Some(first) = rest.first().filter(|b| **b == b'!' || is_space(**b)) {
            negated ^= *first == b'!';
            rest = rest.get(1..).unwrap_or_default();
        }
        let Some(delimiter) = rest.first().copied() else {
            self.warn(line, &format!("no regexp{SKIPPING}"));
            return None;
        };
        rest = rest.get(1..).unwrap_or_default();
        let Some(end) = unescaped(rest, delimiter) else {
            let delimiter = if delimiter.is_ascii() { char::from(delimiter) } else { '?' };
            self.warn(line, &format!("no closing regexp delimiter \"{delimiter}\"{SKIPPING}"));
            return None;
        };
        let (pattern, rest) = (rest.get(..end).unwrap_or_default(), rest.get(end + 1..).unwrap_or_default());
        let end = rest.iter().position(|b| is_space(*b) || *b == b'!').unwrap_or(rest.len());
        let (letters, rest) = rest.split_at(end);
        let flags = self.flags(line, letters)?;
        Some(Read { pattern, flags, negated, rest: trim(rest) })
    }

    fn flags(&self, line: usize, letters: &[u8]) -> Option<E::Flags> {
        let mut flags = E::default_flags();
        for letter in letters {
            match E::toggle(&mut flags, *letter) {
                Ok(true) => (),
                Err(warning) => self.warn(line, &warning),
                Ok(false) => {
                    let letter = String::from_utf8_lossy(std::slice::from_ref(letter)).into_owned();
                    self.warn(line, &format!("unknown regexp option \"{letter}\"{SKIPPING}"));
                    return None;
                }
            }
        }
        Some(flags)
    }
}

/// The word at the start, in lower case when it is one we know, and what follows.
fn keyword(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|b| !b.is_ascii_alphanumeric()).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    match () {
        () if word.eq_ignore_ascii_case(b"if") => (b"if", rest),
        () if word.eq_ignore_ascii_case(b"endif") => (b"endif", rest),
        () => (word, rest),
    }
}

/// The first `delimiter` that no backslash stands before.
fn unescaped(text: &[u8], delimiter: u8) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|byte| {
        let here = *byte == delimiter && !escaped;
        escaped = *byte == b'\\' && !escaped;
        here
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::regexp::Posix;

    fn rules(text: &str) -> Rules<Posix> {
        let warn: Warn = Arc::new(|text: &str| panic!("{text}"));
        Rules::parse(text.as_bytes(), "/t", Usage::LOOKUP, &warn)
    }

    const NESTED: &str = "if /outer/\n/first/ 1\nif /inner/\n/second/ 2\nendif\nif !/other/\n/third/ 3\nendif\n\
                          /fourth/ 4\nendif\n/fifth/ 5\n!/sixth/ 6\n";

    #[test]
    fn blocks_with_and_without_the_prefilter() {
        let filtered = rules(NESTED);
        let plain = rules(NESTED).without_filter();
        let words = ["outer", "first", "inner", "second", "other", "third", "fourth", "fifth", "sixth"];
        for mask in 0u32..1 << words.len() {
            let key: String =
                words.iter().enumerate().filter(|(n, _)| mask >> n & 1 == 1).map(|(_, w)| *w).collect();
            assert_eq!(filtered.find(key.as_bytes()), plain.find(key.as_bytes()), "{key}");
        }
        let cases = [
            ("outer first", Some("1")),
            ("first sixth", None),
            ("outer inner second", Some("2")),
            ("outer second sixth", None),
            ("outer third", Some("3")),
            ("outer other third fourth", Some("4")),
            ("outer fifth", Some("5")),
            ("nothing", Some("6")),
        ];
        for (key, want) in cases {
            let got = filtered.find(key.as_bytes()).unwrap().map(|v| String::from_utf8(v).unwrap());
            assert_eq!(got.as_deref(), want, "{key}");
        }
    }

    #[test]
    fn substitution_may_be_forbidden() {
        let log = Arc::new(std::sync::Mutex::new(Vec::new()));
        let sink = log.clone();
        let warn: Warn = Arc::new(move |text: &str| sink.lock().unwrap().push(text.to_owned()));
        let rules = Rules::<Posix>::parse(b"/(a)/ $1\n/b/ c\n", "/t", Usage::ALIASES, &warn);
        assert_eq!(rules.find(b"a"), Ok(None));
        assert_eq!(rules.find(b"b"), Ok(Some(b"c".to_vec())));
        assert_eq!(log.lock().unwrap().len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text: Vec<u8>, key: Vec<u8>) {
            let warn: Warn = Arc::new(|_: &str| ());
            let _ = Rules::<Posix>::parse(&text, "t", Usage::LOOKUP, &warn).find(&key);
        }

        #[test]
        fn the_prefilter_changes_nothing(
            lines in proptest::collection::vec(r"(if |!|)/[ab.^$*|()]{1,4}/( x|)|endif|/[abc]{2,4}/ y", 0..12),
            key in "[abc]{0,6}",
        ) {
            let warn: Warn = Arc::new(|_: &str| ());
            let text = lines.join("\n");
            let filtered = Rules::<Posix>::parse(text.as_bytes(), "t", Usage::LOOKUP, &warn);
            let plain = Rules::<Posix>::parse(text.as_bytes(), "t", Usage::LOOKUP, &warn).without_filter();
            for _ in 0..OFTEN + 2 {
                assert_eq!(filtered.find(key.as_bytes()), plain.find(key.as_bytes()), "{text:?}");
            }
        }
    }
}
