//! Bytes as requests of those who send logs over HTTP: docdb's own JSON, Loki (JSON, and Protocol Buffers
//! with snappy), OTLP (Protocol Buffers and JSON), Elasticsearch's `_bulk`. Each refuses them and says
//! why, or makes entries that a store takes, no more than a request may have.

use docdb::ingest::json::{self, Defaults};
use docdb::ingest::protobuf::{Fields, put_bytes, put_fixed64, put_number};
use docdb::ingest::syslog::Extent;
use docdb::ingest::{elastic, loki, otlp};

use crate::log_entries::{NOW, are_entries, is_entry, is_refusal};

/// Bytes that a compressed body may become.
const UNPACKED_MAX: usize = 1024 * 1024;

/// One input, as each of them.
pub fn run(data: &[u8]) {
    own(data);
    let snappy = snap::raw::Encoder::new().compress_vec(data).expect("inputs are short");
    assert_eq!(loki::uncompressed_bytes(&snappy), Ok(data.len()));
    for read in [
        loki::json(data),
        loki::protobuf(data, UNPACKED_MAX),
        loki::protobuf(&snappy, UNPACKED_MAX),
    ] {
        match read {
            Ok(entries) => drop(are_entries(entries)),
            Err(refused) => is_refusal(&refused),
        }
    }
    for read in [otlp::protobuf(data, NOW), otlp::json(data, NOW)] {
        match read {
            Ok(export) => {
                let records = export.entries.len() as u64 + export.rejected;
                assert!(records <= data.len() as u64, "more records than bytes");
                are_entries(export.entries);
            }
            Err(refused) => is_refusal(&refused),
        }
    }
    bulk(data);
    let fields: Vec<_> = Fields::new(data).collect();
    assert!(fields.len() <= data.len());
    assert!(fields.iter().rev().skip(1).all(Result::is_ok), "it goes on behind an error");
}

fn own(data: &[u8]) {
    let defaults = Defaults { app_name: "fuzz".to_owned(), ..Defaults::default() };
    let is_blank = data.trim_ascii().is_empty();
    let line = json::line(data, NOW, &defaults);
    assert_eq!(line.is_none(), is_blank);
    line.iter().for_each(is_entry);
    match json::document(data, NOW, &defaults) {
        Ok(entries) => drop(are_entries(entries)),
        Err(refused) => is_refusal(&refused),
    }
    for extent in [Extent::Whole, Extent::Cut] {
        let mut entries = docdb::ingest::decoded::Entries::default();
        match json::of_line(data, extent, NOW, &defaults, &mut entries) {
            Ok(()) => drop(are_entries(entries)),
            Err(refused) => is_refusal(&refused),
        }
    }
}

fn bulk(data: &[u8]) {
    let (with, without) = (elastic::bulk(data, Some("i"), NOW), elastic::bulk(data, None, NOW));
    for read in [with, without] {
        match read {
            Ok(bulk) => {
                let taken = bulk.items.iter().filter(|item| item.refused.is_none()).count();
                assert_eq!(taken, bulk.entries.len(), "an entry for each item that was taken");
                assert!(bulk.items.len() <= data.len());
                are_entries(bulk.entries);
            }
            Err(refused) => is_refusal(&refused),
        }
    }
}

fn message(fields: &[(u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    fields.iter().for_each(|(number, bytes)| put_bytes(&mut out, *number, bytes));
    out
}

/// A push request of Loki, without snappy.
fn push() -> Vec<u8> {
    let mut at = Vec::new();
    put_number(&mut at, 1, 1_769_903_999);
    put_number(&mut at, 2, 7);
    let metadata = message(&[(1, b"trace_id"), (2, b"abc")]);
    let entry = message(&[(1, &at), (2, b"a line"), (3, &metadata)]);
    let labels = br#"{job="nginx", host="web1", note="a\"b\u00e9\x41\101"}"#;
    message(&[(1, &message(&[(1, labels), (2, &entry)]))])
}

/// An export request of OTLP with every kind of value.
fn export() -> Vec<u8> {
    let text = |text: &str| message(&[(1, text.as_bytes())]);
    let attribute = |key: &str, value: &[u8]| message(&[(1, key.as_bytes()), (2, value)]);
    let mut number = Vec::new();
    put_number(&mut number, 3, u64::MAX);
    let mut double = Vec::new();
    put_fixed64(&mut double, 4, f64::NAN.to_bits());
    let list = message(&[(1, &attribute("k", &text("v")))]);
    let array = message(&[(1, &number), (1, &double), (1, &message(&[(6, &list)])), (1, &[])]);
    let mut record = Vec::new();
    put_fixed64(&mut record, 1, 1_769_903_998_000_000_007);
    put_number(&mut record, 2, 17);
    put_bytes(&mut record, 5, &text("disk full"));
    put_bytes(&mut record, 6, &attribute("list", &message(&[(5, &array)])));
    put_bytes(&mut record, 6, &attribute("bytes", &message(&[(7, b"\0\xff")])));
    put_bytes(&mut record, 9, &[0xab; 16]);
    put_bytes(&mut record, 12, b"event");
    let scope = message(&[(1, b"lib"), (2, b"1.2"), (3, &attribute("a", &text("b")))]);
    let resource = message(&[(1, &attribute("service.name", &text("shop")))]);
    let logs = message(&[(1, &scope), (2, &record), (2, &record)]);
    message(&[(1, &message(&[(1, &resource), (2, &logs)]))])
}

/// A request of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let snappy = snap::raw::Encoder::new().compress_vec(&push()).expect("it is short");
    let mut seeds = vec![push(), snappy, export()];
    let texts = [
        r#"{"time":"2026-01-31T23:59:59.5Z","severity":"err","facility":3,"hostname":"h","app_name":"a","proc_id":7,
            "msg_id":"m","message":"disk full","structured_data":{"a":[1,{"b":null}]},"code":507}"#,
        r#"[{"ts":1769903999.25,"level":50,"msg":"x"},"text",7,null,[1],{"@timestamp":1769903999000}]"#,
        r#"{"streams":[{"stream":{"app":"shop","level":"error"},"values":[["1769903999000000001","a line"],
            ["1769903999000000002","b",{"trace_id":"abc"}]]}]}"#,
        r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
            "scopeLogs":[{"scope":{"name":"lib"},"logRecords":[{"timeUnixNano":"1769903998000000007",
            "severityNumber":"SEVERITY_NUMBER_ERROR2","body":{"kvlistValue":{"values":[{"key":"a","value":
            {"arrayValue":{"values":[{"intValue":"-1"},{"doubleValue":0.5},{"boolValue":true}]}}}]}},
            "traceId":"ab","flags":1},7]}]}]}"#,
        "{\"create\":{\"_index\":\"app\"}}\n{\"@timestamp\":\"2026-01-31T23:59:58Z\",\"message\":\"one\",\"log\":{\"level\":\
         \"error\"},\"host\":{\"name\":\"web1\"}}\n{\"index\":{\"_id\":7}}\r\n{\"service.name\":\"shop\"}\n{\"delete\":{\"_id\":1}}\n\
         {\"update\":{}}\n{}\n",
    ];
    seeds.extend(texts.map(|text| text.as_bytes().to_vec()));
    seeds
}
