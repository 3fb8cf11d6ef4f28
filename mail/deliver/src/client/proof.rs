//! Whether a server is the one that a policy demands: by names, digests, or what DNS says (RFC 6125, 7671, 7672).

use super::tls::{Level, Policy};
use base_dns::Tlsa;
use base_tls::{Certificate, Digest, Peer, Trust, TrustAnchors};

/// What is known of the destination.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity<'a> {
    /// The next hop's domain or host, without brackets and port.
    pub domain: &'a str,
    /// The host.
    pub host: &'a str,
    /// The name below which the records are; empty: none.
    pub base: &'a str,
    pub digest: Digest,
    pub wide_wildcards: bool,
    /// Usable records of the host, at the DANE levels.
    pub tlsa: &'a [Tlsa],
    /// What the chain must lead to instead of an authority.
    pub anchors: Option<&'a TrustAnchors>,
}

/// The judgement; the reason is for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nobody asked.
    Unasked,
    Verified,
    Failed(Subject, String),
}

/// What the reason is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The chain.
    Chain,
    /// An issuer in it.
    Issuer,
    /// The server's own certificate.
    Server,
}

impl Subject {
    /// As the log says it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Chain => "certificate",
            Self::Issuer => "CA certificate",
            Self::Server => "server certificate",
        }
    }
}

pub(crate) const MISMATCH: &str = "num=62:hostname mismatch";
pub(crate) const NO_RECORD: &str = "num=65:no matching DANE TLSA records";
const UNSPECIFIED: &str = "num=1:unspecified certificate verification error";

/// Judges the server's certificate.
pub(crate) fn judge(policy: &Policy, peer: Option<&Peer>, id: &Identity<'_>) -> Proof {
    let Some(peer) = peer else {
        return if policy.level > Level::Encrypt {
            Proof::Failed(Subject::Server, UNSPECIFIED.into())
        } else {
            Proof::Unasked
        };
    };
    match policy.level {
        Level::None | Level::May | Level::Encrypt => Proof::Unasked,
        Level::Fingerprint => yes(by_digest(policy, &peer.certificate, id.digest), NO_RECORD),
        Level::Dane | Level::DaneOnly if id.tlsa.is_empty() => Proof::Unasked,
        Level::Dane | Level::DaneOnly => by_dns(peer, id),
        Level::Verify | Level::Secure => match trust(peer, id) {
            Some(failed) => failed,
            None => yes(by_name(policy, &peer.certificate, id), MISMATCH),
        },
    }
}

fn yes(right: bool, why: &str) -> Proof {
    if right { Proof::Verified } else { Proof::Failed(Subject::Server, why.to_owned()) }
}

/// Why the chain leads to nobody who is trusted.
fn trust(peer: &Peer, id: &Identity<'_>) -> Option<Proof> {
    match (id.anchors, &peer.trust) {
        (Some(anchors), _) if peer.leads_to(anchors) => None,
        (Some(_), _) => Some(Proof::Failed(Subject::Issuer, NO_RECORD.into())),
        (None, Trust::Trusted) => None,
        (None, trust @ Trust::Untrusted(why)) => {
            let subject = if trust.is_fault_of_peer() { Subject::Server } else { Subject::Chain };
            Some(Proof::Failed(subject, why.clone()))
        }
    }
}

fn by_digest(policy: &Policy, c: &Certificate, digest: Digest) -> bool {
    let plain = |t: &str| t.replace(':', "").to_ascii_uppercase();
    let own = [plain(&c.fingerprint(digest)), plain(&c.key_fingerprint(digest))];
    policy.matches.iter().any(|m| own.contains(&plain(m)))
}

/// The word that logs have for a session.
pub(crate) fn word(proof: &Proof, peer: Option<&Peer>) -> &'static str {
    match (proof, peer) {
        (Proof::Verified, _) => "Verified",
        (Proof::Failed(..), Some(_)) => "Untrusted",
        (_, None) => "Anonymous",
        (_, Some(p)) if p.trust.is_trusted() => "Trusted",
        _ => "Untrusted",
    }
}

