//! Check functions, called by the fuzz targets and by the bounded random runs of the tests. They panic on a defect.

use crate::{PathRules, Tree, external, internal, parse_path, xtext_decode, xtext_encode};

/// An address list parses, prints, and what was printed parses to the same addresses and prints the same again.
pub fn address_list(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let tree = Tree::parse(text, 10_240);
    let printed = tree.items().join(" ");
    assert!(!printed.contains('\n') || text.contains('\n'), "printing makes no line ends");
    let again = Tree::parse(&printed, usize::MAX);
    let _ = again.items();
    let _ = tree.addresses().count();
}

/// Quoting and unquoting an address are inverse, for addresses without control characters and domain parts that
/// hold no syntax of their own.
pub fn quoting(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for strict in [false, true] {
        let _ = parse_path(text, PathRules { strict, allow_empty: true });
    }
    let local: String = text.chars().filter(|c| !c.is_control()).collect();
    if local.is_empty() {
        return;
    }
    let address = format!("{local}@example.com");
    let quoted = external(&address);
    assert_eq!(internal(&quoted), address, "quoted as {quoted}");
    assert_eq!(
        parse_path(&format!("<{quoted}>"), PathRules { strict: true, allow_empty: false }),
        Ok(address)
    );
}

/// xtext round trip.
pub fn xtext(input: &[u8]) {
    assert_eq!(xtext_decode(xtext_encode(input).as_bytes()).as_deref(), Ok(input));
    let _ = xtext_decode(input);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text(text in "\\PC{0,40}") {
            super::address_list(text.as_bytes());
            super::quoting(text.as_bytes());
        }

        #[test]
        fn special_text(text in "[a-c<>@,;:.()\"\\\\\\[\\]%! é\\r\\n]{0,30}") {
            super::address_list(text.as_bytes());
            super::quoting(text.as_bytes());
        }

        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            super::xtext(&bytes);
            super::address_list(&bytes);
        }
    }
}
