//! SPF against small zones: the examples of RFC 7208, appendix A, and its limits.

use super::*;
use crate::lookup::tests::{Silent, Zone};

const EXAMPLE: &str = "
    example.com A 192.0.2.10
    example.com A 192.0.2.11
    example.com MX mail-a.example.com
    example.com MX mail-b.example.com
    amy.example.com A 192.0.2.65
    bob.example.com A 192.0.2.66
    mail-a.example.com A 192.0.2.129
    mail-b.example.com A 192.0.2.130
    example.org MX mail-c.example.org
    mail-c.example.org A 192.0.2.140
    192.0.2.10 PTR example.com
    192.0.2.11 PTR example.com
    192.0.2.65 PTR amy.example.com
    192.0.2.66 PTR bob.example.com
    192.0.2.129 PTR mail-a.example.com
    192.0.2.130 PTR mail-b.example.com
    192.0.2.140 PTR mail-c.example.org
    10.0.0.4 PTR bob.example.com
";

async fn judge(zone: &str, ip: &str, sender: &str) -> Spf {
    let ip = ip.parse().expect("address");
    let client = Client { ip, helo: "helo.example.net", sender, receiver: "mx.here" };
    check(&Zone::new(zone), &client, Identity::MailFrom).await
}

#[tokio::test]
async fn appendix_a() {
    for (record, pass, fail) in [
        ("+all", vec!["192.0.2.129", "1.2.3.4"], vec![]),
        ("a -all", vec!["192.0.2.10", "192.0.2.11"], vec!["192.0.2.65"]),
        ("a:example.org -all", vec![], vec!["192.0.2.10"]),
        ("mx -all", vec!["192.0.2.129", "192.0.2.130"], vec!["192.0.2.10", "192.0.2.140"]),
        ("mx:example.org -all", vec!["192.0.2.140"], vec!["192.0.2.129"]),
        ("mx mx:example.org -all", vec!["192.0.2.129", "192.0.2.130", "192.0.2.140"], vec!["192.0.2.10"]),
        ("mx/30 mx:example.org/30 -all", vec!["192.0.2.131", "192.0.2.143"], vec!["192.0.2.132"]),
        ("ptr -all", vec!["192.0.2.65", "192.0.2.10"], vec!["192.0.2.140", "10.0.0.4"]),
        ("ip4:192.0.2.128/28 -all", vec!["192.0.2.129", "192.0.2.140"], vec!["192.0.2.65"]),
    ] {
        let zone = format!("{EXAMPLE}\nexample.com TXT v=spf1 {record}");
        for ip in pass {
            assert_eq!(judge(&zone, ip, "a@example.com").await.result, SpfResult::Pass, "{record} {ip}");
        }
        for ip in fail {
            assert_eq!(judge(&zone, ip, "a@example.com").await.result, SpfResult::Fail, "{record} {ip}");
        }
    }
}

#[tokio::test]
async fn results() {
    let many = (0..11).map(|n| format!("a{n}.test MX h{n}.test\n")).collect::<String>();
    let eleven = (0..11).map(|n| format!("big.test MX h{n}.test\n")).collect::<String>();
    for (zone, want) in [
        ("x.test A 192.0.2.1", SpfResult::None),
        ("t.test A 1.1.1.1", SpfResult::None),
        ("t.test TXT v=spf1", SpfResult::Neutral),
        ("t.test TXT TEMPFAIL", SpfResult::TempError),
        ("t.test TXT v=spf1 ~all", SpfResult::SoftFail),
        ("t.test TXT v=spf1 ip4:192.0.2.7", SpfResult::Pass),
        ("t.test TXT v=spf1 -all\nt.test TXT v=spf1 +all", SpfResult::PermError),
        ("t.test TXT v=spf1 a:x.test -all\nx.test A TEMPFAIL", SpfResult::TempError),
        ("t.test TXT v=spf1 include:i.test -all\ni.test TXT v=spf1 ?ip4:192.0.2.7", SpfResult::Fail),
        ("t.test TXT v=spf1 include:i.test -all\ni.test TXT v=spf1 ip4:192.0.2.7", SpfResult::Pass),
        ("t.test TXT v=spf1 include:i.test", SpfResult::PermError),
        ("t.test TXT v=spf1 redirect=i.test", SpfResult::PermError),
        ("t.test TXT v=spf1 redirect=i.test\ni.test TXT v=spf1 -all", SpfResult::Fail),
        ("t.test TXT v=spf1 include:t.test", SpfResult::PermError),
        ("t.test TXT v=spf1 a:n1.test a:n2.test a:n3.test +all", SpfResult::PermError),
        ("t.test TXT v=spf1 a:n1.test a:n2.test +all", SpfResult::Pass),
        ("t.test TXT v=spf1 exists:%{ir}.%{l}.x.test\n7.2.0.192.me.x.test A 127.0.0.2", SpfResult::Pass),
        (
            &format!(
                "{many}t.test TXT v=spf1 {}",
                (0..11).map(|n| format!("mx:a{n}.test ")).collect::<String>()
            ),
            SpfResult::PermError,
        ),
        (&format!("{eleven}t.test TXT v=spf1 mx:big.test"), SpfResult::PermError),
        ("192.0.2.7 PTR c.t.test\nc.t.test A 192.0.2.7\nt.test TXT v=spf1 a:%{p}", SpfResult::Pass),
    ] {
        let spf = judge(zone, "192.0.2.7", "me@t.test").await;
        assert_eq!(spf.result, want, "{zone}: {spf:?}");
    }
}

#[tokio::test]
async fn identities_and_explanations() {
    let zone = "t.test TXT v=spf1 -all exp=e.%{d}\ne.t.test TXT %{i} is not one of %{o}'s hosts (%{r})
        helo.example.net TXT v=spf1 ip4:192.0.2.7 -all";
    let spf = judge(zone, "192.0.2.7", "me@t.test").await;
    assert_eq!(spf.explanation.as_deref(), Some("192.0.2.7 is not one of t.test's hosts (mx.here)"));
    let spf = judge(zone, "::ffff:192.0.2.7", "").await;
    assert_eq!((spf.result, spf.domain.as_str()), (SpfResult::Pass, "helo.example.net"));
    for none in ["me@[192.0.2.7]", "me@localhost", "me@a..b", "me"] {
        assert_eq!(judge(zone, "192.0.2.7", none).await.result, SpfResult::None, "{none}");
    }
    let client =
        Client { ip: "192.0.2.7".parse().expect("ip"), helo: "h", sender: "a\r\nb@t", receiver: "r" };
    let header = received_spf(&spf, &client, Identity::MailFrom);
    assert_eq!(header.matches("\r\n").count(), 2, "{header}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_name_server() {
    let begin = tokio::time::Instant::now();
    let client = Client {
        ip: "192.0.2.1".parse().expect("address"),
        helo: "x.example",
        sender: "a@example.com",
        receiver: "mx.here",
    };
    let got = check(&Silent, &client, Identity::MailFrom).await;
    assert_eq!((got.result, got.domain.as_str()), (SpfResult::TempError, "example.com"));
    assert_eq!(begin.elapsed().as_secs(), TIME_LIMIT.as_secs());
}
