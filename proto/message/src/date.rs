//! Dates as RFC 5322 3.3 wants them, with Postfix's comment: `Sat, 21 Nov 2026 22:57:18 +0000 (UTC)`; and those of RFC 3339.

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Formats `secs` since 1970 UTC as local time: `offset` seconds east of UTC, `zone` its abbreviation (left out when
/// empty).
pub fn format_date(secs: i64, offset: i32, zone: &str) -> String {
    let local = secs.saturating_add(i64::from(offset));
    let (days, second) = (local.div_euclid(86_400), local.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let weekday = DAYS.iter().cycle().nth(days.rem_euclid(7).unsigned_abs() as usize).unwrap_or(&"");
    let month = MONTHS.iter().cycle().nth(month as usize).unwrap_or(&"");
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let sign = if offset < 0 { '-' } else { '+' };
    let (zh, zm) = (offset.unsigned_abs() / 3600, offset.unsigned_abs() / 60 % 60);
    let mut out = format!(
        "{weekday}, {day:2} {month} {year:04} {hour:02}:{minute:02}:{second:02} {sign}{zh:02}{zm:02}"
    );
    if !zone.is_empty() {
        out.push_str(" (");
        out.push_str(zone);
        out.push(')');
    }
    out
}

/// RFC 3339 5.6, in UTC: `2026-11-21T22:57:18Z`.
pub fn format_rfc3339(secs: i64) -> String {
    let (days, second) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", month + 1)
}

/// Year, month (0 to 11) and day of the month of a day number since 1970-01-01.
fn civil(days: i64) -> (i64, u32, u32) {
    let z = days.saturating_add(719_468);
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted + 2) / 5 + 1) as u32;
    let month = ((shifted + 2) % 12) as u32;
    let year = year_of_era + era * 400 + i64::from(month < 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::{format_date, format_rfc3339};

    #[test]
    fn dates() {
        let table = [
            (0, 0, "UTC", "Thu,  1 Jan 1970 00:00:00 +0000 (UTC)"),
            (1_795_301_838, 0, "UTC", "Sat, 21 Nov 2026 22:57:18 +0000 (UTC)"),
            (951_782_400, 3600, "CET", "Tue, 29 Feb 2000 01:00:00 +0100 (CET)"),
            (1_709_164_799, -12_600, "NST", "Wed, 28 Feb 2024 20:29:59 -0330 (NST)"),
            (1_735_689_599, 0, "", "Tue, 31 Dec 2024 23:59:59 +0000"),
        ];
        for (secs, offset, zone, want) in table {
            assert_eq!(format_date(secs, offset, zone), want);
        }
        assert_eq!(format_rfc3339(1_795_301_838), "2026-11-21T22:57:18Z");
        assert_eq!(format_rfc3339(951_782_400), "2000-02-29T00:00:00Z");
    }
}
