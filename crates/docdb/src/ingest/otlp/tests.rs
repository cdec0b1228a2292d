//! Both encodings of the same requests, and what is wrong with others.

use serde_json::json;

use super::*;
use crate::ingest::protobuf::{put_bytes, put_fixed64, put_number};

const NOW: UnixNanos = UnixNanos(1_769_903_999_000_000_000);

fn data(entry: &Entry) -> Value {
    serde_json::from_str(&entry.structured_data).unwrap_or_default()
}

/// A message of fields that are messages or text.
fn message(fields: &[(u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    fields.iter().for_each(|(number, bytes)| put_bytes(&mut out, *number, bytes));
    out
}

fn text(text: &str) -> Vec<u8> {
    message(&[(1, text.as_bytes())])
}

fn attribute(key: &str, value: &[u8]) -> Vec<u8> {
    message(&[(1, key.as_bytes()), (2, value)])
}

fn number(value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, 3, value.cast_unsigned());
    out
}

/// A record of every kind of value.
fn record() -> Vec<u8> {
    let list = message(&[(1, &attribute("k", &text("v")))]);
    let array = message(&[(1, &number(-1)), (1, &message(&[(6, &list)])), (1, &[])]);
    let mut record = Vec::new();
    put_fixed64(&mut record, 1, 1_769_903_998_000_000_007);
    put_number(&mut record, 2, 17);
    put_bytes(&mut record, 3, b"ERROR");
    put_bytes(&mut record, 5, &text("disk full"));
    put_bytes(&mut record, 6, &attribute("code", &number(507)));
    put_bytes(&mut record, 6, &attribute("list", &message(&[(5, &array)])));
    put_bytes(&mut record, 9, &[0xab; 16]);
    put_bytes(&mut record, 10, &[0xcd; 8]);
    put_bytes(&mut record, 12, b"disk");
    record
}

fn request(records: &[&[u8]]) -> Vec<u8> {
    let resource = message(&[
        (1, &attribute("service.name", &text("shop"))),
        (1, &attribute("host.name", &text("web1"))),
        (1, &attribute("process.pid", &number(77))),
    ]);
    let scope = message(&[(1, b"lib"), (2, b"1.2")]);
    let mut scope_logs = message(&[(1, &scope)]);
    records.iter().for_each(|record| put_bytes(&mut scope_logs, 2, record));
    // A resource may stand behind what is in it.
    let resource_logs = message(&[(2, &scope_logs), (1, &resource)]);
    message(&[(1, &resource_logs)])
}

fn mapped() -> Value {
    let value = |kind: &str, value: Value| json!({ kind: value });
    json!({"resourceLogs": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": value("stringValue", json!("shop"))},
            {"key": "host.name", "value": value("stringValue", json!("web1"))},
            {"key": "process.pid", "value": value("intValue", json!("77"))},
        ]},
        "scopeLogs": [{
            "scope": {"name": "lib", "version": "1.2"},
            "logRecords": [{
                "timeUnixNano": "1769903998000000007",
                "severityNumber": 17,
                "severityText": "ERROR",
                "body": {"stringValue": "disk full"},
                "attributes": [
                    {"key": "code", "value": {"intValue": 507}},
                    {"key": "list", "value": {"arrayValue": {"values": [
                        {"intValue": "-1"},
                        {"kvlistValue": {"values": [{"key": "k", "value": {"stringValue": "v"}}]}},
                        {},
                    ]}}},
                ],
                "traceId": "ABABABABABABABABABABABABABABABAB",
                "spanId": "cdcdcdcdcdcdcdcd",
                "eventName": "disk",
            }],
        }],
    }]})
}

#[test]
fn both_encodings_of_a_record_are_the_same_entry() {
    let by_protobuf = protobuf(&request(&[&record()]), NOW).unwrap();
    let by_json = json(mapped().to_string().as_bytes(), NOW).unwrap();
    assert_eq!((by_protobuf.rejected, by_json.rejected), (0, 0));
    let (a, b) = (by_protobuf.entries.into_list(), by_json.entries.into_list());
    assert_eq!(a, b);
    let entry = &a[0];
    assert_eq!(entry.time, UnixNanos(1_769_903_998_000_000_007));
    assert_eq!((&*entry.app_name, &*entry.hostname, &*entry.proc_id), ("shop", "web1", "77"));
    assert_eq!((&*entry.msg_id, &*entry.message), ("disk", "disk full"));
    assert_eq!((entry.severity, &*entry.source), (Severity::Error, "otlp"));
    let expected = json!({
        "attributes": {"code": 507, "list": [-1, {"k": "v"}, null]},
        "resource": {"service.name": "shop", "host.name": "web1", "process.pid": 77},
        "scope": {"name": "lib", "version": "1.2"},
        "trace_id": "abababababababababababababababab",
        "span_id": "cdcdcdcdcdcdcdcd",
        "severity_text": "ERROR",
        "severity_number": 17,
    });
    assert_eq!(data(entry), expected);
}

