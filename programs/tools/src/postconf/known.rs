//! Which parameter names exist: built in, made by a master.cf transport, or defined by the user and used somewhere.
//! Warns of definitions that nothing uses and of references to nothing, as postconf(1) does.

use super::{Fatal, warn};
use base_conf::{Config, MasterCf, Service, ServiceKind, expand, list, names, params};
use params::Kind;
use std::collections::{BTreeMap, BTreeSet};

/// Programs whose services have per-transport parameters.
const TRANSPORTS: &[&str] = &["error", "lmtp", "local", "pipe", "smtp", "virtual"];

/// Every name that may be shown.
pub(super) struct Known {
    /// Registered names that `postconf` lists.
    pub builtin: BTreeSet<String>,
    /// Names made by services, with their unexpanded defaults.
    pub service: BTreeMap<String, String>,
    /// Names that main.cf defines and something uses.
    pub user: BTreeSet<String>,
    /// What main.cf and `-o` define.
    defined: BTreeMap<String, String>,
}

impl Known {
    /// `overrides` are those of `-o`; `cfg` has them too.
    pub fn new(cfg: &Config, master: &MasterCf, overrides: &[(String, String)]) -> Self {
        let listed = params::ALL.iter().filter(|p| !p.hidden && p.kind != Kind::Template);
        let mut builtin: BTreeSet<String> = listed.map(|p| p.name.to_owned()).collect();
        let mut service = BTreeMap::new();
        for s in &master.services {
            service_parameters(s, &mut builtin, &mut service);
        }
        let in_main = cfg.main_cf().names().filter_map(|n| cfg.main_cf().get(n));
        let mut defined: BTreeMap<_, _> = in_main.map(|e| (e.name.clone(), e.value.clone())).collect();
        defined.extend(overrides.iter().cloned());
        let mut known = Self { builtin, service, user: BTreeSet::new(), defined };
        known.find_user_parameters(cfg, master);
        known
    }

    pub fn has(&self, name: &str) -> bool {
        self.builtin.contains(name) || self.service.contains_key(name) || self.user.contains(name)
    }

    /// Follows references from the names that count to names that main.cf defines.
    fn find_user_parameters(&mut self, cfg: &Config, master: &MasterCf) {
        let mut todo: Vec<String> = params::ALL.iter().map(|p| p.name.to_owned()).collect();
        todo.extend(self.service.keys().cloned());
        let classes = cfg.list("smtpd_restriction_classes").unwrap_or_default();
        self.adopt(cfg, classes, &mut todo);
        for s in &master.services {
            for (name, value) in &s.overrides {
                if name == "smtpd_restriction_classes" {
                    self.adopt(cfg, list::split(value).into_iter().map(str::to_owned).collect(), &mut todo);
                }
                self.adopt(cfg, names::mentioned(value), &mut todo);
                self.adopt(cfg, names::of_tables(value), &mut todo);
            }
        }
        while let Some(name) = todo.pop() {
            let value = cfg.raw(&name).unwrap_or_default();
            self.adopt(cfg, names::mentioned(&value), &mut todo);
            self.adopt(cfg, names::of_tables(&value), &mut todo);
        }
    }

    fn adopt(&mut self, cfg: &Config, names: Vec<String>, todo: &mut Vec<String>) {
        for name in names {
            let new = !self.has(&name) && params::find(&name).is_none() && cfg.is_set(&name);
            if new && self.user.insert(name.clone()) {
                todo.push(name);
            }
        }
    }

    /// Warnings about names that nothing defines; a reference that cannot be read is fatal.
    pub fn check_undefined(&self, cfg: &Config, master: &MasterCf) -> Result<(), Fatal> {
        self.check_undefined_in_services(master);
        check_syntax(cfg)?;
        let file = cfg.main_cf().file.display().to_string();
        for name in self.undefined() {
            warn(&format!("{file}: undefined parameter: {name}"));
        }
        Ok(())
    }

    /// Warnings about definitions that nothing uses, and about values that look as if they had a comment.
    pub fn check_unused(&self, cfg: &Config, master: &MasterCf) {
        let file = cfg.main_cf().file.display().to_string();
        for (name, value) in &self.defined {
            if !self.has(name) && params::find(name).is_none_or(|p| p.kind == Kind::Template) {
                warn(&format!("{file}: unused parameter: {name}={value}"));
            }
            if let (Some(comment), Some(entry)) = (comment(value), cfg.main_cf().get(name)) {
                let line = entry.line;
                warn(&format!(
                    "{file}, line {line}: {name}: text after # belongs to the value: \"{comment}\""
                ));
            }
        }
        self.check_unused_in_services(cfg, master);
    }

