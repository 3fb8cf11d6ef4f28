//! Properties of mechanisms, and `*_sasl_security_options` (postconf(5)): `noanonymous, noplaintext` …
//!
//! An unknown word is an error that names it; the service must not start with it.

/// What is known of a mechanism: a set of flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Properties(u8);

impl Properties {
    /// Nothing is known.
    pub const NONE: Self = Self(0);
    /// Passwords cross the line as they are.
    pub const PLAINTEXT: Self = Self(1);
    /// Somebody in the middle can take over.
    pub const ACTIVE: Self = Self(2);
    /// Who listens can try passwords.
    pub const DICTIONARY: Self = Self(4);
    /// Nobody has to say who he is.
    pub const ANONYMOUS: Self = Self(8);
    /// A key that leaks later opens no old session.
    pub const FORWARD_SECRECY: Self = Self(16);
    /// Both sides prove who they are.
    pub const MUTUAL_AUTH: Self = Self(32);
    /// Not for clients from outside.
    pub const PRIVATE: Self = Self(64);

    /// Both.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The flag that Dovecot calls by this name; none for a word that is not known.
    pub fn named(word: &str) -> Self {
        match word {
            "plaintext" => Self::PLAINTEXT,
            "active" => Self::ACTIVE,
            "dictionary" => Self::DICTIONARY,
            "anonymous" => Self::ANONYMOUS,
            "forward-secrecy" => Self::FORWARD_SECRECY,
            "mutual-auth" => Self::MUTUAL_AUTH,
            "private" => Self::PRIVATE,
            _ => Self::NONE,
        }
    }

    /// What is generally known of the mechanism with this name.
    pub fn of_mechanism(name: &str) -> Self {
        match name.to_ascii_uppercase().as_str() {
            "PLAIN" | "LOGIN" | "XOAUTH2" | "OAUTHBEARER" => Self::PLAINTEXT,
            "ANONYMOUS" => Self::ANONYMOUS,
            "CRAM-MD5" | "DIGEST-MD5" | "NTLM" => Self::ACTIVE.with(Self::DICTIONARY),
            n if n.starts_with("SCRAM-") => Self::MUTUAL_AUTH,
            "GSSAPI" | "GSS-SPNEGO" => Self::MUTUAL_AUTH,
            _ => Self::NONE,
        }
    }
}

/// A mechanism that somebody offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mechanism {
    /// As it is announced.
    pub name: String,
    /// What is known of it.
    pub properties: Properties,
}

/// What the administrator demands of mechanisms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Security {
    forbidden: Properties,
    demanded: Properties,
}

/// An unknown word in a list of options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown SASL security option \"{word}\" in \"{text}\"")]
pub struct BadOption {
    /// The word.
    pub word: String,
    /// All of it.
    pub text: String,
}

impl Security {
    /// Reads a list, separated by commas and blanks, in any case.
    pub fn parse(text: &str) -> Result<Self, BadOption> {
        let mut out = Self::default();
        for word in text.split([',', ' ', '\t', '\r', '\n']).filter(|w| !w.is_empty()) {
            match word.to_ascii_lowercase().as_str() {
                "noplaintext" => out.forbid(Properties::PLAINTEXT),
                "noactive" => out.forbid(Properties::ACTIVE),
                "nodictionary" => out.forbid(Properties::DICTIONARY),
                "noanonymous" => out.forbid(Properties::ANONYMOUS),
                "forward_secrecy" => out.demand(Properties::FORWARD_SECRECY),
                "mutual_auth" => out.demand(Properties::MUTUAL_AUTH),
                _ => return Err(BadOption { word: word.to_owned(), text: text.to_owned() }),
            }
        }
        Ok(out)
    }

    fn forbid(&mut self, p: Properties) {
        self.forbidden = self.forbidden.with(p);
    }

    fn demand(&mut self, p: Properties) {
        self.demanded = self.demanded.with(p);
    }

    /// Whether a mechanism with these properties may be used.
    pub fn allows(self, p: Properties) -> bool {
        !p.any(self.forbidden) && p.has(self.demanded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_mechanisms() {
        for (options, allowed) in [
            ("", "PLAIN ANONYMOUS CRAM-MD5 SCRAM-SHA-256"),
            ("noanonymous", "PLAIN CRAM-MD5 SCRAM-SHA-256"),
            ("noplaintext, noanonymous", "CRAM-MD5 SCRAM-SHA-256"),
            ("NoActive", "PLAIN ANONYMOUS SCRAM-SHA-256"),
            ("nodictionary", "PLAIN ANONYMOUS SCRAM-SHA-256"),
            ("mutual_auth", "SCRAM-SHA-256"),
            ("forward_secrecy", ""),
        ] {
            let s = Security::parse(options).expect("options");
            let all = ["PLAIN", "ANONYMOUS", "CRAM-MD5", "SCRAM-SHA-256"];
            let yes: Vec<&str> = all.into_iter().filter(|m| s.allows(Properties::of_mechanism(m))).collect();
            assert_eq!(yes.join(" "), allowed, "{options}");
        }
        assert_eq!(Security::parse("noanonymous, nofoo").map_err(|e| e.word), Err("nofoo".into()));
    }

    #[test]
    fn dovecots_words() {
        assert!(Properties::named("forward-secrecy").has(Properties::FORWARD_SECRECY));
        assert_eq!(Properties::named("channel-binding"), Properties::NONE);
    }
}
