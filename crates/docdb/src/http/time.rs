//! Times as RFC 3339 writes them, in UTC, to the millisecond.
//!
//! Days are counted by the proleptic Gregorian calendar, with years that begin in March so that the
//! leap day is the last of its year.

use base::clock::WallMs;

const DAY_MS: u64 = 86_400_000;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: u64 = 719_468;
/// Days of 400 years.
const ERA_DAYS: u64 = 146_097;

/// Reads a time from 1970 on, with any offset; digits behind the millisecond are dropped. A leap
/// second is the first millisecond of the next minute.
pub(super) fn parse(text: &str) -> Option<WallMs> {
    let mut rest = text;
    let year = number(&mut rest, 4)?;
    rest = rest.strip_prefix('-')?;
    let month = number(&mut rest, 2)?;
    rest = rest.strip_prefix('-')?;
    let day = number(&mut rest, 2)?;
    rest = rest.strip_prefix(['T', 't', ' '])?;
    let hour = number(&mut rest, 2)?;
    rest = rest.strip_prefix(':')?;
    let minute = number(&mut rest, 2)?;
    rest = rest.strip_prefix(':')?;
    let second = number(&mut rest, 2)?;
    let milli = fraction(&mut rest)?;
    let offset_ms = offset(rest)?;
    let fits = (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !fits {
        return None;
    }
    let (year, shifted) =
        if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * ERA_DAYS + day_of_era).checked_sub(EPOCH_DAYS)?;
    let local = days * DAY_MS + hour * 3_600_000 + minute * 60_000 + second * 1000 + milli;
    local.checked_add_signed(-offset_ms).map(WallMs)
}

fn days_of(year: u64, month: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Exactly so many digits.
fn number(rest: &mut &str, digits: usize) -> Option<u64> {
    let (digits, behind) = rest.split_at_checked(digits)?;
    *rest = behind;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Milliseconds of a fraction, if there is one.
fn fraction(rest: &mut &str) -> Option<u64> {
    let Some(behind) = rest.strip_prefix('.') else { return Some(0) };
    let len = behind.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, behind) = behind.split_at_checked(len).filter(|(digits, _)| !digits.is_empty())?;
    *rest = behind;
    let thousandths = digits.bytes().chain([b'0'; 3]).take(3);
    Some(thousandths.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// How far local time is ahead of UTC, in milliseconds.
fn offset(rest: &str) -> Option<i64> {
    if rest.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, mut rest) = match rest.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let hours = number(&mut rest, 2)?;
    rest = rest.strip_prefix(':')?;
    let minutes = number(&mut rest, 2)?;
    let fits = hours < 24 && minutes < 60 && rest.is_empty();
    fits.then(|| sign * i64::try_from((hours * 60 + minutes) * 60_000).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read_back() {
        let known = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_700_000_060_123, "2023-11-14T22:14:20.123Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ];
        for (ms, text) in known {
            assert_eq!(WallMs(ms).rfc3339(), text);
            assert_eq!(parse(text), Some(WallMs(ms)), "{text}");
        }
        assert_eq!(WallMs(u64::MAX).rfc3339(), "9999-12-31T23:59:59.999Z");
        for day in 0..200_000 {
            let at = WallMs(day * DAY_MS + 1);
            assert_eq!(parse(&at.rfc3339()), Some(at));
        }
    }

    #[test]
    fn offsets_and_fractions_count() {
        for text in [
            "2023-11-14t22:14:20z",
            "2023-11-14 23:14:20+01:00",
            "2023-11-14T16:44:20.0009-05:30",
            "2023-11-14T22:14:20.000Z",
        ] {
            assert_eq!(parse(text), Some(WallMs(1_700_000_060_000)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "2023-11-14",
            "2023-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2023-11-31T00:00:00Z",
            "2023-11-00T00:00:00Z",
            "2023-11-14T24:00:00Z",
            "2023-11-14T22:14:20",
            "2023-11-14T22:14:20.Z",
            "2023-11-14T22:14:20+1:00",
            "2023-11-14T22:14:20Zx",
            "1969-12-31T23:59:59Z",
            "+023-11-14T22:14:20Z",
            "0000-01-01T00:00:00Z",
            "1970-01-01T00:00:00+00:01",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
