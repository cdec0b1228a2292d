//! What stands in addresses: segments of paths, queries, ids and times as text.

use uuid::Uuid;

use crate::wire::Id;

/// Appends `text` with everything but unreserved characters (RFC 3986, 2.3) as `%XX`.
pub(super) fn encode(text: &str, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.push(DIGITS.get(usize::from(digit)).copied().map_or('0', char::from));
            }
        }
    }
}

/// A path with a query, put together piece by piece.
#[derive(Debug, Clone)]
pub(super) struct Target {
    text: String,
    has_query: bool,
}

impl Target {
    /// A path that needs no encoding.
    pub(super) fn new(path: &str) -> Self {
        Self { text: path.to_owned(), has_query: false }
    }

    /// `/` and a segment.
    pub(super) fn segment(mut self, segment: &str) -> Self {
        self.text.push('/');
        // Dots alone are steps through a path; no name or id of theirs would arrive.
        if !segment.is_empty() && segment.bytes().all(|byte| byte == b'.') {
            self.text.push_str(&segment.replace('.', "%2E"));
        } else {
            encode(segment, &mut self.text);
        }
        self
    }

    /// A field of the query.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.text.push_str(name);
        self.text.push('=');
        encode(value, &mut self.text);
        self
    }

    /// A document, by its id, and the type of the id where its text would be taken for another.
    pub(super) fn document(self, id: &Id<'_>) -> Self {
        let target = self.segment(&id.to_string());
        match id {
            Id::Text(text) if is_taken_for_another(text) => target.with("id_type", "string"),
            Id::Text(_) | Id::U64(_) | Id::Uuid(_) => target,
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

/// Whether the text of an id reads as a number or a UUID.
pub(super) fn is_taken_for_another(text: &str) -> bool {
    let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal || is_canonical_uuid(text)
}

/// Whether the text is a UUID as it is printed: 36 lower-case characters.
pub(super) fn is_canonical_uuid(text: &str) -> bool {
    Uuid::try_parse(text).is_ok_and(|uuid| uuid.as_hyphenated().to_string() == text)
}

/// The type of an id, as `id_type` says it.
pub(super) fn id_type(id: &Id<'_>) -> &'static str {
    match id {
        Id::U64(_) => "u64",
        Id::Uuid(_) => "uuid",
        Id::Text(_) => "string",
    }
}

/// A time as in RFC 3339, in UTC, to the millisecond. Times past the year 9999 become its end,
/// because the format has four digits for the year.
pub(super) fn rfc3339(unix_ms: u64) -> String {
    const LAST: u64 = 253_402_300_799_999;
    let unix_ms = unix_ms.min(LAST);
    let (days, of_day) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, ms) = (of_day / 1000 % 60, of_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Year, month and day of so many days after 1970-01-01, in the proleptic Gregorian calendar
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    // Days from 0000-03-01, so that the day of a leap year comes last.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_and_values_arrive_as_they_were() {
        let target =
            Target::new("/v1").segment("a b/ü").segment("..").with("q", "1&2").with("r", "");
        assert_eq!(target.as_str(), "/v1/a%20b%2F%C3%BC/%2E%2E?q=1%262&r=");
    }

    #[test]
    fn only_texts_that_read_as_another_id_say_their_type() {
        let check = |id: Id<'_>, expect: &str| {
            assert_eq!(Target::new("").document(&id).as_str(), expect);
        };
        let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        check(Id::U64(7), "/7");
        check(Id::from("7"), "/7?id_type=string");
        check(Id::from("seven"), "/seven");
        check(Id::Uuid(Uuid::parse_str(uuid).unwrap()), &format!("/{uuid}"));
        check(Id::from(uuid), &format!("/{uuid}?id_type=string"));
        check(Id::from(uuid.to_uppercase()), &format!("/{}", uuid.to_uppercase()));
    }

    #[test]
    fn times_are_written_as_in_rfc_3339() {
        for (unix_ms, expect) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_767_225_600_001, "2026-01-01T00:00:00.001Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(unix_ms), expect);
        }
    }
}
