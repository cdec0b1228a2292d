//! Requests of `POST /loki/api/v1/push`, as Promtail, Alloy and the clients of many languages send
//! them: JSON, or Protocol Buffers compressed with snappy.
//!
//! Labels and structured metadata become structured data under their own names; of the names that
//! are usual for it ([`HOSTS`], [`APPS`], [`LEVELS`]) the entry takes its host, its program and its
//! severity too, the earliest in the list.

use logstore::{Entry, UnixNanos};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::decoded::{Entries, Undecoded};
use super::fields;
use super::protobuf::Fields;

/// Labels that name the machine.
const HOSTS: [&str; 5] = ["hostname", "host", "node_name", "nodename", "instance"];
/// Labels that name the program.
const APPS: [&str; 8] =
    ["app_name", "service_name", "app", "service", "application", "job", "container", "logger"];
/// Labels that say how bad it is.
const LEVELS: [&str; 3] = ["severity", "level", "detected_level"];
/// Where the entries came from, as they say.
const SOURCE: &str = "loki";

type Result<T> = std::result::Result<T, Undecoded>;

#[derive(Deserialize)]
struct Push {
    streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    #[serde(default)]
    stream: Map<String, Value>,
    #[serde(default)]
    values: Vec<Line>,
}

/// Nanoseconds as text, the line, and perhaps metadata.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Plain(String, String),
    Described(String, String, Map<String, Value>),
}

/// Reads JSON.
///
/// # Errors
/// When it is not of this shape, or too much.
pub fn json(body: &[u8]) -> Result<Entries> {
    // The library would take an array for an object.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Undecoded::malformed("the body is no JSON object"));
    }
    let malformed =
        |error: serde_json::Error| Undecoded::malformed(format!("it is no push request: {error}"));
    let push: Push = serde_json::from_slice(body).map_err(malformed)?;
    let mut entries = Entries::default();
    for stream in push.streams {
        for line in stream.values {
            let (at, line, metadata) = match line {
                Line::Plain(at, line) => (at, line, Map::new()),
                Line::Described(at, line, metadata) => (at, line, metadata),
            };
            let nanos = at.parse().map_err(|_| {
                Undecoded::malformed("the time of a value is not in nanoseconds, as text")
            })?;
            let mut labels = stream.stream.clone();
            labels.extend(metadata);
            entries.push(entry(UnixNanos(nanos), line, labels))?;
        }
    }
    Ok(entries)
}

/// Bytes of what `body` is without compression, as it says itself.
///
/// # Errors
/// When it does not say it.
pub fn uncompressed_bytes(body: &[u8]) -> Result<usize> {
    snap::raw::decompress_len(body).map_err(|error| not_snappy(&error))
}

/// Reads Protocol Buffers compressed with snappy, which take `bytes_max` without it at most.
///
/// # Errors
/// When it is none, or too much.
pub fn protobuf(body: &[u8], bytes_max: usize) -> Result<Entries> {
    let bytes = uncompressed_bytes(body)?;
    if bytes > bytes_max {
        let what =
            format!("the body is {bytes} bytes without compression, at most {bytes_max} are taken");
        return Err(Undecoded::TooLarge(what));
    }
    let message = snap::raw::Decoder::new().decompress_vec(body).map_err(|e| not_snappy(&e))?;
    let mut entries = Entries::default();
    for field in Fields::new(&message) {
        if let (1, stream) = field? {
            add_stream(stream.bytes()?, &mut entries)?;
        }
    }
    Ok(entries)
}

fn not_snappy(error: &snap::Error) -> Undecoded {
    Undecoded::malformed(format!("the body is not compressed with snappy: {error}"))
}

/// `StreamAdapter`: labels as text, and entries.
fn add_stream(stream: &[u8], entries: &mut Entries) -> Result<()> {
    let mut labels = Map::new();
    for field in Fields::new(stream) {
        if let (1, text) = field? {
            labels = labels_of(&text.text()?)?;
        }
    }
    for field in Fields::new(stream) {
        if let (2, entry) = field? {
            entries.push(entry_of(entry.bytes()?, labels.clone())?)?;
        }
    }
    Ok(())
}

/// `EntryAdapter`: a timestamp, a line, and metadata.
fn entry_of(message: &[u8], mut labels: Map<String, Value>) -> Result<Entry> {
    let (mut at, mut line) = (UnixNanos(0), String::new());
    for field in Fields::new(message) {
        match field? {
            (1, value) => at = timestamp(value.bytes()?)?,
            (2, value) => line = value.text()?,
            (3, value) => {
                let (name, value) = pair(value.bytes()?)?;
                labels.insert(name, value.into());
            }
            _ => {}
        }
    }
    Ok(entry(at, line, labels))
}

