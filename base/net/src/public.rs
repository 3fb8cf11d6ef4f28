//! Which addresses anybody can reach (RFC 6890): those that a stranger may have us connect to. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// No address of this host, its networks, or of many hosts at once; one of IPv4 within one of IPv6 is as good as by itself.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => is_public_v4(a),
        IpAddr::V6(a) => inner_v4(a).map_or_else(|| is_public_v6(a), is_public_v4),
    }
}

fn is_public_v4(a: Ipv4Addr) -> bool {
    let [first, second, ..] = a.octets();
    let shared = first == 100 && second & 0xc0 == 64;
    let near = a.is_loopback() || a.is_private() || a.is_link_local() || shared;
    // 0.0.0.0/8 is this host; multicast and what is above it are no host's.
    !near && first != 0 && first < 224
}

fn is_public_v6(a: Ipv6Addr) -> bool {
    let [head, ..] = a.segments();
    let link_or_site = head & 0xff80 == 0xfe80;
    let near = a.is_loopback() || a.is_unspecified() || link_or_site || head & 0xfe00 == 0xfc00;
    !near && !a.is_multicast()
}

/// Mapped, compatible (with `::` and `::1`, which are not public), or behind a translator (RFC 6052).
fn inner_v4(a: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., high, low] = a.segments();
    let translated = a.segments().starts_with(&[0x64, 0xff9b, 0, 0, 0, 0]);
    let inner = Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    a.to_ipv4().or_else(|| translated.then_some(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (address, want) in [
            ("198.41.0.4", true),
            ("192.0.2.1", true),
            ("2001:db8::1", true),
            ("fd00::1", false),
            ("100.63.0.1", true),
            ("100.64.0.1", false),
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("172.32.0.1", true),
            ("192.168.0.1", false),
            ("169.254.169.254", false),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("2001:503:ba3e::2:30", true),
            ("::", false),
            ("::1", false),
            ("fe80::1", false),
            ("febf::1", false),
            ("fec0::1", false),
            ("fd00:ec2::254", false),
            ("fc00::1", false),
            ("ff02::1", false),
            ("::ffff:198.41.0.4", true),
            ("::ffff:127.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("::127.0.0.1", false),
            ("64:ff9b::198.41.0.4", true),
            ("64:ff9b::127.0.0.1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), want, "{address}");
        }
    }
}
