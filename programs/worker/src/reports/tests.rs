//! What becomes of counts whose report cannot be sent, with receivers that fail as they are told.

use super::*;
use base_dns::Options;
use base_log::Captured;
use base_sys::opener::Plain;
use std::collections::BTreeMap;

/// What comes to pass with `a.test` fails; the others' rows are still there when a batch is sent.
const TEST: Kind = Kind {
    name: "test",
    sender: "",
    interval: "",
    map: "",
    authorities: None,
    send: |reports, batch| Box::pin(send(reports, batch)),
};

async fn send(reports: &Reports, batch: &Batch) -> Result<(), String> {
    let there: Vec<_> = ["a.test\tx", "b.test\tx"].map(|key| reports.cache.get(key).is_some()).into();
    reports.log.info(&reports.source, format!("{} {:?} {there:?}", batch.id(), batch.rows.len()));
    if batch.domain == "a.test" { Err("no".into()) } else { Ok(()) }
}

struct Nowhere;

impl Submit for Nowhere {
    fn open(&self, _: Envelope, _: SubmitOptions) -> Result<Box<dyn base_calls::Submission>, SubmitError> {
        unreachable!()
    }
}

fn reports(kind: &'static Kind) -> (Reports, Captured) {
    let (log, seen) = Log::test();
    let reports = Reports {
        kind,
        sender: "r@here".into(),
        organization: "mx.here".into(),
        interval: 10,
        cache: Caches::new(Arc::new(|_| ())).open(""),
        resolver: Resolver::new(Options::default()),
        submit: Arc::new(Nowhere),
        authorities: Authorities::file_or_system(""),
        opener: Arc::new(Plain),
        source: log.session_source("test"),
        log,
    };
    (reports, seen)
}

#[tokio::test]
async fn a_failed_batch_is_put_back_once() {
    let (reports, seen) = reports(&TEST);
    let counts = || -> BTreeMap<_, _> {
        ["a.test\tx", "b.test\tx"].into_iter().filter_map(|k| Some((k, reports.cache.get(k)?))).collect()
    };
    reports.look(0).await;
    reports.cache.add("a.test\tx", 2);
    reports.cache.add("b.test\tx", 3);
    reports.look(10).await;
    assert_eq!(counts(), [("a.test\tx", "2".to_owned())].into());
    reports.cache.add("a.test\tx", 1);
    assert_eq!(counts(), [("a.test\tx", "3".to_owned())].into());
    reports.look(20).await;
    assert_eq!(counts(), [].into());
    // A later one has two attempts again.
    reports.cache.add("a.test\tx", 1);
    reports.look(30).await;
    assert_eq!(counts(), [("a.test\tx", "1".to_owned())].into());
    let want = [
        "test.0.10.a.test 1 [false, true]",
        "warning: report for a.test: no",
        // Put back before the next one has its turn.
        "test.0.10.b.test 1 [true, false]",
        "test.10.20.a.test 1 [false, false]",
        "warning: report for a.test: no; given up, as the last one could not be sent either",
        "test.20.30.a.test 1 [false, false]",
        "warning: report for a.test: no",
    ];
    assert_eq!(seen.texts(), want);
}

#[tokio::test(start_paused = true)]
async fn one_receiver_is_enough() {
    let batch = Batch { kind: "test", domain: "a.test".into(), rows: Vec::new(), span: (0, 1) };
    for (sends, want, told) in [
        ("", Ok(()), vec![]),
        ("+", Ok(()), vec![]),
        ("-", Ok(()), vec![]),
        ("!", Err("no"), vec![]),
        ("-!", Err("no"), vec![]),
        ("+!", Ok(()), vec!["warning: report for a.test: no"]),
        ("!+!", Ok(()), vec!["warning: report for a.test: no; no"]),
        ("~+", Err("timed out"), vec![]),
        ("+!~", Ok(()), vec!["warning: report for a.test: no; timed out"]),
    ] {
        let (reports, seen) = reports(&TEST);
        let sends = sends.chars().map(|how| -> Fut<'_, _> {
            Box::pin(async move {
                match how {
                    '~' => std::future::pending().await,
                    '!' => Err("no".to_owned()),
                    how => Ok(how == '+'),
                }
            })
        });
        assert_eq!(reports.each(&batch, sends.collect()).await, want.map_err(str::to_owned));
        assert_eq!(seen.texts(), told);
    }
}

#[tokio::test]
async fn strangers_do_not_lead_us_inside() {
    let (mut reports, _) = reports(&TEST);
    for host in ["127.0.0.1", "[::1]", "[::ffff:10.0.0.1]", "169.254.169.254"] {
        let host_in_text = host.trim_matches(['[', ']']);
        let done = tls::post(&reports, &format!("https://{host}:1/x"), b"x").await;
        assert_eq!(done, Err(format!("{host_in_text}: no public address")));
    }
    // Whom the administrator trusts may be anywhere.
    let authorities = tempfile::NamedTempFile::new().unwrap();
    reports.authorities = Authorities::file_or_system(authorities.path().to_str().unwrap());
    let done = tls::post(&reports, "https://127.0.0.1:1/x", b"x").await.unwrap_err();
    assert!(!done.contains("public"), "{done}");
}
