//! `listed`: whether the address that mail comes from is on the DNS block lists that many servers ask (RFC 5782).

use super::super::{Check, Finding, Level, ground::Ground};
use base_dns::DnsError;
use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

/// The lists.
const LISTS: [&str; 4] = ["zen.spamhaus.org", "bl.spamcop.net", "b.barracudacentral.org", "psbl.surriel.com"];

/// The record.
pub const CHECK: Check = Check {
    name: "listed",
    about: "own address on DNS block lists",
    limit: Duration::from_secs(15),
    look: |ground| {
        Box::pin(async {
            let Some(address) = ground.public() else {
                return vec![(Level::Unknown, "the public address is not known: use --address".into())];
            };
            let name = reversed(address);
            let mut found = Vec::new();
            for list in LISTS {
                found.push(ask(ground, &name, address, list).await);
            }
            found
        })
    },
};

async fn ask(ground: &Ground, name: &str, address: IpAddr, list: &str) -> Finding {
    match ground.resolver.addresses(&format!("{name}.{list}"), true, false).await {
        Ok(answer) if answer.records.iter().any(|a| is_listing(*a)) => {
            (Level::Problem, format!("{address} is listed by {list}"))
        }
        Ok(_) => (Level::Unknown, format!("{list} does not answer this resolver")),
        Err(DnsError::NotFound | DnsError::NoData) => {
            (Level::Ok, format!("{address} is not listed by {list}"))
        }
        Err(e) => (Level::Unknown, format!("{list}: {e}")),
    }
}

/// 127.0.0.0/8 is a listing (RFC 5782 2.1); 127.255.255.0/24 says that the question is not welcome.
fn is_listing(answer: IpAddr) -> bool {
    let IpAddr::V4(a) = answer else { return false };
    a.is_loopback() && (a & Ipv4Addr::new(255, 255, 255, 0)) != Ipv4Addr::new(127, 255, 255, 0)
}

/// The octets, or the nibbles, from the last to the first.
fn reversed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(a) => {
            let [a, b, c, d] = a.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(a) => {
            let mut out = String::new();
            for octet in a.octets().iter().rev() {
                let _ = write!(out, "{:x}.{:x}.", octet & 15, octet >> 4);
            }
            out.pop();
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_answers() {
        assert_eq!(reversed([192, 0, 2, 7].into()), "7.2.0.192");
        assert!(reversed("2001:db8::1".parse().unwrap()).ends_with(".8.b.d.0.1.0.0.2"));
        for (answer, listing) in [("127.0.0.2", true), ("127.255.255.254", false), ("192.0.2.1", false)] {
            assert_eq!(is_listing(answer.parse().unwrap()), listing, "{answer}");
        }
    }
}
