//! Making two runs comparable: queue ids, dates, process ids, delays and the like become fixed words.

use regex::Regex;
use std::sync::LazyLock;

static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let rules = [
        // Zones, and the spaces of a day, are part of the contract.
        (
            r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [ \d]\d [A-Z][a-z]{2} 20\d\d \d\d:\d\d:\d\d ([+-]\d{4}(?: \([A-Z]+\))?)",
            "<DATE> $1",
        ),
        (r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d 20\d\d\b", "<CTIME YEAR>"),
        (r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d", "<CTIME>"),
        (r"\b20\d{12}\.", "<TS>."),
        (r#""arrival_time": \d{10}\b"#, r#""arrival_time": <EPOCH>"#),
        (r"\bdelay=\d+(?:\.\d+)?, delays=(?:\d+(?:\.\d+)?/){3}\d+(?:\.\d+)?,", "delay=<N>, delays=<N>,"),
        // From 3.11.
        (r"(, delays=<N>), tls=[\w/:.?!+-]+,", "$1,"),
        (r"<QID>\.\d{10}/", "<QID>.<TS>/"),
        (r"\b(PID|pid)([:= ]+)\d+", "$1$2<PID>"),
        // Maildir: Postfix; Dovecot and maildrop; procmail.
        (r"\b\d{10}\.V[0-9a-f]+I[0-9a-f]+M\d+\.", "<MAILDIR>."),
        (r"\b\d{10}\.(?:M\d+P\d+|M\d+P\d+V[0-9A-F]+I[0-9A-F]+(?:_\d+)?|\d+_\d+)\.", "<MAILDIR>."),
        (r"\b[A-Za-z0-9+/]{22}(:R\d+)? Saved", "<DOVECOT> Saved"),
        (r"\bid=\d{5}-\d{2}\b", "id=<AMAVIS>"),
        (r"=_\d{10}-\d+-\d+", "=_<AMAVIS>"),
        (r"^ id [\w-]{12} for ", " id <AMAVIS> for "),
        (r"<[VSP][A-Za-z][\w-]{12}@filter", "<AMAVIS@filter"),
        (r"\b\d{5}-\d{2}/[\w-]{12}\b", "<AMAVIS>"),
        // The system's last error number, whatever it was.
        (r"(table (?:ldap|mysql|pgsql|sqlite):\S+: query error): .*", "$1"),
        // Two TLS libraries choose differently among what is allowed.
        (r"\b(TLSv1\.\d) with cipher \S+ \(\d+/\d+ bits\)", "$1 with cipher <C>"),
        (r"key-exchange \S+(?: \([^)]*\))?", "key-exchange <K>"),
        (r"(server|client)-signature \S+(?: \([^)]*\))?", "$1-signature <S>"),
        (r"(server|client)-digest \S+", "$1-digest <D>"),
        (r"(TLS library problem: )error:[0-9A-F]{8}:", "${1}error:<E>:"),
        // Lines of OpenSSL's source move with its updates.
        (r"(:\.\./ssl/[\w/]+\.c):\d+:", "$1:<LINE>:"),
        (r"after \d+ seconds? of", "after <N> seconds of"),
        (r"after \d+(?:\.\d+)? from \[", "after <N> from ["),
        (r"(from=<(?:double-bounce@[^>]*)?>, size=)\d+", "${1}<N>"),
        (r"(\]|\d):(?:327[6-9]\d|32[89]\d{2}|3[3-9]\d{3}|[45]\d{4}|6[0-5]\d{3})\b", "${1}:<PORT>"),
    ];
    rules.into_iter().map(|(p, r)| (compiled(p), r)).collect()
});

static QUEUED: LazyLock<Regex> = LazyLock::new(|| compiled(r"queued as ([0-9A-Za-z]+)"));
static LOGGED: LazyLock<Regex> =
    LazyLock::new(|| compiled(r"^\S+: ([0-9A-F]{5,16}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,20}): "));
static NOISE: LazyLock<Regex> = LazyLock::new(|| {
    compiled(concat!(
        r"^\S+/(anvil|scache): statistics:|^\S+/master: |^postfix/postfix-script|^postfix/postlog|",
        r"^postfix(/\w+)?: .*(backwards-compatible|COMPATIBILITY_README|To disable)|",
        r"^\S+/postqueue: warning: Mail system is down|: removed \(|^saslpasswd2: |^\S+/tlsmgr|/(smtpd|smtp): SSL_|/(smtpd|smtp): (initializing the|setting up TLS)|^postfix-script|",
        // The machine's clock, seen through files: it was set, or ticks in between.
        r"^\S+: warning: (file system clock is \d+ seconds? (ahead of|behind) local clock|resetting file time stamps)"
    ))
});

fn compiled(rule: &str) -> Regex {
    Regex::new(rule).expect("a rule that can be read")
}

/// The queue ids that a run printed.
pub fn queue_ids<'a>(
    smtp: impl Iterator<Item = &'a str>,
    logs: impl Iterator<Item = &'a str>,
) -> Vec<String> {
    let found = |r: &Regex, line: &str| Some(r.captures(line)?.get(1)?.as_str().to_owned());
    let mut ids: Vec<String> = smtp.filter_map(|l| found(&QUEUED, l)).collect();
    ids.extend(logs.filter_map(|l| found(&LOGGED, l)));
    ids.retain(|id| id != "NOQUEUE");
    ids.sort_by_key(|id| std::cmp::Reverse(id.len()));
    ids.dedup();
    ids
}

