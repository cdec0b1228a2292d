//! Times of documents as RFC 3339 writes them, in UTC, to the millisecond.

use base::clock::WallMs;

use crate::calendar;

/// Reads a time from 1970 on, with any offset; digits behind the millisecond are dropped. A leap
/// second is the first millisecond of the next minute.
pub(super) fn parse(text: &str) -> Option<WallMs> {
    let moment = calendar::rfc3339(text)?;
    let ms = moment.seconds.checked_mul(1000)?.checked_add(moment.nanos / 1_000_000)?;
    u64::try_from(ms).ok().map(WallMs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 86_400_000;

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
