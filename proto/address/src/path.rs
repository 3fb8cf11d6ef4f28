//! The address in MAIL FROM and RCPT TO, strict or as lenient as Postfix is. RFC 5321 4.1.2,
//! postconf(5) `strict_rfc821_envelopes`.

/// What is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathRules {
    /// `strict_rfc821_envelopes`: `<>` around it, no comments, no phrases.
    pub strict: bool,
    /// `<>` (or nothing) is the null sender: MAIL FROM only.
    pub allow_empty: bool,
}

/// Why it is no path. The caller answers `501 5.1.7 Bad sender address syntax` or `501 5.1.3 Bad recipient …`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// No or unbalanced `<>`, more than one address, text beside the address.
    #[error("bad address syntax")]
    Syntax,
    /// Empty where an address is needed.
    #[error("empty address")]
    Empty,
}

/// The address in internal form, from the text of the argument (`<user@example.com>`), which must be all of it.
/// A source route (`<@a,@b:user@c>`) stays in front, as the resolver strips it.
pub fn parse_path(text: &str, rules: PathRules) -> Result<String, BadPath> {
    let _ = (text, rules);
    todo!()
}
