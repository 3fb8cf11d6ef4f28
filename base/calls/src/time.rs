//! Wall-clock instants as they are stored and logged: microseconds since the Unix epoch.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970-01-01 UTC. Range: the years 1970 to 294000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The system clock's reading. Stages take `now` as an argument where they can; drivers call this.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// Whole seconds since the epoch.
    pub const fn secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The microseconds within the second, 0 to 999_999.
    pub const fn micros(self) -> u32 {
        (self.0 % 1_000_000) as u32
    }

    /// A timestamp at a whole second.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// This instant plus `d`, saturating.
    pub fn plus(self, d: Duration) -> Self {
        Self(self.0.saturating_add(d.as_micros().min(u128::from(u64::MAX)) as u64))
    }

    /// The date as `Date:` and `Received:` headers show it, in local time (RFC 5322 3.3).
    pub fn mail_date(self) -> String {
        let secs = i64::try_from(self.secs()).unwrap_or(i64::MAX);
        let zone = jiff::tz::TimeZone::system();
        match jiff::Timestamp::from_second(secs) {
            Ok(t) => {
                let info = zone.to_offset_info(t);
                proto_message::format_date(secs, info.offset().seconds(), info.abbreviation())
            }
            Err(_) => proto_message::format_date(secs, 0, "UTC"),
        }
    }

    /// As log lines show it: `Nov  7 03:04:05`, in local time.
    pub fn log_date(self) -> String {
        let secs = i64::try_from(self.secs()).unwrap_or(i64::MAX);
        let text = |t: jiff::Timestamp| {
            t.to_zoned(jiff::tz::TimeZone::system()).strftime("%b %e %H:%M:%S").to_string()
        };
        jiff::Timestamp::from_second(secs).map_or_else(|_| String::new(), text)
    }

    /// How long after `earlier` this is; zero when the clock went backwards.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(t: SystemTime) -> Self {
        let since = t.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(since.as_micros().min(u128::from(u64::MAX)) as u64)
    }
}

impl From<Timestamp> for SystemTime {
    fn from(t: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_micros(t.0)
    }
}
