//! Values outside of their parameter's grammar: numbers, times, yes and no, words, reply codes, protocols.

use super::Rule;
use crate::{Finding, Severity, Site, edit, facts::restrictions::classes, setting::Setting, site::place};
use base_conf::{
    grammar::Grammar,
    params::{Kind, Param},
    value,
};

/// The record.
pub const RULE: Rule = Rule {
    name: "bad-value",
    finds: "values that their parameter does not allow",
    severity: Severity::Error,
    example: &[(
        "main.cf",
        "mynetworks_style = submet\nsmtpd_helo_required = true\nmaximal_queue_lifetime = 5days\nmessage_size_limit = 20M\n\
         unknown_local_recipient_reject_code = 55\nsmtpd_tls_protocols = !SSLv2, !TLS1.0\n",
    )],
    run,
};

/// Characters of a value that are shown.
const MAX_SHOWN: usize = 100;
const PROTOCOLS: &[&str] = &["SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

fn run(site: &Site) -> Vec<Finding> {
    let classes = classes(site);
    let settings = site.settings();
    settings.iter().filter(|s| !classes.iter().any(|c| c == s.name)).flat_map(check).collect()
}

fn check(s: &Setting<'_>) -> Vec<Finding> {
    if let Err(e) = s.view.expand(&s.value)
        && s.param().is_none_or(|p| p.kind != Kind::Raw)
    {
        return vec![at(s, s.line, e.text).hint("braces and parentheses must be balanced")];
    }
    if let Some(typed) = s.param().and_then(|p| typed(s, p)) {
        return vec![typed];
    }
    match s.grammar() {
        Some(Grammar::Word(w)) => word(s, &s.expanded, w).into_iter().collect(),
        Some(Grammar::MaybeWord(w)) if !s.expanded.is_empty() => {
            word(s, &s.expanded, w).into_iter().collect()
        }
        Some(Grammar::Words(w)) => {
            s.words().iter().filter_map(|one| word_at(s, &one.text, one.line, w)).collect()
        }
        Some(Grammar::Code) => code(s).into_iter().collect(),
        Some(Grammar::Protocols) => protocols(s),
        _ => Vec::new(),
    }
}

fn at(s: &Setting<'_>, line: u32, text: String) -> Finding {
    place(&s.text.file, line, text)
}

/// Numbers, times, yes and no.
fn typed(s: &Setting<'_>, p: &Param) -> Option<Finding> {
    let text = s.expanded.trim();
    if p.default.is_empty() && text.is_empty() {
        return None;
    }
    let error = match p.kind {
        Kind::Bool => value::boolean(s.name, text).err().map(|e| e.text)?,
        Kind::Int => value::int(s.name, text, p.min, p.max).err().map(|e| e.text)?,
        Kind::Long => value::long(s.name, text, p.min, p.max).err().map(|e| e.text)?,
        Kind::Time => value::time(s.name, text, p.unit(), p.min, p.max).err().map(|e| e.text)?,
        _ => return None,
    };
    let short: String = error.chars().take(MAX_SHOWN).collect();
    let found = at(s, s.line, if short.len() < error.len() { short + "..." } else { error });
    Some(match p.kind {
        Kind::Bool => found.maybe(yes_or_no(text)),
        Kind::Time => found.hint(time_hint(text)),
        _ => found.hint(number_hint(text)),
    })
}

fn yes_or_no(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "1" | "y" | "enable" | "enabled" | "yse" | "ye" | "yess" => Some("yes"),
        "false" | "off" | "0" | "n" | "disable" | "disabled" | "none" | "not" => Some("no"),
        _ => None,
    }
}

fn number_hint(text: &str) -> String {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    let unit = text.get(digits.len()..).unwrap_or_default().trim().to_ascii_lowercase();
    let factor = match unit.as_str() {
        "k" | "kb" => 1_i64 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        _ => 0,
    };
    match digits.parse::<i64>().ok().and_then(|n| n.checked_mul(factor)).filter(|n| *n > 0) {
        Some(n) => format!("did you mean \"{n}\"?"),
        None => "a whole number without a unit is needed".to_owned(),
    }
}

fn time_hint(text: &str) -> String {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    let unit = text.get(digits.len()..).unwrap_or_default().trim().chars().next();
    match unit.map(|u| u.to_ascii_lowercase()).filter(|u| "smhdw".contains(*u) && !digits.is_empty()) {
        Some(unit) => format!("did you mean \"{digits}{unit}\"?"),
        None => "a time is a number with one of the units s, m, h, d, w".to_owned(),
    }
}

fn word(s: &Setting<'_>, text: &str, allowed: &[&'static str]) -> Option<Finding> {
    word_at(s, text, s.line, allowed)
}

fn word_at(s: &Setting<'_>, text: &str, line: u32, allowed: &[&'static str]) -> Option<Finding> {
    let text = text.trim();
    if allowed.iter().any(|a| a.eq_ignore_ascii_case(text)) {
        return None;
    }
    let found = at(s, line, format!("{}: \"{text}\" is not one of: {}", s.name, allowed.join(", ")));
    Some(found.maybe(edit::nearest(text, allowed.iter().copied())))
}

/// 2xx to 5xx.
fn code(s: &Setting<'_>) -> Option<Finding> {
    let text = s.expanded.trim();
    let good =
        text.len() == 3 && text.starts_with(['2', '3', '4', '5']) && text.bytes().all(|b| b.is_ascii_digit());
    let found = || at(s, s.line, format!("{}: \"{text}\" is no SMTP reply code", s.name));
    (!good).then(|| found().hint("a refusal is 4NN (try again) or 5NN (for good)"))
}

fn protocols(s: &Setting<'_>) -> Vec<Finding> {
    let items = s.expanded.split([',', ':', ' ', '\t']).filter(|w| !w.is_empty());
    let bad = items.filter(|w| {
        let name = w.trim_start_matches(['!', '>', '<', '=']);
        let number = name.starts_with("0x") || name.bytes().all(|b| b.is_ascii_digit());
        !number && !PROTOCOLS.iter().any(|p| p.eq_ignore_ascii_case(name))
    });
    let finding = |w: &str| {
        let name = w.trim_start_matches(['!', '>', '<', '=']);
        let mark = w.get(..w.len() - name.len()).unwrap_or_default();
        let wanted =
            name.trim_end_matches(".0").to_ascii_lowercase().replace("tls", "tlsv").replace("vv", "v");
        let near = PROTOCOLS.iter().find(|p| p.eq_ignore_ascii_case(&wanted)).copied();
        let near = near.or_else(|| edit::nearest(name, PROTOCOLS.iter().copied()));
        let line = s.text.line_of(s.line, w);
        at(s, line, format!("{}: \"{name}\" is no TLS protocol", s.name))
            .maybe(near.map(|p| format!("{mark}{p}")).as_deref())
    };
    bad.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints() {
        assert_eq!(number_hint("20M"), "did you mean \"20971520\"?");
        assert_eq!(number_hint("abc"), "a whole number without a unit is needed");
        assert_eq!(time_hint("5days"), "did you mean \"5d\"?");
    }
}
