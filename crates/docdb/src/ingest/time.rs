//! Times as senders write them, to the nanosecond, in UTC.
//!
//! Years are those that 64-bit nanoseconds hold, 1677 to 2262; what lies outside is no time.

use logstore::UnixNanos;

use crate::calendar::{self, clock, days, digits, fraction};

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// Names of months as RFC 3164 has them.
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The year of a time.
fn year_of(time: UnixNanos) -> i64 {
    let mut year = 1970 + time.day() / 366;
    while days(year + 1, 1, 1).is_some_and(|begins| begins <= time.day()) {
        year += 1;
    }
    while days(year, 1, 1).is_some_and(|begins| begins > time.day()) {
        year -= 1;
    }
    year
}

/// A time of day and a day as nanoseconds; none when that is out of range.
fn at(days: i64, seconds: i64, nanos: i64) -> Option<UnixNanos> {
    let seconds = days.checked_mul(SECONDS_PER_DAY)?.checked_add(seconds)?;
    seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(nanos).map(UnixNanos)
}

/// Reads a time as RFC 3339 and RFC 5424 write it: `2026-01-31T23:59:59.123456789+01:00`. A blank
/// may stand for the `T`, and digits behind the nanosecond are dropped. A leap second is the first
/// second of the next minute.
#[must_use]
pub fn rfc3339(text: &str) -> Option<UnixNanos> {
    let moment = calendar::rfc3339(text)?;
    at(0, moment.seconds, moment.nanos)
}

/// Reads a time at the beginning of `text` as RFC 3164 writes it, `Jan  2 15:04:05`, and says what
/// follows it. There is neither a year nor a zone in it: it is taken as UTC, in the year that puts it
/// nearest to `received`. A fraction of a second and a year before or behind the time, which some
/// devices write, are understood.
#[must_use]
pub fn rfc3164(text: &str, received: UnixNanos) -> Option<(UnixNanos, &str)> {
    let (name, mut rest) = text.split_at_checked(3)?;
    let month = MONTHS.iter().position(|month| *month == name)?;
    let month = i64::try_from(month + 1).ok()?;
    rest = rest.strip_prefix(' ')?;
    let day = match rest.strip_prefix(' ') {
        Some(behind) => {
            rest = behind;
            digits(&mut rest, 1)?
        }
        None if rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) => digits(&mut rest, 2)?,
        None => digits(&mut rest, 1)?,
    };
    rest = rest.strip_prefix(' ')?;
    let mut year = year_before(&mut rest);
    let seconds = clock(&mut rest)?;
    let nanos = fraction(&mut rest)?;
    if year.is_none() {
        year = year_behind(&mut rest);
    }
    if !(rest.is_empty() || rest.starts_with([' ', ':'])) {
        return None;
    }
    let of_year = |year| days(year, month, day).and_then(|days| at(days, seconds, nanos));
    let time = match year {
        Some(year) => of_year(year)?,
        None => {
            let now = year_of(received);
            let near = [now - 1, now, now + 1].into_iter().filter_map(of_year);
            near.min_by_key(|time| time.0.abs_diff(received.0))?
        }
    };
    Some((time, rest))
}

/// `2026 ` before the time of day.
fn year_before(rest: &mut &str) -> Option<i64> {
    let mut behind = *rest;
    let year = digits(&mut behind, 4)?;
    *rest = behind.strip_prefix(' ')?;
    Some(year)
}

/// ` 2026` behind the time of day, with a blank or a colon behind it.
fn year_behind(rest: &mut &str) -> Option<i64> {
    let mut behind = rest.strip_prefix(' ')?;
    let year = digits(&mut behind, 4).filter(|year| (1970..=2262).contains(year))?;
    if !behind.starts_with([' ', ':']) {
        return None;
    }
    *rest = behind;
    Some(year)
}

/// A number that stands for a time since 1970: seconds, milliseconds, microseconds or nanoseconds by
/// its size, as every sender writes another one. Each unit is that of the times from 1973 to 5138.
#[must_use]
pub fn of_number(number: i64) -> UnixNanos {
    let unit = match number.unsigned_abs() {
        0..100_000_000_000 => NANOS_PER_SECOND,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1000,
        _ => 1,
    };
    UnixNanos(number.saturating_mul(unit))
}

