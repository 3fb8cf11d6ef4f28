//! The command line.

use anyhow::{Context, Result, bail};
use std::path::PathBuf;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where Hikyaku is installed.
    pub prefix: PathBuf,
    /// `relay`, `accept`, `local`, `queue`, `idle`, `tables`.
    pub mode: String,
    /// Sessions at once (20; idle: connections, 10,000).
    pub sessions: u32,
    /// Messages per run (5,000; queue: 20,000).
    pub count: u32,
    /// Bytes per message (4,096; queue: 1,024).
    pub size: u32,
    /// Runs of each server.
    pub runs: u32,
    /// Rules of header_checks and body_checks, none of which matches.
    pub rules: u32,
    /// Several messages per connection.
    pub persistent: bool,
}

impl Options {
    /// Parses the arguments.
    pub fn parse(args: &[String]) -> Result<Self> {
        let (mut sessions, mut count, mut size) = (None, None, None);
        let mut o = Self {
            prefix: PathBuf::new(),
            mode: String::new(),
            sessions: 20,
            count: 0,
            size: 0,
            runs: 3,
            rules: 0,
            persistent: false,
        };
        let mut args = args.iter();
        while let Some(a) = args.next() {
            let mut number = || -> Result<u32> {
                let v = args.next().with_context(|| format!("{a} needs a number"))?;
                v.parse().with_context(|| format!("{a} {v}"))
            };
            match a.as_str() {
                "--sessions" => sessions = Some(number()?),
                "--count" => count = Some(number()?),
                "--size" => size = Some(number()?),
                "--runs" => o.runs = number()?,
                "--rules" => o.rules = number()?,
                "--persistent" => o.persistent = true,
                "--prefix" => o.prefix = args.next().context("--prefix needs a folder")?.into(),
                mode if !mode.starts_with('-') && o.mode.is_empty() => o.mode = mode.into(),
                other => bail!("unknown argument {other:?}"),
            }
        }
        let (usual_count, usual_size) = if o.mode == "queue" { (20_000, 1024) } else { (5000, 4096) };
        (o.count, o.size) = (count.unwrap_or(usual_count), size.unwrap_or(usual_size));
        o.sessions = sessions.unwrap_or(if o.mode == "idle" { 10_000 } else { 20 });
        if o.mode.is_empty() {
            bail!("a mode is needed: relay, accept, local, queue, idle or tables");
        }
        Ok(o)
    }
}
