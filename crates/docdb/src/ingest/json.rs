//! Entries as JSON: docdb's own format, and what loggers that write JSON make of it.
//!
//! | field, or | is |
//! |---|---|
//! | `time`, `timestamp`, `@timestamp`, `ts` | when it happened: RFC 3339, or a number since 1970 |
//! | `severity`, `level` | a name or number of [`fields::severity`] |
//! | `facility` | 0 to 23 |
//! | `hostname`, `host` | the machine |
//! | `app_name`, `service`, `logger` | the program |
//! | `proc_id`, `pid` | the process |
//! | `msg_id` | the kind of message |
//! | `message`, `msg` | the message |
//! | `structured_data` | an object whose fields are taken as they are |
//!
//! Of two names for one thing the first of the table counts, and the other is a field like any
//! other: those go to the structured data. A field whose value makes no sense goes there too, and
//! the entry is marked; what is no object at all is the message of an entry that is marked.

use logstore::{Entry, Marks, Severity, UnixNanos};
use serde::de::{Deserializer as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::decoded::{Entries, Undecoded};
use super::syslog::Extent;
use super::{fields, time};

/// Longest line that is looked at; of a longer one the beginning is kept.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;

/// What an entry has that does not say it itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// The machine.
    pub hostname: String,
    /// The program.
    pub app_name: String,
    /// How bad it is; `info` when nobody says so.
    pub severity: Option<Severity>,
    /// Where it came from.
    pub source: String,
}

impl Defaults {
    fn entry(&self, received: UnixNanos) -> Entry {
        let mut entry = Entry::new(received, "");
        entry.hostname.clone_from(&self.hostname);
        entry.app_name.clone_from(&self.app_name);
        entry.source.clone_from(&self.source);
        entry.severity = self.severity.unwrap_or(Severity::Info);
        entry
    }
}

/// An entry of a line; none for one that is blank.
#[must_use]
pub fn line(line: &[u8], received: UnixNanos, defaults: &Defaults) -> Option<Entry> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return None;
    }
    if line.len() <= LINE_BYTES_MAX
        && line.first() == Some(&b'{')
        && let Ok(Value::Object(object)) = serde_json::from_slice(line)
    {
        return Some(self::object(object, received, defaults));
    }
    Some(plain(line, received, defaults, Marks::UNPARSED))
}

/// What a line of a stream holds: an entry, or the entries of an array in one line. Adds them to
/// `entries`.
///
/// # Errors
/// [`Undecoded::TooLarge`].
pub fn of_line(
    line: &[u8],
    extent: Extent,
    received: UnixNanos,
    defaults: &Defaults,
    entries: &mut Entries,
) -> Result<(), Undecoded> {
    if extent == Extent::Cut {
        let marks = Marks::UNPARSED.with(Marks::CUT);
        return entries.push(plain(line, received, defaults, marks));
    }
    if line.trim_ascii_start().starts_with(b"[")
        && let Ok(Value::Array(values)) = serde_json::from_slice(line)
    {
        for value in values {
            entries.push(self::value(value, received, defaults))?;
        }
        return Ok(());
    }
    match self::line(line, received, defaults) {
        Some(entry) => entries.push(entry),
        None => Ok(()),
    }
}

/// The entries of a whole document: an array of them, or one object. They are made one by one, so
/// that what is held is bounded by what they may be together.
///
/// # Errors
/// When it is neither, or too much.
pub fn document(
    body: &[u8],
    received: UnixNanos,
    defaults: &Defaults,
) -> Result<Entries, Undecoded> {
    let mut reading = Document { received, defaults, entries: Entries::default(), too_large: None };
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = deserializer.deserialize_any(&mut reading).and_then(|()| deserializer.end());
    match (reading.too_large, read) {
        (Some(refused), _) => Err(refused),
        (None, Ok(())) => Ok(reading.entries),
        (None, Err(error)) => Err(Undecoded::malformed(format!(
            "the body is neither an array of entries nor an entry: {error}"
        ))),
    }
}

/// Makes entries as values come.
struct Document<'d> {
    received: UnixNanos,
    defaults: &'d Defaults,
    entries: Entries,
    too_large: Option<Undecoded>,
}

