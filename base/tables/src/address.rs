//! The keys under which an address is looked up, in order. canonical(5), virtual(5), transport(5), access(5).

use crate::maps::{AddressForms, DomainForms};

/// One key to try.
pub struct Form {
    /// The key.
    pub key: String,
    /// Part of the address only: not for tables that see whole keys.
    pub partial: bool,
    /// The extension that the key leaves out.
    pub without: Option<String>,
}

/// The keys for `address` (unquoted form).
pub fn forms_of(address: &str, delimiters: &str, forms: AddressForms) -> Vec<Form> {
    let (local, domain) = match address.rfind('@') {
        Some(at) => address.split_at(at),
        None => (address, ""),
    };
    let (user, extension) = split_extension(local, delimiters);
    let mut list = List(Vec::new());
    if forms.full {
        list.address(local, domain, false, None);
    }
    if forms.without_extension && extension.is_some() {
        list.address(user, domain, true, extension);
    }
    if forms.local_part && !domain.is_empty() {
        list.address(local, "", true, None);
        list.shortened(user, "", extension);
    } else if forms.local_part && !forms.without_extension {
        list.shortened(user, "", extension);
    }
    let name = domain.strip_prefix('@').unwrap_or_default();
    if forms.domain && !name.is_empty() {
        list.add(name.to_owned(), None);
    }
    if forms.parents != DomainForms::None {
        for parent in forms.parents.of(name) {
            list.add(parent.to_owned(), None);
        }
    }
    if forms.at_domain && !name.is_empty() {
        list.add(domain.to_owned(), None);
    }
    if forms.local_part_at {
        list.address(local, "@", true, None);
        list.shortened(user, "@", extension);
    }
    list.0
}

struct List(Vec<Form>);

impl List {
    fn add(&mut self, key: String, without: Option<&str>) {
        self.push(key, true, without);
    }

    fn push(&mut self, key: String, partial: bool, without: Option<&str>) {
        self.0.push(Form { key, partial, without: without.map(str::to_owned) });
    }

    /// The quoted form first, then the unquoted one when it is another.
    fn address(&mut self, local: &str, domain: &str, partial: bool, without: Option<&str>) {
        if needs_quotes(local) {
            self.push(format!("{}{domain}", quoted(local)), partial, without);
        }
        self.push(format!("{local}{domain}"), partial, without);
    }

    fn shortened(&mut self, user: &str, domain: &str, extension: Option<&str>) {
        if extension.is_some() {
            self.address(user, domain, true, extension);
        }
    }
}

/// Splits `user+extension`, the extension with its delimiter; mailer-daemon and double-bounce have none, nor have
/// `owner-list` and `list-request` (`owner_request_special`), nor is `user` ever empty.
fn split_extension<'a>(local: &'a str, delimiters: &str) -> (&'a str, Option<&'a str>) {
    let reserved = ["mailer-daemon", "double-bounce"];
    if delimiters.is_empty() || reserved.iter().any(|name| local.eq_ignore_ascii_case(name)) {
        return (local, None);
    }
    let lower = local.to_ascii_lowercase();
    if delimiters.contains('-') && (lower.starts_with("owner-") || lower.ends_with("-request")) {
        return (local, None);
    }
    match local.find(|c| delimiters.contains(c)) {
        Some(at) if at > 0 => (local.get(..at).unwrap_or_default(), local.get(at..)),
        _ => (local, None),
    }
}

fn needs_quotes(local: &str) -> bool {
    let special = |c: char| c.is_ascii_control() || " ()<>@,;:\\\".[]".contains(c) && c != '.';
    local.is_empty()
        || local.starts_with('.')
        || local.ends_with('.')
        || local.contains("..")
        || local.contains(special)
}

fn quoted(local: &str) -> String {
    let mut text = String::with_capacity(local.len() + 2);
    text.push('"');
    for c in local.chars() {
        if c == '"' || c == '\\' || c == '\r' || c == '\n' {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions() {
        let cases = [
            ("user+ext", "+", "user", Some("+ext")),
            ("user+a+b", "+", "user", Some("+a+b")),
            ("user-a+b", "+-", "user", Some("-a+b")),
            ("owner-list", "+-", "owner-list", None),
            ("list-request", "+-", "list-request", None),
            ("+ext", "+", "+ext", None),
            ("user+", "+", "user", Some("+")),
            ("user", "+", "user", None),
            ("user+ext", "", "user+ext", None),
            ("MAILER-DAEMON", "-", "MAILER-DAEMON", None),
        ];
        for (local, delimiters, user, extension) in cases {
            assert_eq!(split_extension(local, delimiters), (user, extension), "{local}");
        }
    }

    #[test]
    fn order_of_access() {
        let forms = AddressForms::access(DomainForms::DotParents);
        let keys: Vec<_> = forms_of("u+e@a.b", "+", forms).into_iter().map(|f| f.key).collect();
        assert_eq!(keys, ["u+e@a.b", "u@a.b", "a.b", ".b", "u+e@", "u@"]);
    }
}
