//! `ID: reject: header Subject: … from host[address]; from=<…> to=<…> proto=ESMTP helo=<…>: text` (cleanup, smtp): what
//! header and body checks found.

use super::Line;
use base_calls::QueueId;

/// How much of a header or line is shown, in bytes.
const SHOWN: usize = 200;

/// A line of content that something was done about.
pub struct ContentAction<'a> {
    /// Queue id.
    pub id: QueueId,
    /// `reject`, `warning`, `discard` …
    pub action: &'a str,
    /// `header`, `body`, `content`, or `mime-error` and what it is.
    pub what: &'a str,
    /// The header or line, with LF between its lines.
    pub content: &'a [u8],
    /// `host[address]` or `local`; empty in the SMTP client.
    pub origin: &'a str,
    /// `from`, `to`, `proto`, `helo`; `None` is left out. `proto` has no angle brackets.
    pub context: &'a [(&'static str, Option<&'a str>)],
    /// What the rule says; empty when nothing.
    pub text: &'a str,
}

/// Text with `?` for what cannot be shown.
fn shown(content: &[u8], limit: usize) -> String {
    let mut out = String::new();
    for chunk in content.get(..limit).unwrap_or(content).utf8_chunks() {
        out.extend(chunk.valid().chars().map(|c| if c.is_control() { '?' } else { c }));
        out.extend(std::iter::repeat_n('?', chunk.invalid().len()));
    }
    out
}

impl ContentAction<'_> {
    fn known(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.context.iter().filter_map(|(n, v)| v.map(|v| (*n, v)))
    }
}

impl Line for ContentAction<'_> {
    fn event(&self) -> &'static str {
        "content"
    }

    fn text(&self, out: &mut String) {
        let content = shown(self.content, SHOWN);
        for part in [&self.id.to_string(), ": ", self.action, ": ", self.what, " ", &content] {
            out.push_str(part);
        }
        if !self.origin.is_empty() {
            out.push_str(" from ");
            out.push_str(self.origin);
            out.push(';');
        }
        for (name, value) in self.known() {
            let plain = name == "proto";
            for part in [" ", name, if plain { "=" } else { "=<" }, value, if plain { "" } else { ">" }] {
                out.push_str(part);
            }
        }
        if !self.text.is_empty() {
            out.push_str(": ");
            out.push_str(&shown(self.text.as_bytes(), usize::MAX));
        }
    }

    fn fields(&self, each: &mut dyn FnMut(&'static str, &str)) {
        each("queue_id", &self.id.to_string());
        each("action", self.action);
        each("what", self.what);
        each("content", &shown(self.content, SHOWN));
        if !self.origin.is_empty() {
            each("client", self.origin);
        }
        for (name, value) in self.known() {
            each(name, value);
        }
        each("text", self.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::text_of;
    use base_calls::Timestamp;

    #[test]
    fn golden() {
        let id = QueueId { time: Timestamp(0x12345), slot: 0, long: false };
        let context = [
            ("from", Some("a@example.net")),
            ("to", Some("b@example.com")),
            ("proto", Some("SMTP")),
            ("helo", Some("c")),
        ];
        let mut line = ContentAction {
            id,
            action: "warning",
            what: "header",
            content: b"Subject: a\n\tb\xe9",
            origin: "localhost[127.0.0.1]",
            context: &context,
            text: "seen",
        };
        assert_eq!(
            text_of(&line),
            format!(
                "{id}: warning: header Subject: a??b? from localhost[127.0.0.1]; from=<a@example.net> \
                 to=<b@example.com> proto=SMTP helo=<c>: seen"
            )
        );
        (line.origin, line.context) = ("", &[]);
        assert_eq!(text_of(&line), format!("{id}: warning: header Subject: a??b?: seen"));
    }
}
