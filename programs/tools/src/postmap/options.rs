//! The command lines of postmap and postalias.

use super::Command;
use crate::{console::Fatal, getopt};
use base_tables::build::Duplicates;
use std::ffi::OsString;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Make the tables from their sources.
    Build,
    /// Add what stands on standard input (-i).
    Add,
    /// Remove a key, or the keys on standard input (-d).
    Delete(String),
    /// Look a key up, or the keys on standard input (-q).
    Query(String),
    /// List everything (-s).
    List,
}

/// The options as given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What to do.
    pub work: Work,
    /// -c
    pub dir: Option<OsString>,
    /// Fold keys (not -f).
    pub fold: bool,
    /// -N, -n
    pub with_nul: Option<bool>,
    /// -r, -w
    pub duplicates: Duplicates,
    /// Take the mode from the source (not -p).
    pub inherit_mode: bool,
    /// Keep root's rights (-o).
    pub keep_root: bool,
    /// -v
    pub verbose: bool,
    /// -b: body lines are keys.
    pub body: bool,
    /// -h: headers are keys.
    pub headers: bool,
    /// -m: with MIME structure.
    pub mime: bool,
    /// -j: one JSON object a line.
    pub json: bool,
    /// -F: values are files to be included.
    pub files: bool,
    /// The tables.
    pub tables: Vec<String>,
}

/// Without -j, which came later: scripts compare.
fn usage(command: Command) -> String {
    let letters = match command {
        Command::Postmap => "bfFhimnNoprsuUvw",
        Command::Postalias => "Nfinoprsuvw",
    };
    format!("usage: {} [-{letters}] [-c config_dir] [-d key] [-q key] [map_type:]file...", command.name())
}

/// Reads the command line.
pub fn parse(command: Command, args: &[OsString]) -> Result<Options, Fatal> {
    let spec = match command {
        Command::Postmap => "bc:d:fFhijmnNopq:rsuUvw",
        Command::Postalias => "Nc:d:fijnopq:rsuvw",
    };
    let parsed = getopt::parse(spec, args).map_err(|found| Fatal::usage(found, &usage(command)))?;
    let mut options = Options {
        work: Work::Build,
        dir: parsed.value('c').map(Into::into),
        fold: !parsed.has('f'),
        with_nul: None,
        duplicates: Duplicates::Warn,
        inherit_mode: !parsed.has('p'),
        keep_root: parsed.has('o'),
        verbose: parsed.has('v'),
        body: command == Command::Postmap && parsed.has('b'),
        headers: command == Command::Postmap && parsed.has('h'),
        mime: command == Command::Postmap && parsed.has('m'),
        json: parsed.has('j'),
        files: command == Command::Postmap && parsed.has('F'),
        tables: parsed.operands.iter().map(|o| o.to_string_lossy().into_owned()).collect(),
    };
    for (letter, value) in &parsed.options {
        options.set(*letter, value.as_ref(), command)?;
    }
    if parsed.has('i') {
        if matches!(options.work, Work::Query(_) | Work::Delete(_) | Work::List) {
            return Err(Fatal::new(usage(command)));
        }
        options.work = Work::Add;
    }
    options.check(command)?;
    Ok(options)
}

impl Options {
    fn set(&mut self, letter: char, value: Option<&OsString>, command: Command) -> Result<(), Fatal> {
        let text = || value.map(|v| v.to_string_lossy().into_owned()).unwrap_or_default();
        match letter {
            'n' => self.with_nul = Some(false),
            'N' => self.with_nul = Some(true),
            'r' => self.duplicates = Duplicates::Replace,
            'w' => self.duplicates = Duplicates::Ignore,
            'd' => self.exclusive(Work::Delete(text()), command)?,
            'q' => self.exclusive(Work::Query(text()), command)?,
            's' => self.exclusive(Work::List, command)?,
            _ => (),
        }
        Ok(())
    }

    fn exclusive(&mut self, work: Work, _command: Command) -> Result<(), Fatal> {
        if self.work != Work::Build {
            return Err(Fatal::new("specify only one of -s -q or -d"));
        }
        self.work = work;
        Ok(())
    }

    fn check(&self, command: Command) -> Result<(), Fatal> {
        if (self.body || self.headers) && self.work != Work::Query("-".to_owned()) {
            return Err(Fatal::new("specify -b -h or -m only with \"-q -\""));
        }
        if self.json && !matches!(self.work, Work::Query(_) | Work::List) {
            return Err(Fatal::new("specify -j only with -s or -q"));
        }
        if self.tables.is_empty() && self.work != Work::List {
            return Err(Fatal::new(usage(command)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: Command, line: &str, want: Result<Work, &str>) {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let got = parse(command, &args).map(|o| o.work);
        assert_eq!(got.map_err(|why| why.to_string()), want.map_err(str::to_owned), "{line}");
    }

    #[test]
    fn table() {
        use Command::{Postalias, Postmap};
        const USAGE: &str =
            "usage: postmap [-bfFhimnNoprsuUvw] [-c config_dir] [-d key] [-q key] [map_type:]file...";
        check(Postmap, "hash:x", Ok(Work::Build));
        check(Postmap, "-i hash:x", Ok(Work::Add));
        check(Postmap, "-q a hash:x hash:y", Ok(Work::Query("a".into())));
        check(Postmap, "-hq - static:x", Ok(Work::Query("-".into())));
        check(Postmap, "-s", Ok(Work::List));
        check(Postmap, "", Err(USAGE));
        check(Postmap, "-q x", Err(USAGE));
        check(Postmap, "-q x -d y static:a", Err("specify only one of -s -q or -d"));
        check(Postmap, "-hq x static:b", Err("specify -b -h or -m only with \"-q -\""));
        check(Postmap, "-jq x static:b", Ok(Work::Query("x".into())));
        check(Postmap, "-j static:b", Err("specify -j only with -s or -q"));
        check(Postmap, "-h static:b", Err("specify -b -h or -m only with \"-q -\""));
        check(
            Postalias,
            "",
            Err("usage: postalias [-Nfinoprsuvw] [-c config_dir] [-d key] [-q key] [map_type:]file..."),
        );
    }
}
