//! Message-Id:, Date: and From: (or their `Resent-` forms) for mail of local clients that lacks them.
//! postconf(5) `always_add_missing_headers`, `local_header_rewrite_clients`, `header_from_format`.

use super::{Phase, Step, message_id};
use crate::message::Message;
use base_calls::Timestamp;
use proto_address::{external, is_dot_string};
use proto_message::Id;

pub(super) const STEP: Step = Step { name: "missing_headers", phase: Phase::EndOfHeaders(run) };

fn run(m: &mut Message) {
    if m.header_context().is_none() && !m.config().always_add_missing_headers {
        return;
    }
    let resent = m.is_resent();
    let (id, date, from) = match resent {
        true => (Id::ResentMessageId, Id::ResentDate, Id::ResentFrom),
        false => (Id::MessageId, Id::Date, Id::From),
    };
    if !m.seen.has(id) {
        let value = new_message_id(m);
        add(m, resent, "Message-Id", &value);
        message_id::log(m, &value, resent);
        m.seen.add(id);
        if !resent {
            m.envelope.message_id = value;
        }
    }
    if !m.seen.has(date) {
        let date = m.envelope.arrival.mail_date();
        add(m, resent, "Date", &date);
    }
    if !m.seen.has(from) {
        let from = from_value(m);
        add(m, resent, "From", &from);
    }
}

fn add(m: &mut Message, resent: bool, name: &str, value: &str) {
    for part in [if resent { "Resent-" } else { "" }, name, ": ", value, "\r\n"] {
        m.added.extend_from_slice(part.as_bytes());
    }
}

/// `<20261121225718.QID@myhostname>`, UTC; without the time when the queue id tells it (`enable_long_queue_ids`).
fn new_message_id(m: &Message) -> String {
    if m.id.long {
        return format!("<{}@{}>", m.id, m.config().myhostname);
    }
    let stamp = stamp(m.envelope.arrival);
    format!("<{stamp}.{}@{}>", m.id, m.config().myhostname)
}

/// `YYYYMMDDhhmmss`.
fn stamp(t: Timestamp) -> String {
    let secs = i64::try_from(t.secs()).unwrap_or(0);
    let text = proto_message::format_date(secs, 0, "");
    let mut words = text.split_ascii_whitespace().skip(1);
    let (day, month, year, time) = (words.next(), words.next(), words.next(), words.next());
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = month.and_then(|name| months.find(name)).map_or(0, |at| at / 3 + 1);
    let time = time.unwrap_or_default().replace(':', "");
    format!("{}{month:02}{:0>2}{time}", year.unwrap_or_default(), day.unwrap_or_default())
}

/// `Full Name <user@host>`, `user@host`, or the other way round in the obsolete format.
fn from_value(m: &Message) -> String {
    let address = match m.envelope.sender.as_str() {
        "" => "MAILER-DAEMON".into(),
        sender => external(sender),
    };
    let attribute =
        |name: &str| m.envelope.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    match attribute(FULL_NAME) {
        None | Some("") => address.into_owned(),
        Some(name) if m.config().header_from_obsolete => format!("{address} ({})", comment(name)),
        Some(name) => format!("{} <{address}>", phrase(name)),
    }
}

/// The envelope attribute with the submitter's full name.
const FULL_NAME: &str = "full_name";

/// A full name as a phrase: quoted unless it is made of atoms.
fn phrase(name: &str) -> String {
    let atoms = name.split([' ', '\t']).all(|w| w.is_empty() || is_dot_string(w) && !w.contains('.'));
    if atoms {
        return name.to_owned();
    }
    let mut out = String::from("\"");
    for c in name.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// A full name as comment text.
fn comment(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if matches!(c, '(' | ')' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_names() {
        for (name, want) in [
            ("Full Name", "Full Name"),
            ("Jürgen", "Jürgen"),
            ("A (x) C", "\"A (x) C\""),
            ("Dr. A \"B\" C", "\"Dr. A \\\"B\\\" C\""),
        ] {
            assert_eq!(phrase(name), want);
        }
        assert_eq!(comment("A (x)"), "A \\(x\\)");
    }

    #[test]
    fn stamps() {
        assert_eq!(stamp(Timestamp::from_secs(1_795_301_838)), "20261121225718");
        assert_eq!(stamp(Timestamp::from_secs(0)), "19700101000000");
    }
}
