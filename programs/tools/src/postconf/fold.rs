//! Long lines folded for reading, as `postconf -f` does: at white space, before column 80.

/// Longest line of a folded parameter.
pub(super) const PARAMETER: usize = 80;
/// Longest line of a folded master.cf entry.
pub(super) const ENTRY: usize = 79;
const INDENT: &str = "    ";

/// `head`, then `words`, on as many lines of `width` as needed.
pub(super) fn fold<'a>(width: usize, head: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    let mut out = head.to_owned();
    let mut column = head.len();
    for word in words {
        if column > INDENT.len() && column + 1 + word.len() > width {
            out.push('\n');
            out.push_str(INDENT);
            column = INDENT.len();
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let value = "${{$compatibility_level} <level {1} ? {} : {permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination}}";
        assert_eq!(
            fold(PARAMETER, "smtpd_relay_restrictions =", value.split_whitespace()),
            "smtpd_relay_restrictions = ${{$compatibility_level} <level {1} ? {} :\n    {permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination}}"
        );
        assert_eq!(fold(PARAMETER, "relayhost =", []), "relayhost =");
        assert_eq!(fold(PARAMETER, "", ["a", "b"]), "a b");
    }
}
