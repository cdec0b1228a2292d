//! What comes and goes in pieces: imports, exports, the change feed; and what operators ask for.

use std::io::Write;

use serde_json::json;

use super::world::World;

const ALL: &str = "/v1/databases/default";
const DOCS: &str = "/v1/databases/default/collections/default/documents";
const BULK: &str = "/v1/databases/default/collections/default/bulk";

#[test]
fn an_import_names_every_line_that_it_refuses() {
    let world = World::new();
    let mut lines = String::new();
    for n in 0..2500 {
        lines.push_str(&format!("{{\"id\":{n},\"document\":{{\"n\":{n}}}}}\n"));
    }
    lines.push_str("\nno json\n{\"id\":1}\n{\"id\":\"last\",\"document\":1}");
    let report = world.json("POST", BULK, &lines);
    assert_eq!((&report["lines"], &report["created"]), (&json!(2504), &json!(2501)));
    assert_eq!(report["refused"], 2);
    assert_eq!(report["errors"][0]["line"], 2502);
    assert_eq!(report["errors"][1]["line"], 2503);
    assert_eq!(report["errors"][0]["error"]["code"], "InvalidJson");
    let again = world.json("POST", &format!("{BULK}?mode=create"), "{\"id\":1,\"document\":1}\n");
    assert_eq!(again["errors"][0]["error"]["code"], "DocExists");
    assert_eq!(world.json("POST", BULK, &lines)["replaced"], 2501);
    assert_eq!(world.json("POST", BULK, "")["lines"], 0);
    world.fails("POST", &format!("{BULK}?mode=merge"), "", 400, "InvalidQuery");
    let nowhere = "/v1/databases/default/collections/nowhere/bulk";
    world.fails("POST", nowhere, "{\"id\":1,\"document\":1}\n", 404, "CollectionNotFound");
}

#[test]
fn an_export_is_what_an_import_takes() {
    let world = World::new();
    for n in 0..1200 {
        let line = format!("{{\"id\":{n},\"document\":{{\"n\":\"{}\"}}}}\n", "x".repeat(50));
        world.json("POST", BULK, &line);
        if n == 100 {
            break;
        }
    }
    world.json("PUT", &format!("{DOCS}/spread"), "{\n \"a\": 1\n}");
    let accept = [("accept", "application/x-ndjson")];
    let export = world.connect().ask("GET", DOCS, &accept, b"");
    assert_eq!(export.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(export.text().lines().count(), 102);
    world.json("PUT", "/v1/databases/copy", "");
    let bulk = "/v1/databases/copy/collections/default/bulk";
    assert_eq!(world.json("POST", bulk, &export.text())["created"], 102);
    let spread = "/v1/databases/copy/collections/default/documents/spread";
    assert_eq!(world.ask("GET", spread, "").text(), "{\n \"a\": 1\n}");
    let some = world.connect().ask("GET", &format!("{DOCS}?from=10&before=12"), &accept, b"");
    assert_eq!(some.text().lines().count(), 2);
    world
        .connect()
        .ask("GET", &format!("{DOCS}?limit=1"), &accept, b"")
        .is_failure(400, "InvalidQuery");
}

#[test]
fn changes_are_told_in_order_to_those_who_poll() {
    let world = World::new();
    world.json("PUT", &format!("{DOCS}/1"), "\"a\"");
    let path = format!("{ALL}/changes");
    let first = world.json("GET", &path, "");
    let next = first["position"].as_u64().unwrap();
    let last = first["changes"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["op"], &last["document"], &last["collection"]),
        (&json!("put"), &json!("a"), &json!("default"))
    );
    assert_eq!(last["lsn"], last["revision"]);
    let mut waiting = world.connect();
    waiting.send("GET", &format!("{path}?after={next}&wait_ms=60000"), &[], b"");
    world.ask("DELETE", &format!("{DOCS}/1"), "");
    let told = waiting.receive("GET").json();
    assert_eq!(
        (&told["changes"][0]["op"], &told["changes"][0]["id"]),
        (&json!("delete"), &json!(1))
    );
    let nothing = world.json("GET", &format!("{path}?after={}&wait_ms=1", told["position"]), "");
    assert_eq!(nothing["changes"], json!([]));
    world.fails("GET", &format!("{path}?after=-1"), "", 400, "InvalidQuery");
    world.fails("GET", &format!("{path}?wait_ms=60001"), "", 400, "InvalidQuery");
}

#[test]
fn a_stream_of_changes_goes_on_where_it_was_left() {
    let world = World::new();
    world.json("PUT", &format!("{DOCS}/1"), "{\n\"a\":1}");
    let path = format!("{ALL}/changes");
    let listen = |last: &str| {
        let mut client = world.connect();
        client.send("GET", &path, &[("accept", "text/event-stream"), ("last-event-id", last)], b"");
        client
    };
    let mut client = listen("0");
    let text = client.read_until("\n\n");
    assert!(text.contains("text/event-stream"), "{text}");
    let mut seen = text;
    while !seen.contains("\"op\":\"put\"") {
        seen = client.read_until("\n\n");
    }
    assert!(seen.contains("data: \"a\":1}"), "a line break continues the data: {seen}");
    let id = seen.lines().rev().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    drop(client);
    world.json("PUT", &format!("{DOCS}/2"), "2");
    let mut again = listen(&id);
    let told = again.read_until("\n\n");
    assert!(told.contains("\"id\":2") && !told.contains("\"id\":1,"), "{told}");
    world.json("PUT", &format!("{DOCS}/3"), "3");
    assert!(again.read_until("\n\n").contains("\"id\":3"));
    world.listening.refuse();
    again.until_closed();
    let mut bad = World::new();
    let bad = &mut bad;
    bad.connect().ask("GET", &path, &[("last-event-id", "x")], b"").is_failure(400, "InvalidQuery");
}

