//! The parameter registry: every documented main.cf parameter with its type and default, one file per group.
//!
//! Read by the typed getters of [`Config`](crate::Config), `postconf`, and the documentation. A parameter is one record
//! in its group's file; a group is one word in [`GROUPS`]. `used` says that some part of the server acts on it:
//! `docs/parity.md` is made from that. Defaults are those of postconf(5), with the `${...}` forms that depend on
//! `compatibility_level` and `stress` as they are documented.

mod bounce;
mod cleanup;
mod extensions;
mod general;
mod install;
mod lmtp;
mod local;
mod migration;
mod milter;
mod multi;
mod postscreen;
mod queue;
mod reject;
mod rewrite;
mod sasl;
mod service;
mod smtp;
mod smtpd;
mod tables;
mod tls;
mod tlsproxy;
mod transport;
mod verify;
mod r#virtual;

use std::sync::LazyLock;

/// How a parameter's value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text, `$name` expanded.
    Text,
    /// Text that is expanded when it is used, with names that exist only then.
    Raw,
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 64 bits.
    Long,
    /// `yes` or `no`.
    Bool,
    /// A number with a unit; the default's unit when there is none.
    Time,
    /// Text whose default depends on the machine: see [`computed`](crate::computed).
    Computed,
    /// Set by the program, not by main.cf: `process_name`, `config_directory` …
    Builtin,
    /// `transport_suffix` stands for one parameter per master.cf transport.
    Template,
}

/// A documented parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// How it is read.
    pub kind: Kind,
    /// The default, before `$name` expansion.
    pub default: &'static str,
    /// Smallest number (for times: seconds) allowed.
    pub min: i64,
    /// Largest number allowed; 0 for no limit.
    pub max: i64,
    /// Whether some part of the server acts on it.
    pub used: bool,
    /// Known, but not listed by `postconf -d`: replaced by another name long ago.
    pub hidden: bool,
}

impl Param {
    /// Sets the smallest value.
    const fn min(mut self, min: i64) -> Self {
        self.min = min;
        self
    }

    /// Sets the largest value.
    const fn max(mut self, max: i64) -> Self {
        self.max = max;
        self
    }

    /// Marks a parameter that the server acts on.
    const fn used(mut self) -> Self {
        self.used = true;
        self
    }

    /// Marks a name of the past.
    const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// The unit of a time without one: that of the default.
    pub fn unit(&self) -> char {
        self.default.chars().last().filter(|c| "smhdw".contains(*c)).unwrap_or('s')
    }
}

const fn param(name: &'static str, kind: Kind, default: &'static str) -> Param {
    Param { name, kind, default, min: 0, max: 0, used: false, hidden: false }
}

const fn text(name: &'static str, default: &'static str) -> Param {
    param(name, Kind::Text, default)
}

const fn raw(name: &'static str, default: &'static str) -> Param {
    param(name, Kind::Raw, default)
}

const fn int(name: &'static str, default: &'static str) -> Param {
    param(name, Kind::Int, default)
}

const fn long(name: &'static str, default: &'static str) -> Param {
    param(name, Kind::Long, default)
}

const fn yesno(name: &'static str, default: &'static str) -> Param {
    param(name, Kind::Bool, default)
}

const fn time(name: &'static str, default: &'static str) -> Param {
    param(name, Kind::Time, default)
}

const fn computed(name: &'static str, default: &'static str) -> Param {
    param(name, Kind::Computed, default)
}

const fn builtin(name: &'static str, default: &'static str) -> Param {
    param(name, Kind::Builtin, default)
}

const fn template(name: &'static str, default: &'static str) -> Param {
    param(name, Kind::Template, default)
}

/// A file of the registry: its name, and its parameters sorted by name.
pub type Group = (&'static str, &'static [Param]);

/// Every group, sorted.
pub const GROUPS: &[Group] = &[
    ("bounce", bounce::PARAMS),
    ("cleanup", cleanup::PARAMS),
    ("extensions", extensions::PARAMS),
    ("general", general::PARAMS),
    ("install", install::PARAMS),
    ("lmtp", lmtp::PARAMS),
    ("local", local::PARAMS),
    ("migration", migration::PARAMS),
    ("milter", milter::PARAMS),
    ("multi", multi::PARAMS),
    ("postscreen", postscreen::PARAMS),
    ("queue", queue::PARAMS),
    ("reject", reject::PARAMS),
    ("rewrite", rewrite::PARAMS),
    ("sasl", sasl::PARAMS),
    ("service", service::PARAMS),
    ("smtp", smtp::PARAMS),
    ("smtpd", smtpd::PARAMS),
    ("tables", tables::PARAMS),
    ("tls", tls::PARAMS),
    ("tlsproxy", tlsproxy::PARAMS),
    ("transport", transport::PARAMS),
    ("verify", verify::PARAMS),
    ("virtual", r#virtual::PARAMS),
];

/// Every parameter, sorted by name.
pub static ALL: LazyLock<Vec<Param>> = LazyLock::new(|| {
    let mut all: Vec<Param> = GROUPS.iter().flat_map(|(_, params)| params.iter().copied()).collect();
    all.sort_by_key(|p| p.name);
    all
});

/// The parameter called `name`.
pub fn find(name: &str) -> Option<&'static Param> {
    let all: &'static [Param] = &ALL;
    all.binary_search_by_key(&name, |p| p.name).ok().and_then(|i| all.get(i))
}

