//! Rewriting an address to standard form (trivial-rewrite(8), "rewrite context address").

use base_calls::RewriteContext;
use base_conf::{Config, Error};
use std::borrow::Cow;

/// Longest chain of rewriting steps; an address cannot need more than one for each of its characters.
const MAX_STEPS: usize = 100;

/// What standard form means here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewriteRules {
    /// `$myorigin`.
    pub origin: String,
    /// `$mydomain`.
    pub domain: String,
    /// `append_at_myorigin`.
    pub append_at_origin: bool,
    /// `append_dot_mydomain`.
    pub append_dot_domain: bool,
    /// `swap_bangpath`.
    pub swap_bangpath: bool,
    /// `allow_percent_hack`.
    pub percent_hack: bool,
    /// `remote_header_rewrite_domain`; empty: remote addresses stay as they are.
    pub remote_domain: String,
}

impl RewriteRules {
    /// From main.cf.
    pub fn from_config(cfg: &Config) -> Result<Self, Error> {
        Ok(Self {
            origin: cfg.str("myorigin")?,
            domain: cfg.str("mydomain")?,
            append_at_origin: cfg.bool("append_at_myorigin")?,
            append_dot_domain: cfg.bool("append_dot_mydomain")?,
            swap_bangpath: cfg.bool("swap_bangpath")?,
            percent_hack: cfg.bool("allow_percent_hack")?,
            remote_domain: cfg.str("remote_header_rewrite_domain")?,
        })
    }

    /// The standard form of `address`. The null address stays null.
    pub fn rewrite(&self, context: RewriteContext, address: &str) -> String {
        if address.is_empty() {
            return String::new();
        }
        let mut at = Cow::Borrowed(without_route(address));
        for _ in 0..MAX_STEPS {
            match self.step(&at) {
                Some(next) => at = Cow::Owned(next),
                None => break,
            }
        }
        self.complete(context, &at)
    }

    /// One change of form: `site!user`, `user%domain`, `user@`, `user@domain.`; `None` when there is nothing to do.
    fn step(&self, address: &str) -> Option<String> {
        match address.rsplit_once('@') {
            Some((local, domain)) => {
                let kept = domain.strip_suffix('.').filter(|d| !d.is_empty() && !d.ends_with('.'));
                kept.map(|d| format!("{local}@{d}"))
            }
            None => self.bang(address).or_else(|| self.percent(address)),
        }
    }

    fn bang(&self, address: &str) -> Option<String> {
        let (site, user) = address.split_once('!').filter(|_| self.swap_bangpath)?;
        (!site.is_empty() && !user.is_empty()).then(|| format!("{user}@{site}"))
    }

    fn percent(&self, address: &str) -> Option<String> {
        let (local, domain) = address.rsplit_once('%').filter(|_| self.percent_hack)?;
        (!local.is_empty() && !domain.is_empty()).then(|| format!("{local}@{domain}"))
    }

    /// Appends what is missing.
    fn complete(&self, context: RewriteContext, address: &str) -> String {
        let (origin, dotted) = match context {
            RewriteContext::Local => (self.origin.as_str(), self.domain.as_str()),
            RewriteContext::Remote => (self.remote_domain.as_str(), self.remote_domain.as_str()),
        };
        match address.rsplit_once('@') {
            None if self.append_at_origin && !origin.is_empty() => format!("{address}@{origin}"),
            Some((_, domain)) if self.wants_dot(domain) && !dotted.is_empty() => {
                format!("{address}.{dotted}")
            }
            _ => address.to_owned(),
        }
    }

    fn wants_dot(&self, domain: &str) -> bool {
        self.append_dot_domain && !domain.is_empty() && !domain.contains('.') && !domain.starts_with('[')
    }
}

/// Strips a source route: `@a,@b:user@c` is `user@c` (RFC 5321 appendix C).
pub(crate) fn without_route(address: &str) -> &str {
    match address.split_once(':') {
        Some((route, rest)) if address.starts_with('@') && !rest.is_empty() && is_route(route) => rest,
        _ => address,
    }
}

fn is_route(text: &str) -> bool {
    text.split(',').all(|hop| hop.trim().starts_with('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> RewriteRules {
        RewriteRules {
            origin: "origin.example".into(),
            domain: "dom.example".into(),
            append_at_origin: true,
            append_dot_domain: true,
            swap_bangpath: true,
            percent_hack: true,
            remote_domain: String::new(),
        }
    }

    #[test]
    fn standard_form() {
        for (given, want) in [
            ("", ""),
            ("user", "user@origin.example"),
            ("user@host", "user@host.dom.example"),
            ("user@host.example.", "user@host.example"),
            ("user@[192.0.2.1]", "user@[192.0.2.1]"),
            ("site!user", "user@site.dom.example"),
            ("a!b!user", "b!user@a.dom.example"),
            ("user%host.example", "user@host.example"),
            ("@a,@b:user@c.example", "user@c.example"),
            ("a@b@c.example", "a@b@c.example"),
        ] {
            assert_eq!(rules().rewrite(RewriteContext::Local, given), want, "{given}");
        }
    }

    #[test]
    fn remote_headers_are_left_alone() {
        assert_eq!(rules().rewrite(RewriteContext::Remote, "user"), "user");
        assert_eq!(rules().rewrite(RewriteContext::Remote, "user@host"), "user@host");
        let invalid = RewriteRules { remote_domain: "domain.invalid".into(), ..rules() };
        assert_eq!(invalid.rewrite(RewriteContext::Remote, "user"), "user@domain.invalid");
    }

    #[test]
    fn switched_off() {
        let off = RewriteRules {
            append_at_origin: false,
            append_dot_domain: false,
            swap_bangpath: false,
            percent_hack: false,
            ..rules()
        };
        for same in ["user", "user@host", "a!b", "a%b"] {
            assert_eq!(off.rewrite(RewriteContext::Local, same), same);
        }
    }
}
