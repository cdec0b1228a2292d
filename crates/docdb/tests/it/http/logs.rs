//! Application logs over HTTP: stored, found, counted, copied, and what is refused.

use std::io::Write as _;

use serde_json::{Value, json};

use super::world::World;

/// Asks for something of the logs; the value of a parameter is escaped.
fn get(world: &World, path: &str, query: &[(&str, &str)]) -> Value {
    let escaped = |text: &str| {
        let one = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        };
        text.bytes().map(one).collect::<String>()
    };
    let pairs: Vec<_> = query.iter().map(|(k, v)| format!("{k}={}", escaped(v))).collect();
    world.json("GET", &format!("{path}?{}", pairs.join("&")), "")
}

fn messages(page: &Value) -> Vec<String> {
    let entries = page["entries"].as_array().unwrap().iter();
    entries.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
}

fn found(world: &World, query: &[(&str, &str)]) -> Vec<String> {
    let mut all = vec![("app_name", "!docdb")];
    all.extend_from_slice(query);
    messages(&get(world, "/v1/logs", &all))
}

/// Ten entries of two programs, a second apart.
fn filled(world: &World) {
    let lines: Vec<String> = (0..10)
        .map(|n| {
            let (app, severity) = if n % 2 == 0 { ("nginx", "err") } else { ("caddy", "info") };
            json!({
                "time": format!("2026-01-31T00:00:0{n}Z"), "app_name": app, "severity": severity,
                "hostname": "web1", "message": format!("request {n} done"), "code": 500 + n,
            })
            .to_string()
        })
        .collect();
    let answer = world.json("POST", "/v1/logs/ingest", &lines.join("\n"));
    assert_eq!(answer, json!({"stored": 10, "unparsed": 0, "refused": 0, "errors": []}));
}

#[test]
fn what_was_answered_is_found_at_once_by_every_condition() {
    let world = World::new();
    filled(&world);
    assert_eq!(found(&world, &[]).len(), 10);
    assert_eq!(found(&world, &[])[0], "request 9 done");
    assert_eq!(found(&world, &[("order", "oldest"), ("limit", "1")]), ["request 0 done"]);
    assert_eq!(found(&world, &[("text", "\"request 7\"")]), ["request 7 done"]);
    let errors: &[(&str, &str)] = &[("severity_max", "3"), ("hostname", "web1,web2")];
    assert_eq!(found(&world, errors).len(), 5);
    assert_eq!(found(&world, &[("sd", "code=503,504")]).len(), 2);
    let range: &[(&str, &str)] =
        &[("from", "2026-01-31T00:00:02Z"), ("to", "2026-01-31T00:00:03Z")];
    assert_eq!(found(&world, range), ["request 3 done", "request 2 done"]);
    // What a user types is never an error.
    for text in ["\"", "AND OR", "((", "-", "a:b*\"'; DROP TABLE", "\u{0}", "é OR"] {
        found(&world, &[("text", text)]);
    }
}

#[test]
fn pages_are_turned_both_ways() {
    let world = World::new();
    filled(&world);
    let page = |query: &[(&str, &str)]| {
        let mut all = vec![("hostname", "web1"), ("limit", "4")];
        all.extend_from_slice(query);
        get(&world, "/v1/logs", &all)
    };
    let cursor = |page: &Value, name: &str| page[name].as_str().unwrap().to_owned();
    let first = page(&[]);
    assert!(first["previous"].is_null());
    let second = page(&[("cursor", &cursor(&first, "next"))]);
    let third = page(&[("cursor", &cursor(&second, "next"))]);
    assert_eq!(messages(&third), ["request 1 done", "request 0 done"]);
    assert!(third["next"].is_null());
    let back = page(&[("cursor", &cursor(&third, "previous")), ("back", "true")]);
    assert_eq!(messages(&back), messages(&second));
    let on = page(&[("cursor", &cursor(&back, "next"))]);
    assert_eq!(messages(&on), messages(&third));
    let begin = page(&[("cursor", &cursor(&back, "previous")), ("back", "true")]);
    assert_eq!(messages(&begin), messages(&first));
    assert!(begin["previous"].is_null());
}

#[test]
fn counts_are_over_time_and_of_values() {
    let world = World::new();
    filled(&world);
    let range = [("from", "2026-01-31T00:00:00Z"), ("to", "2026-01-31T00:00:09Z")];
    let mut asked = range.to_vec();
    asked.push(("width_ms", "5000"));
    let bars = get(&world, "/v1/logs/histogram", &asked);
    let counts: Vec<_> = bars["bars"].as_array().unwrap().iter().map(|bar| &bar["count"]).collect();
    assert_eq!(counts, [5, 5]);
    assert_eq!(bars["bars"][0]["severities"], json!({"err": 3, "info": 2}));
    assert_eq!(get(&world, "/v1/logs/histogram", &range)["width_ms"], 1000);
    let top = get(&world, "/v1/logs/top", &[("field", "app_name"), ("hostname", "web1")]);
    let nginx = json!({"value": "nginx", "count": 5});
    assert_eq!((top["values"].as_array().unwrap().len(), &top["total"]), (2, &json!(10)));
    assert!(top["values"].as_array().unwrap().contains(&nginx), "{top}");
    world.fails("GET", "/v1/logs/top", "", 400, "InvalidQuery");
    world.fails("GET", "/v1/logs?from=yesterday", "", 400, "InvalidQuery");
    world.fails("GET", "/v1/logs/histogram?from=5&to=1", "", 400, "InvalidQuery");
}

