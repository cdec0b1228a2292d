//! What a log entry is: the fields of RFC 5424, when it happened and when it came.
//!
//! [`Entry`] is what a caller hands in, [`StoredEntry`] what is read back: the same with its id.
//! Checking and cutting happen once, in [`Entry::admit`], before an entry is queued; everything
//! behind the queue may rely on its bounds.

use crate::error::{LogError, Result};

/// Bytes of a message; longer ones are cut and marked.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of host name, application, process, message id and source; longer ones are cut and marked.
pub const FIELD_BYTES_MAX: usize = 255;
/// Bytes of structured data; an entry with more is refused.
pub const STRUCTURED_BYTES_MAX: usize = 64 * 1024;
/// What an entry takes in the queue besides its text, in bytes.
pub(crate) const ENTRY_OVERHEAD_BYTES: usize = size_of::<Entry>();

/// The number of an entry: one sequence over the whole store, 1 and up, in the order of arrival.
///
/// The number of an entry that was lost before its commit may be given again after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub u64);

impl std::fmt::Display for EntryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Nanoseconds since the Unix epoch, in UTC; negative before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixNanos(pub i64);

impl UnixNanos {
    /// The earliest time there is.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest time there is.
    pub const MAX: Self = Self(i64::MAX);

    /// The time of a clock that counts milliseconds; times past the year 2262 become its spring.
    #[must_use]
    pub fn from_ms(unix_ms: u64) -> Self {
        Self(i64::try_from(unix_ms).unwrap_or(i64::MAX).saturating_mul(1_000_000))
    }

    /// The day since 1970-01-01 that holds this time; negative before it.
    #[must_use]
    pub fn day(self) -> i64 {
        self.0.div_euclid(NANOS_PER_DAY)
    }

    /// The time as in RFC 3339, in UTC, to the nanosecond: `2026-01-31T23:59:59.000000001Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let (year, month, day) = civil(self.day());
        let of_day = self.0.rem_euclid(NANOS_PER_DAY);
        let (seconds, nanos) = (of_day / 1_000_000_000, of_day % 1_000_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
    }
}

pub(crate) const NANOS_PER_DAY: i64 = 86_400_000_000_000;

