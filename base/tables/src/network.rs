//! Network patterns: `10.0.0.0/8`, `192.0.2.1`, `[2001:db8::]/32`. cidr_table(5), postconf(5) mynetworks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network: the addresses that share a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    /// True for IPv6.
    v6: bool,
    /// The prefix in the high bits, zeros after it.
    bits: u128,
    /// Its length.
    length: u8,
}

impl Network {
    /// Reads a pattern; the address part, or all of it up to the length, may stand in `[]`. The error is
    /// Postfix's text.
    pub fn parse(text: &str) -> Result<Network, String> {
        let (address, length) = split(text).ok_or_else(|| format!("bad address pattern: \"{text}\""))?;
        let length = match length {
            None => None,
            Some("") => return Err(format!("bad mask value in \"{text}\"")),
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits),
            Some(_) => return Err(format!("bad mask value in \"{text}\"")),
        };
        let address = parse_address(address).ok_or_else(|| format!("bad address pattern: \"{text}\""))?;
        let (v6, bits, full) = widen(address);
        let length = match length.map(str::parse::<u8>) {
            None => full,
            Some(Ok(length)) if length <= full => length,
            Some(_) => return Err(format!("bad mask length in \"{text}\"")),
        };
        let network = Network { v6, bits: bits & mask(length), length };
        match network.bits == bits {
            true => Ok(network),
            false => Err(format!(
                "non-null host address bits in \"{text}\", perhaps you should use \"{}/{length}\" instead",
                network.address()
            )),
        }
    }

    /// Is the address in this network? An IPv4 address is never in an IPv6 network.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (v6, bits, _) = widen(address);
        v6 == self.v6 && bits & mask(self.length) == self.bits
    }

    /// The first address.
    pub fn address(&self) -> IpAddr {
        let high = self.bits >> 96;
        match self.v6 {
            true => Ipv6Addr::from_bits(self.bits).into(),
            false => Ipv4Addr::from_bits(u32::try_from(high).unwrap_or_default()).into(),
        }
    }

    /// True for IPv6.
    pub fn is_v6(&self) -> bool {
        self.v6
    }

    /// The length of the prefix.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// The prefix in the high bits.
    pub fn bits(&self) -> u128 {
        self.bits
    }
}

/// Address family, the address in the high bits, and its length.
pub fn widen(address: IpAddr) -> (bool, u128, u8) {
    match address {
        IpAddr::V4(a) => (false, u128::from(a.to_bits()) << 96, 32),
        IpAddr::V6(a) => (true, a.to_bits(), 128),
    }
}

/// The first `length` of 128 bits.
pub fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0)
}

fn split(text: &str) -> Option<(&str, Option<&str>)> {
    match text.strip_prefix('[') {
        Some(inner) => match inner.split_once(']')? {
            (address, "") => Some(match address.split_once('/') {
                Some((address, length)) => (address, Some(length)),
                None => (address, None),
            }),
            (address, rest) => Some((address, Some(rest.strip_prefix('/')?))),
        },
        None => Some(match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        }),
    }
}

/// An address; octets of IPv4 with a leading zero are octal.
pub fn parse_address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let mut octets = [0u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next().filter(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))?;
        let radix = if part.len() > 1 && part.starts_with('0') { 8 } else { 10 };
        *octet = u8::from_str_radix(part, radix).ok()?;
    }
    parts.next().is_none().then_some(IpAddr::from(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("10.0.0.0/8", &["10.255.0.1"], &["11.0.0.0", "::1"]),
            ("0.0.0.0/0", &["1.2.3.4"], &["::"]),
            ("::/0", &["::1", "ffff::"], &["1.2.3.4"]),
            ("[::1]", &["::1"], &["::2"]),
            ("[2001:db8::]/32", &["2001:db8:1::"], &["2001:db9::"]),
            ("[2001:db8::/32]", &["2001:db8:1::"], &["2001:db9::"]),
            ("1.2.3.4/32", &["1.2.3.4"], &["1.2.3.5"]),
            ("010.0.0.0/8", &["8.1.1.1"], &["10.0.0.0"]),
        ];
        for (pattern, inside, outside) in cases {
            let network = Network::parse(pattern).unwrap();
            assert!(inside.iter().all(|a| network.contains(a.parse().unwrap())), "{pattern}");
            assert!(!outside.iter().any(|a| network.contains(a.parse().unwrap())), "{pattern}");
        }
    }

    #[test]
    fn bad_patterns() {
        let cases = [
            ("foo", "bad address pattern: \"foo\""),
            ("1.2.3", "bad address pattern: \"1.2.3\""),
            ("[::1", "bad address pattern: \"[::1\""),
            ("10.0.0.0/33", "bad mask length in \"10.0.0.0/33\""),
            ("10.0.0.0/999", "bad mask length in \"10.0.0.0/999\""),
            ("1.2.3.4/32/5", "bad mask value in \"1.2.3.4/32/5\""),
            (
                "10.1.2.3/8",
                "non-null host address bits in \"10.1.2.3/8\", perhaps you should use \"10.0.0.0/8\" instead",
            ),
        ];
        for (pattern, want) in cases {
            assert_eq!(Network::parse(pattern).unwrap_err(), want);
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in ".*") {
            let _ = Network::parse(&text);
        }
    }
}
