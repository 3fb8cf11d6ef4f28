//! What the programs were built with: `-l` lock methods, `-m` table types, `-a` and `-A` SASL types.

use super::Done;
use std::io::Write;

/// A list to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Locks,
    Tables,
    SaslServer,
    SaslClient,
}

impl List {
    /// The list of an option letter.
    pub fn of(letter: char) -> Self {
        match letter {
            'l' => Self::Locks,
            'm' => Self::Tables,
            'a' => Self::SaslServer,
            _ => Self::SaslClient,
        }
    }
}

fn table_types() -> Vec<&'static str> {
    let local = base_tables::types::TYPES.iter().map(|t| t.name);
    let mut all: Vec<_> = local.chain(base_nettables::types::TYPES.iter().map(|t| t.name)).collect();
    all.sort_unstable();
    all
}

pub(super) fn print(list: List, out: &mut dyn Write) -> Done {
    let names: Vec<&str> = match list {
        List::Locks => vec!["flock", "fcntl", "dotlock"],
        List::Tables => table_types(),
        List::SaslServer => vec!["cyrus", "dovecot"],
        List::SaslClient => vec!["cyrus"],
    };
    for name in names {
        writeln!(out, "{name}")?;
    }
    Ok(())
}