/// `google.protobuf.Timestamp`: seconds and nanoseconds.
fn timestamp(message: &[u8]) -> Result<UnixNanos> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    for field in Fields::new(message) {
        match field? {
            (1, value) => seconds = value.number()?.cast_signed(),
            (2, value) => nanos = value.number()?.cast_signed(),
            _ => {}
        }
    }
    Ok(UnixNanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos)))
}

/// `LabelPairAdapter`: a name and a value.
fn pair(message: &[u8]) -> Result<(String, String)> {
    let (mut name, mut value) = (String::new(), String::new());
    for field in Fields::new(message) {
        match field? {
            (1, text) => name = text.text()?,
            (2, text) => value = text.text()?,
            _ => {}
        }
    }
    Ok((name, value))
}

/// Labels as Prometheus writes them: `{job="nginx", host="web1"}`, with the escapes of Go in values.
fn labels_of(text: &str) -> Result<Map<String, Value>> {
    let malformed = || Undecoded::malformed("the labels of a stream are not {name=\"value\", …}");
    let inner = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let mut rest = inner.ok_or_else(malformed)?.trim_start();
    let mut labels = Map::new();
    while !rest.is_empty() {
        let (name, behind) = rest.split_once('=').ok_or_else(malformed)?;
        let (value, behind) = quoted(behind.trim_start()).ok_or_else(malformed)?;
        labels.insert(name.trim().to_owned(), value.into());
        rest = behind.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if rest.is_empty() => rest,
            None => return Err(malformed()),
        };
    }
    Ok(labels)
}

/// A string in quotes, and what is behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut value = Vec::new();
    let mut rest = inner;
    loop {
        let end = rest.find(['"', '\\'])?;
        let (plain, behind) = rest.split_at_checked(end)?;
        value.extend_from_slice(plain.as_bytes());
        if let Some(behind) = behind.strip_prefix('"') {
            return Some((String::from_utf8_lossy(&value).into_owned(), behind));
        }
        rest = unescape(behind.strip_prefix('\\')?, &mut value)?;
    }
}

/// What a backslash of Go makes of the characters behind it; answers what is behind those.
fn unescape<'a>(rest: &'a str, value: &mut Vec<u8>) -> Option<&'a str> {
    let mut chars = rest.chars();
    let kind = chars.next()?;
    let simple = match kind {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        '"' => b'"',
        'x' | 'u' | 'U' => return numbered(kind, chars.as_str(), value),
        '0'..='7' => {
            let (digits, behind) = rest.split_at_checked(3)?;
            value.push(u8::from_str_radix(digits, 8).ok()?);
            return Some(behind);
        }
        _ => return None,
    };
    value.push(simple);
    Some(chars.as_str())
}

/// `xff`, `u00e9`, `U0001f600`: a byte, or a character.
fn numbered<'a>(kind: char, rest: &'a str, value: &mut Vec<u8>) -> Option<&'a str> {
    let count = match kind {
        'x' => 2,
        'u' => 4,
        _ => 8,
    };
    let (digits, behind) = rest.split_at_checked(count)?;
    let number = u32::from_str_radix(digits, 16).ok()?;
    if kind == 'x' {
        value.push(u8::try_from(number).ok()?);
    } else {
        let mut bytes = [0; 4];
        value.extend_from_slice(char::from_u32(number)?.encode_utf8(&mut bytes).as_bytes());
    }
    Some(behind)
}

fn entry(at: UnixNanos, line: String, labels: Map<String, Value>) -> Entry {
    let mut entry = Entry::new(at, line);
    SOURCE.clone_into(&mut entry.source);
    let first = |names: &[&str]| names.iter().find_map(|name| labels.get(*name)?.as_str());
    first(&HOSTS).unwrap_or_default().clone_into(&mut entry.hostname);
    first(&APPS).unwrap_or_default().clone_into(&mut entry.app_name);
    if let Some(severity) = first(&LEVELS).and_then(fields::severity) {
        entry.severity = severity;
    }
    fields::set_structured(&mut entry, &labels);
    entry
}

#[cfg(test)]
mod tests {
    use logstore::Severity;
    use serde_json::json;

    use super::super::protobuf::{put_bytes, put_number};
    use super::*;

    fn data(entry: &Entry) -> Value {
        serde_json::from_str(&entry.structured_data).unwrap_or_default()
    }

