//! LDAP URLs in attribute values: `ldap://host/base?attributes?scope?filter` (RFC 4516). The host does not count:
//! the search goes to the server that gave the URL.

use ldap3::Scope;

/// What a URL asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Url {
    /// Where to search.
    pub base: String,
    /// Attributes wanted; empty for all.
    pub attributes: Vec<String>,
    /// How deep.
    pub scope: Scope,
    /// What.
    pub filter: String,
}

/// Whether a value is meant as a URL rather than a DN.
pub fn is_url(value: &str) -> bool {
    let starts = |scheme: &str| value.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme));
    starts("ldap://") || starts("ldaps://") || starts("ldapi://")
}

impl Url {
    /// Reads a URL; `None` when it is malformed.
    pub fn parse(text: &str) -> Option<Url> {
        let (_, rest) = text.split_once("://")?;
        let path = rest.split_once('/').map_or("", |(_, path)| path);
        let mut parts = path.splitn(5, '?');
        let mut next = || proto_address::percent_decoded(parts.next().unwrap_or_default());
        let (base, attributes, scope, filter) = (next()?, next()?, next()?, next()?);
        let attributes = attributes.split(',').filter(|a| !a.is_empty() && *a != "*");
        Some(Url {
            base,
            attributes: attributes.map(str::to_owned).collect(),
            scope: match scope.to_ascii_lowercase().as_str() {
                "" | "base" => Scope::Base,
                "one" => Scope::OneLevel,
                "sub" => Scope::Subtree,
                _ => return None,
            },
            filter: if filter.is_empty() { "(objectClass=*)".to_owned() } else { filter },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let url = Url::parse("ldap://h:1/ou=p,dc=ex?mail,cn?sub?(cn=b%20c)").unwrap();
        assert_eq!(
            (url.base.as_str(), url.scope, url.filter.as_str()),
            ("ou=p,dc=ex", Scope::Subtree, "(cn=b c)")
        );
        assert_eq!(url.attributes, ["mail", "cn"]);
        let url = Url::parse("ldap:///cn=x").unwrap();
        assert_eq!(
            (url.scope, url.filter.as_str(), url.attributes.len()),
            (Scope::Base, "(objectClass=*)", 0)
        );
        assert_eq!(Url::parse("ldap:///x??deep"), None);
        assert_eq!(Url::parse("ldap:///x%zz"), None);
        assert!(is_url("LDAP:///x") && !is_url("cn=ldap://x"));
    }
}
