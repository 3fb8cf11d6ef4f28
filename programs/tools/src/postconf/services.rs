//! Services of master.cf: `-M` entries, `-F` fields, `-P` parameters.

use super::{
    Done, Fatal, Options, config_dir, fold, known::Known, load_config, load_master, options::Mode, warn,
};
use base_conf::{Config, Service, expand};
use std::{collections::BTreeMap, io::Write};

/// Column of each field as `-M` lines them up.
const COLUMNS: [usize; 8] = [0, 11, 17, 25, 33, 41, 49, 57];

/// The field names of `-F`, in order.
pub(super) const FIELDS: [&str; 8] =
    ["service", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit", "command"];

pub(super) fn show(o: &Options, out: &mut dyn Write) -> Done {
    let master = load_master(&config_dir(o))?;
    let cfg = load_config(o).ok();
    let known = cfg.as_ref().filter(|_| !o.quiet).map(|cfg| Known::new(cfg, &master, &o.overrides));
    if let (Some(known), Some(cfg)) = (&known, &cfg) {
        known.check_undefined(cfg, &master)?;
    }
    if let Some(cfg) = &cfg {
        super::known::check_syntax(cfg)?;
    }
    check_requests(o)?;
    let mut matched = vec![false; o.names.len()];
    let mut selected = Vec::new();
    for service in &master.services {
        for line in lines(o, service, cfg.as_ref())? {
            let path = line.path();
            for (pattern, m) in o.names.iter().zip(&mut matched) {
                *m |= matches(pattern, &path);
            }
            if o.names.is_empty() || o.names.iter().any(|p| matches(p, &path)) {
                selected.push(line);
            }
        }
    }
    for (name, _) in o.names.iter().zip(&matched).filter(|(_, m)| !**m && !o.quiet) {
        warn(&format!("unmatched request: \"{name}\""));
    }
    for line in selected {
        line.print(o, out)?;
    }
    if let (Some(known), Some(cfg)) = (&known, &cfg) {
        known.check_unused_in_services(cfg, &master);
    }
    Ok(())
}

/// The form of the arguments.
fn check_requests(o: &Options) -> Done {
    let (letter, parts, form) = match o.mode {
        Mode::Fields => ('F', 3, "service_name[/type[/field]]"),
        Mode::Overrides => ('P', 3, "service_name[/type[/parameter]]"),
        _ => ('M', 2, "service_name[/type]"),
    };
    for name in &o.names {
        let words: Vec<&str> = name.split('/').collect();
        if words.len() > parts || words.iter().any(|w| w.is_empty()) {
            return Err(Fatal::new(format!("-{letter} option requires {form}")));
        }
        if let (Mode::Fields, Some(field)) = (o.mode, words.get(2))
            && *field != "*"
            && !FIELDS.contains(field)
        {
            return Err(Fatal::new(format!("invalid service attribute name: \"{field}\"")));
        }
    }
    Ok(())
}

/// Something to print about a service.
#[derive(Clone)]
struct Line {
    service: Service,
    /// The field or parameter; `None` for the whole entry.
    part: Option<String>,
    value: String,
}

impl Line {
    fn path(&self) -> String {
        let part = self.part.iter().map(|p| format!("/{p}")).collect::<String>();
        format!("{}/{}{part}", self.service.name, self.service.kind.name())
    }

    fn print(&self, o: &Options, out: &mut dyn Write) -> Done {
        let (name, kind) = (self.service.name.as_str(), self.service.kind.name());
        let part_name = if o.mode == Mode::Fields { "field" } else { "parameter" };
        match &self.part {
            Some(part)
                if part == "command" && o.mode == Mode::Fields && o.fold && !o.json && !o.no_values =>
            {
                let head = if o.no_names { String::new() } else { format!("{} = ", self.path()) };
                writeln!(out, "{}", folded_command(&head, &self.service))?;
            }
            Some(part) => {
                super::show::print(
                    o,
                    &[("service", name), ("type", kind), (part_name, part)],
                    &self.value,
                    out,
                )?;
            }
            None if o.json => {
                let fields =
                    FIELDS.iter().enumerate().map(|(i, f)| ((*f).to_owned(), field(&self.service, i).into()));
                writeln!(out, "{}", serde_json::Value::Object(fields.collect()))?;
            }
            None => writeln!(out, "{}", self.value)?,
        }
        Ok(())
    }
}

fn lines(o: &Options, s: &Service, cfg: Option<&Config>) -> Result<Vec<Line>, Fatal> {
    let line = |part: Option<&str>, value| Line { service: s.clone(), part: part.map(str::to_owned), value };
    Ok(match o.mode {
        Mode::Fields => {
            let s = expanded_service(o, s, cfg)?;
            FIELDS.iter().enumerate().map(|(i, f)| line(Some(f), field(&s, i))).collect()
        }
        Mode::Overrides => {
            let last: BTreeMap<&str, &str> =
                s.overrides.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let last = last.into_iter().map(|(n, v)| Ok(line(Some(n), expanded(o, s, cfg, v)?)));
            last.collect::<Result<_, Fatal>>()?
        }
        _ => {
            let s = expanded_service(o, s, cfg)?;
            vec![Line { value: entry(&s, o.fold), ..Line { service: s, part: None, value: String::new() } }]
        }
    })
}

fn expanded(o: &Options, s: &Service, cfg: Option<&Config>, value: &str) -> Result<String, Fatal> {
    match cfg.filter(|_| o.expand) {
        Some(cfg) => expand::expand(&cfg.service(&s.name, &s.overrides), value).map_err(Fatal::new),
        None => Ok(value.to_owned()),
    }
}

/// The service with the values of its `-o` settings expanded when `-x` asks for it.
fn expanded_service(o: &Options, s: &Service, cfg: Option<&Config>) -> Result<Service, Fatal> {
    let mut out = s.clone();
    if !o.expand {
        return Ok(out);
    }
    let mut option = false;
    for word in out.words.iter_mut().skip(8) {
        let attached = word.len() > 2 && word.starts_with("-o");
        if option || attached {
            let (flag, text) = if option { ("", word.as_str()) } else { word.split_at(2) };
            let Ok((name, value)) = base_conf::main_cf::split_definition(text) else { continue };
            *word = format!("{flag}{name}={}", expanded(o, s, cfg, value)?);
            option = false;
            continue;
        }
        option = word == "-o";
        if !word.starts_with('-') {
            break;
        }
    }
    Ok(out)
}

/// A field of `-F`: the last one is the command with its arguments.
fn field(s: &Service, index: usize) -> String {
    match index {
        7 => command(s).join(" "),
        _ => s.words.get(index).cloned().unwrap_or_default(),
    }
}

/// Whether `pattern` (`service/type/field`, parts may be `*` or left out) matches `path`.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    let mut path = path.splitn(3, '/');
    // Service names of unix sockets hold no slash of their own in practice; those of inet may not.
    pattern.splitn(3, '/').all(|p| {
        let part = path.next();
        p == "*" || part == Some(p)
    })
}