#[test]
fn operators_look_after_a_database() {
    let world = World::new();
    world.json("PUT", &format!("{DOCS}/1"), "\"first\"");
    world.json("PUT", &format!("{DOCS}/1"), "\"second\"");
    let post = |what: &str| world.json("POST", &format!("{ALL}/{what}"), "");
    assert_eq!(post("checkpoint")["flushed"], 1);
    assert!(post("compact")["took_ms"].is_u64());
    assert_eq!(post("heal")["complete"], true);
    assert_eq!(post("validate"), json!({"documents":1,"unsound":0,"flaws":[]}));
    assert_eq!(post("validate?collection=default")["documents"], 1);
    assert_eq!(world.json("GET", &format!("{ALL}/quarantine"), ""), json!({"documents":[]}));
    let stats = world.json("GET", &format!("{ALL}/stats"), "");
    assert_eq!((&stats["documents"], &stats["name"]), (&json!(1), &json!("default")));
    assert!(world.json("GET", &format!("{ALL}/heal"), "")["scans"].is_u64());
    let heal = format!("{ALL}/heal");
    let one = r#"{"collection":"default","id":1}"#;
    assert_eq!(world.json("POST", &heal, one), json!({"damaged":false}));
    let versions = r#"{"collection":"default","id":"1","id_type":"u64","versions":true}"#;
    assert!(world.json("POST", &heal, versions)["versions"].is_array());
    let accept = r#"{"collection":"default","id":1,"accept":99999}"#;
    let accepted = world.ask("POST", &heal, accept);
    assert!(accepted.status >= 400 && accepted.status < 500, "{accepted:?} {}", accepted.text());
    let both = r#"{"collection":"default","id":1,"accept":1,"versions":true}"#;
    world.fails("POST", &heal, both, 400, "InvalidQuery");
    world.fails("POST", &heal, "[", 400, "InvalidJson");
}

#[test]
fn a_backup_becomes_another_database() {
    let world = World::new();
    world.json("PUT", &format!("{DOCS}/1"), "\"kept\"");
    let name = r#"{"backup":"monday"}"#;
    let backup = world.json("POST", &format!("{ALL}/backup"), r#"{"name":"monday"}"#);
    assert_eq!(backup["collections"][0], json!({"name":"default","documents":1}));
    world.json("PUT", &format!("{DOCS}/1"), "\"changed\"");
    let restored = world.json("POST", "/v1/databases/before/restore", name);
    assert_eq!(restored["documents"], 1);
    let old = "/v1/databases/before/collections/default/documents/1";
    assert_eq!(world.ask("GET", old, "").text(), "\"kept\"");
    world.fails("POST", "/v1/databases/before/restore", name, 409, "DbExists");
    world.fails("POST", &format!("{ALL}/backup"), r#"{"name":"../etc"}"#, 400, "InvalidName");
    world.fails("POST", "/v1/databases/x/restore", r#"{"backup":"a/b"}"#, 400, "InvalidName");
    let missing = world.ask("POST", "/v1/databases/x/restore", r#"{"backup":"tuesday"}"#);
    missing.is_failure(404, "FileOpen");
    world.fails("GET", "/v1/databases/x", "", 404, "DbNotFound");
}

#[test]
fn an_import_that_is_broken_off_keeps_what_came_before() {
    let world = World::new();
    let mut client = world.connect();
    let head = format!("POST {BULK} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    client.stream.write_all(head.as_bytes()).unwrap();
    let mut lines = String::new();
    for n in 0..1000 {
        lines.push_str(&format!("{{\"id\":{n},\"document\":{n}}}\n"));
    }
    let chunk = format!("{:x}\r\n{lines}\r\n", lines.len());
    client.stream.write_all(chunk.as_bytes()).unwrap();
    let count =
        || world.json("GET", "/v1/databases/default/collections/default", "")["documents"].clone();
    while count() != json!(1000) {}
    drop(client);
    assert_eq!(count(), json!(1000));
}

#[test]
fn whoever_waits_for_a_database_that_is_dropped_is_told_so() {
    let world = World::new();
    world.json("PUT", "/v1/databases/brief", "");
    let position = world.json("GET", "/v1/databases/brief/changes", "")["position"].clone();
    let mut waiting = world.connect();
    let path = format!("/v1/databases/brief/changes?after={position}&wait_ms=60000");
    waiting.send("GET", &path, &[], b"");
    // It waits, or comes too late: either way the database is gone.
    assert_eq!(world.ask("DELETE", "/v1/databases/brief", "").status, 204);
    waiting.receive("GET").is_failure(404, "DbNotFound");
}
