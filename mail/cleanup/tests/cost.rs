//! CPU per message; run with `cargo test --release -p mail-cleanup --test cost -- --ignored --nocapture`.

use base_calls::{
    AddressClass, Arrivals, Envelope, Fut, Queued, Recipient, Resolution, RewriteContext, Route, RouteError,
    Submit, SubmitOptions, Timestamp,
};
use base_conf::Config;
use base_log::Log;
use base_spool::MemorySpool;
use mail_cleanup::{Cleanup, CleanupConfig};
use std::{sync::Arc, time::Instant};

struct Plain;

impl Route for Plain {
    fn rewrite(&self, _: RewriteContext, address: &str) -> String {
        address.into()
    }
    fn resolve<'a>(&'a self, _: &'a str, _: &'a str) -> Fut<'a, Result<Resolution, RouteError>> {
        let class = AddressClass::Local;
        let (transport, nexthop) = ("local".into(), "x".into());
        let r =
            Resolution { transport, nexthop, recipient: "x".into(), class, routed: false, invalid: false };
        Box::pin(async move { Ok(r) })
    }
    fn unlisted<'a>(&'a self, _: &'a str) -> Fut<'a, Result<Option<base_calls::Unlisted>, RouteError>> {
        Box::pin(async { Ok(None) })
    }
}

struct Nowhere;

impl Arrivals for Nowhere {
    fn arrived(&self, _: Arc<Queued>, _: bool) {}
}

#[tokio::test]
#[ignore = "a measurement"]
async fn four_kibibytes() {
    let config = Config::from_text("myhostname = mail.example.com\nmyorigin = example.com\n");
    let config = Arc::new(CleanupConfig::from_config(&config).unwrap());
    let tables = base_tables::Tables::new(base_tables::Options::default());
    let headers = "Received: from c (client.example.net [192.0.2.10])\r\n\tby mail.example.com (Postfix) with ESMTP id QQ\r\n\t\
        for <x@example.org>; Sat, 21 Nov 2026 22:57:18 +0000 (UTC)\r\nFrom: <a@example.net>\r\nTo: <x@example.org>\r\n\
        Date: Sat, 21 Nov 2026 22:57:18 +0000 (UTC)\r\nMessage-Id: <m@n>\r\n\r\n";
    let content = format!("{headers}{}", format!("{}\r\n", "x".repeat(78)).repeat(50));
    for (what, rewrite_local, content) in
        [("remote", false, content.as_str()), ("local", true, &content), ("header only", false, headers)]
    {
        let log = Log::open(&base_log::Target::File("/dev/null".into()));
        let spool = Arc::new(MemorySpool::default());
        let cleanup =
            Cleanup::new(config.clone(), spool.clone(), Arc::new(Plain), Arc::new(Nowhere), &tables, log);
        let count = 20_000;
        let start = Instant::now();
        for _ in 0..count {
            let envelope = Envelope {
                sender: "a@example.net".into(),
                arrival: Timestamp::from_secs(1_795_301_838),
                rewrite_local,
                ..Envelope::default()
            };
            let mut s = cleanup.open(envelope, SubmitOptions::EXTERNAL).unwrap();
            s.recipient(Recipient { address: "x@example.org".into(), ..Recipient::default() });
            s.content(content.as_bytes()).await.unwrap();
            let id = s.finish().await.unwrap().id;
            base_spool::Spool::remove(spool.as_ref(), id).await.unwrap();
        }
        println!("{what}: {:.1} µs per message", start.elapsed().as_secs_f64() * 1e6 / f64::from(count));
    }
}
