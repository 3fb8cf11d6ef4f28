//! Texts of the administrator that name things of a session: `default_rbl_reply`, `rbl_reply_maps`, `smtpd_reject_footer`,
//! `postscreen_reject_footer`.
//!
//! Values go through a filter (`smtpd_expansion_filter`, `postscreen_expansion_filter`). A name that nobody knows has no value.
//! What is wrong comes back in Postfix's words, for the caller to log; a text that is no template at all is not used. postconf(5).

use crate::{Facts, Restrict};
use base_calls::Timestamp;
use proto_address::split_domain;
use std::cell::RefCell;

/// The characters that values may have.
#[derive(Debug, Clone, Default)]
pub struct ExpansionFilter(String);

impl ExpansionFilter {
    /// The parameter as written, with `\t`, `\40`, `\\` …
    pub fn parse(text: &str) -> Self {
        Self(unescaped(text))
    }

    /// Other characters become `_`.
    pub fn apply(&self, value: &str) -> String {
        value.chars().map(|ch| if self.0.contains(ch) { ch } else { '_' }).collect()
    }
}

/// A template with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// `None`: it is no template.
    pub text: Option<String>,
    /// Names without a value.
    pub unknown: Vec<String>,
    /// For the log.
    pub warnings: Vec<String>,
}

/// Puts values in the places of names: `$name`, `${name}`, `${name?{text}:{text}}` …
pub fn fill(template: &str, value: &dyn Fn(&str) -> Option<String>) -> Filled {
    let unknown = RefCell::new(Vec::new());
    let names = |name: &str| {
        value(name).or_else(|| {
            unknown.borrow_mut().push(name.to_owned());
            None
        })
    };
    let text = base_conf::expand::expand_once(&names, template);
    let unknown = unknown.into_inner();
    let of_name = |name: &String| format!("unknown macro name \"{name}\" in expansion request");
    let mut warnings: Vec<String> = unknown.iter().map(of_name).collect();
    let text = text.map_err(|why| warnings.push(why)).ok();
    Filled { text, unknown, warnings }
}

/// What templates may name of a session, not filtered yet.
pub(crate) fn of_session(f: &Facts<'_>, own_name: &str, name: &str) -> Option<String> {
    let text = |text: &str| Some(text.to_owned());
    match name {
        "client" => Some(format!("{}[{}]", f.client.name, f.client.addr)),
        "client_address" => text(&f.client.addr),
        "client_name" => text(&f.client.name),
        "client_port" => Some(f.client_port.to_string()),
        "reverse_client_name" => text(&f.client.reverse_name),
        "helo_name" => text(f.helo.unwrap_or_default()),
        "localtime" => Some(Timestamp::now().log_date()),
        "recipient" => text(f.recipient.unwrap_or_default()),
        "recipient_domain" => text(f.recipient.and_then(|r| split_domain(r).1).unwrap_or_default()),
        "recipient_name" => text(f.recipient.map_or("", |r| split_domain(r).0)),
        "sender" => text(shown(f.sender)),
        "sender_domain" => text(f.sender.and_then(|s| split_domain(s).1).unwrap_or_default()),
        "sender_name" => text(shown(f.sender.map(|s| split_domain(s).0))),
        "server_name" => text(own_name),
        "sasl_method" => f.login.map(|l| l.method.clone()),
        "sasl_username" => f.login.map(|l| l.username.clone()),
        "sasl_sender" => f.sasl_sender.map(str::to_owned),
        "ccert_subject" => f.client_cert().map(|t| t.subject.clone()),
        "ccert_issuer" => f.client_cert().map(|t| t.issuer.clone()),
        "encryption_protocol" => f.tls.map(|t| t.protocol.clone()),
        "encryption_cipher" => f.tls.map(|t| t.cipher.clone()),
        _ => None,
    }
}

/// The null sender is `<>`.
fn shown(sender: Option<&str>) -> &str {
    match sender {
        Some("") => "<>",
        Some(s) => s,
        None => "",
    }
}

impl Restrict {
    /// `smtpd_reject_footer` or what its tables have, with the values of the session. What is wrong is logged; `None`: it is not
    /// to be used.
    pub fn footer(&self, facts: &Facts<'_>, template: &str) -> Option<String> {
        let value = |name: &str| {
            let text = of_session(facts, &self.config.myhostname, name)?;
            Some(self.config.dns.expansion_filter.apply(&text))
        };
        let filled = fill(template, &value);
        for warning in filled.warnings {
            self.log.warning(facts.source, warning);
        }
        filled.text
    }
}

/// `\t`, `\40`, `\\` …
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let mut octal = String::new();
        while let Some(d) = chars.next_if(|d| octal.len() < 3 && d.is_digit(8)) {
            octal.push(d);
        }
        match u8::from_str_radix(&octal, 8) {
            Ok(byte) => out.push(char::from(byte)),
            Err(_) => out.extend(chars.next().map(|c| match c {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                other => other,
            })),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(unescaped(r"\t\40!\\]\n"), "\t !\\]\n");
        assert_eq!(ExpansionFilter::parse(r"a\60").apply("ab0é"), "a_0_");
    }

    #[test]
    fn templates() {
        let value = |name: &str| (name == "a").then(|| "x".to_owned());
        for (template, text, warnings) in [
            ("$a ${a} $(a) $$a ${a?{y}:{n}}", Some("x x x $a y"), vec![]),
            ("$b.", Some("."), vec!["unknown macro name \"b\" in expansion request"]),
            ("$a ${", None, vec!["truncated macro reference: \"$a ${\""]),
        ] {
            let filled = fill(template, &value);
            assert_eq!(
                (filled.text.as_deref(), filled.warnings),
                (text, warnings.iter().map(|w| (*w).to_owned()).collect())
            );
        }
    }
}