/// The command and its arguments as `-M` writes them: `-o {name=value}` where the value has white space.
fn command(s: &Service) -> Vec<String> {
    let mut out = Vec::new();
    let mut words = s.words.iter().skip(7);
    out.extend(words.next().cloned());
    let mut options = true;
    while let Some(word) = words.next() {
        let is_option = options && word.starts_with('-');
        options = is_option;
        let text = match word.strip_prefix("-o") {
            Some("") if is_option => words.next().map(String::as_str),
            Some(text) if is_option => Some(text),
            _ => None,
        };
        match text {
            Some(text) => out.push(format!("-o {}", definition(text))),
            None => out.push(word.clone()),
        }
    }
    out
}

fn definition(text: &str) -> String {
    let text = match base_conf::main_cf::split_definition(text) {
        Ok((name, value)) => format!("{name}={value}"),
        Err(_) => text.to_owned(),
    };
    if text.contains(char::is_whitespace) { format!("{{{text}}}") } else { text }
}

/// An entry with its columns lined up.
pub(super) fn entry(s: &Service, folded: bool) -> String {
    let mut line = String::new();
    for (word, column) in s.words.iter().zip(COLUMNS).take(7) {
        pad(&mut line, column);
        line.push_str(word);
    }
    pad(&mut line, COLUMNS[7]);
    if !folded {
        return line + &command(s).join(" ");
    }
    let command = command(s);
    let (name, args) = command.split_first().map_or(("", [].as_slice()), |(n, a)| (n.as_str(), a));
    line.push_str(name);
    fold_arguments(line, args)
}

/// The command field on several lines.
fn folded_command(head: &str, s: &Service) -> String {
    let command = command(s);
    let (name, args) = command.split_first().map_or(("", [].as_slice()), |(n, a)| (n.as_str(), a));
    fold_arguments(format!("{head}{name}"), args)
}

/// Every `-o` on a line of its own, the rest filled.
fn fold_arguments(mut line: String, args: &[String]) -> String {
    let options = args.iter().take_while(|a| a.starts_with('-')).count();
    let (options, rest) = args.split_at_checked(options).unwrap_or((args, &[]));
    for option in options {
        line.push_str("\n    ");
        line.push_str(option);
    }
    if rest.is_empty() {
        return line;
    }
    let rest = rest.iter().map(String::as_str);
    match options.is_empty() {
        true => fold::fold(fold::ENTRY, &line, rest),
        false => format!("{line}\n    {}", fold::fold(fold::ENTRY, "", rest)),
    }
}

fn pad(line: &mut String, column: usize) {
    if column > 0 {
        line.push(' ');
        while line.len() < column {
            line.push(' ');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_conf::MasterCf;

    fn check(text: &str, folded: bool, expect: &str) {
        let master = MasterCf::parse(text).unwrap();
        assert_eq!(entry(&master.services[0], folded), expect);
    }

    #[test]
    fn entries() {
        check(
            "smtp inet n - y - - smtpd",
            false,
            "smtp       inet  n       -       y       -       -       smtpd",
        );
        check(
            "postlog unix-dgram n - n - 1 postlogd",
            false,
            "postlog    unix-dgram n  -       n       -       1       postlogd",
        );
        check(
            "scalemail-backend unix - n n - 2 pipe",
            false,
            "scalemail-backend unix - n       n       -       2       pipe",
        );
        check(
            "smtp inet n - - - 0 smtpd -o { foo = bar baz } -o {x=y} { a b }",
            false,
            "smtp       inet  n       -       -       -       0       smtpd -o {foo=bar baz} -o x=y a b",
        );
        check(
            "smtp inet n - - - 0 smtpd -o a=b -ox=y foo bar",
            true,
            "smtp       inet  n       -       -       -       0       smtpd\n    -o a=b\n    -o x=y\n    foo bar",
        );
        check(
            "maildrop unix - n n - - pipe flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient}",
            true,
            "maildrop   unix  -       n       n       -       -       pipe flags=DRXhu\n    user=vmail argv=/usr/bin/maildrop -d ${recipient}",
        );
    }

    #[test]
    fn patterns() {
        assert!(
            matches("smtp", "smtp/inet") && matches("smtp/*", "smtp/inet") && matches("*/inet/x", "a/inet/x")
        );
        assert!(!matches("smtp/unix", "smtp/inet") && !matches("s", "smtp/inet"));
    }
}