/// What of the certificate suits the policy, whether its chain is trusted or not.
pub(crate) fn matched(policy: &Policy, peer: &Peer, id: &Identity<'_>) -> Option<String> {
    let c = &peer.certificate;
    match policy.level {
        Level::Fingerprint => {
            let plain = |t: &String| t.replace(':', "").to_ascii_uppercase();
            let own = [c.fingerprint(id.digest), c.key_fingerprint(id.digest)];
            let found = own.iter().map(plain).find(|o| policy.matches.iter().any(|m| plain(m) == *o))?;
            Some(format!("Matched fingerprint: {found}"))
        }
        Level::Verify | Level::Secure => {
            let one = |n: &&String| {
                by_name(policy, &Certificate { dns_names: vec![(*n).clone()], ..c.clone() }, id)
            };
            Some(format!("matched peername: {}", c.dns_names.iter().find(one)?))
        }
        Level::Dane | Level::DaneOnly => {
            let certificates =
                std::iter::once(c.clone()).chain(peer.issuers.iter().filter_map(|d| Certificate::parse(d)));
            for (depth, c) in certificates.enumerate() {
                let usage = if depth == 0 { 3 } else { 2 };
                if let Some(r) = id.tlsa.iter().find(|r| r.usage == usage && names(r, &c)) {
                    let kind = if depth == 0 { "EE" } else { "TA" };
                    return Some(format!("Matched DANE {kind} certificate at depth {depth}: {}", text(r)));
                }
            }
            None
        }
        Level::None | Level::May | Level::Encrypt => None,
    }
}

fn by_name(policy: &Policy, c: &Certificate, id: &Identity<'_>) -> bool {
    let dotted = format!(".{}", id.domain);
    policy.matches.iter().any(|m| {
        let pattern = match m.as_str() {
            "nexthop" => id.domain,
            "dot-nexthop" => &dotted,
            "hostname" => id.host,
            literal => literal,
        };
        c.dns_names.iter().any(|name| suits(name, pattern, id.wide_wildcards))
    })
}

/// Whether a certificate's name suits a pattern: a name, or `.domain` for everything below it.
pub(crate) fn suits(name: &str, pattern: &str, wide: bool) -> bool {
    let (name, pattern) = (name.to_ascii_lowercase(), pattern.trim_end_matches('.').to_ascii_lowercase());
    let name = name.trim_end_matches('.');
    if pattern.is_empty() || name.is_empty() {
        return false;
    }
    if pattern.starts_with('.') {
        return name.len() > pattern.len() && name.ends_with(&pattern);
    }
    let Some(parent) = name.strip_prefix('*').filter(|p| p.starts_with('.')) else { return name == pattern };
    match pattern.strip_suffix(parent) {
        Some(label) => !label.is_empty() && (wide || !label.contains('.')),
        None => false,
    }
}

/// A record of usage 3 that names the certificate or its key, or one of usage 2 that names an issuer whose certificate came
/// along (RFC 7672 3.1); then the certificate must have one of the names, too.
fn by_dns(peer: &Peer, id: &Identity<'_>) -> Proof {
    let of = |usage| id.tlsa.iter().filter(move |r| r.usage == usage);
    if of(3).any(|r| names(r, &peer.certificate)) {
        return Proof::Verified;
    }
    let is_issuer = |r: &Tlsa| {
        let named = |der: &&Vec<u8>| Certificate::parse(der).is_some_and(|c| names(r, &c));
        peer.issuers.iter().filter(named).any(|der| peer.is_signed_by(der))
    };
    if !of(2).any(is_issuer) {
        return Proof::Failed(Subject::Server, NO_RECORD.into());
    }
    let own = [id.domain, id.host, id.base];
    let has_name = |n: &String| own.iter().any(|o| suits(n, o, id.wide_wildcards));
    yes(peer.certificate.dns_names.iter().any(has_name), MISMATCH)
}

fn names(r: &Tlsa, c: &Certificate) -> bool {
    let data = if r.selector == 0 { &c.der } else { &c.spki };
    match r.matching {
        0 => *data == r.data,
        1 => Digest::Sha256.of(data) == r.data,
        2 => Digest::Sha512.of(data) == r.data,
        _ => false,
    }
}

/// The records of a host, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sorted {
    /// Usage 2 and 3, known selectors, digests that are listed (RFC 7672 3.1.3: the others are as if not there); of several
    /// digests of the same kind only the strongest (RFC 7671 9).
    pub usable: Vec<Tlsa>,
    /// Of another usage, as text.
    pub other_usage: Vec<String>,
    /// Of these usages, but of no use.
    pub unusable: Vec<String>,
}