/// Seconds with a fraction, as many programs write them.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "bounded before, and a fraction is wanted away"
)]
pub fn of_seconds(seconds: f64) -> Option<UnixNanos> {
    // Whole seconds and the rest apart, so that no digit is lost that the number has.
    let whole = seconds.floor();
    if !(-9.2e9..=9.2e9).contains(&whole) {
        return None;
    }
    let nanos = ((seconds - whole) * 1e9).round();
    at(0, whole as i64, nanos as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-31T23:59:59Z.
    const NOW: UnixNanos = UnixNanos(1_769_903_999_000_000_000);

    #[test]
    fn times_of_rfc_3339_are_read_to_the_nanosecond() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59.999999999Z", -1),
            ("2026-01-31T23:59:59Z", NOW.0),
            ("2026-02-01T00:59:59+01:00", NOW.0),
            ("2026-01-31 23:59:59.5-0000", NOW.0 + 500_000_000),
            ("2026-01-31t23:59:59.0000000019z", NOW.0 + 1),
            ("2026-01-31T23:59:60Z", NOW.0 + NANOS_PER_SECOND),
            ("2000-02-29T00:00:00Z", 951_782_400_000_000_000),
        ] {
            assert_eq!(rfc3339(text), Some(UnixNanos(expected)), "{text}");
        }
        for text in [
            "",
            "-",
            "now",
            "2026-01-31",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T23:59:59",
            "2026-01-31T23:59:59.Z",
            "2026-01-31T23:59:59Zx",
            "9999-01-31T23:59:59Z",
            "2026-01-31T23:59:59+1:00",
            "é026-01-31T23:59:59Z",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_read_is_what_the_store_writes() {
        for nanos in
            [0, 1, -1, NOW.0, 951_782_400_000_000_001, i64::MAX, -4_000_000_000_000_000_000]
        {
            assert_eq!(rfc3339(&UnixNanos(nanos).rfc3339()), Some(UnixNanos(nanos)));
        }
    }

    #[test]
    fn a_time_without_a_year_is_the_nearest_one() {
        let second = NANOS_PER_SECOND;
        for (text, expected, rest) in [
            ("Jan 31 23:59:59 web1", NOW.0, " web1"),
            ("Jan 31 23:59:58: x", NOW.0 - second, ": x"),
            ("Feb  1 00:00:00 a", NOW.0 + second, " a"),
            ("Feb 1 00:00:00 a", NOW.0 + second, " a"),
            ("Jan 31 23:59:59.250 a", NOW.0 + second / 4, " a"),
            ("Jan 31 2026 23:59:59 a", NOW.0, " a"),
            ("Jan 31 23:59:59 2026 a", NOW.0, " a"),
            ("Jan 31 2025 23:59:59", NOW.0 - 365 * 86_400 * second, ""),
        ] {
            assert_eq!(rfc3164(text, NOW), Some((UnixNanos(expected), rest)), "{text}");
        }
        // A week before New Year, seen a week after it, was in the old year, and the other way round.
        let new_year = rfc3339("2026-01-07T00:00:00Z").unwrap();
        let (time, _) = rfc3164("Dec 25 00:00:00", new_year).unwrap();
        assert_eq!(time.rfc3339(), "2025-12-25T00:00:00.000000000Z");
        let (time, _) =
            rfc3164("Jan  1 00:00:00", rfc3339("2025-12-31T23:00:00Z").unwrap()).unwrap();
        assert_eq!(time.rfc3339(), "2026-01-01T00:00:00.000000000Z");
        for text in ["", "Jan", "Jan 32 00:00:00", "Jam 31 00:00:00", "Jan 31 25:00:00", "Jan  a"] {
            assert_eq!(rfc3164(text, NOW), None, "{text}");
        }
        // The leap day is in the nearest year that has one.
        let (time, _) =
            rfc3164("Feb 29 00:00:00", rfc3339("2025-01-01T00:00:00Z").unwrap()).unwrap();
        assert_eq!(time.rfc3339(), "2024-02-29T00:00:00.000000000Z");
    }

    #[test]
    fn numbers_are_times_by_their_size() {
        for number in [1_769_903_999, 1_769_903_999_000, 1_769_903_999_000_000, NOW.0] {
            assert_eq!(of_number(number), NOW, "{number}");
        }
        assert_eq!(of_number(-1), UnixNanos(-NANOS_PER_SECOND));
        assert_eq!(of_seconds(1.5), Some(UnixNanos(1_500_000_000)));
        assert_eq!(of_seconds(-0.5), Some(UnixNanos(-500_000_000)));
        assert_eq!((of_seconds(f64::NAN), of_seconds(1e300)), (None, None));
    }
}
