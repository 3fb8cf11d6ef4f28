//! [`Config`]: main.cf, overrides of a service and the registry's defaults, read by type.
//!
//! Getters expand and check on each call; stages call them once, when they build their snapshot. An error names the
//! file and line of the definition at fault. A name that is neither defined in main.cf nor registered is an error, so
//! that a misspelt name in the program fails in its tests.

use crate::{
    Error, MainCf,
    computed::{self, Machine},
    expand::{self, Names},
    list, names,
    params::{self, Kind, Param},
    value,
};
use std::{
    borrow::Cow,
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The configuration of the server, or of one service. Immutable, cheap to clone.
#[derive(Debug, Clone)]
pub struct Config {
    base: Arc<Base>,
    overrides: Arc<HashMap<String, String>>,
}

#[derive(Debug)]
struct Base {
    dir: PathBuf,
    main: MainCf,
    machine: Machine,
}

impl Config {
    /// Reads `dir`/main.cf.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        Ok(Self::new(dir, MainCf::load(dir)?, Machine::this()))
    }

    /// A configuration from the text of a main.cf, for tests: a machine called `host.example.com` on loopback only.
    /// A text that cannot be read gives an empty configuration: use [`MainCf::parse`] to test errors.
    pub fn from_text(text: &str) -> Self {
        let dir = Path::new("/etc/postfix");
        let main = MainCf::parse(text, &dir.join("main.cf")).unwrap_or_default();
        Self::new(dir, main, Machine::example())
    }

    /// Puts a configuration together.
    pub fn new(dir: &Path, main: MainCf, machine: Machine) -> Self {
        Self { base: Arc::new(Base { dir: dir.to_owned(), main, machine }), overrides: Arc::default() }
    }

    /// The view of one master.cf service: its `-o` overrides on top, `$service_name` set.
    pub fn service(&self, name: &str, overrides: &[(String, String)]) -> Self {
        self.with(overrides.iter().cloned().chain([("service_name".to_owned(), name.to_owned())]))
    }

    /// The same view with `$process_name` set.
    pub fn process(&self, name: &str) -> Self {
        self.with([("process_name".to_owned(), name.to_owned())])
    }

    /// The same view with more definitions on top (`-o` on a command line).
    pub fn with(&self, more: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut overrides = HashMap::clone(&self.overrides);
        overrides.extend(more);
        Self { base: Arc::clone(&self.base), overrides: Arc::new(overrides) }
    }

    /// The configuration directory.
    pub fn dir(&self) -> &Path {
        &self.base.dir
    }

    /// main.cf as written.
    pub fn main_cf(&self) -> &MainCf {
        &self.base.main
    }

    /// The machine that computed defaults come from.
    pub fn machine(&self) -> &Machine {
        &self.base.machine
    }

    /// Whether main.cf or an override defines `name`.
    pub fn is_set(&self, name: &str) -> bool {
        self.overrides.contains_key(name) || self.base.main.get(name).is_some()
    }

    /// Whether a value of main.cf or an override refers to `name`. Built-in defaults do not count.
    pub fn mentions(&self, name: &str) -> bool {
        let main = &self.base.main;
        let written = main.names().filter(|n| !self.overrides.contains_key(*n)).filter_map(|n| main.get(n));
        let written =
            written.map(|entry| entry.value.as_str()).chain(self.overrides.values().map(String::as_str));
        written
            .filter(|text| text.contains(name))
            .any(|text| names::mentioned(text).iter().any(|n| n == name))
    }

    /// The unexpanded value as defined, or the default; `None` for a name that has neither.
    pub fn raw(&self, name: &str) -> Option<String> {
        self.defined(name).map(str::to_owned).or_else(|| self.default(name))
    }

    fn defined(&self, name: &str) -> Option<&str> {
        let in_main = || self.base.main.get(name).map(|e| e.value.as_str());
        self.overrides.get(name).map(String::as_str).or_else(in_main)
    }

    /// The unexpanded default of `name`, computed where it depends on the machine.
    pub fn default(&self, name: &str) -> Option<String> {
        let param = params::find(name).or_else(|| params::template_of(name))?;
        Some(match param.kind {
            _ if param.name != name => format!("${}", param.name),
            Kind::Computed => computed::default(self, name).unwrap_or_default(),
            Kind::Builtin => self.builtin(name),
            _ => param.default.to_owned(),
        })
    }

    fn builtin(&self, name: &str) -> String {
        match name {
            "config_directory" => self.dir().display().to_string(),
            "process_id" => std::process::id().to_string(),
            _ => String::new(),
        }
    }

    /// The expanded value.
    pub fn str(&self, name: &str) -> Result<String, Error> {
        let text = self.raw(name).ok_or_else(|| Error::new(format!("{name}: unknown parameter")))?;
        expand::expand(self, &text).map_err(|reason| self.blame(name, reason))
    }

    /// A whole number.
    pub fn int(&self, name: &str) -> Result<i64, Error> {
        let param = param(name);
        let read = if param.kind == Kind::Long { value::long } else { value::int };
        read(name, &self.str(name)?, param.min, param.max).map_err(|e| self.blame(name, e.text))
    }

    /// `yes` or `no`.
    pub fn bool(&self, name: &str) -> Result<bool, Error> {
        value::boolean(name, &self.str(name)?).map_err(|e| self.blame(name, e.text))
    }

    /// A time.
    pub fn time(&self, name: &str) -> Result<Duration, Error> {
        let param = param(name);
        value::time(name, &self.str(name)?, param.unit(), param.min, param.max)
            .map_err(|e| self.blame(name, e.text))
    }

    /// A list: split at commas and white space, `{...}` kept together with its braces.
    pub fn list(&self, name: &str) -> Result<Vec<String>, Error> {
        Ok(list::split(&self.str(name)?).into_iter().map(str::to_owned).collect())
    }

    /// Expands a text of main.cf's language.
    pub fn expand(&self, text: &str) -> Result<String, Error> {
        expand::expand(self, text).map_err(Error::new)
    }

    /// Whether every value of main.cf expands. Postfix's programs refuse to start otherwise, with the reason as a
    /// warning and `dictionary mail_dict: macro processing error` as the last word.
    pub fn check(&self) -> Result<(), Error> {
        for name in self.main_cf().names() {
            if params::find(name).is_none_or(|p| p.kind != Kind::Raw) {
                self.str(name)?;
            }
        }
        Ok(())
    }

    /// Names the place where `name` is defined.
    fn blame(&self, name: &str, reason: String) -> Error {
        match self.base.main.get(name) {
            Some(entry) if !self.overrides.contains_key(name) => {
                Error::at(&self.base.main.file, entry.line, reason)
            }
            _ => Error::new(reason),
        }
    }

    /// `transport`_`suffix` when defined or registered, else its default (`default_suffix` as a rule).
    pub fn transport_str(&self, transport: &str, suffix: &str) -> Result<String, Error> {
        self.str(&format!("{transport}_{suffix}"))
    }

    /// A whole number of a transport.
    pub fn transport_int(&self, transport: &str, suffix: &str) -> Result<i64, Error> {
        self.int(&format!("{transport}_{suffix}"))
    }

    /// A time of a transport.
    pub fn transport_time(&self, transport: &str, suffix: &str) -> Result<Duration, Error> {
        self.time(&format!("{transport}_{suffix}"))
    }
}