#[test]
fn bodies_come_as_lines_arrays_and_plain_text() {
    let world = World::new();
    let send = |media: &str, path: &str, body: &[u8]| {
        world.connect().ask("POST", path, &[("content-type", media)], body)
    };
    let path = "/v1/logs/ingest?hostname=h&app_name=batch&severity=notice";
    let answer = send("application/json", path, br#"[{"message":"a"},{"message":"b"}]"#);
    assert_eq!((answer.status, &answer.json()["stored"]), (200, &json!(2)));
    let answer =
        send("application/json", path, b"{\"message\":\"c\"}\n{\"message\":\"d\"}\nnot json\n");
    assert_eq!((&answer.json()["stored"], &answer.json()["unparsed"]), (&json!(3), &json!(1)));
    let answer = send("text/plain; charset=utf-8", path, b"e { not json\r\n\n\xff\n");
    assert_eq!((&answer.json()["stored"], &answer.json()["unparsed"]), (&json!(2), &json!(0)));
    let page = get(&world, "/v1/logs", &[("app_name", "batch"), ("severity", "notice")]);
    assert_eq!(messages(&page), ["\u{fffd}", "e { not json", "not json", "d", "c", "b", "a"]);
    let marks: Vec<_> =
        page["entries"].as_array().unwrap().iter().map(|entry| &entry["marks"]).collect();
    assert_eq!(marks[..3], [&json!(["invalid_utf8"]), &Value::Null, &json!(["unparsed"])]);
    assert_eq!(send("application/json", path, b"").json()["stored"], 0);
    assert_eq!(send("application/x-ndjson", path, b"").json()["stored"], 0);
    let answer = send("application/json", "/v1/logs/ingest?severity=loud", b"[]");
    answer.is_failure(400, "InvalidQuery");
}

#[test]
fn more_entries_than_the_queue_holds_are_stored_all_the_same_and_once() {
    let flags: &[(&str, &str)] = &[("logs.queue_size", "100"), ("logs.queue_bytes", "256KiB")];
    let world = World::with(flags);
    let lines: Vec<String> =
        (0..5000).map(|n| format!("{{\"app_name\":\"flood\",\"message\":\"m{n}\"}}")).collect();
    let answer = world.json("POST", "/v1/logs/ingest", &lines.join("\n"));
    assert_eq!(answer["stored"], 5000);
    let top = get(&world, "/v1/logs/top", &[("field", "app_name"), ("app_name", "flood")]);
    assert_eq!(top["total"], 5000);
    let long = format!("{{\"app_name\":\"long\",\"message\":\"{}\"}}", "x".repeat(10_000_000));
    let answer = world.json("POST", "/v1/logs/ingest", &long);
    assert_eq!((&answer["stored"], &answer["unparsed"]), (&json!(1), &json!(1)));
}

#[test]
fn a_compressed_stream_is_read() {
    let world = World::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"{\"message\":\"packed\"}\n").unwrap();
    let headers = [("content-encoding", "gzip"), ("content-type", "application/x-ndjson")];
    let body = gzip.finish().unwrap();
    let answer = world.connect().ask("POST", "/v1/logs/ingest", &headers, &body);
    assert_eq!(answer.json()["stored"], 1);
    assert_eq!(found(&world, &[]), ["packed"]);
}

#[test]
fn the_logs_survive_a_restart_and_a_backup_holds_them() {
    let world = World::new();
    filled(&world);
    let report = world.json("POST", "/v1/logs/backup", "{\"name\":\"monday\"}");
    assert_eq!(report["entries"], 10);
    world.fails("POST", "/v1/logs/backup", "{\"name\":\"../x\"}", 400, "InvalidName");
    let (disk, to) = (base::io::RealDisk::shared(), world.data.join("copy"));
    let from = world.data.join("backups/monday");
    logstore::restore_backup(&*disk, &from, &to).unwrap();
    let environment = logstore::Environment::system();
    let options = logstore::Options::default();
    let copy = logstore::BatchedSqliteStorage::open(&to, options, environment).unwrap();
    assert_eq!(logstore::LogStorage::recent(&copy, 100).unwrap().len(), 10);
}

#[test]
fn health_and_metrics_have_the_logs() {
    let world = World::new();
    filled(&world);
    let health = world.json("GET", "/health", "");
    assert_eq!((&health["logs"]["status"], &health["logs"]["entries"]), (&json!("ok"), &json!(10)));
    let metrics = world.ask("GET", "/metrics", "").text();
    assert!(metrics.contains("docdb_logs_committed_entries_total 10"), "{metrics}");
    assert!(metrics.contains("docdb_logs_store_entries 10"), "{metrics}");
}

#[test]
fn a_server_without_logs_says_so() {
    let world = World::with(&[("logs.enabled", "false")]);
    world.fails("GET", "/v1/logs", "", 400, "Unsupported");
    world.fails("POST", "/v1/logs/ingest", "{}", 400, "Unsupported");
    assert!(world.json("GET", "/health", "")["logs"].is_null());
}

#[test]
fn a_key_of_the_logs_opens_nothing_else() {
    let world = World::new();
    let key = format!("Bearer {}", world.key("shipper", &["@logs=write"]));
    let headers = [("authorization", key.as_str())];
    let ask = |method: &str, path: &str| world.connect().ask(method, path, &headers, b"{}").status;
    assert_eq!(ask("POST", "/v1/logs/ingest"), 200);
    assert_eq!(ask("GET", "/v1/logs"), 200);
    assert_eq!(ask("POST", "/v1/logs/backup"), 403);
    assert_eq!(ask("GET", "/v1/databases"), 403);
    assert_eq!(ask("PUT", "/v1/databases/default/collections/c/documents/1"), 403);
    assert_eq!(world.ask("POST", "/v1/logs/ingest", "{}").status, 401);
}
