//! Which DNS lists do not work. A list that fails several times in a row is down: then only one question now and then
//! finds out whether it is back, and nobody waits for it. What the administrator has been told is not told again soon.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Failures in a row until a list is down.
const PATIENCE: u32 = 3;
/// How often a list that is down is asked.
const RETRY: Duration = Duration::from_secs(30);
/// How often the log hears of a list that answers wrongly.
const NEWS: Duration = Duration::from_secs(3600);
/// The most lists that are remembered; a configuration has a few.
const MAX_LISTS: usize = 1000;

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// One of the first.
    New,
    /// The list has just gone down.
    Down,
    /// It was down before.
    Known,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    retry: Option<Instant>,
    told: Option<Instant>,
}

/// The lists of a configuration.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<HashMap<String, State>>);

impl Health {
    fn with<T>(&self, domain: &str, f: impl FnOnce(&mut State) -> T) -> T {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lists.len() >= MAX_LISTS && !lists.contains_key(domain) {
            lists.clear();
        }
        if let Some(state) = lists.get_mut(domain) {
            return f(state);
        }
        f(lists.entry(domain.to_owned()).or_default())
    }

    /// False while the list is down and was tried a short time ago.
    pub(crate) fn may_ask(&self, domain: &str) -> bool {
        self.with(domain, |s| {
            let now = Instant::now();
            match s.retry {
                Some(at) if at > now => false,
                Some(_) => {
                    s.retry = Some(now + RETRY);
                    true
                }
                None => true,
            }
        })
    }

    /// True when a question may be asked ahead of time.
    pub(crate) fn is_up(&self, domain: &str) -> bool {
        self.with(domain, |s| s.retry.is_none())
    }

    pub(super) fn failed(&self, domain: &str) -> Trouble {
        self.with(domain, |s| {
            s.failures = s.failures.saturating_add(1);
            if s.failures < PATIENCE {
                return Trouble::New;
            }
            let known = s.retry.is_some();
            s.retry = Some(Instant::now() + RETRY);
            if known { Trouble::Known } else { Trouble::Down }
        })
    }

    /// True when the list was down.
    pub(super) fn answered(&self, domain: &str) -> bool {
        self.with(domain, |s| {
            s.failures = 0;
            s.retry.take().is_some()
        })
    }

    /// Whether the log is to hear of wrong answers.
    pub(super) fn is_news(&self, domain: &str) -> bool {
        self.with(domain, |s| {
            let now = Instant::now();
            let news = s.told.is_none_or(|at| now.duration_since(at) >= NEWS);
            if news {
                s.told = Some(now);
            }
            news
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_list_goes_down_and_comes_back() {
        let h = Health::default();
        let told: Vec<Trouble> = (0..5).map(|_| h.failed("bl")).collect();
        assert_eq!(told, [Trouble::New, Trouble::New, Trouble::Down, Trouble::Known, Trouble::Known]);
        assert!(!h.may_ask("bl") && h.may_ask("other") && !h.is_up("bl"));
        tokio::time::advance(RETRY).await;
        assert!(h.may_ask("bl"), "one tries");
        assert!(!h.may_ask("bl"), "others do not wait");
        assert!(h.answered("bl") && !h.answered("bl") && h.may_ask("bl"));
        assert!(h.is_news("bl") && !h.is_news("bl"));
    }
}
