//! `--why NAME`: everything about one parameter, our addition to postconf(1). With `-j` as a line of JSON.
//!
//! What it is now and what it means expanded, where it is defined (file and line) or that it is the default, what its value is made
//! from, which services of master.cf say otherwise with `-o`, which services read it, and which settings refer to it.

use super::{Done, Fatal, Options, config_dir, load_config, load_master};
use base_conf::{Config, MasterCf, Service, expand, names, params};
use serde_json::{Value, json};
use std::io::Write;

pub(super) fn show(o: &Options, out: &mut dyn Write) -> Done {
    if o.names.is_empty() {
        return Err(Fatal::new("--why requires a parameter name"));
    }
    let cfg = load_config(o)?;
    let master = load_master(&config_dir(o))?;
    for name in &o.names {
        let Some(why) = Why::find(o, &cfg, &master, name) else {
            return Err(Fatal::new(format!("{name}: unknown parameter")));
        };
        match o.json {
            true => writeln!(out, "{}", why.json())?,
            false => why.text(out)?,
        }
    }
    Ok(())
}

/// A setting somewhere.
struct Setting {
    name: String,
    value: String,
    expanded: String,
    place: String,
}

impl Setting {
    fn of(o: &Options, cfg: &Config, name: &str) -> Option<Self> {
        let value = cfg.raw(name)?;
        let place = match cfg.main_cf().get(name) {
            _ if o.overrides.iter().any(|(n, _)| n == name) => "command line".to_owned(),
            Some(e) => format!("{}, line {}", cfg.main_cf().file.display(), e.line),
            None => "default".to_owned(),
        };
        Some(Self { name: name.to_owned(), expanded: meaning(cfg, name, &value), value, place })
    }

    fn json(&self) -> Value {
        json!({"name": self.name, "value": self.value, "expanded": self.expanded, "place": self.place})
    }
}

/// The value as programs see it; of a text that is expanded only when it is used, the text.
fn meaning(cfg: &Config, name: &str, value: &str) -> String {
    let raw = params::find(name).is_some_and(|p| p.kind == params::Kind::Raw);
    let expanded = if raw { None } else { expand::expand(cfg, value).ok() };
    expanded.unwrap_or_else(|| value.to_owned())
}

struct Why {
    setting: Setting,
    default: Option<String>,
    /// What the value is made from, directly and by way of others.
    parts: Vec<Setting>,
    /// Services that set it themselves.
    overrides: Vec<Setting>,
    /// Services that read it, `name/type (program)`.
    readers: Vec<String>,
    /// Parameters whose value refers to it.
    users: Vec<String>,
}

impl Why {
    fn find(o: &Options, cfg: &Config, master: &MasterCf, name: &str) -> Option<Self> {
        let setting = Setting::of(o, cfg, name)?;
        let mut parts: Vec<Setting> = Vec::new();
        // A value that cannot be expanded still has the parts that were seen.
        let _ = expand::references(cfg, &setting.value, &mut |part| {
            if !parts.iter().any(|p| p.name == part) {
                parts.extend(Setting::of(o, cfg, part));
            }
        });
        let refers =
            |p: &&params::Param| p.name != name && cfg.raw(p.name).is_some_and(|v| mentions(&v, name));
        let mut users: Vec<String> = params::ALL.iter().filter(refers).map(|p| p.name.to_owned()).collect();
        let mine = cfg.main_cf().entries.iter().filter(|e| params::find(&e.name).is_none());
        users.extend(mine.filter(|e| mentions(&e.value, name)).map(|e| e.name.clone()));
        users.dedup();
        let file = master.file.display().to_string();
        let own = |s: &Service| {
            let (_, value) = s.overrides.iter().rev().find(|(n, _)| n == name)?;
            let expanded = meaning(&cfg.service(&s.name, &s.overrides), name, value);
            let place = format!("{file}, line {}", s.line);
            Some(Setting {
                name: format!("{}/{}", s.name, s.kind.name()),
                value: value.clone(),
                expanded,
                place,
            })
        };
        Some(Self {
            default: cfg.default(name),
            parts,
            overrides: master.services.iter().filter_map(own).collect(),
            readers: readers(master, name, &users),
            users,
            setting,
        })
    }

