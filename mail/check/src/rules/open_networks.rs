//! mynetworks that trusts strangers, or does not say what was meant.

use super::Rule;
use crate::{Finding, Severity, Site, setting::Word};
use base_conf::computed;
use std::net::IpAddr;

/// The record.
pub const RULE: Rule = Rule {
    name: "open-networks",
    finds: "mynetworks that contains the whole internet or networks that cannot be read, and mynetworks_style = class",
    severity: Severity::Error,
    example: &[("main.cf", "mynetworks = 127.0.0.0/8, 192.168.1.10/24, 0.0.0.0/0, 10.0.0.\n")],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    if let Some(s) = site.setting("mynetworks") {
        out.extend(s.words().iter().filter_map(|w| word_fault(site, w)));
        if let Some(style) = site.setting("mynetworks_style") {
            let what = "mynetworks_style has no effect, because mynetworks is set";
            out.push(site.in_main(style.line, what).severity(Severity::Note));
        }
    } else if let Some(style) =
        site.setting("mynetworks_style").filter(|s| s.expanded.eq_ignore_ascii_case("class"))
    {
        let public =
            computed::own_addresses(&site.config).unwrap_or_default().iter().any(|(a, _)| is_public(*a));
        if public {
            let what = "mynetworks_style = class trusts all of the provider's network";
            out.push(site.in_main(style.line, what).severity(Severity::Error).meant("subnet"));
        }
    }
    out
}

/// Whether strangers can have this address: not in the networks of RFC 1918, 3927 and 6598, and of IPv6 in 2000::/3 only.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            let shared = a.to_bits() >> 22 == 0x6440_0000 >> 22;
            !(a.is_private() || a.is_loopback() || a.is_link_local() || shared)
        }
        IpAddr::V6(a) => a.to_bits() >> 125 == 1,
    }
}

fn word_fault(site: &Site, w: &Word) -> Option<Finding> {
    let text = w.text.as_str();
    let at = |what: String| site.in_main(w.line, what);
    if text.starts_with(['!', '/']) || crate::specs::is_spec(text) {
        return None;
    }
    let numeric =
        text.starts_with(|c: char| c.is_ascii_digit()) || text.starts_with('[') || text.contains(':');
    if !numeric {
        let name = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
        return (!name).then(|| at(format!("mynetworks: \"{text}\" is no network")));
    }
    let (address, length) = text.rsplit_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    let Ok(ip) = bare.parse::<IpAddr>() else {
        let found = at(format!("mynetworks: \"{text}\" is no network address"));
        return Some(found.maybe(completed(text).as_deref()));
    };
    if ip.is_ipv6() && !address.starts_with('[') {
        return Some(
            at(format!("mynetworks: the IPv6 address of \"{text}\" needs brackets"))
                .meant(&bracketed(ip, length)),
        );
    }
    let bits: u32 = if ip.is_ipv4() { 32 } else { 128 };
    let length: u32 = match length {
        None => bits,
        Some(l) => match l.parse() {
            Ok(n) if n <= bits => n,
            _ => {
                return Some(at(format!(
                    "mynetworks: \"{text}\": the length of a network is a number up to {bits}"
                )));
            }
        },
    };
    if length == 0 || (is_public(ip) && length < if ip.is_ipv4() { 8 } else { 16 }) {
        let what = format!(
            "mynetworks: \"{text}\" trusts {}: strangers may relay",
            if length == 0 { "everybody" } else { "half the world" }
        );
        return Some(at(what).hint("list your own networks only"));
    }
    let network = masked(ip, length);
    (network != ip).then(|| {
        let meant =
            if ip.is_ipv4() { format!("{network}/{length}") } else { format!("[{network}]/{length}") };
        at(format!("mynetworks: \"{text}\" has address bits behind the length of the network")).meant(&meant)
    })
}

fn bracketed(ip: IpAddr, length: Option<&str>) -> String {
    length.map_or_else(|| format!("[{ip}]"), |l| format!("[{ip}]/{l}"))
}

/// `10.0.0.` is `10.0.0.0/24`.
fn completed(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.trim_end_matches('.').split('.').collect();
    let numbers = parts.iter().all(|p| p.parse::<u8>().is_ok());
    let missing = 4_usize.checked_sub(parts.len()).filter(|m| *m > 0 && numbers)?;
    Some(format!("{}{}/{}", parts.join("."), ".0".repeat(missing), parts.len() * 8))
}

fn masked(ip: IpAddr, length: u32) -> IpAddr {
    match ip {
        IpAddr::V4(a) => IpAddr::V4((a.to_bits() & u32::MAX.checked_shl(32 - length).unwrap_or(0)).into()),
        IpAddr::V6(a) => IpAddr::V6((a.to_bits() & u128::MAX.checked_shl(128 - length).unwrap_or(0)).into()),
    }
}
