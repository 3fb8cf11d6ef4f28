//! Last touches to replies: `smtpd_reject_footer`, enhanced status codes that were discarded.

use base_calls::SubmitError;
use mail_restrict::Refusal;
use proto_smtp::Reply;

/// A restriction's refusal as a reply.
pub fn of_refusal(r: Refusal) -> Reply {
    Reply::new(r.code, r.status, r.text)
}

/// Cleanup's error as a reply.
pub fn of_submit_error(e: &SubmitError) -> Reply {
    let mut reply = Reply::new(e.code, e.status, "");
    reply.lines = e.text.split('\n').map(str::to_owned).collect();
    reply
}

/// Appends the footer to a 4xx or 5xx reply. `\c` at its start continues the last line; line breaks (real ones, and
/// `\n` as written in main.cf) make more lines. `value` knows the `$names`.
pub fn with_footer(reply: &mut Reply, footer: &str, value: impl Fn(&str) -> Option<String>) {
    if footer.is_empty() || reply.is_ok() {
        return;
    }
    let (footer, same_line) = match footer.strip_prefix("\\c") {
        Some(rest) => (rest, true),
        None => (footer, false),
    };
    let text = expand(footer, value);
    let mut lines = text.split("\\n").flat_map(|l| l.split('\n')).map(|l| l.trim_end_matches('\r'));
    if same_line
        && let Some(last) = reply.lines.last_mut()
        && let Some(first) = lines.next()
    {
        last.push_str(first);
    }
    reply.lines.extend(lines.map(str::to_owned));
}

/// `$name`, `${name}`, `$(name)`; a name that nobody knows is empty, `$$` is `$`.
fn expand(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, next) = take_name(after);
        match name {
            "" if after.starts_with('$') => out.push('$'),
            "" => {}
            name => out.push_str(&value(name).unwrap_or_default()),
        }
        rest = next;
    }
    out.push_str(rest);
    out
}

/// The name at the start, and what follows.
fn take_name(text: &str) -> (&str, &str) {
    for (open, close) in [('{', '}'), ('(', ')')] {
        if let Some(inside) = text.strip_prefix(open) {
            return inside.split_once(close).unwrap_or(("", text));
        }
    }
    if let Some(rest) = text.strip_prefix('$') {
        return ("", rest);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(footer: &str) -> Vec<String> {
        let mut r = Reply::plain(554, "no");
        with_footer(&mut r, footer, |name| (name == "helo_name").then(|| "c".into()));
        r.lines
    }

    #[test]
    fn footers() {
        assert_eq!(lines(""), ["no"]);
        assert_eq!(lines("\\c. Call ($helo_name, $recipient) $$5"), ["no. Call (c, ) $5"]);
        assert_eq!(lines("help.\\nClient ${helo_name}!"), ["no", "help.", "Client c!"]);
        let mut ok = Reply::plain(250, "yes");
        with_footer(&mut ok, "x", |_| None);
        assert_eq!(ok.lines, ["yes"]);
    }
}
