//! `ID: to=<…>, orig_to=<…>, relay=…, delay=…, delays=…, dsn=…, status=sent (…)` (every delivery agent).

use super::{Delays, Line};
use crate::Source;
use base_calls::QueueId;
use base_metrics::{Delivered, Metrics};
use proto_address::external;
use proto_dsn::Status;
use std::fmt::Write;

/// The word after `status=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// `sent`
    Sent,
    /// `deferred`
    Deferred,
    /// `bounced`
    Bounced,
    /// `SOFTBOUNCE` — a failure that `soft_bounce` made temporary.
    SoftBounce,
    /// `deliverable` / `undeliverable`: address probes.
    Deliverable,
    /// See above.
    Undeliverable,
    /// `expanded` (`sendmail -bv` on an alias).
    Expanded,
}

impl DeliveryStatus {
    /// As printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Deferred => "deferred",
            Self::Bounced => "bounced",
            Self::SoftBounce => "SOFTBOUNCE",
            Self::Deliverable => "deliverable",
            Self::Undeliverable => "undeliverable",
            Self::Expanded => "expanded",
        }
    }
}

/// What became of one recipient.
pub struct Delivery<'a> {
    /// Queue id.
    pub id: QueueId,
    /// Recipient, in internal form; logged in external form (`info_log_addr_form`).
    pub to: &'a str,
    /// The address as given, shown when it differs from `to` and is not empty.
    pub orig_to: &'a str,
    /// `host[address]:port`, `local`, `virtual`, `none` …
    pub relay: &'a str,
    /// Deliveries over this connection so far, shown from 2 on; 0 when there is no connection.
    pub conn_use: u32,
    /// Where the time went.
    pub delays: Delays,
    /// `may`, `dane`, `encrypt/requiretls` … (`smtp_log_tls_feature_status`); empty: not shown.
    pub tls: &'a str,
    /// Enhanced status code.
    pub dsn: Status,
    /// Result.
    pub status: DeliveryStatus,
    /// Text in parentheses.
    pub reason: &'a str,
}

impl Line for Delivery<'_> {
    fn event(&self) -> &'static str {
        "delivery"
    }

    fn text(&self, out: &mut String) {
        let _ = write!(out, "{}: to=<{}>, ", self.id, external(self.to));
        if !self.orig_to.is_empty() && self.orig_to != self.to {
            let _ = write!(out, "orig_to=<{}>, ", external(self.orig_to));
        }
        let _ = write!(out, "relay={}, ", self.relay);
        if self.conn_use > 1 {
            let _ = write!(out, "conn_use={}, ", self.conn_use);
        }
        self.delays.text(out);
        if !self.tls.is_empty() {
            let _ = write!(out, ", tls={}", self.tls);
        }
        let _ = write!(out, ", dsn={}, status={} ({})", self.dsn, self.status.as_str(), self.reason);
    }

    fn count(&self, source: &Source, metrics: &Metrics) {
        let Delays { before, queue, setup, transmission } = self.delays;
        let delays = [before, queue, setup, transmission];
        metrics.deliveries.add(&source.name, Delivered { status: self.status.as_str(), delays });
    }

    fn fields(&self, each: &mut dyn FnMut(&'static str, &str)) {
        each("queue_id", &self.id.to_string());
        each("to", self.to);
        each("orig_to", self.orig_to);
        each("relay", self.relay);
        let mut delays = String::new();
        self.delays.text(&mut delays);
        each("delays", &delays);
        each("tls", self.tls);
        each("dsn", &self.dsn.to_string());
        each("status", self.status.as_str());
        each("reason", self.reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::text_of;
    use base_calls::Timestamp;
    use std::time::Duration;

    #[test]
    fn as_pflogsumm_expects_it() {
        let line = Delivery {
            id: QueueId { time: Timestamp(0x12345), slot: 0, long: false },
            to: "a@b",
            orig_to: "c@b",
            relay: "mx[192.0.2.1]:25",
            conn_use: 2,
            delays: Delays { before: Duration::from_millis(50), ..Delays::default() },
            tls: "dane:may",
            dsn: Status::new(2, 0, 0),
            status: DeliveryStatus::Sent,
            reason: "250 ok",
        };
        assert_eq!(
            text_of(&line),
            "123452C: to=<a@b>, orig_to=<c@b>, relay=mx[192.0.2.1]:25, conn_use=2, delay=0.05, delays=0.05/0/0/0, tls=dane:may, dsn=2.0.0, status=sent (250 ok)"
        );
    }
}