/// The table of parameters for `docs/parity.md`: a section per group, a line per parameter with its default and
/// whether the server acts on it.
pub fn parity_table() -> String {
    let used = ALL.iter().filter(|p| p.used).count();
    let mut out = format!("{used} of {} parameters are in use.\n", ALL.len());
    for (group, params) in GROUPS {
        out.push_str(&format!("\n### {group}\n\n| parameter | default | in use |\n|---|---|---|\n"));
        for p in *params {
            let default = if p.default.is_empty() {
                String::new()
            } else {
                format!("`{}`", p.default.replace('|', "\\|"))
            };
            out.push_str(&format!("| {} | {default} | {} |\n", p.name, if p.used { "yes" } else { "" }));
        }
    }
    out
}

/// The per-transport parameters: (suffix, the parameter that is its default).
pub const TRANSPORT_SUFFIXES: &[(&str, &str)] = &[
    ("_delivery_slot_cost", "default_delivery_slot_cost"),
    ("_delivery_slot_discount", "default_delivery_slot_discount"),
    ("_delivery_slot_loan", "default_delivery_slot_loan"),
    ("_destination_concurrency_failed_cohort_limit", "default_destination_concurrency_failed_cohort_limit"),
    ("_destination_concurrency_limit", "default_destination_concurrency_limit"),
    ("_destination_concurrency_negative_feedback", "default_destination_concurrency_negative_feedback"),
    ("_destination_concurrency_positive_feedback", "default_destination_concurrency_positive_feedback"),
    ("_destination_rate_delay", "default_destination_rate_delay"),
    ("_destination_recipient_limit", "default_destination_recipient_limit"),
    ("_extra_recipient_limit", "default_extra_recipient_limit"),
    ("_initial_destination_concurrency", "initial_destination_concurrency"),
    ("_minimum_delivery_slots", "default_minimum_delivery_slots"),
    ("_recipient_limit", "default_recipient_limit"),
    ("_recipient_refill_delay", "default_recipient_refill_delay"),
    ("_recipient_refill_limit", "default_recipient_refill_limit"),
    ("_time_limit", "command_time_limit"),
    ("_transport_rate_delay", "default_transport_rate_delay"),
];

/// The parameter that gives the default of a per-transport or per-service name that is not registered itself:
/// `bulk_destination_recipient_limit` has that of `default_destination_recipient_limit`.
pub fn template_of(name: &str) -> Option<&'static Param> {
    let suits = |suffix: &str| name.len() > suffix.len() && name.ends_with(suffix);
    let longest = TRANSPORT_SUFFIXES.iter().filter(|(s, _)| suits(s)).max_by_key(|(s, _)| s.len());
    longest.and_then(|(_, default)| find(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_and_unique() {
        assert!(GROUPS.windows(2).all(|w| w[0].0 < w[1].0), "groups");
        for (group, params) in GROUPS {
            let out_of_order = params.windows(2).find(|w| w[0].name >= w[1].name);
            assert!(out_of_order.is_none(), "{group}: {out_of_order:?}");
        }
        let double = ALL.windows(2).find(|w| w[0].name == w[1].name);
        assert!(double.is_none(), "{double:?}");
    }

    /// postconf(5) of the reference documents this many names; a new one of our own adds to it.
    #[test]
    fn complete() {
        let own = extensions::PARAMS.len();
        assert_eq!(ALL.len(), 958 + own);
        for (suffix, default) in TRANSPORT_SUFFIXES {
            assert!(find(default).is_some() && find(&format!("transport{suffix}")).is_some(), "{suffix}");
        }
    }

    #[test]
    fn kinds_suit_defaults() {
        for p in ALL.iter().filter(|p| !p.default.contains('$')) {
            let good = match p.kind {
                Kind::Bool => matches!(p.default, "yes" | "no" | ""),
                Kind::Int | Kind::Long => p.default.is_empty() || p.default.parse::<i64>().is_ok(),
                Kind::Time => p.default.is_empty() || p.default.ends_with(['s', 'm', 'h', 'd', 'w']),
                _ => true,
            };
            assert!(good, "{p:?}");
        }
    }

    #[test]
    fn parity_lists_everything_once() {
        let table = parity_table();
        for p in ALL.iter() {
            assert_eq!(table.matches(&format!("\n| {} | ", p.name)).count(), 1, "{}", p.name);
        }
    }

    #[test]
    fn templates() {
        let of = |name| template_of(name).map(|p| p.name);
        assert_eq!(of("bulk_destination_concurrency_limit"), Some("default_destination_concurrency_limit"));
        assert_eq!(of("bulk_destination_recipient_limit"), Some("default_destination_recipient_limit"));
        assert_eq!(of("bulk_extra_recipient_limit"), Some("default_extra_recipient_limit"));
        assert_eq!(of("bulk_initial_destination_concurrency"), Some("initial_destination_concurrency"));
        assert_eq!(of("policy_time_limit"), Some("command_time_limit"));
        assert_eq!(of("_time_limit"), None);
        assert_eq!(of("other"), None);
    }
}
