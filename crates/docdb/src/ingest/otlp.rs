//! Requests of OTLP/HTTP for logs (`ExportLogsServiceRequest`), as OpenTelemetry's SDKs and
//! Collector send them: Protocol Buffers, or their JSON mapping.
//!
//! | of a record | is |
//! |---|---|
//! | `time_unix_nano`, or else `observed_time_unix_nano` | when it happened |
//! | `severity_number` | the severity: a level of OpenTelemetry is four numbers wide |
//! | `body` | the message; what is no string is written as JSON |
//! | `event_name` | the kind of message |
//! | resource attribute `service.name`, `host.name`, `process.pid` | program, machine, process |
//! | everything else | structured data: `attributes`, `resource`, `scope`, `trace_id`, `span_id` … |
//!
//! A record that is damaged or too long within a sound request is refused by itself: the answer says
//! how many were (*partial success*).

use logstore::{Entry, Severity, UnixNanos};
use serde_json::{Map, Value, json};

use super::decoded::{Entries, Undecoded};
use super::fields;
use super::protobuf::{Fields, NoMessage, Value as Wire};

mod mapped;

pub use mapped::json;

/// What is said to a sender of something else.
pub const ELSEWHERE: &str = "entries as JSON go to /v1/logs/ingest";
/// Where the entries came from, as they say.
const SOURCE: &str = "otlp";
/// Longest record and longest resource; longer ones are refused.
const PART_BYTES_MAX: usize = 1024 * 1024;
/// How deep a value may be: the limit of the libraries of others.
const DEPTH_MAX: u32 = 32;

type Result<T> = std::result::Result<T, Undecoded>;

/// What a request held.
#[derive(Debug, Default)]
pub struct Export {
    /// Its entries.
    pub entries: Entries,
    /// Records that were refused.
    pub rejected: u64,
}

/// What the records of a scope have in common.
#[derive(Debug, Clone, Default)]
struct Origin {
    resource: Map<String, Value>,
    scope: Map<String, Value>,
}

/// A record, whatever it was written in.
#[derive(Debug, Default)]
struct Record {
    time: u64,
    observed: u64,
    severity: u64,
    severity_text: String,
    body: Value,
    attributes: Map<String, Value>,
    trace_id: String,
    span_id: String,
    flags: u64,
    event_name: String,
}

/// Reads Protocol Buffers.
///
/// # Errors
/// When it is none, or too much.
pub fn protobuf(body: &[u8], received: UnixNanos) -> Result<Export> {
    let mut export = Export::default();
    for field in Fields::new(body) {
        if let (1, resource_logs) = field? {
            add_resource(resource_logs.bytes()?, received, &mut export)?;
        }
    }
    Ok(export)
}

/// `ResourceLogs`: a resource, and the scopes in it.
fn add_resource(message: &[u8], received: UnixNanos, export: &mut Export) -> Result<()> {
    let mut origin = Origin::default();
    for field in Fields::new(message) {
        if let (1, resource) = field? {
            origin.resource = attributes(resource.bytes()?, 1)?;
        }
    }
    for field in Fields::new(message) {
        if let (2, scope_logs) = field? {
            add_scope(scope_logs.bytes()?, &origin, received, export)?;
        }
    }
    Ok(())
}

/// `ScopeLogs`: a scope, and its records.
fn add_scope(
    message: &[u8],
    origin: &Origin,
    received: UnixNanos,
    export: &mut Export,
) -> Result<()> {
    let mut origin = origin.clone();
    for field in Fields::new(message) {
        if let (1, scope) = field? {
            origin.scope = scope_of(scope.bytes()?)?;
        }
    }
    for field in Fields::new(message) {
        if let (2, record) = field? {
            match record_of(record.bytes()?) {
                Ok(record) => export.entries.push(record.entry(&origin, received))?,
                Err(_) => export.rejected += 1,
            }
        }
    }
    Ok(())
}

/// `InstrumentationScope`: name, version, attributes.
fn scope_of(message: &[u8]) -> Result<Map<String, Value>> {
    let mut scope = attributes(message, 3)?;
    for field in Fields::new(message) {
        match field? {
            (1, name) => drop(scope.insert("name".to_owned(), name.text()?.into())),
            (2, version) => drop(scope.insert("version".to_owned(), version.text()?.into())),
            _ => {}
        }
    }
    scope.retain(|_, value| value.as_str() != Some(""));
    Ok(scope)
}

/// The attributes in a message, whose fields of this `number` they are.
fn attributes(message: &[u8], number: u32) -> Result<Map<String, Value>> {
    if message.len() > PART_BYTES_MAX {
        let what = format!("a resource or scope is longer than {PART_BYTES_MAX} bytes");
        return Err(Undecoded::TooLarge(what));
    }
    let mut found = Map::new();
    for field in Fields::new(message) {
        let (at, value) = field?;
        if at == number {
            let (key, value) = key_value(value.bytes()?, 0)?;
            found.insert(key, value);
        }
    }
    Ok(found)
}

