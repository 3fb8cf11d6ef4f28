//! SRS, the Sender Rewriting Scheme: a forwarded message gets a sender of ours, so that SPF holds at the next server, and a notice to that
//! sender finds its way back. `SRS0=HASH=TT=domain=local@ours`, and `SRS1=HASH=first==…@ours` for what another forwarder has rewritten.
//!
//! The hash keeps others from sending through us: it is checked with each of the secrets, and the stamp with an age limit.

use aws_lc_rs::hmac;

/// Days that a rewritten address is good for.
const MAX_AGE: u64 = 21;
/// The stamp counts days modulo this.
const CYCLE: u64 = 1024;
/// Characters of the hash.
const HASH_LENGTH: usize = 4;
/// The longest local part that may come out (RFC 5321 4.5.3.1.1 has 64, which rewritten addresses commonly pass).
const MAX_LOCAL: usize = 255;
const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Secrets and our domain.
pub struct Srs {
    /// The first makes hashes, all are accepted.
    secrets: Vec<hmac::Key>,
    domain: String,
}

impl Srs {
    /// `None`: no secret.
    pub fn new<'s>(secrets: impl Iterator<Item = &'s str>, domain: &str) -> Option<Self> {
        let key = |s: &str| hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, s.as_bytes());
        let secrets: Vec<_> = secrets.map(str::trim).filter(|s| !s.is_empty()).map(key).collect();
        (!secrets.is_empty()).then(|| Self { secrets, domain: domain.to_ascii_lowercase() })
    }

    /// Our address for a sender; `None`: it stays (ours already, the null sender, no domain, or too long). `days` since 1970.
    pub fn forward(&self, sender: &str, days: u64) -> Option<String> {
        let (local, domain) = sender.rsplit_once('@')?;
        // `=` stands in no domain; one that has it could not be told from the local part again.
        if local.is_empty()
            || domain.is_empty()
            || domain.contains('=')
            || domain.eq_ignore_ascii_case(&self.domain)
        {
            return None;
        }
        let new = match tagged(local) {
            // Rewritten before: the first forwarder is told, its stamp is its own (SRS1).
            Some((0, rest)) => self.chained(domain, rest)?,
            Some((_, rest)) => {
                let (_, rest) = rest.split_once('=')?;
                let (first, rest) = rest.split_once("==")?;
                self.chained(first, &format!("={rest}")).filter(|_| !first.is_empty())?
            }
            None => {
                let stamp = stamp(days);
                let hash = self.hash(self.secrets.first()?, &[&stamp, domain, local]);
                format!("SRS0={hash}={stamp}={domain}={local}")
            }
        };
        (new.len() <= MAX_LOCAL).then(|| format!("{new}@{}", self.domain))
    }

    fn chained(&self, first: &str, rest: &str) -> Option<String> {
        let rest = if rest.starts_with('=') { rest.to_owned() } else { format!("={rest}") };
        let hash = self.hash(self.secrets.first()?, &[first, &rest]);
        Some(format!("SRS1={hash}={first}={rest}"))
    }

    /// Whose address one of ours stands for; `None`: not one of ours, forged, or too old.
    pub fn reverse(&self, address: &str, days: u64) -> Option<String> {
        let (local, domain) = address.rsplit_once('@')?;
        if !domain.eq_ignore_ascii_case(&self.domain) {
            return None;
        }
        let (kind, rest) = tagged(local)?;
        let (hash, rest) = rest.split_once('=')?;
        if kind == 0 {
            let (stamp, rest) = rest.split_once('=')?;
            let (domain, local) = rest.split_once('=')?;
            let fits = !domain.is_empty() && !local.is_empty() && is_fresh(stamp, days);
            return (fits && self.accepts(hash, &[stamp, domain, local]))
                .then(|| format!("{local}@{domain}"));
        }
        let (first, rest) = rest.split_once('=')?;
        let fits = !first.is_empty() && rest.starts_with('=') && self.accepts(hash, &[first, rest]);
        fits.then(|| format!("SRS0{rest}@{first}"))
    }

    fn accepts(&self, hash: &str, parts: &[&str]) -> bool {
        // Some servers change the case of local parts.
        hash.len() == HASH_LENGTH
            && self.secrets.iter().any(|s| self.hash(s, parts).eq_ignore_ascii_case(hash))
    }

    fn hash(&self, secret: &hmac::Key, parts: &[&str]) -> String {
        let text: String = parts.concat().to_ascii_lowercase();
        let tag = hmac::sign(secret, text.as_bytes());
        crate::tags::base64(tag.as_ref()).chars().take(HASH_LENGTH).collect()
    }
}

