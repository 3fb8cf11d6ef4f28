//! Building tables, adding to them, removing from them.

use super::{Command, Job, privileges};
use crate::console::Fatal;
use base_tables::build::{BuildOptions, Builder, Format};
use base_tables::types;
use std::{
    fs,
    io::{self, BufRead, Read},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// The largest source text.
const MAX_TEXT: u64 = 4 << 30;

/// Builds every table named.
pub fn build_all(job: &Job<'_>) -> Result<(), Fatal> {
    job.specs()?.iter().try_for_each(|spec| build(job, spec))
}

fn build(job: &Job<'_>, spec: &str) -> Result<(), Fatal> {
    let (kind, source) = spec.split_once(':').unwrap_or(("", spec));
    refuse_proxy(kind)?;
    if behind_server(spec).is_none() {
        types::parse_spec(spec).map_err(Fatal::new)?;
    }
    let text = match fs::read(source) {
        Ok(text) => text,
        // A folder reads as an empty source, as it does for the original.
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Vec::new(),
        Err(error) => return Err(Fatal::new(format!("open {source}: {}", base_sys::system_text(&error)))),
    };
    buildable(spec)?;
    Builder::check(spec).map_err(Fatal::new)?;
    let _acting = privileges::as_owner_of(Path::new(source), job.options.keep_root)?;
    let lines = text.iter().filter(|b| **b == b'\n').count();
    let mut builder = Builder::empty(spec, lines, options(job)).map_err(Fatal::new)?;
    builder.add_text(&text, source, &|text| job.warn(text));
    finish(job, builder)
}

/// Adds standard input to the tables named.
pub fn add_all(job: &Job<'_>) -> Result<(), Fatal> {
    let mut text = Vec::new();
    io::stdin()
        .lock()
        .take(MAX_TEXT)
        .read_to_end(&mut text)
        .map_err(|e| Fatal::new(format!("read stdin: {e}")))?;
    for spec in job.specs()? {
        let (kind, source) = buildable(&spec)?;
        refuse_proxy(kind.name)?;
        Builder::check(&spec).map_err(Fatal::new)?;
        let _acting = privileges::as_owner_of(Path::new(source), job.options.keep_root)?;
        let mut builder = Builder::existing(&spec, true, options(job)).map_err(Fatal::new)?;
        builder.add_text(&text, "stdin", &|text| job.warn(text));
        finish(job, builder)?;
        // Standard input is used up by the first table, as it is for the original.
        text.clear();
    }
    Ok(())
}

/// The type and name of a table; one behind a server is nothing to build.
fn buildable(spec: &str) -> Result<(&'static types::TableType, &str), Fatal> {
    if let Some(kind) = behind_server(spec) {
        let text = format!("unsupported dictionary type: {kind} does not support bulk-mode creation.");
        return Err(Fatal::new(text));
    }
    types::parse_spec(spec).map_err(Fatal::new)
}

fn behind_server(spec: &str) -> Option<&str> {
    let (kind, _) = spec.split_once(':')?;
    base_nettables::types::find(kind).map(|found| found.name)
}

/// Removes a key, or those on standard input; gives whether one was there.
pub fn delete(job: &Job<'_>, key: &str) -> Result<bool, Fatal> {
    let keys = match key {
        "-" => stdin_keys()?,
        key => vec![key.as_bytes().to_vec()],
    };
    let mut removed = 0;
    for spec in job.specs()? {
        if behind_server(&spec).is_some() {
            return Err(Fatal::new(format!("{spec} map requires O_RDONLY access mode")));
        }
        let (kind, source) = types::parse_spec(&spec).map_err(Fatal::new)?;
        if kind.suffix.is_none() {
            return Err(Fatal::new(no_delete(kind.name, &spec)));
        }
        let _acting = privileges::as_owner_of(Path::new(source), job.options.keep_root)?;
        let create = kind.name == "lmdb";
        let mut builder = Builder::existing(&spec, create, options(job)).map_err(Fatal::new)?;
        let here = builder.remove(&keys);
        if here > 0 {
            builder.finish().map_err(Fatal::new)?;
        }
        removed += here;
    }
    Ok(removed > 0)
}

/// The lines of standard input.
pub fn stdin_keys() -> Result<Vec<Vec<u8>>, Fatal> {
    io::stdin()
        .lock()
        .split(b'\n')
        .collect::<Result<_, _>>()
        .map_err(|e| Fatal::new(format!("read stdin: {e}")))
}

fn refuse_proxy(kind: &str) -> Result<(), Fatal> {
    match kind {
        "proxy" => Err(Fatal::new("can't create maps via the proxy service")),
        _ => Ok(()),
    }
}

fn no_delete(kind: &str, spec: &str) -> String {
    match kind {
        "cidr" | "pcre" | "regexp" | "texthash" => format!("{spec} map requires O_RDONLY access mode"),
        _ => format!("table {spec}: delete operation is not supported"),
    }
}

fn options(job: &Job<'_>) -> BuildOptions {
    let format = match job.command {
        Command::Postmap => Format::Map,
        Command::Postalias => Format::Aliases,
    };
    BuildOptions {
        format,
        fold: job.options.fold,
        with_nul: job.options.with_nul,
        duplicates: job.options.duplicates,
        inherit_mode: job.options.inherit_mode,
        files: job.options.files,
    }
}

fn finish(job: &Job<'_>, mut builder: Builder) -> Result<(), Fatal> {
    if job.command == Command::Postalias {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        builder.add_alias_marks(now, &job.config.str("myhostname").map_err(Fatal::new)?);
    }
    builder.finish().map_err(Fatal::new)
}