/// A line with everything that may differ replaced.
pub fn line(text: &str, ids: &[String]) -> String {
    let mut text = text.to_owned();
    for id in ids {
        text = text.replace(id.as_str(), "<QID>");
    }
    for (rule, by) in RULES.iter() {
        text = rule.replace_all(&text, *by).into_owned();
    }
    text
}

/// The recipients of one notice stand in the order in which deliveries ended: each run of their paragraphs is sorted.
pub fn reports_in_order(text: &str) -> String {
    let kind = |p: &str| match p {
        p if p.starts_with("Final-Recipient:") => 2,
        // Perhaps "(expanded from <…>)" stands in between.
        p if p.starts_with('<') && (p.contains(">: ") || p.contains(">): ")) => 1,
        _ => 0,
    };
    let mut out: Vec<&str> = Vec::new();
    let mut run: Vec<&str> = Vec::new();
    let mut last = 0;
    for paragraph in text.split("\n\n") {
        if kind(paragraph) != last {
            run.sort_unstable();
            out.append(&mut run);
            last = kind(paragraph);
        }
        if last == 0 { out.push(paragraph) } else { run.push(paragraph) }
    }
    run.sort_unstable();
    out.append(&mut run);
    out.join("\n\n")
}

/// The messages of an mbox stand in the order in which deliveries ended: they are sorted by what follows the first line.
pub fn mbox_in_order(text: &str) -> String {
    if !text.starts_with("From ") {
        return text.to_owned();
    }
    let whole = text.strip_suffix("\n\n").unwrap_or(text);
    let mut messages: Vec<&str> = whole.split("\n\nFrom ").collect();
    if let Some(first) = messages.first_mut() {
        *first = first.strip_prefix("From ").unwrap_or(first);
    }
    messages.sort_by_key(|m| m.split_once('\n').map(|(_, rest)| rest));
    let end = if whole.len() == text.len() { "" } else { "\n\n" };
    format!("From {}{end}", messages.join("\n\nFrom "))
}

/// Replies without what Debian's version does not offer: REQUIRETLS (3.11), the last line of its EHLO reply. For comparisons with it.
pub fn without_newer_offers(lines: Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(lines.len());
    for line in lines {
        if line != "S: 250 REQUIRETLS" {
            out.push(line);
        } else if let Some(last) = out.last_mut() {
            *last = last.replacen("S: 250-", "S: 250 ", 1);
        }
    }
    out
}