/// Year, month and day of so many days after 1970-01-01, in the proleptic Gregorian calendar
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`). The years of
/// 64-bit nanoseconds are 1677 to 2262.
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    // Days from 0000-03-01, so that the day of a leap year comes last.
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// How bad it is: the numbers of syslog, where 0 is the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Severity {
    /// The system is unusable.
    Emergency = 0,
    /// Somebody must act at once.
    Alert = 1,
    /// Critical conditions.
    Critical = 2,
    /// Error conditions.
    Error = 3,
    /// Warning conditions.
    Warning = 4,
    /// Normal but significant.
    Notice = 5,
    /// Informational.
    Info = 6,
    /// For debugging.
    Debug = 7,
}

impl Severity {
    /// All severities, the worst first; the index is the number.
    pub const ALL: [Self; 8] = [
        Self::Emergency,
        Self::Alert,
        Self::Critical,
        Self::Error,
        Self::Warning,
        Self::Notice,
        Self::Info,
        Self::Debug,
    ];

    /// The number of syslog, 0 to 7.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The severity with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The short name of syslog: `emerg`, `alert`, `crit`, `err`, `warning`, `notice`, `info`,
    /// `debug`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Emergency => "emerg",
            Self::Alert => "alert",
            Self::Critical => "crit",
            Self::Error => "err",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// What had to be done to an entry to keep it. A set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Marks(pub u8);

impl Marks {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The sender's line could not be parsed and is kept whole as the message.
    pub const UNPARSED: Self = Self(1);
    /// The message or a field was longer than its limit and has been cut.
    pub const CUT: Self = Self(2);
    /// Bytes that were no UTF-8 have been replaced by U+FFFD.
    pub const INVALID_UTF8: Self = Self(4);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every mark of `other` is in this set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A log entry as a caller hands it in. Text that is not known is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it happened, as the sender says.
    pub time: UnixNanos,
    /// When it came. The store fills it in.
    pub received: UnixNanos,
    /// How bad it is.
    pub severity: Severity,
    /// The facility of syslog, 0 to 23.
    pub facility: u8,
    /// What had to be done to keep it.
    pub marks: Marks,
    /// The machine it is about.
    pub hostname: String,
    /// The program that wrote it; the entries of one program are a *stream*.
    pub app_name: String,
    /// The process.
    pub proc_id: String,
    /// The kind of message, as the sender names it.
    pub msg_id: String,
    /// Where it came from: protocol and peer.
    pub source: String,
    /// Further fields: a JSON object, or empty.
    pub structured_data: String,
    /// The message.
    pub message: String,
}

impl Entry {
    /// An informational entry of facility 1 (user) with nothing but a time and a message.
    #[must_use]
    pub fn new(time: UnixNanos, message: impl Into<String>) -> Self {
        Self {
            time,
            received: UnixNanos(0),
            severity: Severity::Info,
            facility: 1,
            marks: Marks::NONE,
            hostname: String::new(),
            app_name: String::new(),
            proc_id: String::new(),
            msg_id: String::new(),
            source: String::new(),
            structured_data: String::new(),
            message: message.into(),
        }
    }

    /// As [`Entry::new`] from bytes that a sender calls text: what is no UTF-8 is replaced and
    /// marked.
    #[must_use]
    pub fn from_bytes(time: UnixNanos, message: &[u8]) -> Self {
        // A line of many megabytes is not copied only to be cut.
        let near = &message[..message.len().min(MESSAGE_BYTES_MAX + 4)];
        let mut entry = Self::new(time, String::from_utf8_lossy(near));
        let is_whole = near.len() == message.len();
        // The last character of a cut prefix may be cut itself, which is no fault of the sender.
        let text = if is_whole { near } else { &message[..MESSAGE_BYTES_MAX] };
        if let Err(error) = std::str::from_utf8(text)
            && (is_whole || error.error_len().is_some())
        {
            entry.marks = entry.marks.with(Marks::INVALID_UTF8);
        }
        entry
    }

    /// The same with another severity.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// The same of another host and program.
    #[must_use]
    pub fn from_app(mut self, hostname: impl Into<String>, app_name: impl Into<String>) -> Self {
        self.hostname = hostname.into();
        self.app_name = app_name.into();
        self
    }

    /// What the entry takes in the queue, in bytes.
    #[must_use]
    pub fn cost_bytes(&self) -> usize {
        let fields = [&self.hostname, &self.app_name, &self.proc_id, &self.msg_id, &self.source];
        let fields: usize = fields.into_iter().map(String::len).sum();
        ENTRY_OVERHEAD_BYTES + fields + self.structured_data.len() + self.message.len()
    }

    /// Checks the entry, cuts what is too long and stamps when it came.
    pub(crate) fn admit(&mut self, received: UnixNanos) -> Result<()> {
        if self.facility > 23 {
            return Err(LogError::invalid(format!("facility={} is not 0 to 23", self.facility)));
        }
        let bytes = self.structured_data.len();
        if bytes > STRUCTURED_BYTES_MAX {
            return Err(LogError::TooLarge {
                what: "structured data",
                bytes,
                limit_bytes: STRUCTURED_BYTES_MAX,
            });
        }
        if bytes > 0 {
            check_object(&self.structured_data)?;
        }
        let fields = [
            &mut self.hostname,
            &mut self.app_name,
            &mut self.proc_id,
            &mut self.msg_id,
            &mut self.source,
        ];
        let mut is_cut = cut(&mut self.message, MESSAGE_BYTES_MAX);
        for field in fields {
            is_cut |= cut(field, FIELD_BYTES_MAX);
        }
        if is_cut {
            self.marks = self.marks.with(Marks::CUT);
        }
        self.received = received;
        Ok(())
    }
}

fn check_object(text: &str) -> Result<()> {
    // Built and dropped: only the verdict counts, and the text is bounded.
    let parsed: std::result::Result<serde_json::Map<String, serde_json::Value>, _> =
        serde_json::from_str(text);
    match parsed {
        Ok(_) => Ok(()),
        Err(error) => Err(LogError::invalid(format!("structured data is no JSON object: {error}"))),
    }
}

/// Shortens `text` to at most `limit` bytes, between characters. Says whether it did.
fn cut(text: &mut String, limit: usize) -> bool {
    if text.len() <= limit {
        return false;
    }
    text.truncate(text.floor_char_boundary(limit));
    text.shrink_to_fit();
    true
}

/// An entry with its id, as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its number.
    pub id: EntryId,
    /// The entry.
    pub entry: Entry,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_to_the_nanosecond_on_both_sides_of_the_epoch() {
        for (nanos, expect) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
            (i64::MIN, "1677-09-21T00:12:43.145224192Z"),
        ] {
            assert_eq!(UnixNanos(nanos).rfc3339(), expect);
        }
        assert_eq!(UnixNanos::from_ms(u64::MAX), UnixNanos::MAX);
        assert_eq!([UnixNanos(-1).day(), UnixNanos(0).day()], [-1, 0]);
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_marked() {
        let mut entry = Entry::new(UnixNanos(1), "é".repeat(MESSAGE_BYTES_MAX));
        entry.hostname = format!("{}é", "h".repeat(FIELD_BYTES_MAX - 1));
        entry.admit(UnixNanos(7)).unwrap();
        assert_eq!(entry.message.len(), MESSAGE_BYTES_MAX);
        assert_eq!(entry.hostname, "h".repeat(FIELD_BYTES_MAX - 1));
        assert_eq!((entry.marks, entry.received), (Marks::CUT, UnixNanos(7)));
        let mut whole = Entry::new(UnixNanos(1), "x".repeat(MESSAGE_BYTES_MAX));
        whole.admit(UnixNanos(7)).unwrap();
        assert_eq!(whole.marks, Marks::NONE);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_and_marked_even_in_a_line_of_ten_megabytes() {
        let entry = Entry::from_bytes(UnixNanos(1), b"disk \xff full");
        assert_eq!(
            (entry.message.as_str(), entry.marks),
            ("disk \u{fffd} full", Marks::INVALID_UTF8)
        );
        let long = "é".repeat(5_000_000);
        let mut entry = Entry::from_bytes(UnixNanos(1), &long.as_bytes()[..9_999_999]);
        assert_eq!(entry.marks, Marks::NONE, "only what is kept counts");
        entry.admit(UnixNanos(1)).unwrap();
        assert_eq!((entry.message.len(), entry.marks), (MESSAGE_BYTES_MAX, Marks::CUT));
    }

    #[test]
    fn an_entry_that_breaks_the_rules_is_refused() {
        let mut entry = Entry::new(UnixNanos(1), "m");
        entry.facility = 24;
        assert!(matches!(entry.admit(UnixNanos(1)), Err(LogError::Invalid { .. })));
        for structured in ["[1]", "{", "7", "{\"a\":1}x"] {
            let mut entry = Entry::new(UnixNanos(1), "m");
            entry.structured_data = structured.to_owned();
            assert!(
                matches!(entry.admit(UnixNanos(1)), Err(LogError::Invalid { .. })),
                "{structured}"
            );
        }
        let mut entry = Entry::new(UnixNanos(1), "m");
        entry.structured_data = format!("{{\"a\":\"{}\"}}", "x".repeat(STRUCTURED_BYTES_MAX));
        assert!(matches!(entry.admit(UnixNanos(1)), Err(LogError::TooLarge { .. })));
    }

    #[test]
    fn severities_have_the_numbers_of_syslog() {
        for (number, severity) in (0..).zip(Severity::ALL) {
            assert_eq!(
                (severity.number(), Severity::from_number(number)),
                (number, Some(severity))
            );
        }
        assert_eq!(Severity::from_number(8), None);
    }
}
