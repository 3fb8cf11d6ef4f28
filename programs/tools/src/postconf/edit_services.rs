//! Edits master.cf: `-Me service/type=line`, `-Fe service/type/field=value`, `-Pe service/type/parameter=value`,
//! and `-M#`, `-MX`, `-PX`. Comments, blank lines and the order of entries stay.
//!
//! As in Postfix an entry that changes is written anew in front of the next one, after the comments that follow it.

use super::{
    Done, Fatal, Options, config_dir,
    edit::check_line,
    options::Change,
    replace::Replacing,
    services::{FIELDS, entry, matches},
    warn,
};
use base_conf::{MasterCf, Service};

/// One request: what it is about, and what to put there.
struct Request {
    /// As given, for messages.
    text: String,
    /// `service/type`, parts may be `*`.
    service: String,
    /// Field or parameter.
    part: String,
    value: String,
}

pub(super) fn run(o: &Options, change: Change) -> Done {
    let requests = o.names.iter().map(|a| request(a, o.object, change)).collect::<Result<Vec<_>, _>>()?;
    let path = config_dir(o).join("master.cf");
    let replacing = Replacing::begin(&path)?;
    let text = String::from_utf8_lossy(&replacing.read()?).into_owned();
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
            current.apply(r, done)?;
        }
        current.write(&block, &mut out);
    }
    for (r, _) in requests.iter().zip(&done).filter(|(_, d)| !**d) {
        match (o.object, change) {
            ('M', Change::Set) => out.push_str(&format!("{}\n", entry(&parse_line(&r.value)?, true))),
            ('M', _) => {}
            _ => warn(&format!("unmatched service_name/type: \"{}\"", r.text)),
        }
    }
    replacing.finish(out.as_bytes())
}

fn request(arg: &str, object: char, change: Change) -> Result<Request, Fatal> {
    check_line(arg)?;
    let (path, value) = match change {
        Change::Set => super::options::definition(arg)?,
        _ => (arg.trim().to_owned(), String::new()),
    };
    let parts: Vec<&str> = path.split('/').collect();
    let whole = |n: usize| parts.len() == n && parts.iter().all(|p| !p.is_empty());
    let (good, form) = match object {
        'M' => (whole(2), "-Me, -MX or -M# requires service_name/type"),
        'F' => (whole(3), "-Fe or -FX requires service_name/type/field_name"),
        _ => (whole(3), "-Pe or -PX requires service_name/type/parameter"),
    };
    let [service, kind, rest @ ..] = parts.as_slice() else { return Err(Fatal::new(form)) };
    if !good {
        return Err(Fatal::new(form));
    }
    let part = rest.first().map(|p| (*p).to_owned()).unwrap_or_default();
    let spaced = value.contains(char::is_whitespace);
    match object {
        'M' if change == Change::Set && parse_line(&value).is_err_and(|e| e.text == "bad field count") => {
            return Err(Fatal::new(format!("bad field count: \"{arg}\"")));
        }
        'F' if !FIELDS.contains(&part.as_str()) => {
            return Err(Fatal::new(format!("invalid service attribute name: \"{part}\"")));
        }
        'F' if spaced && part != "command" => {
            return Err(Fatal::new("-Fe does not accept whitespace in non-command field"));
        }
        'P' if spaced => return Err(Fatal::new("-Pe does not accept whitespace in parameter value")),
        _ => {}
    }
    Ok(Request { text: arg.to_owned(), service: format!("{service}/{kind}"), part, value })
}

fn parse_line(line: &str) -> Result<Service, Fatal> {
    let master = MasterCf::parse(line).map_err(|e| Fatal::new(e.text))?;
    master.services.into_iter().next().ok_or_else(|| Fatal::new("bad field count".to_owned()))
}

/// An entry with the comments in it and after it, or the lines before the first entry.
#[derive(Default)]
struct Block {
    text: String,
    /// The entry's own lines, joined.
    logical: String,
}

impl Block {
    fn service(&self) -> Option<Service> {
        parse_line(&self.logical).ok()
    }

    /// Its lines, and whether each belongs to the entry.
    fn lines(&self) -> impl Iterator<Item = (&str, bool)> {
        self.text.split_inclusive('\n').map(|l| (l, !is_plain(l)))
    }
}

/// A blank line or a comment.
fn is_plain(line: &str) -> bool {
    let content = line.trim_start();
    content.is_empty() || content.starts_with('#')
}