/// The kind of a rewritten local part, and what follows its separator (`=`, or `+` and `-` of other servers).
fn tagged(local: &str) -> Option<(u8, &str)> {
    let (tag, rest) = local.split_at_checked(5)?;
    let kind = match () {
        () if tag.get(..4)?.eq_ignore_ascii_case("SRS0") => 0,
        () if tag.get(..4)?.eq_ignore_ascii_case("SRS1") => 1,
        () => return None,
    };
    match kind {
        _ if tag.ends_with('=') => Some((kind, rest)),
        0 if tag.ends_with(['+', '-']) => local.get(4..).map(|rest| (kind, rest)),
        _ => None,
    }
}

/// Two characters of base 32.
fn stamp(days: u64) -> String {
    let digit = |n: u64| usize::try_from(n % 32).ok().and_then(|i| DIGITS.get(i)).copied().unwrap_or(b'A');
    let days = days % CYCLE;
    String::from_utf8_lossy(&[digit(days / 32), digit(days)]).into_owned()
}

fn is_fresh(stamp: &str, days: u64) -> bool {
    let mut then = 0;
    for b in stamp.bytes() {
        let Some(n) = DIGITS.iter().position(|d| *d == b.to_ascii_uppercase()) else { return false };
        then = then * 32 + n as u64;
        if then >= CYCLE {
            return false;
        }
    }
    stamp.len() == 2 && (days % CYCLE + CYCLE - then) % CYCLE <= MAX_AGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let srs = Srs::new(["new", "old"].into_iter(), "fwd.test").expect("secrets");
        let other = Srs::new(["x"].into_iter(), "second.test").expect("secrets");
        let once = srs.forward("Joe=b+c@example.org", 20_000).expect("rewritten");
        assert!(once.starts_with("SRS0=") && once.ends_with("=example.org=Joe=b+c@fwd.test"), "{once}");
        assert_eq!(srs.reverse(&once, 20_021).as_deref(), Some("Joe=b+c@example.org"));
        assert_eq!(srs.reverse(&once, 20_022), None);
        assert_eq!(srs.reverse(&once.replace("Joe", "Jim"), 20_000), None);
        assert_eq!(srs.reverse(&once.to_lowercase(), 20_000).as_deref(), Some("joe=b+c@example.org"));
        let old = Srs::new(["old"].into_iter(), "fwd.test").expect("secrets");
        let by_old = old.forward("a@b.c", 20_000).expect("rewritten");
        assert_eq!(srs.reverse(&by_old, 20_000).as_deref(), Some("a@b.c"));
        assert_eq!(old.reverse(&once, 20_000), None);

        let twice = other.forward(&once, 20_000).expect("rewritten");
        assert!(twice.starts_with("SRS1=") && twice.contains("=fwd.test=="), "{twice}");
        assert_eq!(other.reverse(&twice, 20_000).as_deref(), Some(once.as_str()));
        let third = srs.forward(&twice.replace("second.test", "third.test"), 20_000).expect("rewritten");
        assert_eq!(srs.reverse(&third, 20_000).as_deref(), Some(once.as_str()), "{third}");
        for stays in ["", "x", "@b.c", "a@FWD.test", "a@b=c", "a@"] {
            assert_eq!(srs.forward(stays, 1), None, "{stays}");
        }
        for bad in
            ["SRS0=@fwd.test", "SRS0=abcd=AA@fwd.test", "SRS1=abcd=x=y@fwd.test", "SRS@fwd.test", "x@y"]
        {
            assert_eq!(srs.reverse(bad, 1), None, "{bad}");
        }
    }
}
