//! `NOQUEUE: reject: RCPT from host[address]: 554 5.7.1 …; from=<…> to=<…> proto=ESMTP helo=<…>` (smtpd).

use super::Line;
use crate::Source;
use base_metrics::Metrics;

/// A command was refused, or a rule had something to say of it.
pub struct Reject<'a> {
    /// Queue id, or `NOQUEUE`.
    pub id: &'a str,
    /// `reject`, `reject_warning`, `warn`, `hold`, `discard`, `filter`, `info` …
    pub action: &'a str,
    /// `CONNECT`, `HELO`, `MAIL`, `RCPT`, `DATA`, `END-OF-MESSAGE`, `VRFY` …
    pub stage: &'a str,
    /// The restriction that had its say; empty when it was none. Not part of the classic line.
    pub restriction: &'static str,
    /// `host[address]`.
    pub client: &'a str,
    /// The reply or text.
    pub text: &'a str,
    /// The rest in order (`from`, `to`, `proto`, `helo`, `sasl_username`); `None` is left out. `proto` has no
    /// angle brackets.
    pub context: &'a [(&'static str, Option<&'a str>)],
}

impl Reject<'_> {
    fn known(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.context.iter().filter_map(|(n, v)| v.map(|v| (*n, v)))
    }
}

impl Line for Reject<'_> {
    fn event(&self) -> &'static str {
        "reject"
    }

    fn text(&self, out: &mut String) {
        for part in [self.id, ": ", self.action, ": ", self.stage, " from ", self.client, ": ", self.text] {
            out.push_str(part);
        }
        for (i, (name, value)) in self.known().enumerate() {
            out.push_str(if i == 0 { "; " } else { " " });
            let plain = name == "proto";
            for part in [name, if plain { "=" } else { "=<" }, value, if plain { "" } else { ">" }] {
                out.push_str(part);
            }
        }
    }

    fn count(&self, _: &Source, metrics: &Metrics) {
        metrics.refusals.add(self.action, self.restriction, self.text);
    }

    fn fields(&self, each: &mut dyn FnMut(&'static str, &str)) {
        each("queue_id", self.id);
        each("action", self.action);
        each("stage", self.stage);
        each("client", self.client);
        each("text", self.text);
        if !self.restriction.is_empty() {
            each("restriction", self.restriction);
        }
        for (name, value) in self.known() {
            each(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::text_of;

    #[test]
    fn as_fail2ban_expects_it() {
        let line = Reject {
            id: "NOQUEUE",
            action: "reject",
            stage: "RCPT",
            restriction: "reject_unauth_destination",
            client: "unknown[192.0.2.1]",
            text: "554 5.7.1 <a@b>: Relay access denied",
            context: &[("from", Some("")), ("to", Some("a@b")), ("proto", Some("SMTP")), ("helo", None)],
        };
        assert_eq!(
            text_of(&line),
            "NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 554 5.7.1 <a@b>: Relay access denied; from=<> to=<a@b> proto=SMTP"
        );
    }
}