/// The record that says how to read `name`: its own, its template's, or that of a plain value.
fn param(name: &str) -> Param {
    const PLAIN: Param =
        Param { name: "", kind: Kind::Text, default: "", min: 0, max: 0, used: false, hidden: false };
    params::find(name).or_else(|| params::template_of(name)).copied().unwrap_or(PLAIN)
}

impl Names for Config {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.defined(name).map(Cow::Borrowed).or_else(|| self.default(name).map(Cow::Owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show<T: std::fmt::Debug>(r: Result<T, Error>) -> String {
        r.map_or_else(|e| e.to_string(), |v| format!("{v:?}"))
    }

    #[test]
    fn typed() {
        let cfg = Config::from_text(
            "hopcount_limit = x\nsoft_bounce = maybe\nqueue_run_delay = 5\nmydestination = $myhostname, {a b}, localhost\n\
             ipc_timeout = 5x\nmessage_size_limit = 99999999999\nsmtp_destination_concurrency_limit = 7\nbulk_destination_rate_delay = 2m\nmine = 4",
        );
        for (got, expect) in [
            (
                show(cfg.int("hopcount_limit")),
                "/etc/postfix/main.cf, line 1: bad numerical configuration: hopcount_limit = x",
            ),
            (
                show(cfg.bool("soft_bounce")),
                "/etc/postfix/main.cf, line 2: bad boolean configuration: soft_bounce = maybe",
            ),
            (show(cfg.time("queue_run_delay")), "5s"),
            (show(cfg.time("maximal_queue_lifetime")), "432000s"),
            (
                show(cfg.time("ipc_timeout")),
                "/etc/postfix/main.cf, line 5: parameter ipc_timeout: bad time value or unit: 5x",
            ),
            (show(cfg.list("mydestination")), r#"["host.example.com", "{a b}", "localhost"]"#),
            (show(cfg.int("message_size_limit")), "99999999999"),
            (show(cfg.transport_int("smtp", "destination_concurrency_limit")), "7"),
            (show(cfg.transport_int("bulk", "destination_concurrency_limit")), "20"),
            (show(cfg.transport_time("bulk", "destination_rate_delay")), "120s"),
            (show(cfg.transport_int("local", "destination_concurrency_limit")), "2"),
            (show(cfg.transport_int("bulk", "initial_destination_concurrency")), "5"),
            (show(cfg.str("myorigin")), "\"host.example.com\""),
            (show(cfg.str("mydomain")), "\"example.com\""),
            (show(cfg.int("mine")), "4"),
            (show(cfg.str("no_such_name")), "no_such_name: unknown parameter"),
            (show(cfg.int("smtpd_hard_error_limit")), "20"),
            (show(cfg.time("smtpd_timeout")), "300s"),
        ] {
            assert_eq!(got, expect);
        }
    }

    #[test]
    fn views() {
        let cfg = Config::from_text("smtpd_banner = $service_name $mail_name");
        let view = cfg
            .service("submission", &[("mail_name".into(), "Other".into()), ("stress".into(), "yes".into())]);
        assert_eq!(view.str("smtpd_banner").unwrap(), "submission Other");
        assert_eq!(view.process("smtpd").str("process_name").unwrap(), "smtpd");
        assert_eq!(view.time("smtpd_timeout").unwrap().as_secs(), 10);
        assert!(view.is_set("mail_name") && !cfg.is_set("mail_name"));
        assert!(cfg.mentions("mail_name") && !cfg.mentions("mail") && !cfg.mentions("stress"));
        let stress = |text: &str| cfg.with([("x".to_owned(), text.to_owned())]).mentions("stress");
        assert!(
            stress("${stress?{a}:{b}}") && stress("${y?$stress}") && !stress("stress, $stressed, $$stress")
        );
        assert!(!cfg.with([("smtpd_banner".to_owned(), String::new())]).mentions("mail_name"));
        assert_eq!(cfg.str("smtpd_banner").unwrap(), " Postfix");
    }

    #[test]
    fn check_finds_what_does_not_expand() {
        assert_eq!(Config::from_text("a = $b\nb = c\ndefault_rbl_reply = ${x").check(), Ok(()));
        let error = Config::from_text("a = b\nrelayhost = ${broken").check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "/etc/postfix/main.cf, line 2: truncated macro reference: \"${broken\""
        );
    }

    #[test]
    fn compatibility() {
        let old = Config::from_text("");
        let new = Config::from_text("compatibility_level = 3.6");
        assert!(old.bool("append_dot_mydomain").unwrap());
        assert!(!new.bool("append_dot_mydomain").unwrap());
        assert_eq!(new.str("smtp_tls_security_level").unwrap(), "");
        assert_eq!(
            Config::from_text("compatibility_level = 3.11").str("smtp_tls_security_level").unwrap(),
            "may"
        );
    }

    #[test]
    fn every_default_is_good() {
        let cfg = Config::from_text("");
        for p in params::ALL.iter() {
            let bad = match p.kind {
                Kind::Raw => None,
                _ if p.hidden && p.default.is_empty() => None,
                Kind::Int | Kind::Long => cfg.int(p.name).err(),
                Kind::Bool => cfg.bool(p.name).err(),
                Kind::Time => cfg.time(p.name).err(),
                _ => cfg.str(p.name).err(),
            };
            assert_eq!(bad, None, "{}", p.name);
        }
    }
}
