//! The dialects of Loki, OpenTelemetry and Elasticsearch: each stored, answered as its clients
//! expect, and refused in a way that they understand.

use std::io::Write as _;

use docdb::ingest::protobuf::{put_bytes, put_fixed64, put_number};
use serde_json::{Value, json};

use super::world::{Answer, World};

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

fn send(world: &World, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    world.connect().ask("POST", path, headers, body)
}

/// The entries of a source, the newest first.
fn found(world: &World, source: &str) -> Vec<Value> {
    let page = world.json("GET", &format!("/v1/logs?source={source}"), "");
    page["entries"].as_array().unwrap().clone()
}

fn message(fields: &[(u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    fields.iter().for_each(|(number, bytes)| put_bytes(&mut out, *number, bytes));
    out
}

/// A push request of Loki with one line.
fn push(line: &str) -> Vec<u8> {
    let mut at = Vec::new();
    put_number(&mut at, 1, 1_769_903_999);
    let entry = message(&[(1, &at), (2, line.as_bytes())]);
    let stream = message(&[(1, b"{job=\"nginx\", host=\"web1\"}"), (2, &entry)]);
    snap::raw::Encoder::new().compress_vec(&message(&[(1, &stream)])).unwrap()
}

#[test]
fn a_push_of_loki_is_answered_with_nothing_in_both_encodings() {
    let world = World::new();
    let path = "/loki/api/v1/push";
    let body = json!({"streams": [{"stream": {"app": "shop", "level": "error"},
        "values": [["1769903999000000001", "by json"]]}]});
    let answer = send(&world, path, &[JSON], body.to_string().as_bytes());
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(send(&world, path, &[PROTOBUF], &push("by snappy")).status, 204);
    let entries = found(&world, "loki");
    assert_eq!(entries.len(), 2);
    assert_eq!(
        (&entries[0]["message"], &entries[0]["severity"]),
        (&json!("by json"), &json!("err"))
    );
    assert_eq!(
        (&entries[1]["app_name"], &entries[1]["hostname"]),
        (&json!("nginx"), &json!("web1"))
    );
    send(&world, path, &[JSON], b"{}").is_failure(400, "InvalidJson");
    send(&world, path, &[PROTOBUF], b"\xff\xff\xff\xff").is_failure(400, "InvalidJson");
    let huge = snap::raw::Encoder::new().compress_vec(&vec![0; 65 << 20]).unwrap();
    send(&world, path, &[PROTOBUF], &huge).is_failure(413, "PayloadTooLarge");
}

/// An export request of OTLP.
fn export(records: &[&[u8]]) -> Vec<u8> {
    let scope: Vec<(u32, &[u8])> = records.iter().map(|record| (2, *record)).collect();
    message(&[(1, &message(&[(2, &message(&scope))]))])
}

fn record(text: &str) -> Vec<u8> {
    let mut record = Vec::new();
    put_fixed64(&mut record, 1, 1_769_903_999_000_000_001);
    put_number(&mut record, 2, 17);
    put_bytes(&mut record, 5, &message(&[(1, text.as_bytes())]));
    record
}

#[test]
fn an_export_of_otlp_is_answered_in_its_encoding() {
    let world = World::new();
    let answer = send(&world, "/v1/logs", &[PROTOBUF], &export(&[&record("plain")]));
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("content-type"), Some("application/x-protobuf"));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&export(&[&record("packed")])).unwrap();
    let packed = gzip.finish().unwrap();
    let headers = [PROTOBUF, ("content-encoding", "gzip")];
    assert_eq!(send(&world, "/v1/logs", &headers, &packed).status, 200);
    let by_json = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"body": {"stringValue": "json"}}, 7]}]}]});
    let answer = send(&world, "/v1/logs", &[JSON], by_json.to_string().as_bytes());
    assert_eq!(answer.json()["partialSuccess"]["rejectedLogRecords"], "1");
    assert_eq!(send(&world, "/v1/logs", &[JSON], b"{}").json(), json!({}));
    let entry = send(&world, "/v1/logs", &[JSON], b"{\"message\":\"at the wrong address\"}");
    entry.is_failure(400, "InvalidJson");
    let said = entry.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(said.contains("resourceLogs") && said.contains("/v1/logs/ingest"), "{said}");
    let answer = send(&world, "/v1/logs", &[PROTOBUF], &export(&[b"\x0b", &record("kept")]));
    assert_eq!((answer.status, &answer.body[2..4]), (200, &[0x08, 1][..]));
    let found = found(&world, "otlp");
    let mut messages: Vec<_> = found.iter().map(|e| e["message"].as_str().unwrap()).collect();
    messages.sort_unstable();
    assert_eq!(messages, ["json", "kept", "packed", "plain"]);
    send(&world, "/v1/logs", &[PROTOBUF], b"\x0b").is_failure(400, "InvalidJson");
    send(&world, "/v1/logs", &[("content-type", "text/plain")], b"x")
        .is_failure(415, "Unsupported");
}

