//! Addresses to standard form (trivial-rewrite(8), postconf(5) `swap_bangpath` …). Pure.
//!
//! Addresses are in internal, unquoted form: the domain is what follows the last `@`. In order: a source route is
//! stripped; without a domain, `site!user` and then `user%site` are turned around, and the origin is appended; a final
//! dot goes; a domain without a dot gets the local domain.

/// What to do with addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// `swap_bangpath`.
    pub swap_bangpath: bool,
    /// `allow_percent_hack`.
    pub percent_hack: bool,
    /// Appended to an address without a domain; empty for nothing.
    pub origin: String,
    /// Appended to a domain without a dot; empty for nothing.
    pub domain: String,
}

/// The standard form of `address`.
pub fn rewrite(rules: &Rules, address: &str) -> String {
    if address.is_empty() || address == "@" {
        return String::new();
    }
    let address = strip_route(address);
    let mut out = match address.contains('@') {
        true => address.to_owned(),
        false => turned_around(rules, address).unwrap_or_else(|| address.to_owned()),
    };
    if !out.contains('@') && !rules.origin.is_empty() {
        out.push('@');
        out.push_str(&rules.origin);
    }
    complete_domain(rules, &mut out);
    out
}

/// Takes `@site,@site:` off the front.
pub fn strip_route(address: &str) -> &str {
    match address.split_once(':') {
        Some((route, rest)) if route.starts_with('@') && !rest.is_empty() => rest,
        _ => address,
    }
}

/// `user@site` for `site!user` or `user%site`, if the rules allow and the address is one.
pub fn turned_around(rules: &Rules, address: &str) -> Option<String> {
    if rules.swap_bangpath
        && let Some((site, user)) = address.split_once('!')
    {
        return Some(format!("{user}@{site}"));
    }
    let (user, site) = address.rsplit_once('%').filter(|_| rules.percent_hack)?;
    Some(format!("{user}@{site}"))
}

/// The address without the dot at the end of its domain (unless more than that is wrong with it).
pub fn without_final_dot(address: &str) -> &str {
    match address.strip_suffix('.') {
        Some(rest) if rest.contains('@') && !rest.ends_with(['.', '@']) => rest,
        _ => address,
    }
}

fn complete_domain(rules: &Rules, out: &mut String) {
    let shorter = without_final_dot(out).len();
    if shorter < out.len() {
        out.truncate(shorter);
        return;
    }
    let bare =
        out.rsplit_once('@').is_some_and(|(_, d)| !d.is_empty() && !d.contains('.') && !d.starts_with('['));
    if bare && !rules.domain.is_empty() {
        out.push('.');
        out.push_str(&rules.domain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules(origin: &str, domain: &str) -> Rules {
        Rules { swap_bangpath: true, percent_hack: true, origin: origin.into(), domain: domain.into() }
    }

    /// What trivial-rewrite(8) of Postfix 3.7 answers, address by address.
    #[test]
    fn as_postfix_does() {
        for (address, expect) in [
            ("", ""),
            ("@", ""),
            ("user", "user@my.origin"),
            ("us er", "us er@my.origin"),
            ("user@", "user@"),
            ("user@host", "user@host.example.com"),
            ("user@host.", "user@host"),
            ("user@host.dom", "user@host.dom"),
            ("user@host.dom.", "user@host.dom"),
            ("user%dom", "user@dom.example.com"),
            ("user%dom.org", "user@dom.org"),
            ("a!b", "b@a.example.com"),
            ("a.org!b", "b@a.org"),
            ("a!b!c", "b!c@a.example.com"),
            ("a!b@c.org", "a!b@c.org"),
            ("a%b@c.org", "a%b@c.org"),
            ("a%b%c", "a%b@c.example.com"),
            ("@a:b@c", "b@c.example.com"),
            ("@a,@b:c@d", "c@d.example.com"),
            ("@a:b", "b@my.origin"),
            ("@a:@b:c@d", "@b:c@d.example.com"),
            ("@:user@x", "user@x.example.com"),
            ("@a:@b", "@b.example.com"),
            ("@example.com", "@example.com"),
            ("user@[1.2.3.4]", "user@[1.2.3.4]"),
            ("user@1.2.3.4", "user@1.2.3.4"),
            ("a@b@c.org", "a@b@c.org"),
            ("a@b@c", "a@b@c.example.com"),
            ("user@a..b", "user@a..b"),
            ("user@a..", "user@a.."),
            ("user@.", "user@."),
            ("user@..", "user@.."),
            ("user@.host", "user@.host"),
            ("a!@b", "a!@b.example.com"),
            ("!b", "b@"),
            ("a!", "@a.example.com"),
            ("%a", "@a.example.com"),
            ("a%", "a@"),
            ("a!b%c", "b%c@a.example.com"),
            ("a%b!c", "c@a%b.example.com"),
            ("a@b%c", "a@b%c.example.com"),
            ("..", "..@my.origin"),
        ] {
            assert_eq!(rewrite(&rules("my.origin", "example.com"), address), expect, "{address}");
        }
    }

    #[test]
    fn nothing_to_append() {
        for (address, expect) in
            [("user", "user"), ("a!b", "b@a"), ("user@host.", "user@host"), ("@a:b", "b")]
        {
            assert_eq!(rewrite(&rules("", ""), address), expect, "{address}");
        }
        for (address, expect) in [("a!b", "a!b"), ("a%b", "a%b"), ("@a:b@c", "b@c")] {
            assert_eq!(rewrite(&Rules::default(), address), expect, "{address}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(address in "[a-c@%!:.\\[\\], é]{0,20}") {
            rewrite(&rules("my.origin", "example.com"), &address);
        }
    }
}