fn blocks(text: &str) -> Vec<Block> {
    let mut out = vec![Block::default()];
    for line in text.split_inclusive('\n') {
        let own = !is_plain(line);
        if own && !line.starts_with(char::is_whitespace) {
            out.push(Block::default());
        }
        if let Some(block) = out.last_mut() {
            block.text.push_str(line);
            if own {
                block.logical.push_str(line.trim_end());
            }
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
    /// Applies a request if it is about this service, and then marks it `done`.
    fn apply(&mut self, r: &Request, done: &mut bool) -> Done {
        let id = format!("{}/{}", self.service.name, self.service.kind.name());
        if self.removed || !matches(&r.service, &id) {
            return Ok(());
        }
        let again = std::mem::replace(done, true);
        self.changed = true;
        match (self.object, self.change) {
            // One line cannot stand for several entries.
            ('M', Change::Set) if again => self.removed = true,
            ('M', Change::Set) => self.service = parse_line(&r.value)?,
            (_, Change::Comment) => self.commented = true,
            ('M', Change::Remove) => self.removed = true,
            ('F', _) => self.set_field(&r.part, &r.value)?,
            (_, Change::Set) => self.set_parameter(&r.part, Some(&r.value))?,
            (_, Change::Remove) => self.set_parameter(&r.part, None)?,
        }
        Ok(())
    }

    fn set_field(&mut self, field: &str, value: &str) -> Done {
        let bad = || Fatal::new(format!("invalid service attribute name: \"{field}\""));
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
        let fault = |e: Fatal| match e.text.rsplit_once(" in \"") {
            Some((what, _)) => Fatal::new(format!("{what} in \"{value}\"")),
            None => e,
        };
        self.service = parse_line(&line.collect::<Vec<_>>().join(" ")).map_err(fault)?;
        Ok(())
    }

    fn set_parameter(&mut self, name: &str, value: Option<&str>) -> Done {
        let mut words = self.service.words.get(..8).unwrap_or_default().to_vec();
        let mut rest = self.service.words.iter().skip(8).cloned().peekable();
        let mut value = value.map(|v| braced(&format!("{name}={v}")));
        while let Some(word) = rest.next_if(|w| w.starts_with('-')) {
            let text = match word.strip_prefix("-o") {
                Some("") => rest.next().unwrap_or_default(),
                Some(text) => text.to_owned(),
                None => {
                    words.push(word);
                    continue;
                }
            };
            let same = base_conf::main_cf::split_definition(&text).is_ok_and(|(n, _)| n == name);
            let kept = if same { value.take() } else { Some(braced(&text)) };
            words.extend(kept.into_iter().flat_map(|t| ["-o".to_owned(), t]));
        }
        words.extend(value.into_iter().flat_map(|t| ["-o".to_owned(), t]));
        words.extend(rest.map(|w| braced(&w)));
        self.service = parse_line(&words.join(" "))?;
        Ok(())
    }

    fn write(&self, block: &Block, out: &mut String) {
        if !self.changed {
            out.push_str(&block.text);
            return;
        }
        for (line, own) in block.lines() {
            match (own, self.commented) {
                (true, false) => {}
                (true, true) => {
                    out.push('#');
                    out.push_str(line);
                }
                (false, _) => out.push_str(line),
            }
        }
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        if !self.removed && !self.commented {
            out.push_str(&entry(&self.service, true));
            out.push('\n');
        }
    }
}

fn braced(word: &str) -> String {
    if word.contains(char::is_whitespace) { format!("{{{word}}}") } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(object: char, change: Change, text: &str, arg: &str, expect: &str) {
        let mut out = String::new();
        let request = request(arg, object, change).unwrap();
        let mut done = false;
        for block in blocks(text) {
            let Some(service) = block.service() else {
                out.push_str(&block.text);
                continue;
            };
            let mut e = Edit { service, change, object, changed: false, removed: false, commented: false };
            e.apply(&request, &mut done).unwrap();
            e.write(&block, &mut out);
        }
        assert_eq!(out, expect, "{arg}");
    }

    #[test]
    fn table() {
        let line = "smtp inet n - n - - smtpd -o a=b";
        let head = "smtp       inet  n       -       n       -       -       smtpd";
        check('P', Change::Set, line, "smtp/inet/c=d", &format!("{head}\n    -o a=b\n    -o c=d\n"));
        check('P', Change::Set, line, "smtp/inet/a=x", &format!("{head}\n    -o a=x\n"));
        check('P', Change::Remove, line, "smtp/inet/a", &format!("{head}\n"));
        check('M', Change::Comment, line, "smtp/inet", &format!("#{line}\n"));
        check('M', Change::Remove, line, "smtp/inet", "");
        let chroot = "smtp       inet  n       -       y       -       -       smtpd\n    -o a=b\n";
        check('F', Change::Set, line, "smtp/inet/chroot=y", chroot);
        check('F', Change::Set, line, "smtp/inet/command=smtpd -v", &format!("{head}\n    -v\n"));
        let text = "# a\nsmtp inet n - n - - smtpd\n# b\n -o a=b\n# c\nx unix - - - - - y\n";
        let after = format!("# a\n# b\n# c\n{head}\n    -o a=b\n    -o c=d\nx unix - - - - - y\n");
        check('P', Change::Set, text, "*/inet/c=d", &after);
        let commented = "# a\n#smtp inet n - n - - smtpd\n# b\n# -o a=b\n# c\nx unix - - - - - y\n";
        check('M', Change::Comment, text, "smtp/*", commented);
        check('M', Change::Remove, text, "smtp/inet", "# a\n# b\n# c\nx unix - - - - - y\n");
    }

    #[test]
    fn unfit_requests() {
        for (object, change, arg, expect) in [
            ('M', Change::Set, "smtp=x", "-Me, -MX or -M# requires service_name/type"),
            ('M', Change::Remove, "a/b/c", "-Me, -MX or -M# requires service_name/type"),
            ('M', Change::Set, "a/b=c d", "bad field count: \"a/b=c d\""),
            ('F', Change::Set, "a/b=c", "-Fe or -FX requires service_name/type/field_name"),
            ('F', Change::Set, "a/b/c=d", "invalid service attribute name: \"c\""),
            ('F', Change::Set, "a/b/chroot=n m", "-Fe does not accept whitespace in non-command field"),
            ('P', Change::Set, "a/b/c=d e", "-Pe does not accept whitespace in parameter value"),
            ('P', Change::Remove, "a/b", "-Pe or -PX requires service_name/type/parameter"),
        ] {
            assert_eq!(request(arg, object, change).err().map(|e| e.text).as_deref(), Some(expect), "{arg}");
        }
    }

    #[test]
    fn blocks_keep_everything() {
        let text = "# c\n\nsmtp inet n - n - - smtpd\n  -o a=b\n# d\nx unix - - n - - y";
        assert_eq!(blocks(text).iter().map(|b| b.text.as_str()).collect::<String>(), text);
        assert_eq!(blocks(text).iter().filter_map(Block::service).count(), 2);
    }
}
