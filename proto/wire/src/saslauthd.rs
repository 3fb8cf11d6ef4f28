//! The protocol of saslauthd(8): four counted strings, and one back.

/// The longest string that is sent or read.
pub const MAX_STRING: usize = 1024;

/// Login name, password, service and realm; `None` when one of them is too long.
pub fn request(login: &str, password: &str, service: &str, realm: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for text in [login, password, service, realm] {
        let len = u16::try_from(text.len()).ok().filter(|&n| usize::from(n) <= MAX_STRING)?;
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    Some(out)
}

/// Whether the answer (without its count) says yes.
pub fn is_yes(answer: &[u8]) -> bool {
    answer.starts_with(b"OK")
}

/// The length of the answer from its count; `None`: too long.
pub fn length(count: [u8; 2]) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(count))).filter(|&n| n <= MAX_STRING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings() {
        assert_eq!(request("a", "bc", "", "d").as_deref(), Some(&b"\0\x01a\0\x02bc\0\0\0\x01d"[..]));
        assert_eq!(request(&"x".repeat(2000), "", "", ""), None);
        assert!(is_yes(b"OK") && !is_yes(b"NO \"x\"") && !is_yes(b""));
        assert_eq!((length([0, 2]), length([255, 255])), (Some(2), None));
    }
}
