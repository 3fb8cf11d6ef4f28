//! A configuration as the rules see it: both files as text and as read, the view of each service, the tables, and what the
//! rules know of the machine.

use crate::{
    Finding, Severity,
    main_text::{Text, repair},
    setting::Setting,
};
use base_calls::Route;
use base_conf::{Config, MainCf, MasterCf, Service, ServiceKind, computed::Machine, main_cf::logical_lines};
use base_tables::Tables;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// Makes the router for a configuration; mail/route is wired in by the program.
pub type MakeRoute = Arc<dyn Fn(&Config, &Arc<Tables>) -> Option<Arc<dyn Route>>>;

/// What rules need besides the files.
#[derive(Clone)]
pub struct Surroundings {
    /// The text of /etc/services.
    pub services: String,
    /// For dates in certificates.
    pub now: SystemTime,
    /// The machine that computed defaults come from.
    pub machine: Machine,
    /// The number of a user.
    pub user: fn(&str) -> Option<u32>,
    /// Whether a group exists.
    pub group: fn(&str) -> bool,
    /// Why the server, with this `mail_owner`, cannot read a file ([`crate::unreadable`]).
    pub unreadable: fn(&str, &Path) -> Option<io::Error>,
    /// Makes the router.
    pub route: MakeRoute,
    /// Opens table types that ask servers; what they say of themselves is all that is asked.
    pub tables: base_tables::Options,
}

/// The configuration.
pub struct Site {
    /// Configuration directory.
    pub dir: PathBuf,
    /// main.cf as text, made parsable.
    pub main: Text,
    /// master.cf as text, made parsable.
    pub master_text: Text,
    /// The configuration.
    pub config: Config,
    /// The services.
    pub master: MasterCf,
    /// What was wrong with the texts.
    pub faults: Vec<Finding>,
    /// What else is known.
    pub around: Surroundings,
    /// The tables of this configuration.
    pub tables: Arc<Tables>,
    warned: Arc<Mutex<Vec<String>>>,
    views: Vec<Config>,
}

/// The rule that findings of unreadable lines belong to.
pub const BAD_LINE: &str = "bad-line";
/// The rule that findings of unreadable services belong to.
pub const BAD_SERVICE: &str = "bad-service";

impl Site {
    /// Reads both files below `dir`. What cannot be read is a finding.
    pub fn load(dir: &Path, around: Surroundings) -> Self {
        let mut faults = Vec::new();
        let mut main = read(&dir.join("main.cf"), BAD_LINE, &mut faults);
        faults.extend(repair(&mut main, BAD_LINE));
        let parsed = MainCf::parse(&main.join(), &main.file).unwrap_or_default();
        let config = Config::new(dir, parsed, around.machine.clone());
        let mut master_text = read(&dir.join("master.cf"), BAD_SERVICE, &mut faults);
        let master = services(&mut master_text, &mut faults);
        let views = master.services.iter().map(|s| view(&config, s)).collect();
        let warned: Arc<Mutex<Vec<String>>> = Arc::default();
        let tables = Tables::new(base_tables::Options {
            warn: collect(&warned),
            error: collect(&warned),
            proxy_warn: collect(&warned),
            ..around.tables.clone()
        });
        Self { dir: dir.to_owned(), main, master_text, config, master, faults, around, tables, warned, views }
    }

    /// Every definition that counts: those of main.cf, then those of the services.
    pub fn settings(&self) -> Vec<Setting<'_>> {
        let main = self.config.main_cf();
        let counting =
            main.entries.iter().filter(|e| main.get(&e.name).is_some_and(|last| last.line == e.line));
        let in_main = counting.map(|e| Setting::in_main(&e.name, &e.value, e.line, &self.main, &self.config));
        let in_master = self.views().flat_map(|(service, view)| {
            let overrides = service.overrides.iter();
            overrides
                .map(move |(name, value)| Setting::in_master(name, value, service, &self.master_text, view))
        });
        in_main.chain(in_master).collect()
    }

    /// The definition of `name` in main.cf.
    pub fn setting(&self, name: &str) -> Option<Setting<'_>> {
        let entry = self.config.main_cf().get(name)?;
        Some(Setting::in_main(&entry.name, &entry.value, entry.line, &self.main, &self.config))
    }

    /// The services with their configurations.
    pub fn views(&self) -> impl Iterator<Item = (&Service, &Config)> {
        self.master.services.iter().zip(&self.views)
    }

    /// The SMTP servers with their configurations.
    pub fn servers(&self) -> impl Iterator<Item = (&Service, &Config)> {
        self.views()
            .filter(|(s, _)| s.command == "smtpd" && matches!(s.kind, ServiceKind::Inet | ServiceKind::Pass))
    }

    /// The expanded value of a parameter in main.cf; empty when it cannot be expanded.
    pub fn value(&self, name: &str) -> String {
        self.config.str(name).unwrap_or_default()
    }

    /// The words of a parameter in main.cf.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.config.list(name).unwrap_or_default()
    }

    /// Every name that some value refers to, and the restriction classes.
    pub fn mentioned(&self) -> BTreeSet<String> {
        let mut out: BTreeSet<String> = self.list("smtpd_restriction_classes").into_iter().collect();
        for s in self.settings() {
            out.extend(base_conf::names::mentioned(&s.value));
            out.extend(base_conf::names::of_tables(&s.value));
            if s.name == "smtpd_restriction_classes" {
                out.extend(s.words().into_iter().map(|w| w.text));
            }
        }
        for p in base_conf::params::ALL.iter() {
            out.extend(base_conf::names::mentioned(p.default));
        }
        out
    }

    /// Runs `ask`, and gives what tables warned about meanwhile.
    pub fn warnings_of<T>(&self, ask: impl FnOnce(&Tables) -> T) -> (T, Vec<String>) {
        self.warned.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let result = ask(&self.tables);
        let warned = std::mem::take(&mut *self.warned.lock().unwrap_or_else(PoisonError::into_inner));
        (result, warned)
    }

    /// A finding about a line of main.cf; `line` 0 for the whole file.
    pub fn in_main(&self, line: u32, text: impl Into<String>) -> Finding {
        place(&self.main.file, line, text)
    }

    /// A finding about a line of master.cf.
    pub fn in_master(&self, line: u32, text: impl Into<String>) -> Finding {
        place(&self.master_text.file, line, text)
    }

    /// A finding where `name` is set for `service`, or in main.cf, or nowhere.
    pub fn at_parameter(&self, name: &str, service: Option<&Service>, text: impl Into<String>) -> Finding {
        if let Some(s) = service.filter(|s| s.overrides.iter().any(|(n, _)| n == name)) {
            return self.in_master(self.master_text.line_of(s.line, name), text);
        }
        let line = self.config.main_cf().get(name).map_or(0, |e| e.line);
        self.in_main(line, text)
    }

    /// The path of a file as the server opens it: relative names are relative to queue_directory.
    pub fn path(&self, name: &str) -> PathBuf {
        Path::new(&self.value("queue_directory")).join(name)
    }

    /// Services by name, for transports.
    pub fn has_transport(&self, name: &str) -> bool {
        self.master.services.iter().any(|s| s.name == name && s.kind != ServiceKind::Inet)
    }
}

