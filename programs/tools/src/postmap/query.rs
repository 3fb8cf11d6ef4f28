//! Looking keys up, and listing tables.

use super::{Command, Job, message};
use crate::console::Fatal;
use base_tables::{Table, TableError, Usage, block_on, files, types};
use std::{
    io::{self, BufRead, BufWriter, Read, Write},
    sync::Arc,
};

/// The largest message for -b and -h.
const MAX_MESSAGE: u64 = 1 << 30;
/// Lines that are written at once.
const BUFFER: usize = 1 << 16;

/// Looks a key up, or those on standard input; gives whether one was found.
pub fn query(job: &Job<'_>, key: &str) -> Result<bool, Fatal> {
    let tables = open(job)?;
    let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
    let search = Search { job, tables };
    let found = match key {
        "-" if job.options.body || job.options.headers => search.message(&mut out)?,
        "-" => {
            if job.options.mime {
                job.warn("ignoring -m option without -b or -h");
            }
            search.stdin(&mut out)?
        }
        key => match search.find(key.as_bytes())? {
            Some(value) if job.options.json => {
                entry(job, &mut out, key.as_bytes(), &value)?;
                true
            }
            Some(value) => {
                write(&mut out, &[&value, b"\n"])?;
                true
            }
            None => false,
        },
    };
    flush(out)?;
    Ok(found)
}

/// Lists the first table named, as the original does; gives whether there was one.
pub fn list(job: &Job<'_>) -> Result<bool, Fatal> {
    let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
    if job.specs()?.first().is_some_and(|spec| spec.starts_with("proxy:")) {
        return Err(Fatal::new("can't sequence maps via the proxy service"));
    }
    let Some(table) = open(job)?.into_iter().next() else { return Ok(false) };
    let unsupported = || Fatal::new(format!("table {}: sequence operation is not supported", table.spec()));
    let entries = table.entries().ok_or_else(unsupported)?.map_err(|e| query_error(&e))?;
    for (key, value) in entries {
        let value = content(job, table.as_ref(), &key, value)?;
        entry(job, &mut out, &key, &value)?;
    }
    flush(out)?;
    Ok(true)
}

/// With -F, the files that a value stands for.
fn content(job: &Job<'_>, table: &dyn Table, key: &[u8], value: Vec<u8>) -> Result<Vec<u8>, Fatal> {
    if !job.options.files {
        return Ok(value);
    }
    let Some(suffix) = types::parse_spec(table.spec()).ok().and_then(|(kind, _)| kind.suffix) else {
        return files::read(&value).map_err(Fatal::new);
    };
    files::decode(&value).ok_or_else(|| {
        let title = format!("{}{suffix}", table.spec());
        let start = String::from_utf8_lossy(value.get(..30).unwrap_or(&value)).into_owned();
        let key = String::from_utf8_lossy(key);
        job.warn(&format!("table {title}: key {key}: malformed BASE64 value: {start}"));
        Fatal::new(format!("table {title}: query error"))
    })
}

/// Shows an entry: `key value`, or with -j an object `{"key": "value"}`.
fn entry(job: &Job<'_>, out: &mut impl Write, key: &[u8], value: &[u8]) -> Result<(), Fatal> {
    if !job.options.json {
        return write(out, &[key, separator(job.command), value, b"\n"]);
    }
    let quoted = |text: &[u8]| serde_json::Value::from(String::from_utf8_lossy(text)).to_string();
    let line = format!("{{{}: {}}}\n", quoted(key), quoted(value));
    write(out, &[line.as_bytes()])
}

fn separator(command: Command) -> &'static [u8] {
    match command {
        Command::Postmap => b"\t",
        Command::Postalias => b":\t",
    }
}

fn open(job: &Job<'_>) -> Result<Vec<Arc<dyn Table>>, Fatal> {
    let base = match job.command {
        Command::Postmap => Usage::LOOKUP,
        Command::Postalias => Usage::ALIASES,
    };
    let usage = Usage { fold: job.options.fold, with_nul: job.options.with_nul, ..base };
    job.specs()?.iter().map(|spec| job.tables.try_open(spec, usage).map_err(Fatal::new)).collect()
}

fn query_error(error: &TableError) -> Fatal {
    let colon = if error.reason.is_empty() { "" } else { ": " };
    Fatal::new(format!("table {}: query error{colon}{}", error.table, error.reason))
}

fn write(out: &mut impl Write, parts: &[&[u8]]) -> Result<(), Fatal> {
    parts.iter().try_for_each(|part| out.write_all(part)).map_err(|e| Fatal::new(format!("write: {e}")))
}

fn flush(mut out: impl Write) -> Result<(), Fatal> {
    out.flush().map_err(|e| Fatal::new(format!("write: {e}")))
}

struct Search<'a> {
    job: &'a Job<'a>,
    tables: Vec<Arc<dyn Table>>,
}

impl Search<'_> {
    /// The first value.
    fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fatal> {
        for table in &self.tables {
            let answer = match table.lookup_now(key) {
                Some(answer) => answer,
                None => block_on(table.lookup(key)),
            };
            let Some(value) = answer.map_err(|e| query_error(&e))? else { continue };
            if value.is_empty() {
                let (spec, key) = (table.spec(), String::from_utf8_lossy(key));
                self.job.warn(&format!("table {spec}: key {key}: empty string result is not allowed"));
                self.job.warn(&format!("table {spec} should return NO RESULT in case of NOT FOUND"));
            }
            let value = content(self.job, table.as_ref(), key, value)?;
            return Ok(Some(value));
        }
        Ok(None)
    }

    fn show(&self, out: &mut impl Write, key: &[u8]) -> Result<bool, Fatal> {
        let Some(value) = self.find(key)? else { return Ok(false) };
        entry(self.job, out, key, &value)?;
        Ok(true)
    }

    fn stdin(&self, out: &mut impl Write) -> Result<bool, Fatal> {
        let mut input = io::BufReader::with_capacity(BUFFER, io::stdin().lock());
        let (mut line, mut found) = (Vec::new(), false);
        loop {
            line.clear();
            let len =
                input.read_until(b'\n', &mut line).map_err(|e| Fatal::new(format!("read stdin: {e}")))?;
            if len == 0 {
                return Ok(found);
            }
            found |= self.show(out, line.strip_suffix(b"\n").unwrap_or(&line))?;
        }
    }

    /// Standard input is a message: its headers, body lines, or both are keys (-h, -b, with -m as its MIME
    /// structure says).
    fn message(&self, out: &mut impl Write) -> Result<bool, Fatal> {
        let mut text = Vec::new();
        let read = io::stdin().lock().take(MAX_MESSAGE).read_to_end(&mut text);
        read.map_err(|e| Fatal::new(format!("read stdin: {e}")))?;
        let mut found = false;
        for key in message::keys(&text, self.job.options) {
            found |= self.show(out, &key)?;
        }
        Ok(found)
    }
}
