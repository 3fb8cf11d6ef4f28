//! TLS handshakes in both directions.

use crate::{Counter, Page, Table};

/// As a server and as a client.
#[derive(Debug, Default)]
pub struct Tls {
    established: Table<(&'static str, &'static str)>,
    /// Handshakes with clients that failed.
    pub server_failed: Counter,
    /// Handshakes with servers that failed.
    pub client_failed: Counter,
}

impl Tls {
    /// A client's session is encrypted.
    pub fn accepted(&self, protocol: &'static str) {
        self.established.add(1, |k| *k == ("smtpd", protocol), || ("smtpd", protocol));
    }

    /// A session with a server is encrypted.
    pub fn connected(&self, protocol: &'static str) {
        self.established.add(1, |k| *k == ("smtp", protocol), || ("smtp", protocol));
    }

    pub(crate) fn write(&self, page: &mut Page) {
        page.table(
            "hikyaku_tls_sessions_total",
            "TLS handshakes that worked, by side and protocol.",
            ["side", "protocol"],
            &self.established,
            |(side, protocol)| [(*side).to_owned(), (*protocol).to_owned()],
        );
        page.counters(
            "hikyaku_tls_failures_total",
            "TLS handshakes that failed.",
            "side",
            &[("smtpd", &self.server_failed), ("smtp", &self.client_failed)],
        );
    }
}
