//! Bounce templates: `-t` as they are, `-b` with `$name` replaced (bounce(5)).

use super::{Done, Fatal, Options, load_config};
use base_conf::Config;
use proto_dsn::{Template, Unit};
use std::io::Write;

/// `-t` (`expanded` false) and `-b`.
pub(super) fn print(o: &Options, expanded: bool, out: &mut dyn Write) -> Done {
    let cfg = load_config(o)?;
    let file = match o.names.first() {
        Some(name) => name.clone(),
        None => cfg.str("bounce_template_file")?,
    };
    if !file.is_empty() {
        return Err(Fatal(format!("{file}: reading templates from a file is not there yet")));
    }
    let all = [
        ("failure", Template::failure()),
        ("delay", Template::delay()),
        ("success", Template::success()),
        ("verify", Template::verify()),
    ];
    for (i, (name, template)) in all.iter().enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        match expanded {
            true => {
                let text = template.expand(|name| value(&cfg, name));
                write!(out, "expanded_{name}_text = <<EOF\n{text}EOF\n")?;
            }
            false => write!(out, "{name}_template = <<EOF\n{}\n{}EOF\n", header(template), template.text)?,
        }
    }
    Ok(())
}

fn header(t: &Template) -> String {
    let mut out = format!("Charset: {}\nFrom: {}\nSubject: {}\n", t.charset, t.from, t.subject);
    if !t.postmaster_subject.is_empty() {
        out.push_str(&format!("Postmaster-Subject: {}\n", t.postmaster_subject));
    }
    out
}

/// A parameter's value; `name_hours` and the like give a time in whole units.
fn value(cfg: &Config, name: &str) -> Option<String> {
    if let Some((parameter, unit)) = Unit::split(name)
        && let Ok(time) = cfg.time(parameter)
    {
        return Some((time.as_secs() / unit.seconds()).to_string());
    }
    cfg.str(name).ok()
}
