//! What our TLS does that Debian's Postfix has not: MTA-STS policies (RFC 8461), REQUIRETLS and `TLS-Required: no` (RFC 8689). The
//! scenarios are e2e/ours/tls.txt. Needs root; see parity.rs.

mod common;

use serde_json::Value;
use std::path::Path;

fn outcome(name: &str) -> Option<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("ours/tls.txt");
    common::ready().then(|| common::run(&file, name, "ours").unwrap())
}

/// Each of `wanted` is within a line of this kind.
fn check(outcome: &Value, kind: &str, wanted: &[&str]) {
    let lines = common::lines(outcome, kind);
    for want in wanted {
        assert!(lines.iter().any(|l| l.contains(want)), "{want}: {lines:#?}");
    }
}

#[test]
fn mta_sts() {
    let Some(outcome) = outcome("mta-sts") else { return };
    check(
        &outcome,
        "log",
        &[
            "to=<x@good.example>, relay=chained.dane.example[198.51.100.41]:25, delay=<N>, delays=<N>, dsn=2.0.0, status=sent",
            "Verified TLS connection established to chained.dane.example",
            "dsn=4.7.5, status=deferred (host mx.unnamed.example[198.51.100.43] is not named by the MTA-STS policy of unnamed.example)",
            "to=<x@bad.example>, relay=expired.dane.example[198.51.100.42]:25, delay=<N>, delays=<N>, dsn=4.7.5, status=deferred (Server certificate not verified)",
            "to=<x@overruled.example>, relay=expired.dane.example[198.51.100.42]:25, delay=<N>, delays=<N>, dsn=2.0.0, status=sent",
            "to=<x@testing.example>, relay=expired.dane.example[198.51.100.42]:25, delay=<N>, delays=<N>, dsn=2.0.0, status=sent",
            "MTA-STS testing: certificate verification failed for expired.dane.example[198.51.100.42]:25: certificate has expired",
            "warning: MTA-STS policy of moved.example: HTTP status 301",
            "to=<x@moved.example>, relay=expired.dane.example[198.51.100.42]:25, delay=<N>, delays=<N>, dsn=2.0.0, status=sent",
            "warning: MTA-STS policy of stranger.example: mta-sts.stranger.example: ",
            "to=<y@good.example>, relay=chained.dane.example[198.51.100.41]:25, delay=<N>, delays=<N>, dsn=2.0.0, status=sent",
        ],
    );
    check(
        &outcome,
        "log",
        &["host mx.unnamed.example[198.51.100.43] is not named by the MTA-STS policy of bücher.example"],
    );
    let lines = common::lines(&outcome, "log");
    let testing = "MTA-STS testing: certificate verification failed for chained";
    assert!(!lines.iter().any(|l| l.contains(testing)), "{lines:#?}");
    check(
        &outcome,
        "cmd",
        &[
            "posted good.example sts success 2",
            "posted unnamed.example sts validation-failure mx.unnamed.example 198.51.100.43 1",
            "posted bad.example sts certificate-expired expired.dane.example 198.51.100.42 1",
            "posted testing.example sts certificate-expired expired.dane.example 198.51.100.42 1",
            "posted moved.example sts sts-policy-fetch-error expired.dane.example 198.51.100.42 1",
            "posted moved.example no-policy-found success 1",
            "posted stranger.example sts sts-webpki-invalid expired.dane.example 198.51.100.42 1",
            "posted stranger.example no-policy-found success 1",
            "mailed bad.example no multipart/report tlsrpt application/tlsrpt+gzip",
            "mailed reports@example.com {'mx-host': ['*.dane.example'], 'policy-domain': 'bad.example', \
             'policy-string': ['version: STSv1', 'mode: enforce', 'mx: *.dane.example', 'max_age: 86400'], \
             'policy-type': 'sts'} {'bad.example sts certificate-expired expired.dane.example 198.51.100.42': 1}",
        ],
    );
    let asked = common::lines(&outcome, "cmd");
    let of = |domain: &str| asked.iter().filter(|l| l.contains(domain)).count();
    assert_eq!((of("good /.well-known/mta-sts.txt"), of("overruled")), (1, 0), "{asked:#?}");
}

#[test]
fn requiretls() {
    let Some(outcome) = outcome("requiretls") else { return };
    check(&outcome, "smtp", &["S: 555 5.5.4 Unsupported option: REQUIRETLS", "S: 250 REQUIRETLS"]);
    check(
        &outcome,
        "mail",
        &[
            "MAIL FROM:<bob@example.com> REQUIRETLS",
            "| Require-TLS-ESMTP: yes",
            "host mx.plain.example[198.51.100.44]",
            "Subject: rather delivered",
        ],
    );
    let mail = common::lines(&outcome, "mail");
    let notice = mail.iter().filter(|l| l.trim() == "secret").count();
    assert_eq!(notice, 0, "notices have the header only: {mail:#?}");
    check(
        &outcome,
        "log",
        &[
            "to=<x@good.example>, relay=chained.dane.example[198.51.100.41]:25, delay=<N>, delays=<N>, dsn=2.0.0, status=sent",
            "to=<x@soft.example>, relay=mx.soft.example[198.51.100.43]:25, delay=<N>, delays=<N>, dsn=2.0.0, status=sent",
            "dsn=5.7.30, status=bounced (REQUIRETLS is required, but there is no way to verify the certificate of host mx.plain.example[198.51.100.44])",
            "to=<x@strict.example>, relay=mx.soft.example[198.51.100.43]:25, delay=<N>, delays=<N>, dsn=2.0.0, status=sent",
            "to=<y@strict.example>, relay=mx.soft.example[198.51.100.43]:25, delay=<N>, delays=<N>, dsn=4.7.5, status=deferred",
        ],
    );
}