#[test]
fn a_bulk_request_of_elasticsearch_is_answered_item_by_item() {
    let world = World::new();
    let media = "application/vnd.elasticsearch+x-ndjson; compatible-with=9";
    let body = "{\"create\":{}}\n{\"@timestamp\":\"2026-01-31T00:00:00Z\",\"message\":\"one\"}\n\
         {\"delete\":{\"_id\":\"1\"}}\n{\"index\":{\"_index\":\"b\",\"_id\":\"x\"}}\n{\"message\":\"two\"}\n";
    let headers = [
        ("content-type", media),
        ("accept", "application/vnd.elasticsearch+json; compatible-with=9"),
    ];
    let answer = world.connect().ask("PUT", "/app/_bulk?refresh=true", &headers, body.as_bytes());
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-elastic-product"), Some("Elasticsearch"));
    let said = answer.json();
    assert_eq!(said["errors"], true);
    let items = said["items"].as_array().unwrap();
    assert_eq!(
        (&items[0]["create"]["status"], &items[0]["create"]["_index"]),
        (&json!(201), &json!("app"))
    );
    assert_eq!(
        (&items[1]["delete"]["status"], &items[2]["index"]["status"]),
        (&json!(400), &json!(201))
    );
    assert_eq!(items[2]["index"]["_id"], "x");
    let entries = found(&world, "elasticsearch");
    assert_eq!(entries.len(), 2);
    assert_eq!(items[0]["create"]["_seq_no"], entries[1]["id"]);
    let answer = send(&world, "/_bulk", &[JSON], b"nonsense\n");
    assert_eq!((answer.status, &answer.json()["status"]), (400, &json!(400)));
    assert_eq!(answer.json()["error"]["type"], "illegal_argument_exception");
    assert_eq!(answer.header("x-elastic-product"), Some("Elasticsearch"));
}

#[test]
fn clients_of_elasticsearch_are_told_a_version_and_others_are_not() {
    let world = World::new();
    let ask = |headers: &[(&str, &str)]| world.connect().ask("GET", "/", headers, b"");
    let accept = ("accept", "application/vnd.elasticsearch+json; compatible-with=9");
    let answer = ask(&[accept]);
    assert_eq!(answer.json()["version"]["number"], "9.0.0");
    assert_eq!(answer.header("x-elastic-product"), Some("Elasticsearch"));
    let agent = ("user-agent", "elasticsearch-py/7.17.0");
    assert_eq!(ask(&[agent]).json()["version"]["number"], "8.0.0");
    let answer = ask(&[]);
    assert_eq!(answer.json()["name"], "docdb");
    assert_eq!(
        (answer.json()["version"].is_string(), answer.header("x-elastic-product")),
        (true, None)
    );
}

#[test]
fn dialects_need_a_key_that_may_write_logs() {
    let world = World::new();
    let key = |name: &str, grant: &str| format!("Bearer {}", world.key(name, &[grant]));
    let (reads, writes) = (key("reads", "@logs=read"), key("writes", "@logs=write"));
    for path in ["/loki/api/v1/push", "/v1/logs", "/_bulk", "/x/_bulk"] {
        let ask = |key: &str| send(&world, path, &[JSON, ("authorization", key)], b"{}").status;
        assert_eq!(ask(&reads), 403, "{path}");
        assert!(![401, 403].contains(&ask(&writes)), "{path}");
        send(&world, path, &[JSON], b"{}").is_failure(401, "Unauthenticated");
    }
}
