//! Bounce templates: `-t` as they are, `-b` with `$name` replaced (bounce(5)), from `bounce_template_file` or the file named.
//!
//! Messages carry the name of the program that would meet the trouble, `postfix/bounce`, as Postfix's do.

use super::{Done, Fatal, Options, describe, load_config};
use crate::say::Say;
use base_conf::{Config, expand, names};
use proto_dsn::{Template, Templates, Unit};
use std::io::Write;

/// `-t` (`expanded` false) and `-b`.
pub(super) fn print(o: &Options, expanded: bool, out: &mut dyn Write) -> Done {
    let cfg = load_config(o)?;
    let file = match o.names.as_slice() {
        [] => cfg.str("bounce_template_file")?,
        [name] => name.clone(),
        _ => return Err(Fatal::new("options -b and -t require at most one template file")),
    };
    let say = Say::under(BOUNCE, "bounce", Some(&cfg));
    let templates = read(&file, &say)?;
    templates.warnings.iter().for_each(|w| say.warning(w));
    for (i, (name, template)) in templates.all().into_iter().enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        match expanded {
            true => write!(out, "expanded_{name}_text = <<EOF\n{}EOF\n", text(&cfg, &say, name, template)?)?,
            false => write!(out, "{name}_template = <<EOF\n{}\n{}EOF\n", header(template), template.text)?,
        }
    }
    Ok(())
}

/// The name and the log of the program that reads templates.
const BOUNCE: &str = "postfix/bounce";

fn fatal(say: &Say, text: &str) -> Fatal {
    say.fatal(1, text);
    Fatal::new("")
}

fn read(file: &str, say: &Say) -> Result<Templates, Fatal> {
    if file.is_empty() {
        return Ok(Templates::default());
    }
    let bytes = std::fs::read(file).map_err(|e| fatal(say, &format!("open {file}: {}", describe(&e))))?;
    Templates::parse(&String::from_utf8_lossy(&bytes), file).map_err(|e| fatal(say, &e.to_string()))
}

fn header(t: &Template) -> String {
    let mut out = format!("Charset: {}\nFrom: {}\nSubject: {}\n", t.charset, t.from, t.subject);
    if !t.postmaster_subject.is_empty() {
        out.push_str(&format!("Postmaster-Subject: {}\n", t.postmaster_subject));
    }
    out
}

/// A template's text with names replaced; a name that has no value or asks for a time in no known unit is fatal.
fn text(cfg: &Config, say: &Say, kind: &str, template: &Template) -> Result<String, Fatal> {
    let source = &template.source;
    let mut out = String::new();
    for line in template.text.split_inclusive('\n') {
        let bare = line.trim_end_matches('\n');
        let lookup = |name: &str| value(cfg, say, kind, source, name);
        if let Err(reason) = expand::expand_once(&|_: &str| None, bare) {
            say.warning(&reason);
            return Err(fatal(say, &format!("{source}: bad $name syntax in {kind} template: {bare}")));
        }
        let asked = names::needed(bare);
        if let Some((name, unit)) = asked.iter().find_map(|n| Some((n, foreign_unit(n)?))) {
            let what = format!("{source}: unrecognized suffix \"{unit}\" in parameter \"{name}\"");
            return Err(fatal(say, &what));
        }
        if asked.iter().any(|n| Unit::split(n).is_none() && cfg.raw(n).is_none()) {
            return Err(fatal(say, &format!("{source}: undefined $name in {kind} template: {bare}")));
        }
        out += &expand::expand_once(&lookup, line).map_err(|reason| {
            say.warning(&reason.replace('\n', ""));
            fatal(say, &format!("{source}: bad $name syntax in {kind} template: {bare}"))
        })?;
    }
    Ok(out)
}

/// The end of a name like `delay_warning_time_fortnights`.
fn foreign_unit(name: &str) -> Option<&str> {
    let timed = ["delay_warning_time_", "maximal_queue_lifetime_"];
    let unit = timed.iter().find_map(|t| name.strip_prefix(t))?;
    Unit::split(name).is_none().then_some(unit)
}

/// A parameter's value; `name_hours` and the like give a time in whole units.
fn value(cfg: &Config, say: &Say, kind: &str, source: &str, name: &str) -> Option<String> {
    let Some((time, unit)) = Unit::split(name).and_then(|(p, unit)| Some((cfg.time(p).ok()?, unit))) else {
        return cfg.str(name).ok();
    };
    let shown = time.as_secs() / unit.seconds();
    for line in unit.complaint(time.as_secs(), source, kind, name).into_iter().flatten() {
        say.warning(&line);
    }
    Some(shown.to_string())
}
