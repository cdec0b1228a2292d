//! What follows `<PRI>1 ` in a message of RFC 5424: header, structured data, message.
//!
//! The limits of the RFC on lengths of names are not asked for: many senders exceed them, and a
//! field that is longer than the store takes is cut there and marked. Nothing else of the grammar is
//! given up: none is returned for what does not fit it.
//!
//! Structured data become a JSON object with an object for each SD-ID, in which a parameter is a
//! string, or an array of strings when it is there several times.

use logstore::{Entry, UnixNanos};
use serde_json::map::Entry as Place;
use serde_json::{Map, Value};

use crate::ingest::{fields, time};

/// What stands for nothing.
const NIL: &str = "-";
/// What may begin a message that is UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Reads what is behind the version and its blank.
pub(super) fn parse(rest: &[u8], received: UnixNanos) -> Option<Entry> {
    let (time, rest) = token(rest)?;
    let (hostname, rest) = token(rest)?;
    let (app_name, rest) = token(rest)?;
    let (proc_id, rest) = token(rest)?;
    let (msg_id, rest) = token(rest)?;
    let (data, rest) = structured_data(rest)?;
    let message = match rest {
        [] => rest,
        [b' ', message @ ..] => message,
        _ => return None,
    };
    let message = message.strip_prefix(BOM).unwrap_or(message);
    let mut entry = Entry::from_bytes(received, message);
    entry.time = if time == NIL { received } else { time::rfc3339(time)? };
    entry.hostname = named(hostname);
    entry.app_name = named(app_name);
    entry.proc_id = named(proc_id);
    entry.msg_id = named(msg_id);
    fields::set_structured(&mut entry, &data);
    Some(entry)
}

fn named(token: &str) -> String {
    if token == NIL { String::new() } else { token.to_owned() }
}

/// A field of the header, and what is behind the blank that ends it.
fn token(rest: &[u8]) -> Option<(&str, &[u8])> {
    let end = rest.iter().position(|byte| *byte == b' ').filter(|end| *end > 0)?;
    let (token, rest) = rest.split_at_checked(end)?;
    let token = std::str::from_utf8(token).ok()?;
    let is_printed = !token.contains(char::is_control);
    is_printed.then_some((token, rest.strip_prefix(b" ")?))
}

/// `-`, or elements in brackets without anything between them.
fn structured_data(rest: &[u8]) -> Option<(Map<String, Value>, &[u8])> {
    let mut data = Map::new();
    if let Some(rest) = rest.strip_prefix(NIL.as_bytes()) {
        return Some((data, rest));
    }
    let mut rest = rest.strip_prefix(b"[")?;
    loop {
        rest = element(rest, &mut data)?;
        match rest.strip_prefix(b"[") {
            Some(next) => rest = next,
            None => return Some((data, rest)),
        }
    }
}

/// An element behind its opening bracket; answers what is behind the closing one.
fn element<'a>(rest: &'a [u8], data: &mut Map<String, Value>) -> Option<&'a [u8]> {
    let (id, mut rest) = name(rest)?;
    // The RFC forbids the same SD-ID twice; whoever does it all the same loses nothing.
    let place = data.entry(id).or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(params) = place else { return None };
    loop {
        if let Some(rest) = rest.strip_prefix(b"]") {
            return Some(rest);
        }
        let (name, behind) = name(rest.strip_prefix(b" ")?)?;
        let (value, behind) = value(behind.strip_prefix(b"=\"")?)?;
        rest = behind;
        add(params, name, Value::String(value));
    }
}

fn add(params: &mut Map<String, Value>, name: String, value: Value) {
    match params.entry(name) {
        Place::Vacant(place) => drop(place.insert(value)),
        Place::Occupied(mut place) => {
            if let Value::Array(values) = place.get_mut() {
                values.push(value);
            } else {
                let first = place.get_mut().take();
                place.insert(Value::Array(vec![first, value]));
            }
        }
    }
}

/// SD-NAME: printable ASCII but `=`, blank, `]` and `"`.
fn name(rest: &[u8]) -> Option<(String, &[u8])> {
    let is_of_name = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'=' | b']' | b'"');
    let end = rest.iter().position(|byte| !is_of_name(byte)).filter(|end| *end > 0)?;
    let (name, rest) = rest.split_at_checked(end)?;
    Some((String::from_utf8(name.to_vec()).ok()?, rest))
}

/// PARAM-VALUE behind its opening quote; answers what is behind the closing one. A backslash
/// escapes `"`, `\` and `]`, and before anything else is itself.
fn value(rest: &[u8]) -> Option<(String, &[u8])> {
    let mut value = Vec::new();
    let mut bytes = rest.iter().enumerate();
    loop {
        let (at, byte) = bytes.next()?;
        match byte {
            b'"' => {
                let behind = rest.get(at.checked_add(1)?..)?;
                return Some((String::from_utf8(value).ok()?, behind));
            }
            // It must be escaped; taking it as it is would be a guess where the value ends.
            b']' => return None,
            b'\\' => match bytes.next()? {
                (_, escaped @ (b'"' | b'\\' | b']')) => value.push(*escaped),
                (_, other) => value.extend_from_slice(&[b'\\', *other]),
            },
            other => value.push(*other),
        }
    }
}