/// Whether a log line carries no contract. That a process crashed is never noise.
pub fn is_noise(line: &str) -> bool {
    let crash = [" killed by signal ", "panic"].iter().any(|c| line.contains(c));
    !crash && NOISE.is_match(line)
}

#[cfg(test)]
mod tests {
    #[test]
    fn recipients_of_a_notice_in_order() {
        let text = "a\n\n<y@b>: no\n\n<x@b> (expanded from <z@b>): no\n\nc\n\nFinal-Recipient: y\n\nFinal-Recipient: x\n\nd\n";
        let want = "a\n\n<x@b> (expanded from <z@b>): no\n\n<y@b>: no\n\nc\n\nFinal-Recipient: x\n\nFinal-Recipient: y\n\nd\n";
        assert_eq!(super::reports_in_order(text), want);
    }

    #[test]
    fn offers_of_newer_versions() {
        let lines = |text: &[&str]| text.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
        let new = lines(&["C: EHLO c", "S: 250-CHUNKING", "S: 250 REQUIRETLS", "C: QUIT"]);
        assert_eq!(super::without_newer_offers(new), lines(&["C: EHLO c", "S: 250 CHUNKING", "C: QUIT"]));
        let old = lines(&["S: 250-DSN", "S: 250 CHUNKING"]);
        assert_eq!(super::without_newer_offers(old.clone()), old);
    }

    #[test]
    fn messages_of_an_mbox_in_order() {
        let text = "From b now\nS: 2\n\ny\n\nFrom a now\nS: 1\n\nx\n\n";
        assert_eq!(super::mbox_in_order(text), "From a now\nS: 1\n\nx\n\nFrom b now\nS: 2\n\ny\n\n");
        assert_eq!(super::mbox_in_order("S: 1\n\nx\n"), "S: 1\n\nx\n");
    }

    #[test]
    fn what_may_differ() {
        let ids = super::queue_ids(["S: 250 2.0.0 Ok: queued as 4ABC12345"].into_iter(), [].into_iter());
        for (text, want) in [
            ("postfix/qmgr: 4ABC12345: removed", "postfix/qmgr: <QID>: removed"),
            ("delay=0.1, delays=0.1/0/0/0, dsn", "delay=<N>, delays=<N>, dsn"),
            ("delay=0.1, delays=0.1/0/0, dsn", "delay=0.1, delays=0.1/0/0, dsn"),
            ("Date: Mon,  1 Jan 2024 00:00:00 +0000 (UTC)", "Date: <DATE> +0000 (UTC)"),
            ("Date: Mon, 1 Jan 2024 00:00:00 +0000 (UTC)", "Date: Mon, 1 Jan 2024 00:00:00 +0000 (UTC)"),
            ("From a@b  Mon Jan  1 00:00:00 2024", "From a@b  <CTIME YEAR>"),
            ("4ABC12345  9 Mon Jan  1 00:00:00  a@b", "<QID>  9 <CTIME>  a@b"),
            ("new/1700000000.Vfe00I1aM123.mail.example.com", "new/<MAILDIR>.mail.example.com"),
            ("new/1700000000.I1aM123.mail", "new/1700000000.I1aM123.mail"),
            ("pid: 17", "pid: <PID>"),
        ] {
            assert_eq!(super::line(text, &ids), want);
        }
        assert!(super::is_noise("postfix/anvil: statistics: max"));
        assert!(super::is_noise("postfix/master: daemon started"));
        assert!(super::is_noise(
            "postfix/cleanup: warning: file system clock is 1 seconds ahead of local clock"
        ));
        assert!(!super::is_noise("postfix/master: warning: process x pid 7 killed by signal 11"));
        assert!(!super::is_noise("postfix/smtpd: connect from x"));
    }
}
