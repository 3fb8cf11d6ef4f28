//! `connect from host[address]` (smtpd).

use super::Line;
use crate::Source;
use base_metrics::Metrics;

/// A client connected.
pub struct Connect<'a> {
    /// Verified name or `unknown`.
    pub name: &'a str,
    /// Address.
    pub addr: &'a str,
    /// `:port` or nothing (`smtpd_client_port_logging`).
    pub port: &'a str,
}

impl Line for Connect<'_> {
    fn event(&self) -> &'static str {
        "connect"
    }

    fn text(&self, out: &mut String) {
        for part in ["connect from ", self.name, "[", self.addr, "]", self.port] {
            out.push_str(part);
        }
    }

    fn count(&self, _: &Source, metrics: &Metrics) {
        metrics.smtpd.connects.add_one();
    }

    fn fields(&self, each: &mut dyn FnMut(&'static str, &str)) {
        each("client_name", self.name);
        each("client_address", self.addr);
    }
}