impl Document<'_> {
    fn add<E: serde::de::Error>(&mut self, value: Value) -> Result<(), E> {
        let entry = self::value(value, self.received, self.defaults);
        self.entries.push(entry).map_err(|refused| {
            let error = E::custom(&refused);
            self.too_large = Some(refused);
            error
        })
    }
}

impl<'de> Visitor<'de> for &mut Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        while let Some(value) = values.next_element()? {
            self.add(value)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key()? {
            object.insert(name, members.next_value()?);
        }
        self.add(Value::Object(object))
    }
}

/// An entry whose message is a line, whatever it holds.
#[must_use]
pub fn plain(line: &[u8], received: UnixNanos, defaults: &Defaults, marks: Marks) -> Entry {
    let read = Entry::from_bytes(received, line);
    let mut entry = defaults.entry(received);
    entry.marks = read.marks.with(marks);
    entry.message = read.message;
    entry
}

/// An entry of any JSON value, as elements of an array are.
#[must_use]
pub fn value(value: Value, received: UnixNanos, defaults: &Defaults) -> Entry {
    if let Value::Object(object) = value {
        return self::object(object, received, defaults);
    }
    let mut entry = defaults.entry(received);
    entry.message = fields::text(value);
    entry.marks = Marks::UNPARSED;
    entry
}

/// An entry of an object.
#[must_use]
pub fn object(mut object: Map<String, Value>, received: UnixNanos, defaults: &Defaults) -> Entry {
    let mut entry = defaults.entry(received);
    let mut odd = Odd::default();
    if let Some(value) = odd.take(&mut object, &["time", "timestamp", "@timestamp", "ts"], time_of)
    {
        entry.time = value;
    }
    if let Some(value) = odd.take(&mut object, &["severity", "level"], severity_of) {
        entry.severity = value;
    }
    if let Some(value) = odd.take(&mut object, &["facility"], facility_of) {
        entry.facility = value;
    }
    let texts: [(&[&str], &mut String); 5] = [
        (&["hostname", "host"], &mut entry.hostname),
        (&["app_name", "service", "logger"], &mut entry.app_name),
        (&["proc_id", "pid"], &mut entry.proc_id),
        (&["msg_id"], &mut entry.msg_id),
        (&["message", "msg"], &mut entry.message),
    ];
    for (names, field) in texts {
        if let Some(text) = odd.take(&mut object, names, scalar_of) {
            *field = text;
        }
    }
    let mut data = Map::new();
    if let Some(given) = odd.take(&mut object, &["structured_data"], object_of) {
        data = given;
    }
    if odd.is_any {
        entry.marks = entry.marks.with(Marks::UNPARSED);
    }
    // What is left; what the sender calls structured data wins over a field beside it.
    for (name, value) in object {
        data.entry(name).or_insert(value);
    }
    fields::set_structured(&mut entry, &data);
    entry
}

/// Whether a field had a value that makes no sense.
#[derive(Debug, Default)]
struct Odd {
    is_any: bool,
}

impl Odd {
    /// Takes the first of some fields that is there. One that cannot be read stays where it is.
    fn take<T>(
        &mut self,
        object: &mut Map<String, Value>,
        names: &[&str],
        read: fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let name = names.iter().find(|name| object.get(**name).is_some_and(|v| !v.is_null()))?;
        let found = object.get(*name).and_then(read);
        match found {
            Some(_) => drop(object.remove(*name)),
            None => self.is_any = true,
        }
        found
    }
}

fn time_of(value: &Value) -> Option<UnixNanos> {
    match value {
        Value::String(text) => time::rfc3339(text)
            .or_else(|| text.parse().ok().map(time::of_number))
            .or_else(|| text.parse().ok().and_then(time::of_seconds)),
        Value::Number(number) => number
            .as_i64()
            .map(time::of_number)
            .or_else(|| number.as_f64().and_then(time::of_seconds)),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn severity_of(value: &Value) -> Option<Severity> {
    match value {
        Value::String(text) => fields::severity(text),
        Value::Number(number) => fields::severity(&number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn facility_of(value: &Value) -> Option<u8> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u8::try_from(number).ok().filter(|number| *number <= 23)
}

/// A string, a number or a truth value; an object is no name and no message.
fn scalar_of(value: &Value) -> Option<String> {
    match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Some(fields::text(value.clone())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn object_of(value: &Value) -> Option<Map<String, Value>> {
    value.as_object().cloned()
}

#[cfg(test)]
mod tests;