/// A finding at a place; rule and severity come from the rule that returns it.
pub fn place(file: &Path, line: u32, text: impl Into<String>) -> Finding {
    Finding {
        file: file.to_owned(),
        line,
        rule: "",
        severity: Severity::Warning,
        text: text.into(),
        hint: String::new(),
    }
}

fn collect(to: &Arc<Mutex<Vec<String>>>) -> base_tables::Warn {
    let to = Arc::clone(to);
    Arc::new(move |text| to.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned()))
}

fn view(config: &Config, s: &Service) -> Config {
    config.service(&s.name, &s.overrides).process(&s.command)
}

fn read(path: &Path, rule: &'static str, faults: &mut Vec<Finding>) -> Text {
    let size = std::fs::metadata(path).map_or(0, |m| m.len());
    let bytes = if size > base_conf::main_cf::MAX_FILE {
        Err(std::io::Error::other("file too large"))
    } else {
        std::fs::read(path)
    };
    match bytes {
        Ok(bytes) => Text::new(path, &String::from_utf8_lossy(&bytes)),
        Err(e) => {
            faults.push(Finding {
                rule,
                severity: Severity::Error,
                ..place(path, 0, format!("cannot be read: {e}"))
            });
            Text::new(path, "")
        }
    }
}

/// The services; lines that make no sense are left out, with a finding each.
fn services(text: &mut Text, faults: &mut Vec<Finding>) -> MasterCf {
    let mut bad: BTreeMap<u32, String> = BTreeMap::new();
    for logical in logical_lines(&text.join()) {
        match MasterCf::read(&logical.text, &text.file) {
            Ok(alone) if alone.warnings.is_empty() => {}
            Ok(alone) => drop(bad.insert(logical.line, alone.warnings.join("; "))),
            Err(e) => drop(bad.insert(logical.line, e.text)),
        }
    }
    for (line, reason) in bad {
        let first = text.logical(line).next().map_or("", |(_, l)| l);
        let hint = service_hint(&reason, first);
        let fault = place(&text.file, line, reason).hint(hint);
        faults.push(Finding { rule: BAD_SERVICE, severity: Severity::Error, ..fault });
        let span: Vec<u32> = text.logical(line).map(|(n, _)| n).collect();
        for n in span {
            let index = usize::try_from(n).unwrap_or(1).saturating_sub(1);
            if let Some(l) = text.lines.get_mut(index) {
                l.insert(0, '#');
            }
        }
    }
    MasterCf::read(&text.join(), &text.file).unwrap_or_default()
}

fn service_hint(reason: &str, line: &str) -> String {
    let mut words = line.split_ascii_whitespace();
    let is_type = |w: &str| ["inet", "unix", "unix-dgram", "fifo", "pass"].contains(&w);
    let nameless =
        words.next().is_some_and(is_type) && words.next().is_some_and(|w| ["y", "n", "-"].contains(&w));
    let hint = if nameless {
        "the name of the service is missing: for inet its port, as in \"smtp inet n - y - - smtpd\""
    } else if reason.contains("field count") {
        "a service has eight fields: name, type, private, unprivileged, chroot, wakeup, maxproc, command; the options of the service \
         above must be indented"
    } else if reason.contains("missing '='") || reason.contains("parameter override") {
        "write -o name=value without spaces, or -o { name = value }"
    } else if reason.contains("invalid type") {
        "the type is inet, unix, unix-dgram, fifo or pass"
    } else if reason.contains("whitespace") {
        "the first service must start at the beginning of the line"
    } else if reason.contains("private") || reason.contains("chroot") || reason.contains("unprivileged") {
        "the field is y, n or -"
    } else {
        "the field is a number or -"
    };
    hint.to_owned()
}
