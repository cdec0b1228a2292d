//! Moments, to the nanosecond, as RFC 3339 writes them.
//!
//! Read are dates with or without a time of day, with `T`, `t` or a blank between them, with an offset,
//! `Z` or none (which is UTC). Nothing is rounded: a tenth digit of a second is refused unless it is 0, and
//! so is a moment that 64 bits of nanoseconds do not reach (before 1677, after 2262). A leap second is
//! refused: the count of nanoseconds has no place for it.

use std::fmt;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Nanoseconds since 1970 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateTime(i64);

impl DateTime {
    /// The moment so many nanoseconds after the start of 1970 in UTC.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start of 1970 in UTC.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Seconds since the start of 1970 in UTC, rounded.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "rounded, as its documentation says")]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / NANOS_PER_SECOND as f64
    }

    /// The moment that `text` names; none when it names none, or one that cannot be held exactly.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.as_bytes();
        let (year, month, day) = date(&mut rest)?;
        let (mut seconds, mut nanos) = (days_from_civil(year, month, day) * SECONDS_PER_DAY, 0);
        if let Some((b'T' | b't' | b' ', after)) = rest.split_first() {
            rest = after;
            let (of_day, fraction) = time(&mut rest)?;
            seconds += of_day - offset(&mut rest)?;
            nanos = fraction;
        }
        if !rest.is_empty() {
            return None;
        }
        let nanos = i128::from(seconds) * i128::from(NANOS_PER_SECOND) + i128::from(nanos);
        i64::try_from(nanos).ok().map(Self)
    }
}

fn date(rest: &mut &[u8]) -> Option<(i64, i64, i64)> {
    let year = digits(rest, 4)?;
    byte(rest, b'-')?;
    let month = digits(rest, 2)?;
    byte(rest, b'-')?;
    let day = digits(rest, 2)?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=last).contains(&day).then_some((year, month, day))
}

/// Seconds of the day, and nanoseconds.
fn time(rest: &mut &[u8]) -> Option<(i64, i64)> {
    let hour = digits(rest, 2)?;
    byte(rest, b':')?;
    let minute = digits(rest, 2)?;
    let mut second = 0;
    let mut nanos = 0;
    if byte(rest, b':').is_some() {
        second = digits(rest, 2)?;
        if byte(rest, b'.').is_some() {
            nanos = fraction(rest)?;
        }
    }
    (hour < 24 && minute < 60 && second < 60).then_some((hour * 3600 + minute * 60 + second, nanos))
}

fn fraction(rest: &mut &[u8]) -> Option<i64> {
    let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, after) = rest.split_at_checked(len)?;
    *rest = after;
    let (kept, beyond) = digits.split_at(len.min(9));
    if kept.is_empty() || beyond.iter().any(|digit| *digit != b'0') {
        return None;
    }
    let number = kept.iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0'));
    Some((kept.len()..9).fold(number, |n, _| n * 10))
}

/// Seconds that the local time is ahead of UTC.
fn offset(rest: &mut &[u8]) -> Option<i64> {
    let sign = match rest.first() {
        None => return Some(0),
        Some(b'Z' | b'z') => {
            *rest = rest.get(1..)?;
            return Some(0);
        }
        Some(b'+') => 1,
        Some(b'-') => -1,
        Some(_) => return None,
    };
    *rest = rest.get(1..)?;
    let hours = digits(rest, 2)?;
    byte(rest, b':')?;
    let minutes = digits(rest, 2)?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn byte(rest: &mut &[u8], expected: u8) -> Option<()> {
    let (first, after) = rest.split_first()?;
    (*first == expected).then(|| *rest = after)
}

fn digits(rest: &mut &[u8], count: usize) -> Option<i64> {
    let (digits, after) = rest.split_at_checked(count)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    *rest = after;
    Some(digits.iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0')))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that the
/// leap day is the last of one; eras have 400 of them.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * of_era + of_era / 4 - of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + of_era + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

/// As RFC 3339 in UTC, with three, six or nine digits of the second where they are needed.
impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) =
            (self.0.div_euclid(NANOS_PER_SECOND), self.0.rem_euclid(NANOS_PER_SECOND));
        let (days, second) =
            (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match nanos {
            0 => {}
            _ if nanos % 1_000_000 == 0 => write!(f, ".{:03}", nanos / 1_000_000)?,
            _ if nanos % 1_000 == 0 => write!(f, ".{:06}", nanos / 1_000)?,
            _ => write!(f, ".{nanos:09}")?,
        }
        f.write_str("Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_every_form_and_written_in_one() {
        for (text, expect) in [
            ("1970-01-01", "1970-01-01T00:00:00Z"),
            ("2024-02-29T23:59:59.5+02:30", "2024-02-29T21:29:59.500Z"),
            ("2000-03-01 00:00", "2000-03-01T00:00:00Z"),
            ("1969-12-31t23:59:59.999999999z", "1969-12-31T23:59:59.999999999Z"),
            ("2024-12-31T23:30:00-01:00", "2025-01-01T00:30:00Z"),
            ("1900-03-01T00:00:00.123456000000", "1900-03-01T00:00:00.123456Z"),
        ] {
            let moment = DateTime::parse(text).unwrap();
            assert_eq!(moment.to_string(), expect, "{text}");
            assert_eq!(DateTime::parse(expect), Some(moment));
        }
        assert_eq!(
            DateTime::parse("2001-09-09T01:46:40Z").map(DateTime::nanos),
            Some(10_i64.pow(18))
        );
        for nanos in [i64::MIN, -1, 0, 1, i64::MAX] {
            let moment = DateTime::from_nanos(nanos);
            assert_eq!(DateTime::parse(&moment.to_string()), Some(moment));
        }
    }

    #[test]
    fn what_cannot_be_held_exactly_is_refused() {
        for text in [
            "",
            "2024",
            "2024-13-01",
            "2023-02-29",
            "1900-02-29",
            "2024-04-31",
            "2024-01-00",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:60:00Z",
            "2024-12-31T23:59:60Z",
            "2024-01-01T00:00:00.1234567891Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T",
            "1600-01-01",
            "2300-01-01",
            "2024-01-01Z",
            "2024-01-01T00:00:00+0100",
            "2024-01-01T00:00:00ZZ",
            "+2024-01-01",
            "２024-01-01",
        ] {
            assert_eq!(DateTime::parse(text), None, "{text}");
        }
    }
}
