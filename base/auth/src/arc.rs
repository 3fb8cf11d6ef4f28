//! ARC: what earlier servers found out about a message before they changed it (RFC 8617).
//!
//! [`verify`] judges the chain, [`seal`] adds a link to it. A chain has at most [`MAX_SETS`] links, each of one
//! ARC-Authentication-Results, ARC-Message-Signature and ARC-Seal header.

use crate::{
    canonical::Canon,
    dkim::{self, Algorithm, Sealing, SignOptions, Signature},
    keys::SigningKey,
    lookup::Dns,
    results::MethodResult,
    section::{BodyForm, Section},
    tags::{self, Tags},
};

/// The most links (RFC 8617 4.2.1).
const MAX_SETS: usize = 50;

const RESULTS: &str = "arc-authentication-results";
const SIGNATURE: &str = "arc-message-signature";
const SEAL: &str = "arc-seal";

/// The state of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arc {
    /// None, pass or fail; temperror when a key was not available.
    pub result: MethodResult,
    /// Why it failed.
    pub reason: Option<&'static str>,
    /// Links that it has.
    pub sets: usize,
    /// Some link before had failed already: nobody adds to such a chain.
    ended: bool,
}

/// One link.
pub(crate) struct Set<'s> {
    results: &'s [u8],
    signature: &'s [u8],
    seal: &'s [u8],
    parsed: Signature,
    sealed: Seal,
}

struct Seal {
    algorithm: Algorithm,
    domain: String,
    selector: String,
    signature: Vec<u8>,
    state: String,
}

/// The chain as it stands in the header.
pub(crate) enum Chain<'s> {
    Absent,
    Broken(&'static str),
    Whole(Vec<Set<'s>>),
}

impl Chain<'_> {
    /// How the newest link wants the body hashed.
    pub fn form(&self) -> Option<BodyForm> {
        match self {
            Self::Whole(sets) => sets.last().map(|s| s.parsed.body_form()),
            _ => None,
        }
    }
}

/// Collects the links (RFC 8617 5.2, steps 1 to 3).
pub(crate) fn find(section: &Section) -> Chain<'_> {
    let count = section.named(SEAL).count();
    if [RESULTS, SIGNATURE, SEAL].iter().all(|n| section.named(n).next().is_none()) {
        return Chain::Absent;
    }
    if count > MAX_SETS || [RESULTS, SIGNATURE].iter().any(|n| section.named(n).count() != count) {
        return Chain::Broken("links are missing");
    }
    let mut sets = Vec::new();
    for instance in 1..=count as u64 {
        match set(section, instance) {
            Some(set) => sets.push(set),
            None => return Chain::Broken("a link is missing or cannot be read"),
        }
    }
    Chain::Whole(sets)
}

/// The instance of an ARC header. In ARC-Authentication-Results, it is the first of things that are no list of tags.
fn instance(value: &[u8]) -> Option<u64> {
    let first = value.split(|b| *b == b';').next()?;
    match Tags::parse(value) {
        Some(tags) => tags.number("i").ok().flatten(),
        None => Tags::parse(first)?.number("i").ok().flatten(),
    }
}

fn set(section: &Section, number: u64) -> Option<Set<'_>> {
    let one = |name| {
        let mut fields = section.named(name).filter(|f| instance(f.value()) == Some(number));
        fields.next().filter(|_| fields.next().is_none())
    };
    let (results, signature, seal) = (one(RESULTS)?, one(SIGNATURE)?, one(SEAL)?);
    let parsed = Signature::from_tags(&Tags::parse(signature.value())?, None).ok()?;
    let tags = Tags::parse(seal.value())?;
    // RFC 8617 4.1.3: no other tags of DKIM.
    if tags.get("h").is_some() || parsed.headers.iter().any(|h| h == SEAL) {
        return None;
    }
    let sealed = Seal {
        algorithm: Algorithm::parse(tags.get("a")?).ok()?,
        domain: dkim::name(tags.get("d")).ok()?,
        selector: dkim::name(tags.get("s")).ok()?,
        signature: tags.binary("b").filter(|b| !b.is_empty())?,
        state: tags.get("cv")?.to_ascii_lowercase(),
    };
    Some(Set { results: &results.raw, signature: &signature.raw, seal: &seal.raw, parsed, sealed })
}

