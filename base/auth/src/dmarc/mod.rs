//! DMARC: what the domain in From: wants to happen to mail that it did not send (RFC 7489).
//!
//! The record is that of the domain itself, or of its organization. Which domain is the organization's is found by walking up the DNS tree
//! (at most eight questions), so that no list of public suffixes has to be kept. [`judge`] never fails.

mod record;
pub mod report;
mod walk;

pub use record::{Policy, Record};

use crate::{dkim::Dkim, lookup::Dns, results::MethodResult, spf::Spf, spf::SpfResult};

/// The judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dmarc {
    /// The domain of From:.
    pub domain: String,
    /// Where the record stands; empty without one.
    pub policy_domain: String,
    /// Pass, fail, none, or an error.
    pub result: MethodResult,
    /// What the domain asks for; `None` without a record.
    pub policy: Option<Policy>,
    /// What is to be done with this message, `pct=` considered: none unless it failed.
    pub disposition: Policy,
    /// A signature of the domain holds.
    pub dkim_aligned: bool,
    /// The client may send for the domain.
    pub spf_aligned: bool,
    /// The record.
    pub record: Option<Record>,
}

impl Default for Dmarc {
    fn default() -> Self {
        Self {
            domain: String::new(),
            policy_domain: String::new(),
            result: MethodResult::None,
            policy: None,
            disposition: Policy::None,
            dkim_aligned: false,
            spf_aligned: false,
            record: None,
        }
    }
}

/// Judges a message from `domain`. `lot` is a random number below 100, for `pct=`.
pub async fn judge(dns: &dyn Dns, domain: Option<&str>, spf: Option<&Spf>, dkim: &[Dkim], lot: u8) -> Dmarc {
    let Some(domain) = domain else {
        return Dmarc { result: MethodResult::PermError, ..Dmarc::default() };
    };
    let verdict = Dmarc { domain: domain.to_owned(), ..Dmarc::default() };
    let found = match walk::policy(dns, domain).await {
        Ok(Some(found)) => found,
        Ok(None) => return verdict,
        Err(walk::Temporary) => return Dmarc { result: MethodResult::TempError, ..verdict },
    };
    let mut aligner = Aligner { dns, domain, organization: found.organization, unsure: false };
    let (mut dkim_aligned, mut spf_aligned) = (false, false);
    for d in dkim.iter().filter(|d| d.result == MethodResult::Pass) {
        dkim_aligned |= aligner.aligned(&d.domain, found.record.strict_dkim).await;
    }
    if let Some(spf) = spf.filter(|s| s.result == SpfResult::Pass) {
        spf_aligned = aligner.aligned(&spf.domain, found.record.strict_spf).await;
    }
    let policy = found.policy;
    let passed = dkim_aligned || spf_aligned;
    let unsure = !passed
        && (aligner.unsure
            || spf.is_some_and(|s| s.result == SpfResult::TempError)
            || dkim.iter().any(|d| d.result == MethodResult::TempError));
    Dmarc {
        policy_domain: found.at,
        result: match (passed, unsure) {
            (true, _) => MethodResult::Pass,
            (false, true) => MethodResult::TempError,
            (false, false) => MethodResult::Fail,
        },
        policy: Some(policy),
        disposition: if passed || unsure { Policy::None } else { policy.sampled(lot, found.record.percent) },
        dkim_aligned,
        spf_aligned,
        record: Some(found.record),
        ..verdict
    }
}

/// Compares domains with that of From: (RFC 7489 3.1).
struct Aligner<'a> {
    dns: &'a dyn Dns,
    domain: &'a str,
    organization: String,
    /// DNS did not answer: some domain might be aligned after all.
    unsure: bool,
}

impl Aligner<'_> {
    async fn aligned(&mut self, other: &str, strict: bool) -> bool {
        let other = other.trim_end_matches('.').to_ascii_lowercase();
        if other == self.domain {
            return true;
        }
        let below = other == self.organization || other.ends_with(&format!(".{}", self.organization));
        if strict || !below {
            return false;
        }
        // Something between the two may be an organization of its own.
        if other == self.organization {
            return true;
        }
        let found = walk::organization(self.dns, &other).await;
        self.unsure |= found.is_err();
        found.is_ok_and(|o| o == self.organization)
    }
}

#[cfg(test)]
mod tests;
