//! `delay=0.2, delays=0.05/0.01/0/0.14`: the four parts of a delivery's time.

use std::{fmt::Write, time::Duration};

/// Where the time went (postconf(5) `delay_logging_resolution_limit`): before the queue manager, in the queue
/// manager, connection set-up, transmission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delays {
    /// Before the queue manager, including the message's transmission to us.
    pub before: Duration,
    /// In the queue manager.
    pub queue: Duration,
    /// Connection set-up: DNS, connect, greeting, HELO and TLS.
    pub setup: Duration,
    /// Transmission.
    pub transmission: Duration,
}

impl Delays {
    /// Appends `delay=…, delays=…/…/…/…`.
    pub fn text(&self, out: &mut String) {
        let total = self.before + self.queue + self.setup + self.transmission;
        out.push_str("delay=");
        format_delay(total, out);
        for (sep, d) in
            [(", delays=", self.before), ("/", self.queue), ("/", self.setup), ("/", self.transmission)]
        {
            out.push_str(sep);
            format_delay(d, out);
        }
    }
}

/// Appends a delay in seconds with two significant digits and at most two decimals: `0`, `0.05`, `1.2`, `345`.
pub fn format_delay(d: Duration, out: &mut String) {
    let secs = d.as_secs_f64();
    if secs >= 10.0 {
        let _ = write!(out, "{secs:.0}");
        return;
    }
    let text = if secs >= 1.0 { format!("{secs:.1}") } else { format!("{secs:.2}") };
    let text = text.trim_end_matches('0').trim_end_matches('.');
    out.push_str(if text.is_empty() { "0" } else { text });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_significant_digits() {
        for (ms, want) in [
            (0, "0"),
            (3, "0"),
            (50, "0.05"),
            (100, "0.1"),
            (999, "1"),
            (1230, "1.2"),
            (2000, "2"),
            (12_345, "12"),
            (345_678, "346"),
        ] {
            let mut out = String::new();
            format_delay(Duration::from_millis(ms), &mut out);
            assert_eq!(out, want, "{ms} ms");
        }
    }
}
