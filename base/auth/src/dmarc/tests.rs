//! DMARC judgements against small zones.

use super::*;
use crate::lookup::tests::Zone;

fn dkim(domain: &str, result: MethodResult) -> Dkim {
    Dkim {
        result,
        reason: None,
        domain: domain.into(),
        selector: "s".into(),
        algorithm: "rsa-sha256",
        beginning: String::new(),
    }
}

fn spf(domain: &str, result: SpfResult) -> Spf {
    Spf { result, domain: domain.into(), explanation: None, problem: None }
}

#[tokio::test]
async fn judgements() {
    let zone = Zone::new(
        "_dmarc.example.com TXT v=DMARC1; p=reject; sp=quarantine; rua=mailto:r@example.com!10m,mailto:x@y.z
         _dmarc.strict.example TXT v=DMARC1; p=reject; adkim=s; aspf=s; pct=30
         _dmarc.down.example TXT TEMPFAIL
         _dmarc.down.example.com TXT TEMPFAIL
         _dmarc.two.example TXT v=DMARC1; p=reject
         _dmarc.two.example TXT v=DMARC1; p=none
         _dmarc.co.suffix TXT v=DMARC1; p=none; psd=y
         _dmarc.own.example.com TXT v=DMARC1; p=none; psd=n",
    );
    use MethodResult::{Fail, None as Nothing, Pass, TempError};
    for (from, spf_of, dkim_of, lot, result, disposition) in [
        ("example.com", "example.com", "", 0, Pass, Policy::None),
        ("example.com", "mail.example.com", "", 0, Pass, Policy::None),
        ("example.com", "", "news.example.com", 0, Pass, Policy::None),
        ("example.com", "other.com", "evil.org", 99, Fail, Policy::Reject),
        ("sub.example.com", "other.com", "", 0, Fail, Policy::Quarantine),
        ("sub.example.com", "example.com", "", 0, Pass, Policy::None),
        ("example.com", "own.example.com", "", 0, Fail, Policy::Reject),
        ("example.com", "down.example.com", "", 0, TempError, Policy::None),
        ("example.com", "down.example.com", "example.com", 0, Pass, Policy::None),
        ("strict.example", "mail.strict.example", "", 29, Fail, Policy::Reject),
        ("strict.example", "mail.strict.example", "", 30, Fail, Policy::Quarantine),
        ("strict.example", "strict.example", "", 0, Pass, Policy::None),
        ("down.example", "down.example", "", 0, TempError, Policy::None),
        ("two.example", "x.y", "", 0, Nothing, Policy::None),
        ("nothing.org", "nothing.org", "", 0, Nothing, Policy::None),
        ("a.co.suffix", "b.co.suffix", "", 0, Fail, Policy::None),
        ("x.a.co.suffix", "y.a.co.suffix", "", 0, Pass, Policy::None),
    ] {
        let s = spf(spf_of, SpfResult::Pass);
        let d = [dkim(dkim_of, Pass), dkim(from, Fail)];
        let got = judge(&zone, Some(from), Some(&s).filter(|_| !spf_of.is_empty()), &d, lot).await;
        assert_eq!(
            (got.result, got.disposition),
            (result, disposition),
            "{from} {spf_of} {dkim_of}: {got:?}"
        );
    }
    let unsure = judge(&zone, Some("example.com"), None, &[dkim("example.com", TempError)], 0).await;
    assert_eq!((unsure.result, unsure.disposition), (TempError, Policy::None));
    let nobody = judge(&zone, None, None, &[], 0).await;
    assert_eq!(nobody.result, MethodResult::PermError);
}

#[test]
fn records() {
    let r = Record::parse(b"v=DMARC1; p=reject; rua=mailto:a@b.c!10m, https://x, mailto:d@e.f; pct=500")
        .expect("a record");
    assert_eq!(
        (r.reports_to, r.percent, r.subdomains),
        (vec!["a@b.c".to_owned(), "d@e.f".to_owned()], 100, Policy::Reject)
    );
    assert_eq!(Record::parse(b"v=DMARC1; p=what; rua=mailto:a@b.c").map(|r| r.policy), Some(Policy::None));
    for bad in ["p=reject; v=DMARC1", "v=DMARC2; p=none", "v=DMARC1", "v=DMARC1; p=what", "v=spf1 -all"] {
        assert!(Record::parse(bad.as_bytes()).is_none(), "{bad}");
    }
}
