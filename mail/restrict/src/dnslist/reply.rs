//! The reply to what a DNS list has: `default_rbl_reply`, `rbl_reply_maps`, `maps_rbl_reject_code`,
//! `smtpd_expansion_filter` (postconf(5)).

use super::{DnsList, Key};
use crate::{
    Refusal,
    rules::Context,
    template::{Filled, fill, of_session},
};
use proto_dsn::Status;
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
    let Filled { text, unknown, warnings } = fill(template, value);
    for warning in warnings {
        c.warning(warning);
    }
    if text.is_none() || !unknown.is_empty() {
        let domain = &listed.list.domain;
        c.warning(format!("rbl_reject_reply: bad rbl reply template for domain {domain}: {template}"));
        return None;
    }
    text
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
    let config = &c.restrict.config;
    let text = match name {
        "rbl_code" => return Some(code.to_owned()),
        "rbl_domain" => listed.list.domain.clone(),
        "rbl_reason" | "rbl_txt" => reason.to_owned(),
        "rbl_what" => listed.what.clone(),
        "rbl_class" => listed.class.to_owned(),
        _ => of_session(c.facts, &config.myhostname, name)?,
    };
    Some(config.dns.expansion_filter.apply(&text))
}
