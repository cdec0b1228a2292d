//! Which entries somebody wants: one filter for search, counts and live tail, so that all three
//! agree.
//!
//! [`Filter::matches`] on an [`EntryRef`] is the meaning of a filter. Search may skip what cannot
//! match and look at columns in another order, but what it finds is what this function says.

use crate::entry::{Entry, EntryId, Marks, Severity, StoredEntry, UnixNanos};
use crate::error::{LogError, Result};
use crate::json_path::JsonPath;
use crate::text::TextQuery;

/// Values of one condition; more are refused.
pub const VALUES_MAX: usize = 1000;
/// Conditions of one filter; more are refused.
pub const CONDITIONS_MAX: usize = 64;

/// A field that can be compared and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The machine.
    Hostname,
    /// The program.
    AppName,
    /// The process.
    ProcId,
    /// The kind of message.
    MsgId,
    /// Where it came from.
    Source,
    /// The facility, by its number: `0` to `23`.
    Facility,
    /// The severity, by its name: `emerg` to `debug`.
    Severity,
}

impl Field {
    /// All fields.
    pub const ALL: [Self; 7] = [
        Self::Hostname,
        Self::AppName,
        Self::ProcId,
        Self::MsgId,
        Self::Source,
        Self::Facility,
        Self::Severity,
    ];

    /// The name, as in queries and exports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hostname => "hostname",
            Self::AppName => "app_name",
            Self::ProcId => "proc_id",
            Self::MsgId => "msg_id",
            Self::Source => "source",
            Self::Facility => "facility",
            Self::Severity => "severity",
        }
    }

    /// The field with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

/// The numbers of facilities as text, so that every field is text.
pub(crate) const FACILITIES: [&str; 24] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
    "17", "18", "19", "20", "21", "22", "23",
];

/// A field has one of some values, or none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldIs {
    /// Which field.
    pub field: Field,
    /// The values, compared byte by byte.
    pub values: Vec<String>,
    /// Whether the field must have one of them.
    pub polarity: Polarity,
}

/// Whether a condition is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polarity {
    /// It is.
    Is,
    /// It must not.
    IsNot,
}

/// A value in the structured data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonIs {
    /// Where it is.
    pub path: JsonPath,
    /// What it is: a string by its text, anything else by its JSON (`7`, `true`, `null`). No
    /// values ask only that there is one.
    pub values: Vec<String>,
    /// Whether the condition must hold.
    pub polarity: Polarity,
}

/// Times from one to before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// The first time that is in it.
    pub from: UnixNanos,
    /// The last time that is in it.
    pub to: UnixNanos,
}

impl Default for TimeRange {
    fn default() -> Self {
        Self { from: UnixNanos::MIN, to: UnixNanos::MAX }
    }
}

impl TimeRange {
    /// Whether a time is in it.
    #[must_use]
    pub fn holds(&self, time: UnixNanos) -> bool {
        self.from <= time && time <= self.to
    }

    /// Whether some time from `first` to `last` is in it.
    pub(crate) fn overlaps(&self, first: UnixNanos, last: UnixNanos) -> bool {
        self.from <= last && first <= self.to
    }

    /// Whether every time from `first` to `last` is in it.
    pub(crate) fn covers(&self, first: UnixNanos, last: UnixNanos) -> bool {
        self.from <= first && last <= self.to
    }
}

/// Some severities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeveritySet(u8);

impl SeveritySet {
    /// Every severity.
    pub const ALL: Self = Self(0xff);

    /// `severity` and everything worse.
    #[must_use]
    pub const fn at_least(severity: Severity) -> Self {
        Self(0xff >> (7 - severity.number()))
    }

    /// These severities.
    #[must_use]
    pub fn of(severities: &[Severity]) -> Self {
        Self(severities.iter().fold(0, |set, severity| set | 1 << severity.number()))
    }

    /// Whether a severity is one of them.
    #[must_use]
    pub const fn holds(self, severity: Severity) -> bool {
        self.0 >> severity.number() & 1 == 1
    }
}

/// Which entries somebody wants: those for which every part holds. The default wants all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// When it happened.
    pub time: TimeRange,
    /// How bad it is.
    pub severities: SeveritySet,
    /// What the message says.
    pub text: TextQuery,
    /// What fields are.
    pub fields: Vec<FieldIs>,
    /// What the structured data has.
    pub json: Vec<JsonIs>,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            time: TimeRange::default(),
            severities: SeveritySet::ALL,
            text: TextQuery::default(),
            fields: Vec::new(),
            json: Vec::new(),
        }
    }
}

impl Filter {
    /// Only what a text query finds.
    #[must_use]
    pub fn text(mut self, typed: &str) -> Self {
        self.text = TextQuery::parse(typed);
        self
    }