    fn text(&self, out: &mut dyn Write) -> Done {
        let Setting { name, value, expanded, place } = &self.setting;
        writeln!(out, "{name} = {value}")?;
        let mut line = |head: &str, text: &str| writeln!(out, "    {head:<10} {text}");
        line("from", place)?;
        if expanded != value {
            line("means", expanded)?;
        }
        if let Some(default) = self.default.as_ref().filter(|d| *d != value) {
            line("default", default)?;
        }
        for s in &self.parts {
            line("made from", &format!("{} = {} ({})", s.name, s.value, s.place))?;
        }
        for s in &self.overrides {
            line("but", &format!("{} in {} ({})", s.expanded, s.name, s.place))?;
        }
        if !self.readers.is_empty() {
            line("read by", &self.readers.join(", "))?;
        }
        if !self.users.is_empty() {
            line("used in", &self.users.join(", "))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let all = |settings: &[Setting]| settings.iter().map(Setting::json).collect::<Vec<_>>();
        let mut out = self.setting.json();
        if let Value::Object(map) = &mut out {
            map.insert("default".into(), json!(self.default));
            map.insert("made_from".into(), json!(all(&self.parts)));
            map.insert("overrides".into(), json!(all(&self.overrides)));
            map.insert("read_by".into(), json!(self.readers));
            map.insert("used_in".into(), json!(self.users));
        }
        out
    }
}

fn mentions(value: &str, name: &str) -> bool {
    names::mentioned(value).iter().any(|r| r == name)
}

/// Which programs read the parameters of a group of the registry; all of them where it is not listed.
const READERS: &[(&str, &[&str])] = &[
    ("bounce", &["bounce"]),
    ("cleanup", &["cleanup"]),
    ("install", &[]),
    ("lmtp", &["lmtp"]),
    ("local", &["local"]),
    ("migration", &[]),
    ("milter", &["cleanup", "smtpd"]),
    ("multi", &[]),
    ("postscreen", &["postscreen", "dnsblog"]),
    ("queue", &["qmgr", "oqmgr"]),
    ("reject", &["smtpd"]),
    ("rewrite", &["trivial-rewrite", "cleanup", "smtpd", "local"]),
    ("smtp", &["smtp"]),
    ("smtpd", &["smtpd"]),
    ("tlsproxy", &["tlsproxy"]),
    ("transport", &["qmgr", "oqmgr"]),
    ("verify", &["verify"]),
    ("virtual", &["virtual", "trivial-rewrite", "smtpd"]),
];

/// The programs that read a parameter, by its group and by the program its name begins with.
fn programs(name: &str) -> Option<Vec<&'static str>> {
    let group = params::GROUPS.iter().find(|(_, p)| p.iter().any(|p| p.name == name))?.0;
    let by_name = ["smtpd", "smtp", "lmtp", "local", "virtual", "postscreen", "tlsproxy", "qmgr", "pipe"];
    let own = by_name.into_iter().find(|p| name.strip_prefix(p).is_some_and(|rest| rest.starts_with('_')));
    let listed = READERS.iter().find(|(g, _)| *g == group).map(|(_, p)| p.to_vec());
    match (own, listed) {
        (Some(own), None) => Some(vec![own]),
        (_, listed) => listed,
    }
}

fn readers(master: &MasterCf, name: &str, users: &[String]) -> Vec<String> {
    let mut commands: Vec<&str> = Vec::new();
    let mut everyone = false;
    for name in users.iter().map(String::as_str).chain([name]) {
        match programs(name) {
            Some(some) => commands.extend(some),
            None => everyone |= params::find(name).is_some(),
        }
    }
    let reads = |s: &&Service| everyone || commands.contains(&s.command.as_str());
    let show = |s: &Service| format!("{}/{} ({})", s.name, s.kind.name(), s.command);
    master.services.iter().filter(reads).map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_about_one_name() {
        let cfg =
            Config::from_text("myhostname = m.example\nsmtpd_banner = $greet\ngreet = $myhostname hello");
        let master =
            "smtp inet n - n - - smtpd\nx inet n - n - - smtpd -o greet=$myhostname!\ny unix - - n - - local";
        let master = MasterCf::parse(master).unwrap();
        let o = super::super::options::parse(&["--why".into(), "greet".into()]).unwrap();
        let mut out = Vec::new();
        Why::find(&o, &cfg, &master, "greet").unwrap().text(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "greet = $myhostname hello\n    from       /etc/postfix/main.cf, line 3\n    means      m.example hello\n    \
             made from  myhostname = m.example (/etc/postfix/main.cf, line 1)\n    but        m.example! in x/inet (master.cf, line 2)\n    \
             read by    smtp/inet (smtpd), x/inet (smtpd)\n    used in    smtpd_banner\n"
        );
        assert!(Why::find(&o, &cfg, &master, "nosuch").is_none());
        let banner = Why::find(&o, &cfg, &master, "smtpd_banner").unwrap().json();
        assert_eq!(banner["made_from"][1]["name"], "myhostname");
        assert_eq!(banner["default"], "$myhostname ESMTP $mail_name");
    }
}
