//! Taking an address in internal form apart: local part, extension, domain.

/// Local part and domain: split at the last `@`. `None` when there is no `@`.
pub fn split_domain(address: &str) -> (&str, Option<&str>) {
    match address.rsplit_once('@') {
        Some((local, domain)) => (local, Some(domain)),
        None => (address, None),
    }
}

/// Puts local part and domain together again.
pub fn join(local: &str, domain: Option<&str>) -> String {
    match domain {
        Some(domain) => format!("{local}@{domain}"),
        None => local.to_owned(),
    }
}

/// `user+extension@domain`; the extension has its delimiter in front.
pub fn with_extension(address: &str, extension: &str) -> String {
    let (local, domain) = split_domain(address);
    join(&format!("{local}{extension}"), domain)
}

/// Names that are never split, and with `-` as the delimiter `owner-LIST` and `LIST-request` neither
/// (postconf(5) `recipient_delimiter`, `owner_request_special`).
const NEVER_SPLIT: [&str; 3] = ["mailer-daemon", "double-bounce", "postmaster"];

/// Splits a local part at the first of the `delimiters` into the name and the extension, which keeps its
/// delimiter in front (`+ext`). `None` when there is none, or the name would be empty.
///
/// `owner_request_special` keeps `owner-list` and `list-request` whole.
pub fn split_extension<'a>(
    local: &'a str,
    delimiters: &str,
    owner_request_special: bool,
) -> (&'a str, Option<&'a str>) {
    let whole = (local, None);
    if delimiters.is_empty() || NEVER_SPLIT.iter().any(|n| local.eq_ignore_ascii_case(n)) {
        return whole;
    }
    if owner_request_special && delimiters.contains('-') && is_list_address(local) {
        return whole;
    }
    match local.find(|c| delimiters.contains(c)) {
        None | Some(0) => whole,
        Some(at) => {
            let (name, extension) = local.split_at(at);
            (name, Some(extension))
        }
    }
}

fn is_list_address(local: &str) -> bool {
    let starts = |s: &str, p: &str| s.get(..p.len()).is_some_and(|x| x.eq_ignore_ascii_case(p));
    let ends = |s: &str, p: &str| {
        s.len().checked_sub(p.len()).and_then(|n| s.get(n..)).is_some_and(|x| x.eq_ignore_ascii_case(p))
    };
    starts(local, "owner-") || ends(local, "-request")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_put_back() {
        for (address, want) in [("a@b.test", "a+x@b.test"), ("a", "a+x"), ("a@c@b.test", "a@c+x@b.test")] {
            assert_eq!(with_extension(address, "+x"), want);
        }
    }

    #[test]
    fn extensions() {
        let check = |local, delims, want: (&str, Option<&str>)| {
            assert_eq!(split_extension(local, delims, true), want, "{local} {delims}");
        };
        check("user", "+", ("user", None));
        check("user+ext", "+", ("user", Some("+ext")));
        check("user+a+b", "+", ("user", Some("+a+b")));
        check("user-a+b", "+-", ("user", Some("-a+b")));
        check("user+", "+", ("user", Some("+")));
        check("+ext", "+", ("+ext", None));
        check("user+ext", "", ("user+ext", None));
        check("owner-list", "-", ("owner-list", None));
        check("list-request", "-", ("list-request", None));
        check("Owner-list", "+", ("Owner-list", None));
        check("mailer-daemon", "-", ("mailer-daemon", None));
        check("double-bounce", "-", ("double-bounce", None));
        assert_eq!(split_extension("owner-list", "-", false), ("owner", Some("-list")));
    }

    #[test]
    fn domains() {
        assert_eq!(split_domain("a@b@c"), ("a@b", Some("c")));
        assert_eq!(split_domain("a"), ("a", None));
        assert_eq!(join("a", Some("b")), "a@b");
    }
}
