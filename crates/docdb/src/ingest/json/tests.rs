//! Objects, lines and documents of JSON, and what is none.

use super::*;
use logstore::MESSAGE_BYTES_MAX;
use serde_json::json;

const NOW: UnixNanos = UnixNanos(1_769_903_999_000_000_000);

fn read(text: &str) -> Entry {
    line(text.as_bytes(), NOW, &Defaults::default()).unwrap()
}

fn data(entry: &Entry) -> Value {
    serde_json::from_str(&entry.structured_data).unwrap_or_default()
}

#[test]
fn every_field_has_its_place() {
    let entry = read(
        r#"{"time":"2026-01-31T23:59:58.000000001Z","severity":"err","facility":4,
            "hostname":"web1","app_name":"nginx","proc_id":77,"msg_id":"M1",
            "message":"disk full","structured_data":{"code":507},"extra":[1]}"#,
    );
    assert_eq!(entry.time, UnixNanos(NOW.0 - 999_999_999));
    assert_eq!((entry.severity, entry.facility), (Severity::Error, 4));
    assert_eq!((&*entry.hostname, &*entry.app_name), ("web1", "nginx"));
    assert_eq!((&*entry.proc_id, &*entry.msg_id, &*entry.message), ("77", "M1", "disk full"));
    assert_eq!(data(&entry), json!({ "code": 507, "extra": [1] }));
    assert_eq!(entry.marks, Marks::NONE);
}

#[test]
fn other_loggers_names_are_understood() {
    let entry = read(r#"{"ts":1769903999.5,"level":"WARN","msg":"slow","logger":"db","pid":1}"#);
    assert_eq!(entry.time, UnixNanos(NOW.0 + 500_000_000));
    assert_eq!((entry.severity, &*entry.app_name), (Severity::Warning, "db"));
    assert_eq!((&*entry.proc_id, &*entry.message), ("1", "slow"));
    assert_eq!(entry.structured_data, "");
    // The first name counts, the other is a field.
    let entry = read(r#"{"message":"a","msg":"b","host":null,"hostname":"h"}"#);
    assert_eq!((&*entry.message, &*entry.hostname), ("a", "h"));
    assert_eq!(data(&entry), json!({ "msg": "b", "host": null }));
}

#[test]
fn what_makes_no_sense_is_kept_and_marked() {
    let entry = read(r#"{"time":"yesterday","level":"loud","facility":99,"msg":{"a":1}}"#);
    assert_eq!((entry.time, entry.severity, entry.facility), (NOW, Severity::Info, 1));
    let kept = json!({"time":"yesterday","level":"loud","facility":99,"msg":{"a":1}});
    assert_eq!((data(&entry), entry.marks), (kept, Marks::UNPARSED));
    for text in ["plain words", "[1]", "7", "{\"a\":", "{} x"] {
        let entry = read(text);
        assert_eq!((&*entry.message, entry.marks), (text, Marks::UNPARSED));
    }
    assert_eq!(line(b" \t\r", NOW, &Defaults::default()), None);
    let entry = line(b"\xff", NOW, &Defaults::default()).unwrap();
    assert_eq!(entry.marks, Marks::UNPARSED.with(Marks::INVALID_UTF8));
}

#[test]
fn a_line_of_ten_megabytes_is_kept_as_far_as_a_message_goes() {
    let long = format!("{{\"message\":\"{}\"}}", "x".repeat(10_000_000));
    let entry = read(&long);
    assert!(entry.marks.has(Marks::UNPARSED));
    assert!(entry.message.len() <= MESSAGE_BYTES_MAX + 4);
}

#[test]
fn a_document_is_an_array_or_one_entry() {
    let read = |text: &str| document(text.as_bytes(), NOW, &Defaults::default());
    let entries = read(r#" [{"message":"a"}, "b", 7, {"message":"c"}] "#).unwrap().into_list();
    let messages: Vec<_> = entries.iter().map(|entry| entry.message.as_str()).collect();
    assert_eq!(messages, ["a", "b", "7", "c"]);
    assert!(entries[1].marks.has(Marks::UNPARSED) && !entries[3].marks.has(Marks::UNPARSED));
    assert_eq!(read(r#"{"message":"a"}"#).unwrap().len(), 1);
    assert!(read("[]").unwrap().is_empty());
    for text in ["", "7", "[1", "[1]x", "{\"a\":}", "{\"message\":\"a\"}\n{}"] {
        assert!(matches!(read(text), Err(Undecoded::Malformed(_))), "{text}");
    }
    let many = format!("[1{}]", ",1".repeat(crate::ingest::decoded::ENTRIES_MAX));
    assert!(matches!(read(&many), Err(Undecoded::TooLarge(_))));
}

#[test]
fn an_array_in_a_line_is_its_entries() {
    let mut entries = Entries::default();
    for (text, extent) in
        [("[{\"message\":\"a\"},\"b\"]", Extent::Whole), ("", Extent::Whole), ("{\"m", Extent::Cut)]
    {
        let defaults = Defaults::default();
        of_line(text.as_bytes(), extent, NOW, &defaults, &mut entries).unwrap();
    }
    let entries = entries.into_list();
    assert_eq!(entries.len(), 3);
    assert_eq!(entries[2].marks, Marks::UNPARSED.with(Marks::CUT));
}

#[test]
fn defaults_fill_what_is_missing() {
    let defaults = Defaults {
        hostname: "h".to_owned(),
        app_name: "a".to_owned(),
        severity: Some(Severity::Notice),
        source: "s".to_owned(),
    };
    let entry = line(br#"{"message":"m","host":"other"}"#, NOW, &defaults).unwrap();
    assert_eq!((&*entry.hostname, &*entry.app_name, &*entry.source), ("other", "a", "s"));
    assert_eq!(entry.severity, Severity::Notice);
    assert_eq!(value(json!("x"), NOW, &defaults).app_name, "a");
}
