//! Services of master.cf: `-M` entries, `-F` fields, `-P` parameters.

use super::{Done, Fatal, Options, config_dir, fold, load_config, load_master, options::Mode, warn};
use base_conf::{Service, expand};
use std::io::Write;

/// Column of each field as `-M` lines them up.
const COLUMNS: [usize; 8] = [0, 11, 17, 25, 33, 41, 49, 57];

/// The field names of `-F`, in order.
pub(super) const FIELDS: [&str; 8] =
    ["service", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit", "command"];

pub(super) fn show(o: &Options, out: &mut dyn Write) -> Done {
    let master = load_master(&config_dir(o))?;
    let mut matched = vec![false; o.names.len()];
    let mut selected = Vec::new();
    for service in &master.services {
        for line in lines(o, service)? {
            let (path, _, _) = &line;
            let hit = o.names.iter().position(|p| matches(p, path));
            if let Some(m) = hit.and_then(|i| matched.get_mut(i)) {
                *m = true;
            }
            if o.names.is_empty() || hit.is_some() {
                selected.push(line);
            }
        }
    }
    for (name, _) in o.names.iter().zip(&matched).filter(|(_, m)| !**m) {
        warn(&format!("unmatched request: \"{name}\""));
    }
    let ordered = in_order(o, selected);
    for (path, value, is_entry) in ordered {
        match is_entry {
            true => writeln!(out, "{value}")?,
            false => super::show::print(o, &path, &value, out)?,
        }
    }
    check(o, &master)
}

/// Output follows the requests, and within a request the file.
fn in_order(o: &Options, lines: Vec<Line>) -> Vec<Line> {
    if o.names.is_empty() {
        return lines;
    }
    let mut out = Vec::new();
    for pattern in &o.names {
        out.extend(lines.iter().filter(|(path, _, _)| matches(pattern, path)).cloned());
    }
    out
}

/// Path, text, and whether the text is a whole entry.
type Line = (String, String, bool);

fn lines(o: &Options, s: &Service) -> Result<Vec<Line>, Fatal> {
    let id = format!("{}/{}", s.name, s.kind.name());
    Ok(match o.mode {
        Mode::Fields => {
            FIELDS.iter().enumerate().map(|(i, f)| (format!("{id}/{f}"), field(s, i), false)).collect()
        }
        Mode::Overrides => {
            let mut out = Vec::new();
            for (name, value) in &s.overrides {
                out.push((format!("{id}/{name}"), expanded(o, s, value)?, false));
            }
            out
        }
        _ => vec![(id, entry(s, o.fold), true)],
    })
}

fn expanded(o: &Options, s: &Service, value: &str) -> Result<String, Fatal> {
    if !o.expand {
        return Ok(value.to_owned());
    }
    let cfg = load_config(o)?.service(&s.name, &s.overrides);
    expand::expand(&cfg, value).map_err(Fatal)
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
    let command = command(s);
    if !folded {
        return line + &command.join(" ");
    }
    let (name, args) = command.split_first().map_or(("", [].as_slice()), |(n, a)| (n.as_str(), a));
    line.push_str(name);
    fold_arguments(line, args)
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

/// The warnings of `-M`, `-F`, `-P` about parameters that nothing uses.
fn check(o: &Options, master: &base_conf::MasterCf) -> Done {
    let Ok(cfg) = load_config(o) else { return Ok(()) };
    super::known::Known::new(&cfg, master).check(&cfg, master)
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