    /// Only severities as bad as `severity`, or worse.
    #[must_use]
    pub fn at_least(mut self, severity: Severity) -> Self {
        self.severities = SeveritySet::at_least(severity);
        self
    }

    /// Only times from `from` to `to`, both included.
    #[must_use]
    pub fn between(mut self, from: UnixNanos, to: UnixNanos) -> Self {
        self.time = TimeRange { from, to };
        self
    }

    /// Only entries whose `field` is one of `values`.
    #[must_use]
    pub fn field(mut self, field: Field, values: &[&str]) -> Self {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        self.fields.push(FieldIs { field, values, polarity: Polarity::Is });
        self
    }

    /// Refuses what is too large to be evaluated for every entry.
    ///
    /// # Errors
    /// [`LogError::Query`].
    pub fn check(&self) -> Result<()> {
        if self.fields.len() + self.json.len() > CONDITIONS_MAX {
            return Err(LogError::query(format!("it has more than {CONDITIONS_MAX} conditions")));
        }
        let fields = self.fields.iter().map(|condition| condition.values.len());
        let json = self.json.iter().map(|condition| condition.values.len());
        if fields.chain(json).any(|values| values > VALUES_MAX) {
            return Err(LogError::query(format!("a condition has more than {VALUES_MAX} values")));
        }
        Ok(())
    }

    /// Whether an entry is wanted.
    #[must_use]
    pub fn matches(&self, entry: &EntryRef<'_>) -> bool {
        self.time.holds(entry.time)
            && self.severities.holds(entry.severity)
            && self.fields.iter().all(|condition| condition.holds(entry.field(condition.field)))
            && self.text.matches(entry.message)
            && self.json_matches(entry.structured_data)
    }

    /// Whether structured data fulfils the conditions on it.
    pub(crate) fn json_matches(&self, structured_data: &str) -> bool {
        if self.json.is_empty() {
            return true;
        }
        let value = if structured_data.is_empty() {
            serde_json::Value::Null
        } else {
            // Entries are checked when they come; what is no JSON all the same has no values.
            serde_json::from_str(structured_data).unwrap_or_default()
        };
        self.json.iter().all(|condition| condition.holds(&value))
    }
}

impl FieldIs {
    pub(crate) fn holds(&self, value: &str) -> bool {
        self.values.iter().any(|wanted| wanted == value) == (self.polarity == Polarity::Is)
    }
}

impl JsonIs {
    fn holds(&self, data: &serde_json::Value) -> bool {
        let found = self.path.find(data);
        let is = found.is_some_and(|found| {
            self.values.is_empty() || self.values.iter().any(|wanted| is_value(found, wanted))
        });
        is == (self.polarity == Polarity::Is)
    }
}

fn is_value(found: &serde_json::Value, wanted: &str) -> bool {
    match found.as_str() {
        Some(text) => text == wanted,
        None => found.to_string().as_str() == wanted,
    }
}

/// An entry that lies elsewhere: in a queue, a row or a block.
#[derive(Debug, Clone, Copy)]
pub struct EntryRef<'e> {
    /// Its number.
    pub id: EntryId,
    /// When it happened.
    pub time: UnixNanos,
    /// When it came.
    pub received: UnixNanos,
    /// How bad it is.
    pub severity: Severity,
    /// The facility, 0 to 23.
    pub facility: u8,
    /// What had to be done to keep it.
    pub marks: Marks,
    /// The machine.
    pub hostname: &'e str,
    /// The program.
    pub app_name: &'e str,
    /// The process.
    pub proc_id: &'e str,
    /// The kind of message.
    pub msg_id: &'e str,
    /// Where it came from.
    pub source: &'e str,
    /// A JSON object, or empty.
    pub structured_data: &'e str,
    /// The message.
    pub message: &'e str,
}

impl<'e> EntryRef<'e> {
    /// A view of an entry with this number.
    #[must_use]
    pub fn of(id: EntryId, entry: &'e Entry) -> Self {
        Self {
            id,
            time: entry.time,
            received: entry.received,
            severity: entry.severity,
            facility: entry.facility,
            marks: entry.marks,
            hostname: &entry.hostname,
            app_name: &entry.app_name,
            proc_id: &entry.proc_id,
            msg_id: &entry.msg_id,
            source: &entry.source,
            structured_data: &entry.structured_data,
            message: &entry.message,
        }
    }

