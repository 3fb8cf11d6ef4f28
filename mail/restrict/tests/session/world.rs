//! One evaluator and its sessions.

use base_cache::Caches;
use base_calls::{AddressClass, Fut, Resolution, RewriteContext, Route, RouteError, Unlisted};
use base_conf::Config;
use base_dns::Resolver;
use base_log::{Captured, Log, Source};
use base_tables::Tables;
use mail_restrict::{
    Answers, Facts, HostStatus, Login, Memory, Outcome, Peer, Restrict, RestrictConfig, Stage,
};
use std::{net::IpAddr, sync::Arc};

/// example.com is ours.
struct Router;

impl Route for Router {
    fn rewrite(&self, _: RewriteContext, address: &str) -> String {
        address.to_owned()
    }

    fn resolve<'a>(&'a self, _: &'a str, recipient: &'a str) -> Fut<'a, Result<Resolution, RouteError>> {
        let ours = recipient.ends_with("@example.com");
        Box::pin(std::future::ready(Ok(Resolution {
            transport: "local".into(),
            nexthop: "example.com".into(),
            recipient: recipient.to_owned(),
            class: if ours { AddressClass::Local } else { AddressClass::Default },
            routed: false,
            invalid: false,
        })))
    }

    fn unlisted<'a>(&'a self, _: &'a str) -> Fut<'a, Result<Option<Unlisted>, RouteError>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

pub struct World {
    pub restrict: Restrict,
    pub logged: Captured,
    log: Log,
}

impl World {
    /// With `main_cf`, for a stranger's mail to alice@example.com.
    pub fn new(main_cf: &str, resolver: Resolver) -> Self {
        let cfg = Config::from_text(&format!(
            "mynetworks = 10.0.0.0/8\ninet_interfaces = 127.0.0.1\nsmtpd_relay_restrictions = reject_unauth_destination\n{main_cf}\n"
        ));
        let config = Arc::new(RestrictConfig::from_config(&cfg).unwrap());
        let (log, logged) = Log::test();
        let tables = Tables::new(base_tables::Options::default());
        let restrict = Restrict::new(config, tables, Arc::new(Router), resolver, log.clone());
        Self { restrict, logged, log }
    }

    /// With caches that outlive it.
    pub fn remembering(self, caches: Arc<Caches>) -> Self {
        Self { restrict: self.restrict.remembering(caches), ..self }
    }

    pub fn session(&self, ip: &str) -> Session<'_> {
        let unknown = || "unknown".to_owned();
        let peer = Peer {
            name: unknown(),
            name_status: HostStatus::Unknown,
            reverse_name: unknown(),
            reverse_status: HostStatus::Unknown,
            addr: ip.to_owned(),
            ip: ip.parse::<IpAddr>().ok(),
            server_ip: None,
            port_shown: String::new(),
        };
        let source = self.log.session_source("postfix/smtpd");
        Session { world: self, source, peer, answers: Answers::default(), login: None }
    }
}

/// A session of one client.
pub struct Session<'a> {
    world: &'a World,
    source: Source,
    peer: Peer,
    answers: Answers,
    pub login: Option<Login>,
}

impl Session<'_> {
    fn facts(&self, stage: Stage) -> Facts<'_> {
        let mail = stage != Stage::Connect;
        Facts {
            source: &self.source,
            stage,
            client: &self.peer,
            helo: mail.then_some("c"),
            protocol: "ESMTP",
            sender: mail.then_some("a@example.net"),
            recipient: (stage == Stage::Rcpt).then_some("alice@example.com"),
            recipients: 0,
            etrn: None,
            queue_id: None,
            pipelined: false,
            login: self.login.as_ref(),
            sasl_sender: None,
            sasl_offered: true,
            tls: None,
            ccert_asked: false,
            client_port: 4321,
            server_port: 25,
            instance: 1,
            stressed: true,
            answers: &self.answers,
            size: 0,
            held: false,
            discarded: false,
            tape: None,
        }
    }

    pub fn scout(&self, stage: Stage) {
        self.world.restrict.scout(&self.facts(stage), true);
    }

    pub async fn rcpt(&self) -> Outcome {
        self.world.restrict.rcpt(&self.facts(Stage::Rcpt), &Memory::default()).await
    }
}
