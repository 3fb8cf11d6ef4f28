//! What DNS lists have said in one session. Each question is asked once, however many restrictions and recipients want
//! to know, and may be asked before anybody waits for it ([`crate::Restrict::scout`]).
//!
//! Held by the connection and handed over with the facts. Bounded in names and in the time of a question; an error is
//! an answer like others.

use base_dns::{DnsError, Resolver};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::OnceCell, time::timeout};

/// The most names that a session remembers.
const MAX_NAMES: usize = 1000;
/// The longest that a session waits for one list.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(10);

/// The addresses of a name.
pub(crate) type Listing = Result<Arc<[IpAddr]>, DnsError>;
type Cell = Arc<OnceCell<Listing>>;

/// The answers of a session. Clones share them.
#[derive(Clone, Default)]
pub struct Answers(Arc<Mutex<HashMap<String, Cell>>>);

impl Answers {
    /// The cell of a name, and whether it is new and will be found again.
    fn cell(&self, name: &str) -> (Cell, bool) {
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = cells.get(name) {
            return (Arc::clone(cell), false);
        }
        let cell = Cell::default();
        let room = cells.len() < MAX_NAMES;
        if room {
            cells.insert(name.to_owned(), Arc::clone(&cell));
        }
        (cell, room)
    }

    /// The IPv4 addresses of `name`.
    pub(crate) async fn get(&self, resolver: &Resolver, name: &str) -> Listing {
        let (cell, _) = self.cell(name);
        cell.get_or_init(|| ask(resolver, name)).await.clone()
    }

    /// Asks in the background; whoever wants the answer later waits only for the rest.
    pub(crate) fn ask_early(&self, resolver: &Resolver, name: String) {
        let (cell, new) = self.cell(&name);
        if new {
            let resolver = resolver.clone();
            tokio::spawn(async move { cell.get_or_init(|| ask(&resolver, &name)).await.is_ok() });
        }
    }
}

async fn ask(resolver: &Resolver, name: &str) -> Listing {
    match timeout(TIME_LIMIT, resolver.addresses(name, true, false)).await {
        Ok(Ok(answer)) => Ok(answer.records.into()),
        Ok(Err(e)) => Err(e),
        Err(_) => Err(DnsError::TempFail("timed out".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_remembered_is_not_asked_early() {
        let answers = Answers::default();
        assert!((0..MAX_NAMES).all(|i| answers.cell(&i.to_string()).1));
        assert!(!answers.cell("0").1);
        assert!(!answers.cell("one more").1);
    }
}