/// Judges a chain (RFC 8617 5.2).
pub(crate) async fn verify(
    dns: &dyn Dns,
    section: &Section,
    chain: &Chain<'_>,
    hashed: &[(BodyForm, (Vec<u8>, u64))],
    now: u64,
) -> Arc {
    let sets = match chain {
        Chain::Absent => return Arc { result: MethodResult::None, reason: None, sets: 0, ended: false },
        Chain::Broken(reason) => return Arc { ended: true, ..failed(reason, 0) },
        Chain::Whole(sets) => sets,
    };
    let Some(newest) = sets.last() else { return failed("links are missing", 0) };
    if newest.sealed.state == "fail" {
        return Arc { ended: true, ..failed("it had failed before", sets.len()) };
    }
    let expected = |i| if i == 0 { "none" } else { "pass" };
    if sets.iter().enumerate().any(|(i, s)| s.sealed.state != expected(i)) {
        return failed("cv= makes no sense", sets.len());
    }
    match dkim::judge(dns, section, newest.signature, &newest.parsed, hashed, now).await {
        (MethodResult::Pass, _) => {}
        (MethodResult::TempError, reason) => {
            return Arc { result: MethodResult::TempError, ..failed(reason.unwrap_or_default(), sets.len()) };
        }
        (_, reason) => return failed(reason.unwrap_or("signature did not verify"), sets.len()),
    }
    for (i, set) in sets.iter().enumerate().rev() {
        let seal = &set.sealed;
        let name = format!("{}._domainkey.{}", seal.selector, seal.domain);
        let key = match dkim::find_key(dns, &name, seal.algorithm, false).await {
            Ok(key) => key,
            Err(e) if e.result() == MethodResult::TempError => {
                return Arc { result: MethodResult::TempError, ..failed(e.text(), sets.len()) };
            }
            Err(e) => return failed(e.text(), sets.len()),
        };
        let data = seal_data(sets.get(..=i).unwrap_or_default());
        if !key.verifies(seal.algorithm, &data, &seal.signature) {
            return failed("a seal did not verify", sets.len());
        }
    }
    Arc { result: MethodResult::Pass, reason: None, sets: sets.len(), ended: false }
}

fn failed(reason: &'static str, sets: usize) -> Arc {
    Arc { result: MethodResult::Fail, reason: Some(reason), sets, ended: false }
}

/// What a seal is over: the links up to its own (RFC 8617 5.1.1).
fn seal_data(sets: &[Set<'_>]) -> Vec<u8> {
    let mut data = Vec::new();
    for (i, set) in sets.iter().enumerate() {
        Canon::Relaxed.header(set.results, &mut data);
        Canon::Relaxed.header(set.signature, &mut data);
        match i + 1 == sets.len() {
            true => data.extend(dkim::closing(set.seal, Canon::Relaxed)),
            false => Canon::Relaxed.header(set.seal, &mut data),
        }
    }
    data
}

/// A new link for a message (RFC 8617 5.1): the three headers with their CRLFs, in the order in which they stand on top of the message.
/// `body_hash` is of the body in the form of the options, `results` the value of the Authentication-Results: header. `None`: the chain
/// has ended, or the key does not work.
pub fn seal(
    section: &Section,
    arc: &Arc,
    body_hash: &[u8],
    results: &str,
    key: &SigningKey,
    options: &SignOptions,
    now: u64,
) -> Option<Vec<u8>> {
    if arc.ended || arc.sets >= MAX_SETS || arc.result == MethodResult::TempError {
        return None;
    }
    let (number, before) = (arc.sets + 1, find(section));
    let own_results = format!("ARC-Authentication-Results: i={number}; {results}\r\n").into_bytes();
    let common = |cv: &str| {
        let (a, d, s) = (key.algorithm().name(), &key.domain, &key.selector);
        format!("i={number}; a={a};{cv}\r\n\td={d}; s={s}; t={now};")
    };
    let names: Vec<String> = dkim::header_list(section, options);
    let (header_canon, body_canon) = options.canon;
    let signature = Sealing {
        name: "ARC-Message-Signature",
        tags: format!(
            "{}\r\n\tbh={};\r\n\th={};",
            common(&format!(" c={}/{};", header_canon.name(), body_canon.name())),
            tags::base64(body_hash),
            dkim::listed(&names),
        ),
        canon: header_canon,
        data: section.selected(names.iter().map(String::as_str), header_canon),
        key,
    }
    .seal()?;
    let state = match arc.result {
        MethodResult::None => "none",
        MethodResult::Pass => "pass",
        _ => "fail",
    };
    let mut data = Vec::new();
    if let (Chain::Whole(sets), "pass") = (&before, state) {
        for set in sets {
            for raw in [set.results, set.signature, set.seal] {
                Canon::Relaxed.header(raw, &mut data);
            }
        }
    }
    Canon::Relaxed.header(&own_results, &mut data);
    Canon::Relaxed.header(&signature, &mut data);
    let tags = common(&format!(" cv={state};"));
    let mut out = Sealing { name: "ARC-Seal", tags, canon: Canon::Relaxed, data, key }.seal()?;
    out.extend(signature);
    out.extend(own_results);
    Some(out)
}
