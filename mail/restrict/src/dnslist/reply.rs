//! The reply to what a DNS list has: `default_rbl_reply`, `rbl_reply_maps`, `maps_rbl_reject_code`,
//! `smtpd_expansion_filter` (postconf(5)).

use super::{DnsList, Key};
use crate::{Refusal, rules::Context};
use proto_address::split_domain;
use proto_dsn::Status;
use std::cell::RefCell;
use std::time::Duration;
use tokio::time::timeout;

/// Reasons longer than this are cut.
const MAX_REASON: usize = 500;
/// The longest wait for the reason.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Who is listed.
pub(crate) struct Listed<'a> {
    pub(crate) list: &'a DnsList,
    pub(crate) key: Key<'a>,
    /// As the reply shows it.
    pub(crate) what: String,
    /// `Client host` …
    pub(crate) class: &'static str,
}

/// The refusal that the templates make.
pub(crate) async fn refusal(c: &Context<'_>, listed: &Listed<'_>) -> Refusal {
    let reason = reason(c, listed).await;
    let code = c.restrict.config.dns.reject_code.to_string();
    let value = |name: &str| value(c, listed, &reason, &code, name);
    let mut text = None;
    match c.restrict.matches.rbl_replies.find(&listed.list.text).await {
        Ok(Some(template)) => text = expand(c, listed, &template, &value),
        Ok(None) => {}
        Err(_) => return Refusal::new(451, Status::new(4, 3, 5), "Server configuration error"),
    }
    let default = &c.restrict.config.dns.default_reply;
    let text = text.or_else(|| expand(c, listed, default, &value)).unwrap_or_default();
    parse(c, &text)
}

/// The TXT records that go with the listing.
async fn reason(c: &Context<'_>, listed: &Listed<'_>) -> String {
    let name = listed.list.question(listed.key);
    let Ok(Ok(answer)) = timeout(TIME_LIMIT, c.restrict.resolver.txt(&name)).await else {
        return String::new();
    };
    let texts: Vec<String> = answer.records.iter().map(|t| String::from_utf8_lossy(t).into_owned()).collect();
    let text = texts.join(" / ");
    text.chars().take(MAX_REASON).map(|ch| if ch.is_control() { '?' } else { ch }).collect()
}

/// `None`, with a warning, when the template has mistakes.
fn expand(
    c: &Context<'_>,
    listed: &Listed<'_>,
    template: &str,
    value: &dyn Fn(&str) -> Option<String>,
) -> Option<String> {
    let unknown = RefCell::new(Vec::new());
    let names = |name: &str| {
        value(name).or_else(|| {
            unknown.borrow_mut().push(name.to_owned());
            None
        })
    };
    let result = base_conf::expand::expand_once(&names, template);
    let unknown = unknown.into_inner();
    for name in &unknown {
        c.warning(format!("unknown macro name \"{name}\" in expansion request"));
    }
    match result {
        Ok(text) if unknown.is_empty() => Some(text),
        _ => {
            let domain = &listed.list.domain;
            c.warning(format!("rbl_reject_reply: bad rbl reply template for domain {domain}: {template}"));
            None
        }
    }
}

/// `code [status] text`.
fn parse(c: &Context<'_>, text: &str) -> Refusal {
    let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
    let code = code.parse::<u16>().ok().filter(|n| code.len() == 3 && (400..600).contains(n));
    let Some(code) = code else {
        c.warning(format!("rbl response code configuration error: {text}"));
        return Refusal::new(450, Status::new(4, 7, 1), "Service unavailable");
    };
    let (status, text) = Status::split_prefix(rest).unwrap_or((Status::new(5, 7, 1), rest));
    Refusal::new(code, status, text)
}

fn value(c: &Context<'_>, listed: &Listed<'_>, reason: &str, code: &str, name: &str) -> Option<String> {
    let f = c.facts;
    let own = |text: &str| Some(text.to_owned());
    let filtered = |text: &str| Some(filter(text, &c.restrict.config.dns.expansion_filter));
    match name {
        "rbl_code" => own(code),
        "rbl_domain" => filtered(&listed.list.domain),
        "rbl_reason" | "rbl_txt" => filtered(reason),
        "rbl_what" => filtered(&listed.what),
        "rbl_class" => filtered(listed.class),
        "client" => filtered(&format!("{}[{}]", f.client.name, f.client.addr)),
        "client_address" => own(&f.client.addr),
        "client_name" => filtered(&f.client.name),
        "client_port" => Some(f.client_port.to_string()),
        "reverse_client_name" => filtered(&f.client.reverse_name),
        "server_address" => Some(f.client.server_ip.map_or(String::new(), |ip| ip.to_string())),
        "server_port" => Some(f.server_port.to_string()),
        "helo_name" => filtered(f.helo.unwrap_or_default()),
        "sender" => filtered(shown(f.sender)),
        "sender_name" => filtered(shown(f.sender.map(|s| split_domain(s).0))),
        "sender_domain" => filtered(f.sender.and_then(|s| split_domain(s).1).unwrap_or_default()),
        "recipient" => filtered(f.recipient.unwrap_or_default()),
        "recipient_name" => filtered(f.recipient.map_or("", |r| split_domain(r).0)),
        "recipient_domain" => filtered(f.recipient.and_then(|r| split_domain(r).1).unwrap_or_default()),
        "mail_name" | "myhostname" => None,
        _ => more(f, name).map(|text| filter(&text, &c.restrict.config.dns.expansion_filter)),
    }
}

/// Names that exist only in some sessions.
fn more(f: &crate::Facts<'_>, name: &str) -> Option<String> {
    match name {
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

/// Characters outside the filter become `_`.
fn filter(text: &str, allowed: &str) -> String {
    text.chars().map(|ch| if allowed.contains(ch) { ch } else { '_' }).collect()
}
