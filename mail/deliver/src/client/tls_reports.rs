//! Counts sessions for TLSRPT (RFC 8460; `smtp_tls_report_sender`, an extension): what the domain's policy was, and what came of it.
//!
//! A connection counts once, as a success or with what was wrong; a policy that cannot be had counts by itself. Only next hops that are
//! domains with a TLSRPT record count, and no mail that carries a report (RFC 8460 5.3). Counting holds up no delivery.

use super::{
    config::{ClientConfig, Dialect},
    proof::{self, Proof},
    secure::Demands,
    session::Peer,
};
use crate::{
    Deps,
    report::Reporter,
    tls_report::{Failure, Fault, PolicyType, Row, receivers},
};
use base_cache::Cache;
use base_conf::{Config, Error};
use base_dns::Resolver;
use std::{net::IpAddr, sync::Arc};

/// What is wrong, and in words.
pub(crate) type Trouble = (Fault, String);

/// Where sessions are counted.
pub(crate) struct TlsReports {
    sender: String,
    cache: Arc<Cache>,
    resolver: Resolver,
}

impl TlsReports {
    /// `None`: nobody counts. Must run within a tokio runtime.
    pub fn open(dialect: Dialect, cfg: &Config, deps: &Deps) -> Result<Option<Self>, Error> {
        let sender = cfg.str("smtp_tls_report_sender")?;
        if dialect == Dialect::Lmtp || sender.is_empty() {
            return Ok(None);
        }
        let cache = deps.caches.open(&cfg.str("smtp_tls_report_map")?);
        Ok(Some(Self { sender, cache, resolver: deps.resolver.clone() }))
    }

    /// Counts where the domain wants to hear of it.
    fn count(&self, row: Row) {
        let (cache, resolver) = (Arc::clone(&self.cache), self.resolver.clone());
        tokio::spawn(async move {
            let found = resolver.txt(&format!("_smtp._tls.{}", row.domain)).await;
            if found.is_ok_and(|found| !receivers(&found.records).is_empty()) {
                cache.add(&row.key(), 1);
            }
        });
    }
}

impl Demands {
    /// Counts a session, or that there is none. What was wrong with it is asked only when somebody counts.
    pub fn count(
        &self,
        cfg: &ClientConfig,
        (peer, own): (&Peer, Option<IpAddr>),
        trouble: impl FnOnce() -> Option<Trouble>,
        log: &Reporter<'_>,
    ) {
        let Some(reports) = cfg.reports.as_ref().filter(|r| r.sender != log.delivery.sender()) else {
            return;
        };
        if let Some(row) = self.row(peer, own, trouble()) {
            reports.count(row);
        }
    }

    fn row(&self, peer: &Peer, own: Option<IpAddr>, trouble: Option<Trouble>) -> Option<Row> {
        let domain = proto_address::to_ascii(self.domain()).filter(|_| self.is_by_name())?;
        let about = trouble.as_ref().and_then(|(fault, _)| fault.policy_type());
        let policy_type = about.unwrap_or_else(|| self.policy_type());
        let policy = match policy_type {
            PolicyType::Sts => self.published.as_ref().map(|p| p.lines()).unwrap_or_default(),
            PolicyType::Tlsa => {
                self.tlsa.iter().map(proof::text).chain(self.unusable.iter().cloned()).collect()
            }
            PolicyType::NotFound => Vec::new(),
        };
        let failure = trouble.map(|(fault, reason)| Failure {
            fault,
            reason,
            mx: peer.name.clone(),
            receiving_ip: peer.address.clone(),
            sending_ip: own.map(|ip| ip.to_string()).unwrap_or_default(),
        });
        Some(Row { domain, policy_type, policy, failure })
    }

    fn policy_type(&self) -> PolicyType {
        match () {
            () if self.is_dane() || self.falls_back() => PolicyType::Tlsa,
            () if self.published.is_some() => PolicyType::Sts,
            () => PolicyType::NotFound,
        }
    }
}

/// What a certificate that was judged is guilty of.
pub(crate) fn trouble(proof: &Proof) -> Option<Trouble> {
    let Proof::Failed(_, why) = proof else { return None };
    let fault = match why.as_str() {
        proof::MISMATCH => Fault::CertificateHostMismatch,
        proof::NO_RECORD => Fault::ValidationFailure,
        why if why.contains("has expired") => Fault::CertificateExpired,
        _ => Fault::CertificateNotTrusted,
    };
    Some((fault, why.clone()))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{proof::Subject, sts},
        *,
    };
    use base_dns::Tlsa;
    use std::time::Duration;

    fn peer() -> Peer {
        let key = super::super::session::PeerKey::Unix("/x".into());
        Peer {
            name: "mx.a.test".into(),
            address: "192.0.2.1".into(),
            relay: "mx.a.test[192.0.2.1]:25".into(),
            key,
        }
    }

    #[test]
    fn what_is_counted() {
        let published = sts::Policy {
            mode: sts::Mode::Enforce,
            hosts: vec!["mx.a.test".into()],
            max_age: Duration::from_secs(9),
        };
        let of = |hop: &str| Demands { hop: hop.into(), ..Demands::default() };
        let sts = Demands { published: Some(published), ..of("A.test") };
        let record = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![0xab] };
        let dane = Demands { tlsa: vec![record], ..sts.clone() };
        let lines = "version: STSv1|mode: enforce|mx: mx.a.test|max_age: 9";
        let useless = Demands { unusable: vec!["3 1 9 00".into()], ..of("a.test") };
        let told = |fault| Some((fault, "why".to_owned()));
        for (demands, trouble, want) in [
            (of("a.test"), None, Some("a.test\tno-policy-found\t".to_owned())),
            (of("bücher.test"), None, Some("xn--bcher-kva.test\tno-policy-found\t".to_owned())),
            (of("[a.test]"), None, None),
            (of("a.test:26"), None, None),
            (sts.clone(), None, Some(format!("a.test\tsts\t{lines}"))),
            (dane, None, Some("a.test\ttlsa\t3 1 1 AB".to_owned())),
            (useless, None, Some("a.test\ttlsa\t3 1 9 00".to_owned())),
            (
                sts,
                told(Fault::CertificateExpired),
                Some(format!(
                    "a.test\tsts\t{lines}\tcertificate-expired\twhy\tmx.a.test\t192.0.2.1\t192.0.2.9"
                )),
            ),
            (
                of("a.test"),
                told(Fault::StsPolicyFetchError),
                Some(
                    "a.test\tsts\t\tsts-policy-fetch-error\twhy\tmx.a.test\t192.0.2.1\t192.0.2.9".to_owned(),
                ),
            ),
            (
                of("a.test"),
                told(Fault::DaneRequired),
                Some("a.test\ttlsa\t\tdane-required\twhy\tmx.a.test\t192.0.2.1\t192.0.2.9".to_owned()),
            ),
        ] {
            let own = Some([192, 0, 2, 9].into());
            assert_eq!(demands.row(&peer(), own, trouble).map(|r| r.key()), want, "{demands:?}");
        }
    }

    #[test]
    fn certificates() {
        for (why, want) in [
            (proof::MISMATCH, Fault::CertificateHostMismatch),
            (proof::NO_RECORD, Fault::ValidationFailure),
            ("certificate has expired", Fault::CertificateExpired),
            ("num=18:self-signed certificate", Fault::CertificateNotTrusted),
        ] {
            let failed = Proof::Failed(Subject::Server, why.to_owned());
            assert_eq!(trouble(&failed), Some((want, why.to_owned())));
        }
        assert_eq!(trouble(&Proof::Verified), None);
    }
}
