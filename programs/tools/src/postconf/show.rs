//! Parameters of main.cf: bare, by name, `-n`, `-d`, with `-x -h -H -f -C -o`.

use super::{
    Done, Fatal, Options, config_dir, default_config, fold, known::Known, load_config, load_master, warn,
};
use base_conf::{Config, MasterCf, expand, params};
use std::io::Write;

pub(super) fn show(o: &Options, out: &mut dyn Write) -> Done {
    let cfg = if o.defaults { default_config(o) } else { load_config(o)? };
    let master = match load_master(&config_dir(o)) {
        Ok(master) => master,
        Err(_) if o.defaults => MasterCf::default(),
        Err(e) => return Err(e),
    };
    let known = Known::new(&cfg, &master, &o.overrides);
    if !o.defaults && !o.quiet {
        known.check_undefined(&cfg, &master)?;
    }
    for name in wanted(o, &cfg, &known) {
        if !known.has(&name) && params::find(&name).is_none() {
            if !o.quiet {
                warn(&format!("{name}: unknown parameter"));
            }
            continue;
        }
        if !o.only_set || is_set(o, &cfg, &name) {
            let value = value(o, &cfg, &known, &name)?;
            print(o, &[("name", &name)], &value, out)?;
        }
    }
    if !o.defaults && !o.quiet {
        known.check_unused(&cfg, &master);
    }
    Ok(())
}

/// Whether `-n` shows a name.
fn is_set(o: &Options, cfg: &Config, name: &str) -> bool {
    let overridden = o.overrides.iter().any(|(n, _)| n == name);
    let chosen = || o.config_dir.is_some() || std::env::var_os("MAIL_CONFIG").is_some();
    overridden || cfg.main_cf().get(name).is_some() || (name == "config_directory" && chosen())
}

/// The names to show, in order.
fn wanted(o: &Options, cfg: &Config, known: &Known) -> Vec<String> {
    if !o.names.is_empty() {
        return o.names.clone();
    }
    let (builtin, service, user) = o.classes;
    let mut names: Vec<String> = Vec::new();
    if builtin {
        names.extend(known.builtin.iter().cloned());
        let hidden = |n: &&str| params::find(n).is_some_and(|p| p.hidden);
        names.extend(cfg.main_cf().names().filter(hidden).map(str::to_owned));
    }
    if service {
        names.extend(known.service.keys().cloned());
    }
    if user {
        names.extend(known.user.iter().cloned());
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn value(o: &Options, cfg: &Config, known: &Known, name: &str) -> Result<String, Fatal> {
    let from_service = || known.service.get(name).cloned();
    let text = if cfg.is_set(name) { cfg.raw(name) } else { from_service().or_else(|| cfg.raw(name)) };
    let text = text.unwrap_or_default();
    let raw = params::find(name).is_some_and(|p| p.kind == params::Kind::Raw);
    if !o.expand || raw {
        return Ok(text);
    }
    expand::expand(cfg, &text).map_err(|reason| {
        warn(&reason);
        Fatal::new("macro processing error".to_owned())
    })
}

/// `name = value`, or one of the two; runs of white space in the value become one blank. `path` are the parts of the
/// name, with what they are called in JSON.
pub(super) fn print(o: &Options, path: &[(&str, &str)], value: &str, out: &mut dyn Write) -> Done {
    let words = value.split_ascii_whitespace();
    if o.json {
        let mut object: serde_json::Map<_, _> =
            path.iter().map(|(k, v)| ((*k).to_owned(), (*v).into())).collect();
        if !o.no_values {
            object.insert("value".to_owned(), words.collect::<Vec<_>>().join(" ").into());
        }
        writeln!(out, "{}", serde_json::Value::Object(object))?;
        return Ok(());
    }
    let name = path.iter().map(|(_, v)| *v).collect::<Vec<_>>().join("/");
    if o.no_values {
        writeln!(out, "{name}")?;
        return Ok(());
    }
    let head = if o.no_names { String::new() } else { format!("{name} =") };
    let width = if o.fold { fold::PARAMETER } else { usize::MAX };
    writeln!(out, "{}", fold::fold(width, &head, words))?;
    Ok(())
}
