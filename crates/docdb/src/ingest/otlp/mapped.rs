//! OTLP in the JSON mapping of Protocol Buffers: names in camel case, 64-bit numbers as text or as
//! numbers, ids in hexadecimal.
//!
//! As in Protocol Buffers, a record that is not as it should be is refused by itself, and what is
//! around it is refused as a whole. An object of other members alone is somebody's log entry at the
//! wrong address: it is refused, because an answer of success would make its sender forget it. An
//! empty object is an export of nothing.

use std::collections::BTreeMap;

use logstore::UnixNanos;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::{DEPTH_MAX, ELSEWHERE, Export, Origin, Record, Result};
use crate::ingest::decoded::Undecoded;

/// Characters of a member's name that an error shows.
const NAME_CHARS_SHOWN: usize = 64;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    resource_logs: Option<Vec<ResourceLogs>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs {
    resource: Option<Described>,
    #[serde(default)]
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs {
    scope: Option<Described>,
    #[serde(default)]
    log_records: Vec<Value>,
}

/// A resource or a scope.
#[derive(Deserialize)]
struct Described {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    attributes: Vec<KeyValue>,
}

#[derive(Deserialize)]
struct KeyValue {
    key: String,
    value: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Mapped {
    time_unix_nano: Value,
    observed_time_unix_nano: Value,
    severity_number: Value,
    severity_text: String,
    body: Option<Value>,
    attributes: Vec<KeyValue>,
    flags: Value,
    trace_id: String,
    span_id: String,
    event_name: String,
}

/// Why a request is none.
fn malformed(why: impl std::fmt::Display) -> Undecoded {
    Undecoded::malformed(format!("it is no export request of OTLP: {why}; {ELSEWHERE}"))
}

/// Reads JSON.
///
/// # Errors
/// When it is not of this shape, or too much.
pub fn json(body: &[u8], received: UnixNanos) -> Result<Export> {
    // The library would take an array for an object.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(malformed("the body is no JSON object"));
    }
    let request: Request = serde_json::from_slice(body).map_err(malformed)?;
    let mut export = Export::default();
    let Some(resources) = request.resource_logs else {
        return nothing_else(body).map(|()| export);
    };
    for of_resource in resources {
        let resource = of_resource.resource.map(|resource| pairs(resource.attributes));
        let mut origin = Origin { resource: resource.unwrap_or_default(), scope: Map::new() };
        for of_scope in of_resource.scope_logs {
            origin.scope = of_scope.scope.map(scope).unwrap_or_default();
            for record in of_scope.log_records {
                match serde_json::from_value::<Mapped>(record).ok().and_then(Mapped::record) {
                    Some(record) => export.entries.push(record.entry(&origin, received))?,
                    None => export.rejected += 1,
                }
            }
        }
    }
    Ok(export)
}

/// Refuses an object that has members, none of which is the one that was looked for. Members beside
/// that one would be ignored, as the protocol wants.
fn nothing_else(body: &[u8]) -> Result<()> {
    let members: BTreeMap<String, IgnoredAny> = serde_json::from_slice(body).map_err(malformed)?;
    let is_known = |name: &str| name == "resourceLogs";
    match members.into_keys().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(name) => {
            let shown: String = name.chars().take(NAME_CHARS_SHOWN).collect();
            Err(malformed(format!("it has {shown:?} and no \"resourceLogs\"")))
        }
    }
}

fn scope(scope: Described) -> Map<String, Value> {
    let mut found = pairs(scope.attributes);
    for (name, value) in [("name", scope.name), ("version", scope.version)] {
        if !value.is_empty() {
            found.insert(name.to_owned(), value.into());
        }
    }
    found
}

fn pairs(pairs: Vec<KeyValue>) -> Map<String, Value> {
    let value = |value: Option<Value>| value.map_or(Value::Null, |value| any_value(value, 0));
    pairs.into_iter().map(|pair| (pair.key, value(pair.value))).collect()
}

/// What `{"stringValue":"x"}` and its likes mean; null for what is none of them, or too deep.
fn any_value(any: Value, depth: u32) -> Value {
    let Value::Object(object) = any else { return Value::Null };
    let Some((kind, value)) = object.into_iter().next().filter(|_| depth <= DEPTH_MAX) else {
        return Value::Null;
    };
    match (kind.as_str(), value) {
        ("intValue", value) => signed(&value).map_or(Value::Null, Value::from),
        ("stringValue" | "boolValue" | "doubleValue" | "bytesValue", value) => value,
        ("arrayValue", Value::Object(mut array)) => match array.remove("values") {
            Some(Value::Array(values)) => {
                values.into_iter().map(|value| any_value(value, depth + 1)).collect()
            }
            _ => Value::Array(Vec::new()),
        },
        ("kvlistValue", Value::Object(mut list)) => match list.remove("values") {
            Some(Value::Array(values)) => Value::Object(listed(values, depth)),
            _ => Value::Object(Map::new()),
        },
        _ => Value::Null,
    }
}

fn listed(values: Vec<Value>, depth: u32) -> Map<String, Value> {
    let pairs = values.into_iter().filter_map(|pair| serde_json::from_value(pair).ok());
    let value = |value: Option<Value>| value.map_or(Value::Null, |v| any_value(v, depth + 1));
    pairs.map(|pair: KeyValue| (pair.key, value(pair.value))).collect()
}

/// A number, or one as text.
fn signed(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// The same without a sign; 0 for nothing.
fn unsigned(value: &Value) -> Option<u64> {
    if value.is_null() {
        return Some(0);
    }
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// The number of a severity, which the mapping allows to be its name too.
fn severity_number(value: &Value) -> Option<u64> {
    let Some(name) = value.as_str().and_then(|name| name.strip_prefix("SEVERITY_NUMBER_")) else {
        return unsigned(value);
    };
    let levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
    let (level, within) = match name.strip_suffix(['2', '3', '4']) {
        Some(level) => (level, name.bytes().last().map_or(0, |digit| u64::from(digit - b'1'))),
        None => (name, 0),
    };
    let at = levels.iter().position(|known| *known == level);
    Some(at.map_or(0, |at| at as u64 * 4 + 1 + within))
}

impl Mapped {
    fn record(self) -> Option<Record> {
        Some(Record {
            time: unsigned(&self.time_unix_nano)?,
            observed: unsigned(&self.observed_time_unix_nano)?,
            severity: severity_number(&self.severity_number)?,
            severity_text: self.severity_text,
            body: self.body.map_or(Value::Null, |body| any_value(body, 0)),
            attributes: pairs(self.attributes),
            trace_id: self.trace_id.to_ascii_lowercase(),
            span_id: self.span_id.to_ascii_lowercase(),
            flags: unsigned(&self.flags)?,
            event_name: self.event_name,
        })
    }
}
