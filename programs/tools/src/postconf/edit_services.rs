//! Edits master.cf: `-Me service/type=line`, `-Fe service/type/field=value`, `-Pe service/type/parameter=value`,
//! and `-M#`, `-MX`, `-PX`. Comments, blank lines and the order of entries stay.

use super::{
    Done, Fatal, Options, config_dir,
    edit::replace,
    options::Change,
    services::{FIELDS, entry, matches},
};
use base_conf::{MasterCf, Service};
use std::fs;

/// One request: where, and what to put there.
struct Request {
    path: String,
    value: String,
}

pub(super) fn run(o: &Options, change: Change) -> Done {
    let requests = o.names.iter().map(|a| request(a, change)).collect::<Result<Vec<_>, _>>()?;
    let path = config_dir(o).join("master.cf");
    let text = fs::read_to_string(&path).map_err(|e| Fatal(format!("open {}: {e}", path.display())))?;
    super::load_master(&config_dir(o))?;
    let mut out = String::new();
    let mut done = vec![false; requests.len()];
    for block in blocks(&text) {
        let Some(service) = block.service() else {
            out.push_str(&block.text);
            continue;
        };
        let mut current =
            Edit { service, change, object: o.object, changed: false, removed: false, commented: false };
        for (r, done) in requests.iter().zip(&mut done) {
            *done |= current.apply(r)?;
        }
        current.write(&block, &mut out);
    }
    for (r, _) in requests.iter().zip(&done).filter(|(_, d)| !**d) {
        add(o.object, change, r, &mut out)?;
    }
    replace(&path, out.as_bytes())
}

fn request(arg: &str, change: Change) -> Result<Request, Fatal> {
    let (path, value) = match change {
        Change::Set => super::options::definition(arg)?,
        _ => (arg.trim().to_owned(), String::new()),
    };
    if !path.contains('/') {
        return Err(Fatal(format!("need service/type instead of \"{path}\"")));
    }
    Ok(Request { path, value })
}

/// A request that no entry matched: a new service, or an error.
fn add(object: char, change: Change, r: &Request, out: &mut String) -> Done {
    match (object, change) {
        ('M', Change::Set) => {
            let service = parse_line(&r.value)?;
            out.push_str(&entry(&service, true));
            out.push('\n');
            Ok(())
        }
        ('M', _) => Ok(()),
        _ => Err(Fatal(format!("unmatched request: \"{}\"", r.path))),
    }
}

fn parse_line(line: &str) -> Result<Service, Fatal> {
    let master = MasterCf::parse(line).map_err(|e| Fatal(e.text))?;
    master.services.into_iter().next().ok_or_else(|| Fatal("bad field count".to_owned()))
}

/// An entry with the comments inside it, or the lines between entries.
struct Block {
    text: String,
    logical: String,
}

impl Block {
    fn service(&self) -> Option<Service> {
        parse_line(&self.logical).ok()
    }
}

fn blocks(text: &str) -> Vec<Block> {
    let mut out: Vec<Block> = Vec::new();
    for line in text.split_inclusive('\n') {
        let content = line.trim_start();
        let plain = content.is_empty() || content.starts_with('#');
        let continues = !plain && content.len() < line.len();
        match out.last_mut() {
            Some(last) if continues && !last.logical.is_empty() => {
                last.text.push_str(line);
                last.logical.push_str(line.trim_end_matches('\n'));
            }
            _ if plain => out.push(Block { text: line.to_owned(), logical: String::new() }),
            _ => out.push(Block { text: line.to_owned(), logical: line.trim_end().to_owned() }),
        }
    }
    out
}

struct Edit {
    service: Service,
    change: Change,
    object: char,
    changed: bool,
    removed: bool,
    commented: bool,
}

impl Edit {
    /// Applies a request if it is about this service; says whether it was.
    fn apply(&mut self, r: &Request) -> Result<bool, Fatal> {
        let id = format!("{}/{}", self.service.name, self.service.kind.name());
        let mut parts = r.path.splitn(3, '/');
        let head = format!("{}/{}", parts.next().unwrap_or_default(), parts.next().unwrap_or("*"));
        if !matches(&head, &id) {
            return Ok(false);
        }
        match (self.object, self.change, parts.next()) {
            ('M', Change::Set, None) => self.service = parse_line(&r.value)?,
            ('M', Change::Comment, None) => self.commented = true,
            ('M', Change::Remove, None) => self.removed = true,
            ('F', Change::Set, Some(field)) => self.set_field(field, &r.value)?,
            ('P', Change::Set, Some(name)) => self.set_parameter(name, Some(&r.value))?,
            ('P', Change::Remove, Some(name)) => self.set_parameter(name, None)?,
            _ => return Err(Fatal(format!("bad request: \"{}\"", r.path))),
        }
        self.changed = true;
        Ok(true)
    }

