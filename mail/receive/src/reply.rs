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
/// `\n` as written in main.cf) make more lines, those in values do not. `fill` puts values in the places of names; `None`: no footer.
pub fn with_footer(reply: &mut Reply, footer: &str, fill: impl FnOnce(&str) -> Option<String>) {
    if footer.is_empty() || reply.is_ok() {
        return;
    }
    let (footer, same_line) = match footer.strip_prefix("\\c") {
        Some(rest) => (rest, true),
        None => (footer, false),
    };
    let Some(text) = fill(&footer.replace("\\n", "\n")) else { return };
    let mut lines = text.split('\n').map(|l| l.trim_end_matches('\r'));
    if same_line
        && let Some(last) = reply.lines.last_mut()
        && let Some(first) = lines.next()
    {
        last.push_str(first);
    }
    reply.lines.extend(lines.map(str::to_owned));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(footer: &str) -> Vec<String> {
        let mut r = Reply::plain(554, "no");
        with_footer(&mut r, footer, |text| (!text.contains('$')).then(|| text.replace('h', "c")));
        r.lines
    }

    #[test]
    fn footers() {
        assert_eq!(lines(""), ["no"]);
        assert_eq!(lines("\\c. Call h"), ["no. Call c"]);
        assert_eq!(lines("help.\\nClient h!"), ["no", "celp.", "Client c!"]);
        assert_eq!(lines("no template $"), ["no"]);
        let mut r = Reply::plain(554, "no");
        with_footer(&mut r, "for X\\nbye", |text| Some(text.replace('X', "a\\nb")));
        assert_eq!(r.lines, ["no", "for a\\nb", "bye"]);
        let mut ok = Reply::plain(250, "yes");
        with_footer(&mut ok, "x", |_| None);
        assert_eq!(ok.lines, ["yes"]);
    }
}
