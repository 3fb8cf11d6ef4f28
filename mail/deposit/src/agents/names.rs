//! What a delivery of local(8) is called in `forward_path`, `luser_relay` and `command_execution_directory`: `$user`, `$home`,
//! `$shell`, `$local`, `$domain`, `$recipient`, `$extension`, `$recipient_delimiter`, in all forms of postconf(5).
//!
//! Values of main.cf are no part of it, and a value is not expanded again. What comes from outside has `_` for every
//! character that the parameter's filter does not have.

use base_conf::{Error, expand::expand_once};
use base_sys::User;
use proto_address::{join, split_domain, split_extension};

/// The names of one address.
pub struct Names<'a> {
    /// The whole address.
    pub address: &'a str,
    /// The UNIX user.
    pub user: Option<&'a User>,
    /// `recipient_delimiter`
    pub delimiters: &'a str,
}

impl Names<'_> {
    /// Whether the value of a parameter can be expanded at all.
    pub fn check(parameter: &str, text: &str) -> Result<(), Error> {
        let names = Names { address: "x@x", user: None, delimiters: "" };
        let reason = names.expand(text, &|_, value| value).err();
        reason.map_or(Ok(()), |reason| Err(Error::new(format!("{parameter}: {reason}"))))
    }

    /// Expands `text`; `shown` makes each value fit to stand in it. The error is a mistake in the text.
    pub fn expand(&self, text: &str, shown: &dyn Fn(&str, String) -> String) -> Result<String, String> {
        expand_once(&|name: &str| self.value(name).map(|value| shown(name, value)), text)
    }

    /// `$user` and `LOGNAME`: the user's name, else the local part without its extension.
    pub fn login(&self) -> &str {
        let (local, _) = split_domain(self.address);
        self.user.map_or_else(|| split_extension(local, self.delimiters, true).0, |u| u.name.as_str())
    }

    fn value(&self, name: &str) -> Option<String> {
        let (local, domain) = split_domain(self.address);
        let (_, extension) = split_extension(local, self.delimiters, true);
        let extension = extension.unwrap_or_default();
        let (delimiter, extension) = extension.split_at_checked(1).unwrap_or_default();
        let home = || self.user.map(|u| u.home.to_string_lossy().into_owned());
        let shell = || self.user.map(|u| u.shell.to_string_lossy().into_owned());
        Some(match name {
            "user" => self.login().to_owned(),
            "home" => home().unwrap_or_default(),
            "shell" => shell().unwrap_or_default(),
            "local" => local.to_owned(),
            "domain" => domain.unwrap_or_default().to_owned(),
            "recipient" => join(local, domain),
            "extension" => extension.to_owned(),
            "recipient_delimiter" => delimiter.to_owned(),
            _ => return None,
        })
    }
}

/// `_` for every character that `allowed` does not have.
pub fn filtered(value: &str, allowed: &str) -> String {
    value.chars().map(|c| if allowed.contains(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let names = Names { address: "u+e x@d.example", user: None, delimiters: "+" };
        let check = |text: &str, want: &str| {
            assert_eq!(names.expand(text, &|_, v| v).unwrap(), want, "{text}");
        };
        check("$user@other.example", "u@other.example");
        check("$(local) ${domain} $recipient", "u+e x d.example u+e x@d.example");
        check("/x/$user${recipient_delimiter}$extension", "/x/u+e x");
        check("${extension?{has}:{none}} ${home:none} ${shell?x} $nosuch $$", "has none   $");
        assert!(names.expand("${user", &|_, v| v).is_err());
        assert_eq!(filtered("a`b/c", "abc/"), "a_b/c");
    }
}