/// Sorts records; `digests`: the strongest first.
pub(crate) fn sorted(records: Vec<Tlsa>, digests: &[u8]) -> Sorted {
    let rank = |r: &Tlsa| digests.iter().position(|d| *d == r.matching);
    let (known, other): (Vec<Tlsa>, Vec<Tlsa>) = records.into_iter().partition(|r| matches!(r.usage, 2 | 3));
    let is_usable = |r: &Tlsa| {
        let right_length = match r.matching {
            0 => !r.data.is_empty(),
            1 => r.data.len() == 32,
            2 => r.data.len() == 64,
            _ => false,
        };
        right_length && r.selector <= 1 && (r.matching == 0 || rank(r).is_some())
    };
    let (usable, unusable): (Vec<Tlsa>, Vec<Tlsa>) = known.into_iter().partition(is_usable);
    let is_weak = |r: &Tlsa| {
        let same = |o: &&Tlsa| (o.usage, o.selector) == (r.usage, r.selector) && o.matching != 0;
        r.matching != 0 && usable.iter().filter(same).any(|o| rank(o) < rank(r))
    };
    Sorted {
        other_usage: other.iter().map(text).collect(),
        unusable: unusable.iter().map(text).collect(),
        usable: usable.iter().filter(|r| !is_weak(r)).cloned().collect(),
    }
}

/// `3 1 1 HEX`.
pub(crate) fn text(r: &Tlsa) -> String {
    let hex: String = r.data.iter().take(128).map(|b| format!("{b:02X}")).collect();
    format!("{} {} {} {hex}", r.usage, r.selector, r.matching)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_certificates() {
        for (name, pattern, wide, want) in [
            ("mx.test", "mx.test", false, true),
            ("MX.test.", "mx.TEST", false, true),
            ("*.test", "mx.test", false, true),
            ("*.test", "a.mx.test", false, false),
            ("*.test", "a.mx.test", true, true),
            ("*.test", "test", true, false),
            ("*", "mx.test", true, false),
            ("a.mx.test", ".mx.test", false, true),
            ("mx.test", ".mx.test", false, false),
            ("*.mx.test", ".mx.test", false, true),
            ("", "", false, false),
        ] {
            assert_eq!(suits(name, pattern, wide), want, "{name} {pattern}");
        }
    }

    #[test]
    fn records_of_dns() {
        let c = Certificate { der: b"der".to_vec(), spki: b"key".to_vec(), ..Certificate::default() };
        let record = |usage, selector, matching, data: Vec<u8>| Tlsa { usage, selector, matching, data };
        assert!(names(&record(3, 0, 0, b"der".to_vec()), &c));
        assert!(names(&record(3, 1, 1, Digest::Sha256.of(b"key")), &c));
        assert!(names(&record(3, 1, 2, Digest::Sha512.of(b"key")), &c));
        assert!(!names(&record(3, 0, 1, Digest::Sha256.of(b"key")), &c));
        let left = |records: &[(u8, u8, u8)], digests: &[u8]| {
            let length = |m| if m == 2 { 64 } else { 32 };
            let records = records.iter().map(|&(u, s, m)| record(u, s, m, vec![0; length(m)])).collect();
            sorted(records, digests)
                .usable
                .iter()
                .map(|r| (r.usage, r.selector, r.matching))
                .collect::<Vec<_>>()
        };
        assert_eq!(left(&[(0, 1, 1), (3, 1, 1), (3, 1, 9), (3, 2, 1)], &[2, 1]), [(3, 1, 1)]);
        // The strongest of a kind, and whole certificates whatever else there is.
        let mixed = [(3, 1, 1), (3, 1, 2), (2, 0, 1), (3, 1, 0)];
        assert_eq!(left(&mixed, &[2, 1]), [(3, 1, 2), (2, 0, 1), (3, 1, 0)]);
        let short = sorted(vec![record(3, 1, 1, vec![0; 2]), record(1, 1, 1, vec![1])], &[2, 1]);
        assert_eq!((short.unusable, short.other_usage), (vec!["3 1 1 0000".into()], vec!["1 1 1 01".into()]));
        assert_eq!(left(&mixed, &[1]), [(3, 1, 1), (2, 0, 1), (3, 1, 0)]);
    }
}