    #[test]
    fn json_is_read_with_and_without_metadata() {
        let body = json!({"streams": [
            {"stream": {"job": "nginx", "host": "web1", "level": "WARN"}, "values": [
                ["1769903999000000001", "disk full"],
                ["1769903999000000002", "again", {"trace": "t1"}],
            ]},
            {"stream": {}, "values": [["-1", ""]]},
            {"stream": {"job": "empty"}, "values": []},
        ]});
        let entries = json(body.to_string().as_bytes()).unwrap().into_list();
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[0].time, UnixNanos(1_769_903_999_000_000_001));
        assert_eq!((&*entries[0].hostname, &*entries[0].app_name), ("web1", "nginx"));
        assert_eq!((entries[0].severity, &*entries[0].message), (Severity::Warning, "disk full"));
        let expected = json!({"job": "nginx", "host": "web1", "level": "WARN", "trace": "t1"});
        assert_eq!((data(&entries[1]), &*entries[1].source), (expected, "loki"));
        assert_eq!((entries[2].time, &*entries[2].structured_data), (UnixNanos(-1), ""));
    }

    #[test]
    fn what_is_no_push_request_is_refused() {
        for body in [
            "",
            "{}",
            "[]",
            r#"{"streams":{}}"#,
            r#"{"streams":[{"values":[["now","x"]]}]}"#,
            r#"{"streams":[{"values":[[1,"x"]]}]}"#,
            r#"{"streams":[{"values":[["1","x",7]]}]}"#,
        ] {
            assert!(matches!(json(body.as_bytes()), Err(Undecoded::Malformed(_))), "{body}");
        }
    }

    /// Nanoseconds, a line, and metadata.
    type Sent<'s> = (u64, &'s str, &'s [(&'s str, &'s str)]);

    /// A push request of one stream.
    fn message(labels: &str, entries: &[Sent<'_>]) -> Vec<u8> {
        let mut stream = Vec::new();
        put_bytes(&mut stream, 1, labels.as_bytes());
        for (nanos, line, metadata) in entries {
            let (mut at, mut entry) = (Vec::new(), Vec::new());
            put_number(&mut at, 1, nanos / 1_000_000_000);
            put_number(&mut at, 2, nanos % 1_000_000_000);
            put_bytes(&mut entry, 1, &at);
            put_bytes(&mut entry, 2, line.as_bytes());
            for (name, value) in *metadata {
                let mut pair = Vec::new();
                put_bytes(&mut pair, 1, name.as_bytes());
                put_bytes(&mut pair, 2, value.as_bytes());
                put_bytes(&mut entry, 3, &pair);
            }
            put_bytes(&mut stream, 2, &entry);
        }
        let mut push = Vec::new();
        put_bytes(&mut push, 1, &stream);
        push
    }

    fn compressed(message: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(message).unwrap()
    }

    #[test]
    fn protocol_buffers_are_read_and_their_labels_unquoted() {
        let labels = r#"{app="a\"b\\", host="w\u00e9b", n="x\ty",}"#;
        let push = message(labels, &[(1_500_000_001, "one", &[]), (2, "two", &[("k", "v")])]);
        let entries = protobuf(&compressed(&push), 1 << 20).unwrap().into_list();
        assert_eq!(entries[0].time, UnixNanos(1_500_000_001));
        assert_eq!((&*entries[0].app_name, &*entries[0].hostname), ("a\"b\\", "wéb"));
        assert_eq!(data(&entries[1])["k"], "v");
        assert_eq!(data(&entries[1])["n"], "x\ty");
    }

    #[test]
    fn a_body_that_would_grow_too_large_is_refused_before_it_grows() {
        let push = message("{}", &[(1, &"x".repeat(1 << 20), &[])]);
        let body = compressed(&push);
        assert!(body.len() < 1 << 18);
        assert!(matches!(protobuf(&body, 1 << 18), Err(Undecoded::TooLarge(_))));
        assert!(matches!(protobuf(b"\xff\xff\xff", 1 << 18), Err(Undecoded::Malformed(_))));
        assert!(matches!(protobuf(&compressed(b"\x0b"), 99), Err(Undecoded::Malformed(_))));
        for labels in ["", "job=1", "{job}", "{job=1}", "{job=\"1\" x=\"2\"}", r#"{a="\q"}"#] {
            let body = compressed(&message(labels, &[(1, "x", &[])]));
            assert!(protobuf(&body, 1 << 20).is_err(), "{labels}");
        }
    }

    #[test]
    fn a_flood_of_empty_entries_is_refused() {
        let mut stream = Vec::new();
        for _ in 0..=crate::ingest::decoded::ENTRIES_MAX {
            put_bytes(&mut stream, 2, b"");
        }
        let mut push = Vec::new();
        put_bytes(&mut push, 1, &stream);
        let refused = protobuf(&compressed(&push), 1 << 20);
        assert!(matches!(refused, Err(Undecoded::TooLarge(_))));
    }

    #[test]
    fn labels_that_would_be_copied_into_too_many_entries_are_refused() {
        let labels = format!("{{a=\"{}\"}}", "x".repeat(60_000));
        let entries = [(1, "line", &[][..]); 2000];
        let body = compressed(&message(&labels, &entries));
        assert!(matches!(protobuf(&body, 1 << 20), Err(Undecoded::TooLarge(_))));
    }
}
