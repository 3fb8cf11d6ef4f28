//! Whether a server is the one that a policy demands: by names, digests, or what DNS says (RFC 6125, 7671, 7672).

use super::tls::{Level, Policy};
use base_dns::Tlsa;
use base_tls::{Certificate, Digest, Peer, Trust};

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
}

/// The judgement; the reason is for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nobody asked.
    Unasked,
    Verified,
    Failed(String),
}

const MISMATCH: &str = "num=62:hostname mismatch";
const UNSPECIFIED: &str = "num=1:unspecified certificate verification error";

/// Judges the server's certificate.
pub(crate) fn judge(policy: &Policy, peer: Option<&Peer>, id: &Identity<'_>) -> Proof {
    let Some(peer) = peer else {
        return if policy.level > Level::Encrypt {
            Proof::Failed(UNSPECIFIED.into())
        } else {
            Proof::Unasked
        };
    };
    match policy.level {
        Level::None | Level::May | Level::Encrypt => Proof::Unasked,
        Level::Fingerprint => yes(by_digest(policy, &peer.certificate, id.digest), UNSPECIFIED),
        Level::Dane | Level::DaneOnly if id.tlsa.is_empty() => Proof::Unasked,
        Level::Dane | Level::DaneOnly => yes(by_dns(peer, id), UNSPECIFIED),
        Level::Verify | Level::Secure => match &peer.trust {
            Trust::Untrusted(why) => Proof::Failed(why.clone()),
            Trust::Trusted => yes(by_name(policy, &peer.certificate, id), MISMATCH),
        },
    }
}

fn yes(right: bool, why: &str) -> Proof {
    if right { Proof::Verified } else { Proof::Failed(why.to_owned()) }
}

fn by_digest(policy: &Policy, c: &Certificate, digest: Digest) -> bool {
    let plain = |t: &str| t.replace(':', "").to_ascii_uppercase();
    let own = [plain(&c.fingerprint(digest)), plain(&c.key_fingerprint(digest))];
    policy.matches.iter().any(|m| own.contains(&plain(m)))
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
/// along (RFC 7672 3.1).
fn by_dns(peer: &Peer, id: &Identity<'_>) -> bool {
    id.tlsa.iter().any(|r| match r.usage {
        3 => names(r, &peer.certificate),
        2 => {
            let own = [id.domain, id.host, id.base];
            let name = |n: &String| own.iter().any(|o| suits(n, o, id.wide_wildcards));
            let issuer = |der: &&Vec<u8>| Certificate::parse(der).is_some_and(|c| names(r, &c));
            peer.certificate.dns_names.iter().any(name)
                && peer.issuers.iter().filter(issuer).any(|der| peer.is_signed_by(der))
        }
        _ => false,
    })
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

/// Records that can be used: usage 2 and 3, known selectors, digests that are listed (RFC 7672 3.1.3: the others are as if not
/// there). Of several digests of the same kind only the strongest counts (RFC 7671 9); `digests`: the strongest first.
pub(crate) fn usable(records: Vec<Tlsa>, digests: &[u8]) -> Vec<Tlsa> {
    let rank = |r: &Tlsa| digests.iter().position(|d| *d == r.matching);
    let known: Vec<Tlsa> = records
        .into_iter()
        .filter(|r| matches!(r.usage, 2 | 3) && r.selector <= 1 && (r.matching == 0 || rank(r).is_some()))
        .collect();
    let is_weak = |r: &Tlsa| {
        let same = |o: &&Tlsa| (o.usage, o.selector) == (r.usage, r.selector) && o.matching != 0;
        r.matching != 0 && known.iter().filter(same).any(|o| rank(o) < rank(r))
    };
    known.iter().filter(|r| !is_weak(r)).cloned().collect()
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
            let records = records.iter().map(|&(u, s, m)| record(u, s, m, vec![])).collect();
            usable(records, digests).iter().map(|r| (r.usage, r.selector, r.matching)).collect::<Vec<_>>()
        };
        assert_eq!(left(&[(0, 1, 1), (3, 1, 1), (3, 1, 9), (3, 2, 1)], &[2, 1]), [(3, 1, 1)]);
        // The strongest of a kind, and whole certificates whatever else there is.
        let mixed = [(3, 1, 1), (3, 1, 2), (2, 0, 1), (3, 1, 0)];
        assert_eq!(left(&mixed, &[2, 1]), [(3, 1, 2), (2, 0, 1), (3, 1, 0)]);
        assert_eq!(left(&mixed, &[1]), [(3, 1, 1), (2, 0, 1), (3, 1, 0)]);
    }
}
