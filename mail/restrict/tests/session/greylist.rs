//! The memory of `check_greylist` outlives the process.

use crate::world::World;
use base_cache::Caches;
use base_calls::MessageAction;
use base_dns::{Options, Resolver};
use mail_restrict::Outcome;
use std::{path::Path, sync::Arc};

/// A try of a process that ends after it.
async fn one_try(map: &Path, from: &str) -> Outcome {
    // No need to wait: who comes a second time has waited long enough.
    let main_cf = format!(
        "smtpd_recipient_restrictions = reject_unauth_destination, check_greylist\ngreylist_delay = 0\ngreylist_map = lmdb:{}",
        map.display()
    );
    let caches = Arc::new(Caches::new(Arc::new(|text: &str| panic!("{text}"))));
    let world = World::new(&main_cf, Resolver::new(Options::default())).remembering(caches);
    world.session(from).rcpt().await
}

#[tokio::test]
async fn a_restart_makes_nobody_wait_again() {
    let dir = tempfile::tempdir().unwrap();
    let map = dir.path().join("greylist");
    let first = one_try(&map, "192.0.2.1").await;
    assert_eq!(first.refusal.map(|r| r.code), Some(450));
    // The same network.
    let second = one_try(&map, "192.0.2.2").await;
    assert_eq!(second.refusal, None);
    let header = match second.actions.as_slice() {
        [MessageAction::Prepend(header)] => header,
        other => panic!("{other:?}"),
    };
    assert!(header.starts_with(b"X-Greylist: delayed "), "{header:?}");
    let third = one_try(&map, "192.0.2.1").await;
    assert_eq!((third.refusal, third.actions), (None, Vec::new()));
    let stranger = one_try(&map, "198.51.100.1").await;
    assert_eq!(stranger.refusal.map(|r| r.code), Some(450));
}
