//! Bounce templates: `-t` as they are, `-b` with `$name` replaced (bounce(5)), from `bounce_template_file` or the file named.
//!
//! Messages carry the name of the program that would meet the trouble, `postfix/bounce`, as Postfix's do.

use super::{Done, Fatal, Options, describe, load_config};
use base_conf::{Config, expand};
use proto_dsn::{Template, Templates, Unit};
use std::{cell::RefCell, io::Write};

/// `-t` (`expanded` false) and `-b`.
pub(super) fn print(o: &Options, expanded: bool, out: &mut dyn Write) -> Done {
    let cfg = load_config(o)?;
    let file = match o.names.as_slice() {
        [] => cfg.str("bounce_template_file")?,
        [name] => name.clone(),
        _ => return Err(Fatal::new("options -b and -t require at most one template file")),
    };
    let templates = read(&file)?;
    templates.warnings.iter().for_each(|w| warn(w));
    for (i, (name, template)) in templates.all().into_iter().enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        match expanded {
            true => write!(out, "expanded_{name}_text = <<EOF\n{}EOF\n", text(&cfg, name, template)?)?,
            false => write!(out, "{name}_template = <<EOF\n{}\n{}EOF\n", header(template), template.text)?,
        }
    }
    Ok(())
}

fn warn(text: &str) {
    eprintln!("postfix/bounce: warning: {text}");
}

fn fatal(text: String) -> Fatal {
    Fatal { who: Some("postfix/bounce"), text }
}

fn read(file: &str) -> Result<Templates, Fatal> {
    if file.is_empty() {
        return Ok(Templates::default());
    }
    let bytes = std::fs::read(file).map_err(|e| fatal(format!("open {file}: {}", describe(&e))))?;
    Templates::parse(&String::from_utf8_lossy(&bytes), file).map_err(|e| fatal(e.to_string()))
}

fn header(t: &Template) -> String {
    let mut out = format!("Charset: {}\nFrom: {}\nSubject: {}\n", t.charset, t.from, t.subject);
    if !t.postmaster_subject.is_empty() {
        out.push_str(&format!("Postmaster-Subject: {}\n", t.postmaster_subject));
    }
    out
}

/// A template's text with names replaced; a name that asks for a time in no known unit, or no name at all, is fatal.
fn text(cfg: &Config, kind: &str, template: &Template) -> Result<String, Fatal> {
    let source = &template.source;
    let unknown_unit = RefCell::new(None);
    let names = |name: &str| {
        if let Some(unit) = foreign_unit(name) {
            unknown_unit
                .borrow_mut()
                .get_or_insert(format!("{source}: unrecognized suffix \"{unit}\" in parameter \"{name}\""));
        }
        value(cfg, kind, source, name)
    };
    let text = expand::expand_once(&names, &template.text).map_err(|reason| {
        warn(&reason);
        fatal(format!("{source}: bad $name syntax in {kind} template: {}", template.text.trim_end()))
    })?;
    match unknown_unit.take() {
        Some(what) => Err(fatal(what)),
        None => Ok(text),
    }
}

/// The end of a name like `delay_warning_time_fortnights`.
fn foreign_unit(name: &str) -> Option<&str> {
    let timed = ["delay_warning_time_", "maximal_queue_lifetime_"];
    let unit = timed.iter().find_map(|t| name.strip_prefix(t))?;
    Unit::split(name).is_none().then_some(unit)
}

/// A parameter's value; `name_hours` and the like give a time in whole units.
fn value(cfg: &Config, kind: &str, source: &str, name: &str) -> Option<String> {
    let Some((time, unit)) = Unit::split(name).and_then(|(p, unit)| Some((cfg.time(p).ok()?, unit))) else {
        return cfg.str(name).ok();
    };
    let shown = time.as_secs() / unit.seconds();
    if shown == 0 && !time.is_zero() {
        let unit = unit.name();
        warn(&format!("{source}: zero result in {kind} template conversion of parameter \"{name}\""));
        warn(&format!("please reduce time unit \"{unit}\" of \"{name}\" in {kind} template"));
        warn("for instructions see the bounce(5) manual");
    }
    Some(shown.to_string())
}
