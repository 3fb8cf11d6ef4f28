//! How many clients postscreen(8) has at once: of one client, in tests (`postscreen_pre_queue_limit`), waiting for the SMTP server
//! behind (`postscreen_post_queue_limit`) and served by it; and whether that is stress.
//!
//! Whoever finds no place is told so at once; no connection is kept beyond these. One client (an address, or a network of
//! `smtpd_client_ipv6_prefix_length`) gets no more than half of the places for tests.

use super::{Screen, ScreenConfig};
use crate::greeting::{network, share};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places and who has them.
pub(super) struct Places {
    of_client: u32,
    prefixes: (u8, u8),
    tests: usize,
    waits: usize,
    open: Mutex<HashMap<String, u32>>,
    tested: AtomicUsize,
    stress: AtomicBool,
    waiting: AtomicUsize,
    /// `None`: for any number.
    server: Option<Arc<Semaphore>>,
    served: usize,
}

fn count(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

impl Places {
    /// `served`: sessions that the server behind may have at once; 0: any number.
    pub(super) fn new(config: &ScreenConfig, served: usize) -> Self {
        Self {
            of_client: share(config.connection_limit, count(config.pre_queue_limit)),
            prefixes: config.prefixes,
            tests: count(config.pre_queue_limit),
            waits: count(config.post_queue_limit),
            open: Mutex::default(),
            tested: AtomicUsize::new(0),
            stress: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            server: (served > 0).then(|| Arc::new(Semaphore::new(served.min(Semaphore::MAX_PERMITS)))),
            served,
        }
    }

    /// Counts the client in; `None` when it has too many connections already.
    pub(super) fn enter(&self, ip: IpAddr) -> Option<OfClient<'_>> {
        let client = network(ip, self.prefixes);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(client.clone()).or_default();
        if self.of_client > 0 && *count >= self.of_client {
            return None;
        }
        *count += 1;
        Some(OfClient { places: self, client })
    }

    /// So many wait for the server that nobody else may.
    pub(super) fn is_server_busy(&self) -> bool {
        let free = self.server.as_ref().is_none_or(|s| s.available_permits() > 0);
        !free && self.waiting.load(Ordering::SeqCst) >= self.waits
    }

    pub(super) fn is_stressed(&self) -> bool {
        self.stress.load(Ordering::SeqCst)
    }
}

impl Screen {
    /// A place for tests; `None`: all are taken.
    pub(super) fn test(&self) -> Option<InTest<'_>> {
        let places = &self.places;
        let place = InTest { screen: self };
        let n = places.tested.fetch_add(1, Ordering::SeqCst) + 1;
        if places.tests > 0 && n > places.tests {
            return None;
        }
        // Postfix's marks: nine tenths and seven tenths of the limit.
        if places.tests > 0
            && n >= places.tests.div_ceil(10) * 9
            && !places.stress.swap(true, Ordering::SeqCst)
        {
            self.note(format!("entering STRESS mode with {n} connections"));
        }
        Some(place)
    }

    /// A place at the server behind, waited for if need be, and whether it was the last; `None`: too many wait already.
    pub(super) async fn server_place(&self) -> Option<(Served, bool)> {
        let places = &self.places;
        let Some(server) = &places.server else { return Some((Served(None), false)) };
        let permit = match Arc::clone(server).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) if places.is_server_busy() => return None,
            Err(_) => {
                let _waiting = Waiting::begin(&places.waiting);
                Arc::clone(server).acquire_owned().await.ok()?
            }
        };
        Some((Served(Some(permit)), server.available_permits() == 0 && places.served > 0))
    }
}

/// A client's connection; dropping it counts it out.
pub(super) struct OfClient<'a> {
    places: &'a Places,
    client: String,
}

impl Drop for OfClient<'_> {
    fn drop(&mut self) {
        let mut open = self.places.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

/// A client that is being tested.
pub(super) struct InTest<'a> {
    screen: &'a Screen,
}

impl Drop for InTest<'_> {
    fn drop(&mut self) {
        let places = &self.screen.places;
        let n = places.tested.fetch_sub(1, Ordering::SeqCst).saturating_sub(1);
        if n <= places.tests.div_ceil(10) * 7 && places.stress.swap(false, Ordering::SeqCst) {
            self.screen.note(format!("leaving STRESS mode with {n} connections"));
        }
    }
}

/// A session of the server behind.
pub(crate) struct Served(
    #[allow(dead_code, reason = "held until the session ends")] Option<OwnedSemaphorePermit>,
);

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
