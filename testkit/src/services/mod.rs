//! Fake peers of a scenario: `@serve KIND ADDRESS [key=value …]` with a script below. One file a kind, one word in [`ALL`].
//!
//! A real program from Debian (`@daemon`) is better wherever one exists; these are for what a real one does not do on demand:
//! answer wrongly, late, in pieces, or not at all.

use crate::scenario::options;
use anyhow::{Context, Result};

mod dovecot_auth;
mod listen;
mod milter;
mod policy;
mod postfix;
mod sink;
mod socketmap;
mod tcptable;

/// A running peer.
pub trait Service: Send {
    /// Where it listens, for the title.
    fn address(&self) -> String;
    /// What it received, a text for each session or request; the order does not matter.
    fn received(&self) -> Vec<String>;
}

/// Starts a peer on an address with its options and its script.
pub type StartFn = fn(&str, &[(&str, &str)], &[String]) -> Result<Box<dyn Service>>;

/// How a peer is started.
pub enum Start {
    /// By itself.
    Own(StartFn),
    /// As one that answers each request with a line of the script.
    Scripted(listen::Protocol),
}

/// A kind of peer.
pub struct Kind {
    /// The word after `@serve`.
    pub name: &'static str,
    /// How one is started.
    pub start: Start,
}

/// All kinds, sorted.
pub const ALL: &[&Kind] = &[
    &dovecot_auth::KIND,
    &milter::KIND,
    &policy::KIND,
    &postfix::KIND,
    &sink::KIND,
    &socketmap::KIND,
    &tcptable::KIND,
];

/// Starts `KIND ADDRESS [key=value …]`.
pub fn start(arg: &str, body: &[String]) -> Result<Box<dyn Service>> {
    let (plain, named) = options(arg);
    let (name, address) =
        (plain.first().copied().unwrap_or_default(), plain.get(1).copied().unwrap_or_default());
    let kind = ALL.iter().find(|k| k.name == name).with_context(|| format!("no service {name:?}"))?;
    let started = match kind.start {
        Start::Own(start) => start(address, &named, body),
        Start::Scripted(protocol) => listen::start(kind.name, protocol, address, &named, body),
    };
    started.with_context(|| arg.to_owned())
}
