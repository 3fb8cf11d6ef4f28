//! The pages of a server with mail in its queue; and the dashboard and the alert rules, which must not name what is not there.

use super::*;
use crate::control::tests::World;

/// The files in packaging/ that name families.
const FILES: [(&str, &str); 2] = [
    ("grafana-dashboard.json", include_str!("../../../../packaging/grafana-dashboard.json")),
    ("prometheus-alerts.yml", include_str!("../../../../packaging/prometheus-alerts.yml")),
];

/// The words that begin with `hikyaku_`, `up` aside.
fn names_in(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|w| w.starts_with("hikyaku_")).collect()
}

/// A server with one message on hold and seven sessions.
async fn observed() -> (Observed, World) {
    let world = World::new().await;
    world.store("a@b", true).await;
    let folder = world.dir.path().to_owned();
    let observed = Observed::new(Log::test().0, world.handle.clone(), folder, 0, Arc::new(|| 7));
    (observed, world)
}

#[tokio::test]
async fn pages() {
    let (observed, _world) = observed().await;
    let page = observed.metrics().await;
    assert!(page.contains("hikyaku_queue_messages{state=\"hold\"} 1\n"), "{page}");
    assert!(page.contains("hikyaku_smtpd_sessions 7\n"), "{page}");
    let known = base_metrics::names(&page);
    for (file, text) in FILES {
        let used = names_in(text);
        assert!(used.len() > 5, "{file} names nothing");
        for name in used {
            assert!(known.iter().any(|k| k == name), "{file} names {name}, which is not on the page");
        }
    }
    assert!(observed.status().await.contains("sessions: 7\n"));
    assert_eq!(observed.answer("/ready").await, Reply::check(&[]));
    assert_eq!(observed.answer("/nothing").await, Reply::not_found());
}

#[tokio::test]
async fn without_room_it_is_not_ready() {
    let (mut observed, _world) = observed().await;
    observed.minfree = u64::MAX;
    assert!(health::ready(&observed)[0].starts_with("insufficient room for the queue"));
    assert!(observed.status().await.contains("not ready: insufficient room"));
}
