//! The log lines, one typed record per file. The texts are an interface: pflogsumm, fail2ban and thousands of local
//! scripts read them.

mod active;
mod client;
mod connect;
mod content;
mod delays;
mod delivery;
mod disconnect;
mod expired;
mod free;
mod message_id;
mod reject;
mod removed;

pub use active::Active;
pub use client::Client;
pub use connect::Connect;
pub use content::ContentAction;
pub use delays::{Delays, format_delay};
pub use delivery::{Delivery, DeliveryStatus};
pub use disconnect::{CommandCount, Disconnect};
pub use expired::Expired;
pub use free::Free;
pub use message_id::MessageId;
pub use reject::Reject;
pub use removed::Removed;

use crate::{Severity, Source};
use base_metrics::Metrics;
use std::fmt::Write;

/// One log line: the classic text and the fields of its JSON form come from the same value.
pub trait Line {
    /// Name of the event in the JSON form.
    fn event(&self) -> &'static str;
    /// Appends the classic text, without severity prefix.
    fn text(&self, out: &mut String);
    /// The fields of the JSON form.
    fn fields(&self, each: &mut dyn FnMut(&'static str, &str));
    /// Counts what happened.
    fn count(&self, _source: &Source, _metrics: &Metrics) {}
    /// How grave it is.
    fn severity(&self) -> Severity {
        Severity::Info
    }
}

/// The JSON form of a line: `time` (RFC 3339, microseconds), `event`, `severity`, `program`, `session`, then the line's own fields.
pub(crate) fn to_json(source: &Source, line: &dyn Line, out: &mut String) {
    let _ = write!(out, "{{\"time\":\"{:.6}\",\"event\":", jiff::Timestamp::now());
    string(line.event(), out);
    out.push_str(",\"severity\":");
    string(line.severity().word(), out);
    out.push_str(",\"program\":");
    string(&source.name, out);
    out.push_str(",\"session\":");
    out.push_str(&source.pid.to_string());
    line.fields(&mut |name, value| {
        out.push(',');
        string(name, out);
        out.push(':');
        string(value, out);
    });
    out.push('}');
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for c in crate::writer::cut(text).chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The classic text of a line.
#[cfg(test)]
pub(crate) fn text_of(line: &dyn Line) -> String {
    let mut out = String::new();
    line.text(&mut out);
    out
}
