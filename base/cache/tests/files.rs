//! Caches over files: what is written is there after a restart, and what others change is taken in.

use base_cache::{Cache, Caches};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

fn caches() -> (Caches, Arc<Mutex<Vec<String>>>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&said);
    (Caches::new(Arc::new(move |text: &str| log.lock().unwrap().push(text.to_owned()))), said)
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..500 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("in vain");
}

#[tokio::test(flavor = "multi_thread")]
async fn outlives_the_process() {
    for kind in ["hash", "btree", "lmdb"] {
        let dir = tempfile::tempdir().unwrap();
        let spec = format!("{kind}:{}/c", dir.path().display());
        {
            let (caches, said) = caches();
            let cache = caches.open(&spec);
            assert!(Arc::ptr_eq(&cache, &caches.open(&spec)), "opened once");
            cache.put("a key@x", "1:2:text");
            cache.put("b", "2");
            cache.put("c", "3");
            cache.remove("b");
            assert_eq!(cache.retain(|k, _| k != "c"), (1, 1));
            caches.flush();
            assert_eq!(*said.lock().unwrap(), [""; 0], "{kind}");
        }
        let (caches, _) = caches();
        let cache = caches.open(&spec);
        assert_eq!(cache.get("a key@x").as_deref(), Some("1:2:text"), "{kind}");
        assert_eq!((cache.get("b"), cache.get("c")), (None, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_change_counts() {
    let dir = tempfile::tempdir().unwrap();
    let spec = format!("hash:{}/c", dir.path().display());
    let (ours, _) = caches();
    let (theirs, _) = caches();
    let cache = ours.open(&spec);
    cache.put("a", "1");
    ours.flush();
    let other = theirs.open(&spec);
    assert_eq!(other.get("a").as_deref(), Some("1"));
    other.remove("a");
    other.put("b", "2");
    until(|| cache.get("a").is_none() && cache.get("b").is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goes_on_without_a_file() {
    let (caches, said) = caches();
    let check = |cache: &Cache| {
        cache.put("a", "1");
        assert_eq!(cache.get("a").as_deref(), Some("1"));
    };
    check(&caches.open(""));
    assert!(caches.open("").get("a").is_none(), "each for itself");
    check(&caches.open("hash:/nonexistent/folder/c"));
    check(&caches.open("regexp:/tmp/x"));
    caches.flush();
    let said = said.lock().unwrap().clone();
    assert!(said.iter().any(|t| t.contains("no 'map create' support for this type: regexp")), "{said:?}");
    assert!(!said.is_empty());
}
