//! `disconnect from host[address] ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4` (smtpd).

use super::Line;
use crate::Source;
use base_metrics::Metrics;
use std::fmt::Write;

/// How often a command was given, and how often it succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandCount {
    /// Lower-case name as it is shown.
    pub name: &'static str,
    /// Successes.
    pub ok: u32,
    /// All.
    pub total: u32,
}

/// A session ended.
pub struct Disconnect<'a> {
    /// Verified name or `unknown`.
    pub name: &'a str,
    /// Address.
    pub addr: &'a str,
    /// `:port` or nothing (`smtpd_client_port_logging`).
    pub port: &'a str,
    /// Counts, in the order of Postfix's command table; those with a zero total are left out.
    pub commands: &'a [CommandCount],
}

impl Disconnect<'_> {
    fn counts(&self, out: &mut String) {
        let all = CommandCount {
            name: "commands",
            ok: self.commands.iter().map(|c| c.ok).sum(),
            total: self.commands.iter().map(|c| c.total).sum(),
        };
        let used = self.commands.iter().filter(|c| c.total > 0);
        for c in used.chain([&all]) {
            let _ = write!(out, " {}={}", c.name, c.ok);
            if c.ok != c.total || c.total == 0 {
                let _ = write!(out, "/{}", c.total);
            }
        }
    }
}

impl Line for Disconnect<'_> {
    fn event(&self) -> &'static str {
        "disconnect"
    }

    fn text(&self, out: &mut String) {
        for part in ["disconnect from ", self.name, "[", self.addr, "]", self.port] {
            out.push_str(part);
        }
        self.counts(out);
    }

    fn count(&self, _: &Source, metrics: &Metrics) {
        metrics.smtpd.disconnects.add_one();
        for c in self.commands {
            metrics.smtpd.commands(c.name, true, c.ok);
            metrics.smtpd.commands(c.name, false, c.total.saturating_sub(c.ok));
        }
    }

    fn fields(&self, each: &mut dyn FnMut(&'static str, &str)) {
        each("client_name", self.name);
        each("client_address", self.addr);
        let mut counts = String::new();
        self.counts(&mut counts);
        each("commands", counts.trim_start());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::text_of;

    #[test]
    fn counts_as_postfix_prints_them() {
        let c = |name, ok, total| CommandCount { name, ok, total };
        let commands = [c("helo", 0, 0), c("ehlo", 1, 1), c("auth", 0, 1), c("quit", 1, 1)];
        let line = Disconnect { name: "unknown", addr: "192.0.2.1", port: "", commands: &commands };
        assert_eq!(text_of(&line), "disconnect from unknown[192.0.2.1] ehlo=1 auth=0/1 quit=1 commands=2/3");
        let none = Disconnect { name: "a", addr: "::1", port: "", commands: &[] };
        assert_eq!(text_of(&none), "disconnect from a[::1] commands=0/0");
    }
}