    fn set_field(&mut self, field: &str, value: &str) -> Done {
        let bad = || Fatal(format!("unknown field name: \"{field}\""));
        let index = FIELDS.iter().position(|f| *f == field).ok_or_else(bad)?;
        let mut words = self.service.words.clone();
        if index == 7 {
            words.truncate(7);
        }
        match words.get_mut(index) {
            Some(word) => value.clone_into(word),
            None => words.push(value.to_owned()),
        }
        // The command field holds its arguments as written; all others are single words.
        let line = words.iter().enumerate().map(|(i, w)| if i > 7 { braced(w) } else { w.clone() });
        self.service = parse_line(&line.collect::<Vec<_>>().join(" "))?;
        Ok(())
    }

    fn set_parameter(&mut self, name: &str, value: Option<&str>) -> Done {
        let mut words = self.service.words.get(..8).unwrap_or_default().to_vec();
        let mut rest = self.service.words.iter().skip(8).cloned().peekable();
        let mut kept = Vec::new();
        while let Some(word) = rest.next_if(|w| w.starts_with('-')) {
            let text = match word.strip_prefix("-o") {
                Some("") => rest.next().unwrap_or_default(),
                Some(text) => text.to_owned(),
                None => {
                    kept.push(word);
                    continue;
                }
            };
            let same = base_conf::main_cf::split_definition(&text).is_ok_and(|(n, _)| n == name);
            if !same {
                kept.extend(["-o".to_owned(), braced(&text)]);
            }
        }
        if let Some(value) = value {
            kept.extend(["-o".to_owned(), braced(&format!("{name}={value}"))]);
        }
        words.extend(kept);
        words.extend(rest.map(|w| braced(&w)));
        self.service = parse_line(&words.join(" "))?;
        Ok(())
    }

    fn write(&self, block: &Block, out: &mut String) {
        if self.removed {
            return;
        }
        if self.commented {
            for line in block.text.split_inclusive('\n') {
                out.push('#');
                out.push_str(line);
            }
        } else if self.changed {
            out.push_str(&entry(&self.service, true));
            out.push('\n');
        } else {
            out.push_str(&block.text);
        }
    }
}

fn braced(word: &str) -> String {
    if word.contains(char::is_whitespace) { format!("{{{word}}}") } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(object: char, change: Change, line: &str, path: &str, value: &str, expect: &str) {
        let mut e = Edit {
            service: parse_line(line).unwrap(),
            change,
            object,
            changed: false,
            removed: false,
            commented: false,
        };
        let request = Request { path: path.into(), value: value.into() };
        assert!(e.apply(&request).unwrap());
        let mut out = String::new();
        e.write(&Block { text: format!("{line}\n"), logical: String::new() }, &mut out);
        assert_eq!(out, expect);
    }

    #[test]
    fn table() {
        let line = "smtp inet n - n - - smtpd -o a=b";
        let head = "smtp       inet  n       -       n       -       -       smtpd";
        check(
            'P',
            Change::Set,
            line,
            "smtp/inet/c",
            "d e",
            &format!("{head}\n    -o a=b\n    -o {{c=d e}}\n"),
        );
        check('P', Change::Set, line, "smtp/inet/a", "x", &format!("{head}\n    -o a=x\n"));
        check('P', Change::Remove, line, "smtp/inet/a", "", &format!("{head}\n"));
        check('M', Change::Comment, line, "smtp/inet", "", &format!("#{line}\n"));
        check('M', Change::Remove, line, "smtp/inet", "", "");
        let chroot = "smtp       inet  n       -       y       -       -       smtpd\n    -o a=b\n";
        check('F', Change::Set, line, "smtp/inet/chroot", "y", chroot);
        check('F', Change::Set, line, "smtp/inet/command", "smtpd -v", &format!("{head}\n    -v\n"));
    }

    #[test]
    fn blocks_keep_everything() {
        let text = "# c\n\nsmtp inet n - n - - smtpd\n  -o a=b\n# d\nx unix - - n - - y";
        assert_eq!(blocks(text).iter().map(|b| b.text.as_str()).collect::<String>(), text);
        assert_eq!(blocks(text).iter().filter_map(Block::service).count(), 2);
    }
}
