//! The filter of a DNS list: `127.0.0.2`, `127.0.0.[2..4;9]` (postconf(5), `reject_rbl_client`).

/// Values of one byte, as ranges.
type Byte = Vec<(u8, u8)>;

/// Four bytes of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter(Vec<Byte>);

impl Filter {
    /// `None`: not a filter.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let mut bytes = Vec::new();
        loop {
            let (byte, after) = take_byte(rest)?;
            bytes.push(byte);
            match after.strip_prefix('.') {
                Some(more) => rest = more,
                None if after.is_empty() && bytes.len() == 4 => return Some(Self(bytes)),
                None => return None,
            }
        }
    }

    pub(super) fn matches(&self, address: [u8; 4]) -> bool {
        self.0.iter().zip(address).all(|(byte, a)| byte.iter().any(|&(low, high)| (low..=high).contains(&a)))
    }
}

/// One byte's pattern, and what follows it.
fn take_byte(text: &str) -> Option<(Byte, &str)> {
    let Some(inside) = text.strip_prefix('[') else {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, after) = text.split_at(end);
        let value = digits.parse().ok()?;
        return Some((vec![(value, value)], after));
    };
    let (inside, after) = inside.split_once(']')?;
    let ranges: Option<Byte> = inside.split(';').map(range).collect();
    Some((ranges?, after))
}

/// `2` or `2..4`.
fn range(text: &str) -> Option<(u8, u8)> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let (low, high) = (low.parse().ok()?, high.parse().ok()?);
    (low <= high).then_some((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        for (text, address, want) in [
            ("127.0.0.2", [127, 0, 0, 2], Some(true)),
            ("127.0.0.2", [127, 0, 0, 3], Some(false)),
            ("127.0.0.[2..4;9]", [127, 0, 0, 4], Some(true)),
            ("127.0.0.[2..4;9]", [127, 0, 0, 9], Some(true)),
            ("127.0.0.[2..4;9]", [127, 0, 0, 5], Some(false)),
            ("127.0.[0..255].[1;3]", [127, 0, 200, 3], Some(true)),
            ("127.0.0", [127, 0, 0, 2], None),
            ("127.0.0.2.3", [127, 0, 0, 2], None),
            ("127.0.0.[4..2]", [127, 0, 0, 2], None),
            ("127.0.0.[2", [127, 0, 0, 2], None),
            ("127.0.0.300", [127, 0, 0, 2], None),
            ("", [127, 0, 0, 2], None),
        ] {
            assert_eq!(Filter::parse(text).map(|f| f.matches(address)), want, "{text}");
        }
    }
}
