//! Domain names between their Unicode (U-label) and ASCII (A-label) forms. RFC 5891, UTS 46 as smtputf8_README says
//! (`enable_idna2003_compatibility` = no: nontransitional).

/// ASCII form for DNS; `None` when the name has none. ASCII names come back in lower case.
pub fn to_ascii(domain: &str) -> Option<String> {
    if domain.is_ascii() {
        return Some(domain.to_ascii_lowercase());
    }
    idna::domain_to_ascii(domain).ok().filter(|d| !d.is_empty())
}

/// Unicode form; `None` when an A-label does not decode.
pub fn to_unicode(domain: &str) -> Option<String> {
    if domain.is_ascii() && !domain.to_ascii_lowercase().contains("xn--") {
        return Some(domain.to_ascii_lowercase());
    }
    let (text, result) = idna::domain_to_unicode(domain);
    result.ok().map(|()| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        assert_eq!(to_ascii("Bücher.example").as_deref(), Some("xn--bcher-kva.example"));
        assert_eq!(to_unicode("xn--bcher-kva.example").as_deref(), Some("bücher.example"));
        assert_eq!(to_ascii("Example.COM").as_deref(), Some("example.com"));
        assert_eq!(to_unicode("Example.COM").as_deref(), Some("example.com"));
    }
}