    /// Names that values of main.cf refer to and nothing defines.
    fn undefined(&self) -> BTreeSet<String> {
        let mut out = BTreeSet::new();
        for (name, value) in &self.defined {
            let raw = params::find(name).is_some_and(|p| p.kind == Kind::Raw);
            if !raw {
                out.extend(names::needed(value).into_iter().filter(|n| !self.is_defined(n)));
            }
        }
        out
    }

    fn is_defined(&self, name: &str) -> bool {
        self.has(name) || params::find(name).is_some() || self.defined.contains_key(name)
    }

    /// Of the `-o` settings of master.cf.
    fn check_undefined_in_services(&self, master: &MasterCf) {
        let file = master.file.display();
        for s in &master.services {
            let raw = |name: &str| params::find(name).is_some_and(|p| p.kind == Kind::Raw);
            let asked = s.overrides.iter().filter(|(n, _)| !raw(n)).flat_map(|(_, v)| names::needed(v));
            for name in asked.filter(|r| !self.is_defined(r) && s.overrides.iter().all(|(n, _)| n != r)) {
                warn(&format!("{file}: undefined parameter: {name}"));
            }
        }
    }

    /// Of the `-o` settings of master.cf.
    pub fn check_unused_in_services(&self, cfg: &Config, master: &MasterCf) {
        let file = master.file.display();
        for s in &master.services {
            let elsewhere =
                |name: &str| s.overrides.iter().any(|(_, v)| names::mentioned(v).iter().any(|r| r == name));
            let used = |name: &str| {
                elsewhere(name) || self.has(name) || params::find(name).is_some() || is_referenced(cfg, name)
            };
            let last: BTreeMap<_, _> = s.overrides.iter().map(|(n, v)| (n, v)).collect();
            for (name, value) in last.into_iter().filter(|(n, _)| !used(n)) {
                warn(&format!("{file}: unused parameter: {name}={value}"));
            }
        }
    }
}

/// What looks like a comment in a value: `#` at its beginning or after white space.
fn comment(value: &str) -> Option<&str> {
    let after_space = |at: usize| value.get(..at).is_some_and(|b| b.is_empty() || b.ends_with([' ', '\t']));
    let at = value.match_indices('#').map(|(at, _)| at).find(|at| after_space(*at))?;
    value.get(at..)
}

/// Whether some value of main.cf refers to `name`.
fn is_referenced(cfg: &Config, name: &str) -> bool {
    cfg.main_cf().entries.iter().any(|e| names::mentioned(&e.value).iter().any(|r| r == name))
}

/// A value of main.cf that does not expand is fatal.
pub(super) fn check_syntax(cfg: &Config) -> Result<(), Fatal> {
    for entry in &cfg.main_cf().entries {
        if params::find(&entry.name).is_some_and(|p| p.kind == Kind::Raw) {
            continue;
        }
        if let Err(reason) = expand::expand(cfg, &entry.value) {
            warn(&reason);
            return Err(Fatal::new("macro processing error".to_owned()));
        }
    }
    Ok(())
}

/// The parameters that a service brings.
fn service_parameters(s: &Service, builtin: &mut BTreeSet<String>, out: &mut BTreeMap<String, String>) {
    let transport = s.kind == ServiceKind::Unix && TRANSPORTS.contains(&s.command.as_str());
    let timed = matches!(s.command.as_str(), "pipe" | "spawn");
    for (suffix, default) in params::TRANSPORT_SUFFIXES {
        let wanted = if *suffix == "_time_limit" { timed } else { transport };
        let name = format!("{}{suffix}", s.name);
        if wanted {
            builtin.remove(&name);
            let registered = params::find(&name).map(|p| p.default.to_owned());
            out.insert(name, registered.unwrap_or_else(|| format!("${default}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments() {
        for (value, expect) in [("a # b", Some("# b")), ("#x", Some("#x")), ("a#b", None), ("a", None)] {
            assert_eq!(comment(value), expect, "{value}");
        }
    }

    #[test]
    fn user_parameters() {
        let cfg = Config::from_text(
            "a = $b\nb = 1\nc = 2\nsmtpd_banner = $a\nsmtpd_restriction_classes = k\nk = reject",
        );
        let master =
            MasterCf::parse("bulk unix - - - - - smtp\np unix - - - - - pipe\nx inet - - - - - smtpd")
                .unwrap();
        let known = Known::new(&cfg, &master, &[]);
        assert_eq!(known.user.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "b", "k"]);
        assert!(known.has("bulk_destination_recipient_limit") && !known.has("bulk_time_limit"));
        assert!(known.has("p_time_limit") && !known.has("c"));
        assert!(!known.has("virtual_maps"));
    }
}
