//! One envelope recipient on its way to the list of those to deliver to: standard form, canonical maps, virtual
//! aliases with their limits, duplicates. virtual(5), postconf(5) `duplicate_filter_limit`.

use crate::{
    addresses::{Mapper, Place},
    reply,
};
use base_calls::{Recipient, RewriteContext, SubmitError};
use std::collections::HashSet;

/// Why recipients could not be worked out.
#[derive(Debug)]
pub(crate) enum RecipientError {
    /// A table is down: the name of its parameter. The table has told the log why.
    Lookup(String),
    /// `virtual_alias_expansion_limit`.
    TooMany,
    /// `virtual_alias_recursion_limit`.
    TooDeep,
    /// `virtual_alias_address_length_limit`: the address.
    TooLong(String),
}

impl RecipientError {
    /// The answer for the client.
    pub fn reply(&self) -> SubmitError {
        match self {
            Self::Lookup(..) => reply::write_error(),
            _ => reply::alias_expansion(),
        }
    }

    /// The line for the log, about `recipient`.
    pub fn log_text(&self, recipient: &str) -> String {
        let later = "message not accepted, try again later";
        match self {
            Self::Lookup(maps) => format!("{maps} map lookup problem for {recipient} -- {later}"),
            Self::TooMany => {
                format!("unreasonable virtual_alias_maps map expansion size for {recipient} -- {later}")
            }
            Self::TooDeep => {
                format!("unreasonable virtual_alias_maps map nesting for {recipient} -- {later}")
            }
            Self::TooLong(address) => {
                let shown: String = address.chars().take(300).collect();
                format!("unreasonable virtual_alias_maps result {shown}... -- {later}")
            }
        }
    }
}

/// Standard form, canonical maps, `ORCPT` for one that has none.
pub(crate) async fn prepare(
    mapper: Mapper<'_>,
    mut r: Recipient,
    map_addresses: bool,
) -> Result<Recipient, RecipientError> {
    if r.original.is_empty() {
        r.original.clone_from(&r.address);
    }
    r.address = mapper.route.rewrite(RewriteContext::Local, &r.address);
    if map_addresses {
        let mapped = mapper.canonical(std::mem::take(&mut r.address), Place::EnvelopeRecipient).await;
        r.address = mapped.map_err(|(maps, _)| RecipientError::Lookup(maps))?;
    }
    if r.orcpt.is_empty() {
        // Debian's Postfix says rfc822 here also for an address beyond ASCII, and does not quote.
        r.orcpt = format!("rfc822;{}", r.address);
    }
    Ok(r)
}

/// What `address` becomes by virtual aliases: itself when there is none.
pub(crate) async fn expand(mapper: Mapper<'_>, address: &str) -> Result<Vec<String>, RecipientError> {
    let c = mapper.config;
    let maps = &mapper.mappings.virtual_alias;
    // Addresses to look at, with the depth they were found at; results keep the order of the tables.
    let mut list = vec![(address.to_owned(), 0usize)];
    let mut at = 0;
    while let Some((current, depth)) = list.get(at).cloned() {
        if current.len() > c.virtual_alias_address_length_limit {
            return Err(RecipientError::TooLong(current));
        }
        let found = mapper.find(maps, &current, c.propagate_virtual).await;
        let found = found.map_err(|_| RecipientError::Lookup(maps.title().to_owned()))?;
        let Some(found) = found.filter(|f| !f.is_empty()) else {
            at += 1;
            continue;
        };
        if depth + 1 >= c.virtual_alias_recursion_limit {
            return Err(RecipientError::TooDeep);
        }
        // An address that maps to itself is final: it stays, and what stands beside it is looked at.
        let stays = found.iter().any(|f| same(f, &current));
        let known: HashSet<String> = list.iter().map(|(a, _)| a.to_ascii_lowercase()).collect();
        let mut new = found.into_iter().filter(|f| !known.contains(&f.to_ascii_lowercase()));
        if stays {
            list.extend(new.map(|f| (f, depth + 1)));
            at += 1;
        } else if let Some(first) = new.next() {
            list.extend(new.map(|f| (f, depth + 1)).collect::<Vec<_>>());
            if let Some(slot) = list.get_mut(at) {
                *slot = (first, depth + 1);
            }
        } else {
            // All that it maps to is in the list already.
            list.remove(at);
        }
        if list.len() > c.virtual_alias_expansion_limit {
            return Err(RecipientError::TooMany);
        }
    }
    Ok(list.into_iter().map(|(a, _)| a).collect())
}

fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Remembers recipients, up to `duplicate_filter_limit`.
#[derive(Debug, Default)]
pub(crate) struct Duplicates {
    seen: HashSet<String>,
}

impl Duplicates {
    /// Whether this recipient is new: no other has the same address, notices and (`with_original`) original.
    pub fn is_new(&mut self, r: &Recipient, with_original: bool, limit: usize) -> bool {
        let mut key = r.address.to_lowercase();
        let n = r.notify;
        key.extend([n.never, n.success, n.failure, n.delay].map(|on| if on { '1' } else { '0' }));
        if with_original {
            key.push('\n');
            key.push_str(&r.original.to_lowercase());
        }
        if self.seen.contains(&key) {
            return false;
        }
        if self.seen.len() < limit {
            self.seen.insert(key);
        }
        true
    }
}