    /// A field as text.
    #[must_use]
    pub fn field(&self, field: Field) -> &'e str {
        match field {
            Field::Hostname => self.hostname,
            Field::AppName => self.app_name,
            Field::ProcId => self.proc_id,
            Field::MsgId => self.msg_id,
            Field::Source => self.source,
            Field::Facility => FACILITIES.get(usize::from(self.facility)).copied().unwrap_or(""),
            Field::Severity => self.severity.name(),
        }
    }

    /// Bytes of its text.
    pub(crate) fn text_bytes(&self) -> usize {
        let fields = [self.hostname, self.app_name, self.proc_id, self.msg_id, self.source];
        let fields: usize = fields.into_iter().map(str::len).sum();
        fields + self.structured_data.len() + self.message.len()
    }

    /// The entry itself.
    #[must_use]
    pub fn to_stored(&self) -> StoredEntry {
        StoredEntry {
            id: self.id,
            entry: Entry {
                time: self.time,
                received: self.received,
                severity: self.severity,
                facility: self.facility,
                marks: self.marks,
                hostname: self.hostname.to_owned(),
                app_name: self.app_name.to_owned(),
                proc_id: self.proc_id.to_owned(),
                msg_id: self.msg_id.to_owned(),
                source: self.source.to_owned(),
                structured_data: self.structured_data.to_owned(),
                message: self.message.to_owned(),
            },
        }
    }
}

impl StoredEntry {
    /// A view of it.
    #[must_use]
    pub fn view(&self) -> EntryRef<'_> {
        EntryRef::of(self.id, &self.entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let mut entry = Entry::new(UnixNanos(100), "disk full").from_app("web1", "nginx");
        entry.severity = Severity::Warning;
        entry.structured_data = r#"{"code":507,"user":{"name":"ann"},"tags":["a","b"]}"#.to_owned();
        entry
    }

    #[track_caller]
    fn check(filter: Filter, expect: bool) {
        let entry = entry();
        assert_eq!(filter.matches(&EntryRef::of(EntryId(1), &entry)), expect, "{filter:?}");
    }

    fn json(path: &str, values: &[&str], polarity: Polarity) -> Filter {
        let path = JsonPath::parse(path).unwrap();
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Filter { json: vec![JsonIs { path, values, polarity }], ..Filter::default() }
    }

    #[test]
    fn an_empty_filter_wants_everything() {
        check(Filter::default(), true);
    }

    #[test]
    fn every_part_must_hold() {
        check(Filter::default().text("full"), true);
        check(Filter::default().text("empty"), false);
        check(Filter::default().at_least(Severity::Warning), true);
        check(Filter::default().at_least(Severity::Error), false);
        check(Filter::default().between(UnixNanos(100), UnixNanos(100)), true);
        check(Filter::default().between(UnixNanos(101), UnixNanos::MAX), false);
        check(Filter::default().field(Field::AppName, &["caddy", "nginx"]), true);
        check(Filter::default().field(Field::AppName, &["Nginx"]), false);
        check(Filter::default().field(Field::Facility, &["1"]), true);
        check(Filter::default().field(Field::Severity, &["warning"]).text("full"), true);
        let mut not = Filter::default().field(Field::Hostname, &["web1"]);
        not.fields[0].polarity = Polarity::IsNot;
        check(not, false);
    }

    #[test]
    fn values_of_structured_data_are_compared_by_text_or_by_json() {
        use Polarity::{Is, IsNot};
        check(json("code", &["507"], Is), true);
        check(json("$.user.name", &["bob", "ann"], Is), true);
        check(json("tags[1]", &["b"], Is), true);
        check(json("tags[2]", &[], Is), false);
        check(json("user", &[], Is), true);
        check(json("missing", &[], IsNot), true);
        check(json("code", &["507"], IsNot), false);
    }

    #[test]
    fn severities_at_least_as_bad_are_those_with_lower_numbers() {
        let set = SeveritySet::at_least(Severity::Error);
        let held: Vec<_> = Severity::ALL.into_iter().filter(|s| set.holds(*s)).collect();
        assert_eq!(held, SEVERE);
        assert_eq!(set, SeveritySet::of(&SEVERE));
        assert_eq!(SeveritySet::at_least(Severity::Debug), SeveritySet::ALL);
    }

    const SEVERE: [Severity; 4] =
        [Severity::Emergency, Severity::Alert, Severity::Critical, Severity::Error];

    #[test]
    fn a_filter_that_would_take_for_ever_is_refused() {
        let one = FieldIs { field: Field::AppName, values: vec![], polarity: Polarity::Is };
        let fields = vec![one; CONDITIONS_MAX + 1];
        let mut filter = Filter { fields, ..Filter::default() };
        assert!(filter.check().is_err());
        let values = vec![String::new(); VALUES_MAX + 1];
        filter.fields = vec![FieldIs { field: Field::AppName, values, polarity: Polarity::Is }];
        assert!(filter.check().is_err());
    }

    #[test]
    fn fields_are_found_by_their_names() {
        for field in Field::ALL {
            assert_eq!(Field::from_name(field.name()), Some(field));
        }
        assert_eq!(Field::from_name("message"), None);
    }
}
