//! Time stamps of lines, formatted once a second.

use jiff::{Timestamp, tz::TimeZone};

/// `Nov  7 03:04:05` in local time, remembered until the second changes.
pub(crate) struct Stamp {
    second: i64,
    text: String,
    zone: TimeZone,
}

impl Stamp {
    pub(crate) fn new() -> Self {
        Self { second: i64::MIN, text: String::new(), zone: TimeZone::system() }
    }

    /// The stamp for now.
    pub(crate) fn now(&mut self) -> &str {
        let now = Timestamp::now();
        if now.as_second() != self.second {
            self.second = now.as_second();
            self.text = now.to_zoned(self.zone.clone()).strftime("%b %e %H:%M:%S").to_string();
        }
        &self.text
    }
}