#[test]
fn a_record_that_says_nothing_came_now() {
    let export = protobuf(&request(&[&[]]), NOW).unwrap();
    let entry = &export.entries.into_list()[0];
    assert_eq!((entry.time, entry.severity, &*entry.message), (NOW, Severity::Info, ""));
    let mut observed = Vec::new();
    put_fixed64(&mut observed, 11, 5);
    let export = protobuf(&request(&[&observed]), NOW).unwrap();
    assert_eq!(export.entries.into_list()[0].time, UnixNanos(5));
}

#[test]
fn a_bad_record_among_good_ones_is_refused_by_itself() {
    let long = message(&[(5, &text(&"x".repeat(PART_BYTES_MAX)))]);
    let mut deep = text("x");
    for _ in 0..2 * DEPTH_MAX {
        deep = message(&[(5, &message(&[(1, &deep)]))]);
    }
    let deep = message(&[(5, &deep)]);
    let export = protobuf(&request(&[&record(), b"\x0b", &long, &deep, &record()]), NOW).unwrap();
    assert_eq!((export.entries.len(), export.rejected), (2, 3));
    let mut json_request = mapped();
    let records = json_request["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array_mut();
    records.unwrap().extend([json!(7), json!({"timeUnixNano": "soon"}), json!({})]);
    let export = json(json_request.to_string().as_bytes(), NOW).unwrap();
    assert_eq!((export.entries.len(), export.rejected), (2, 2));
}

#[test]
fn what_is_no_request_is_refused() {
    for bytes in [&b"\x0b"[..], b"\x0a\x01\x0b", b"\x08\x01\x0a"] {
        assert!(matches!(protobuf(bytes, NOW), Err(Undecoded::Malformed(_))), "{bytes:?}");
    }
    assert_eq!(protobuf(b"", NOW).unwrap().entries.len(), 0);
    for text in ["", "[]", r#"{"resourceLogs":7}"#, r#"{"resourceLogs":[{"scopeLogs":[7]}]}"#] {
        assert!(matches!(json(text.as_bytes(), NOW), Err(Undecoded::Malformed(_))), "{text}");
    }
}

#[test]
fn an_export_of_nothing_is_taken_and_somebodys_entry_is_sent_elsewhere() {
    for nothing in ["{}", " { } ", r#"{"resourceLogs":[]}"#, r#"{"resourceLogs":null}"#] {
        assert_eq!(json(nothing.as_bytes(), NOW).unwrap().entries.len(), 0, "{nothing}");
    }
    // Members beside the known one are those of a later version of the protocol.
    let later = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}],"later":1}"#;
    assert_eq!(json(later.as_bytes(), NOW).unwrap().entries.len(), 1);
    for other in [
        r#"{"message":"disk full"}"#,
        r#"{"resource_logs":[]}"#,
        r#"{"resourceLogs":null,"message":"x"}"#,
        r#"{"message":"one"}
           {"message":"two"}"#,
        r#"[{"message":"one"}]"#,
    ] {
        let refused = json(other.as_bytes(), NOW).unwrap_err().to_string();
        assert!(refused.ends_with("entries as JSON go to /v1/logs/ingest"), "{other}: {refused}");
    }
    let long = format!("{{\"{}\":0}}", "x".repeat(10_000));
    assert!(json(long.as_bytes(), NOW).unwrap_err().to_string().len() < 200);
}

#[test]
fn names_of_severities_are_their_numbers() {
    for (name, expected) in [
        ("SEVERITY_NUMBER_TRACE", Severity::Debug),
        ("SEVERITY_NUMBER_INFO", Severity::Info),
        ("SEVERITY_NUMBER_INFO4", Severity::Notice),
        ("SEVERITY_NUMBER_ERROR", Severity::Error),
        ("SEVERITY_NUMBER_FATAL4", Severity::Emergency),
        ("SEVERITY_NUMBER_UNSPECIFIED", Severity::Info),
    ] {
        let request = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [
            {"severityNumber": name}]}]}]});
        let export = json(request.to_string().as_bytes(), NOW).unwrap();
        assert_eq!(export.entries.into_list()[0].severity, expected, "{name}");
    }
}

#[test]
fn the_answer_says_how_many_were_refused() {
    assert!(answer(0, "").is_empty());
    let partial = message(&[(1, &[0x08, 0x02, 0x12, 0x03, b'w', b'h', b'y'])]);
    assert_eq!(answer(2, "why"), partial);
}
