//! The grammars of numbers, times and yes/no (postconf(5)). Errors are in Postfix's words.

use crate::Error;
use std::time::Duration;

/// `yes` or `no`, in any case.
pub fn boolean(name: &str, text: &str) -> Result<bool, Error> {
    match text {
        t if t.eq_ignore_ascii_case("yes") => Ok(true),
        t if t.eq_ignore_ascii_case("no") => Ok(false),
        _ => Err(Error::new(format!("bad boolean configuration: {name} = {text}"))),
    }
}

/// A whole number of 32 bits.
pub fn int(name: &str, text: &str, min: i64, max: i64) -> Result<i64, Error> {
    let n = number(name, text)?;
    if i32::try_from(n).is_err() {
        return Err(bad_number(name, text));
    }
    in_range(name, n, min, max)
}

/// A whole number of 64 bits.
pub fn long(name: &str, text: &str, min: i64, max: i64) -> Result<i64, Error> {
    in_range(name, number(name, text)?, min, max)
}

fn number(name: &str, text: &str) -> Result<i64, Error> {
    let unsigned = text.trim_start();
    unsigned.strip_prefix('+').unwrap_or(unsigned).parse().map_err(|_| bad_number(name, text))
}

fn bad_number(name: &str, text: &str) -> Error {
    Error::new(format!("bad numerical configuration: {name} = {text}"))
}

fn in_range(name: &str, n: i64, min: i64, max: i64) -> Result<i64, Error> {
    match n {
        _ if n < min => Err(Error::new(format!("invalid {name} parameter value {n} < {min}"))),
        _ if max > 0 && n > max => Err(Error::new(format!("invalid {name} parameter value {n} > {max}"))),
        _ => Ok(n),
    }
}

/// A number with one of the units s, m, h, d, w; `unit` when it has none.
pub fn time(name: &str, text: &str, unit: char, min: i64, max: i64) -> Result<Duration, Error> {
    let bad = || Error::new(format!("parameter {name}: bad time value or unit: {text}"));
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = text.split_at(digits);
    let mut rest = rest.chars();
    let seconds =
        unit_seconds(rest.next().unwrap_or(unit)).filter(|_| rest.next().is_none()).ok_or_else(bad)?;
    let total = number.parse::<i64>().ok().and_then(|n| n.checked_mul(seconds)).ok_or_else(bad)?;
    if i32::try_from(total).is_err() {
        return Err(bad());
    }
    if total < min {
        return Err(Error::new(format!("invalid {name}: {total} (min {min})")));
    }
    if max > 0 && total > max {
        return Err(Error::new(format!("invalid {name}: {total} (max {max})")));
    }
    Ok(Duration::from_secs(total.unsigned_abs()))
}

fn unit_seconds(unit: char) -> Option<i64> {
    Some(match unit.to_ascii_lowercase() {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, expect) in [
            ("5", "5"),
            ("0", "invalid x parameter value 0 < 1"),
            ("11", "invalid x parameter value 11 > 10"),
            ("abc", "bad numerical configuration: x = abc"),
            ("", "bad numerical configuration: x = "),
            ("5x", "bad numerical configuration: x = 5x"),
            ("99999999999999", "bad numerical configuration: x = 99999999999999"),
        ] {
            assert_eq!(int("x", text, 1, 10).map_or_else(|e| e.text, |n| n.to_string()), expect);
        }
        assert_eq!(long("x", "99999999999999", 0, 0).unwrap(), 99_999_999_999_999);
    }

    #[test]
    fn times() {
        for (text, expect) in [
            ("5", "300"),
            ("5s", "5"),
            ("2H", "7200"),
            ("1d", "86400"),
            ("1w", "604800"),
            ("0", "invalid x: 0 (min 1)"),
            ("5x", "parameter x: bad time value or unit: 5x"),
            ("5ss", "parameter x: bad time value or unit: 5ss"),
            ("", "parameter x: bad time value or unit: "),
            ("-1s", "parameter x: bad time value or unit: -1s"),
            ("99999999999999d", "parameter x: bad time value or unit: 99999999999999d"),
        ] {
            assert_eq!(
                time("x", text, 'm', 1, 0).map_or_else(|e| e.text, |d| d.as_secs().to_string()),
                expect
            );
        }
    }

    #[test]
    fn booleans() {
        assert!(boolean("x", "YES").unwrap());
        assert!(!boolean("x", "no").unwrap());
        assert_eq!(boolean("x", "foo").unwrap_err().text, "bad boolean configuration: x = foo");
    }
}
