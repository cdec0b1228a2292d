//! Times as RFC 3339 writes them, and days of the proleptic Gregorian calendar: read here once, and
//! by their callers in the unit and the range that they need.
//!
//! Years begin in March, so that the leap day is the last of its year (Howard Hinnant,
//! "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`).

const SECONDS_PER_DAY: i64 = 86_400;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

/// A time of the years 0 to 9999, or close to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub(crate) seconds: i64,
    /// Nanoseconds of the second.
    pub(crate) nanos: i64,
}

/// Reads a time as RFC 3339 and RFC 5424 write it: `2026-01-31T23:59:59.123456789+01:00`. A blank
/// may stand for the `T`, a comma for the dot and `+0100` for `+01:00`; digits behind the nanosecond
/// are dropped. A leap second is the first second of the next minute.
pub(crate) fn rfc3339(text: &str) -> Option<Moment> {
    let mut rest = text;
    let year = digits(&mut rest, 4)?;
    rest = rest.strip_prefix('-')?;
    let month = digits(&mut rest, 2)?;
    rest = rest.strip_prefix('-')?;
    let day = digits(&mut rest, 2)?;
    rest = rest.strip_prefix(['T', 't', ' '])?;
    let of_day = clock(&mut rest)?;
    let nanos = fraction(&mut rest)?;
    let offset = offset(rest)?;
    let seconds = days(year, month, day)? * SECONDS_PER_DAY + of_day - offset;
    Some(Moment { seconds, nanos })
}

/// Days since 1970-01-01 of a day that exists; none of one that does not.
pub(crate) fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    let (year, shifted) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH_DAYS)
}

fn days_of(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// `23:59:59`, as seconds of the day.
pub(crate) fn clock(rest: &mut &str) -> Option<i64> {
    let hour = digits(rest, 2)?;
    *rest = rest.strip_prefix(':')?;
    let minute = digits(rest, 2)?;
    *rest = rest.strip_prefix(':')?;
    let second = digits(rest, 2)?;
    let fits = hour < 24 && minute < 60 && second <= 60;
    fits.then_some(hour * 3600 + minute * 60 + second)
}

/// Exactly so many digits.
pub(crate) fn digits(rest: &mut &str, count: usize) -> Option<i64> {
    let (digits, behind) = rest.split_at_checked(count)?;
    *rest = behind;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Nanoseconds of a fraction, if there is one, after a dot or a comma.
pub(crate) fn fraction(rest: &mut &str) -> Option<i64> {
    let Some(behind) = rest.strip_prefix(['.', ',']) else { return Some(0) };
    let len = behind.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, behind) = behind.split_at_checked(len).filter(|(digits, _)| !digits.is_empty())?;
    *rest = behind;
    let nanos = digits.bytes().chain([b'0'; 9]).take(9);
    Some(nanos.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

/// How far local time is ahead of UTC, in seconds: `Z`, `+01:00` or `+0100`.
fn offset(rest: &str) -> Option<i64> {
    if rest.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, mut rest) = match rest.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let hours = digits(&mut rest, 2)?;
    rest = rest.strip_prefix(':').unwrap_or(rest);
    let minutes = digits(&mut rest, 2)?;
    let fits = hours < 24 && minutes < 60 && rest.is_empty();
    fits.then_some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_all_years_are_read() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("1969-12-31T23:59:59.999999999Z", -1, 999_999_999),
            ("0000-01-01T00:00:00Z", -62_167_219_200, 0),
            ("9999-12-31t23:59:59,5z", 253_402_300_799, 500_000_000),
            ("2026-02-01 00:59:59.0000000019+01:00", 1_769_903_999, 1),
            ("2026-01-31T22:59:59-0100", 1_769_903_999, 0),
        ] {
            assert_eq!(rfc3339(text), Some(Moment { seconds, nanos }), "{text}");
        }
        for text in ["", "2026-01-31", "2026-02-29T00:00:00Z", "2026-01-31T23:59:59+1:00", "é"] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }
}