/// `LogRecord`.
fn record_of(message: &[u8]) -> std::result::Result<Record, NoMessage> {
    if message.len() > PART_BYTES_MAX {
        return Err(NoMessage);
    }
    let mut record = Record::default();
    for field in Fields::new(message) {
        match field? {
            (1, time) => record.time = time.fixed64()?,
            (2, severity) => record.severity = severity.number()?,
            (3, text) => record.severity_text = text.text()?,
            (5, body) => record.body = any_value(body.bytes()?, 0)?,
            (6, attribute) => {
                let (key, value) = key_value(attribute.bytes()?, 0)?;
                record.attributes.insert(key, value);
            }
            (8, Wire::Fixed32(flags)) => record.flags = u64::from(flags),
            (9, id) => record.trace_id = hex(id.bytes()?),
            (10, id) => record.span_id = hex(id.bytes()?),
            (11, time) => record.observed = time.fixed64()?,
            (12, name) => record.event_name = name.text()?,
            _ => {}
        }
    }
    Ok(record)
}

/// `KeyValue`.
fn key_value(message: &[u8], depth: u32) -> std::result::Result<(String, Value), NoMessage> {
    let (mut key, mut value) = (String::new(), Value::Null);
    for field in Fields::new(message) {
        match field? {
            (1, text) => key = text.text()?,
            (2, any) => value = any_value(any.bytes()?, depth)?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// `AnyValue`: one of several kinds; without any it is nothing.
fn any_value(message: &[u8], depth: u32) -> std::result::Result<Value, NoMessage> {
    if depth > DEPTH_MAX {
        return Err(NoMessage);
    }
    let mut found = Value::Null;
    for field in Fields::new(message) {
        found = match field? {
            (1, text) => text.text()?.into(),
            (2, truth) => (truth.number()? != 0).into(),
            (3, number) => number.number()?.cast_signed().into(),
            (4, number) => f64::from_bits(number.fixed64()?).into(),
            (5, array) => values(array.bytes()?, depth)?,
            (6, list) => {
                let mut map = Map::new();
                for field in Fields::new(list.bytes()?) {
                    if let (1, pair) = field? {
                        let (key, value) = key_value(pair.bytes()?, depth + 1)?;
                        map.insert(key, value);
                    }
                }
                map.into()
            }
            (7, bytes) => base64(bytes.bytes()?).into(),
            _ => continue,
        };
    }
    Ok(found)
}

/// `ArrayValue`.
fn values(message: &[u8], depth: u32) -> std::result::Result<Value, NoMessage> {
    let mut found = Vec::new();
    for field in Fields::new(message) {
        if let (1, value) = field? {
            found.push(any_value(value.bytes()?, depth + 1)?);
        }
    }
    Ok(found.into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The severity of OpenTelemetry's number: TRACE 1–4, DEBUG 5–8, INFO 9–12, WARN 13–16, ERROR 17–20,
/// FATAL 21–24 (Logs Data Model, "Mapping of SeverityNumber"). None for 0, which says nothing.
fn severity(number: u64) -> Option<Severity> {
    match number {
        1..=8 => Some(Severity::Debug),
        9 => Some(Severity::Info),
        10..=12 => Some(Severity::Notice),
        13..=16 => Some(Severity::Warning),
        17 => Some(Severity::Error),
        18..=20 => Some(Severity::Critical),
        21..=22 => Some(Severity::Alert),
        23..=24 => Some(Severity::Emergency),
        _ => None,
    }
}

fn nanos(time: u64) -> Option<UnixNanos> {
    i64::try_from(time).ok().filter(|nanos| *nanos > 0).map(UnixNanos)
}

impl Record {
    fn entry(self, origin: &Origin, received: UnixNanos) -> Entry {
        let time = nanos(self.time).or_else(|| nanos(self.observed)).unwrap_or(received);
        let mut entry = Entry::new(time, fields::text(self.body));
        let of_resource =
            |name: &str| origin.resource.get(name).cloned().map(fields::text).unwrap_or_default();
        entry.hostname = of_resource("host.name");
        entry.app_name = of_resource("service.name");
        entry.proc_id = of_resource("process.pid");
        entry.msg_id = self.event_name;
        SOURCE.clone_into(&mut entry.source);
        let by_text = || fields::severity(&self.severity_text);
        entry.severity = severity(self.severity).or_else(by_text).unwrap_or(Severity::Info);
        let mut data = Map::new();
        let parts: [(&str, Value); 8] = [
            ("attributes", self.attributes.into()),
            ("resource", origin.resource.clone().into()),
            ("scope", origin.scope.clone().into()),
            ("trace_id", self.trace_id.into()),
            ("span_id", self.span_id.into()),
            ("severity_text", self.severity_text.into()),
            ("severity_number", self.severity.into()),
            ("flags", self.flags.into()),
        ];
        for (name, value) in parts {
            let is_nothing = value == json!({}) || value == json!("") || value == json!(0);
            if !is_nothing {
                data.insert(name.to_owned(), value);
            }
        }
        fields::set_structured(&mut entry, &data);
        entry
    }
}

/// The answer in Protocol Buffers: nothing, or how many records were refused.
#[must_use]
pub fn answer(rejected: u64, why: &str) -> Vec<u8> {
    let mut out = Vec::new();
    if rejected > 0 {
        let mut partial = Vec::new();
        super::protobuf::put_number(&mut partial, 1, rejected);
        super::protobuf::put_bytes(&mut partial, 2, why.as_bytes());
        super::protobuf::put_bytes(&mut out, 1, &partial);
    }
    out
}

#[cfg(test)]
mod tests;
