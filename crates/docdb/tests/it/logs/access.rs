//! Who may send and read logs, and how much at once: the same on every route.

use serde_json::json;

use crate::http::world::{Answer, World};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

/// A route, and a request of it that is done.
struct Case {
    method: &'static str,
    path: &'static str,
    media: &'static str,
    body: &'static [u8],
    status: u16,
}

const fn post(path: &'static str, media: &'static str, body: &'static [u8], status: u16) -> Case {
    Case { method: "POST", path, media, body, status }
}

const fn get(path: &'static str, status: u16) -> Case {
    Case { method: "GET", path, media: JSON, body: b"", status }
}

const BULK: &[u8] = b"{\"create\":{\"_index\":\"i\"}}\n{\"message\":\"m\"}\n";

/// Every route that stores entries, in each of its encodings.
const WRITES: [Case; 10] = [
    post("/v1/logs/ingest", JSON, b"[{\"message\":\"m\"}]", 200),
    post("/v1/logs/ingest", "application/x-ndjson", b"{\"message\":\"m\"}\n", 200),
    post("/v1/logs/ingest", "text/plain", b"m\n", 200),
    post("/loki/api/v1/push", JSON, b"{\"streams\":[]}", 204),
    // Nothing, compressed with snappy.
    post("/loki/api/v1/push", PROTOBUF, b"\0", 204),
    post("/v1/logs", JSON, b"{\"resourceLogs\":[]}", 200),
    post("/v1/logs", PROTOBUF, b"\x0a\0", 200),
    post("/_bulk", JSON, BULK, 200),
    post("/i/_bulk", JSON, BULK, 200),
    Case { method: "PUT", path: "/_bulk", media: "application/x-ndjson", body: BULK, status: 200 },
];

/// Every route that reads them.
const READS: [Case; 5] = [
    get("/v1/logs", 200),
    get("/v1/logs/histogram", 200),
    get("/v1/logs/top?field=app_name", 200),
    get("/v1/logs/dead_letters", 200),
    // Without `Accept` it is no tail, which only who may read learns.
    get("/v1/logs/tail", 406),
];

impl Case {
    fn ask(&self, world: &World, key: Option<&str>, body: &[u8]) -> Answer {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let mut headers = vec![("content-type", self.media)];
        headers.extend(bearer.iter().map(|bearer| ("authorization", bearer.as_str())));
        world.connect().ask(self.method, self.path, &headers, body)
    }
}

#[test]
fn every_route_of_logs_asks_for_a_key_that_allows_it() {
    let world = World::new();
    for case in WRITES.iter().chain(&READS) {
        let status = case.ask(&world, None, case.body).status;
        assert_eq!(status, case.status, "{} {}, before there are keys", case.method, case.path);
    }
    let key = |name: &str, grant: &str| world.key(name, &[grant]);
    let (reads, writes) = (key("reads", "@logs=read"), key("writes", "@logs=write"));
    let (other, all) = (key("other", "default=admin"), key("all", "*=admin"));
    for case in WRITES.iter().chain(&READS) {
        let writing = WRITES.iter().any(|write| std::ptr::eq(write, case));
        for (name, key, expect) in [
            ("nobody", None, 401),
            ("a stranger", Some("docdb_stranger"), 401),
            ("who reads", Some(&*reads), if writing { 403 } else { case.status }),
            ("who writes", Some(&*writes), case.status),
            ("who has a database", Some(&*other), 403),
            ("who has everything", Some(&*all), case.status),
        ] {
            let answer = case.ask(&world, key, case.body);
            let (method, path) = (case.method, case.path);
            assert_eq!(answer.status, expect, "{name}: {method} {path}: {}", answer.text());
        }
    }
    world.remove_key("writes");
    assert_eq!(WRITES[0].ask(&world, Some(&writes), WRITES[0].body).status, 401);
}

#[test]
fn every_route_that_holds_a_body_takes_no_more_than_it_may() {
    let world = World::with(&[("http.body_bytes_max", "64KiB")]);
    let large = vec![b' '; 65 * 1024];
    for case in &WRITES {
        let answer = case.ask(&world, None, &large);
        let (method, path, media) = (case.method, case.path, case.media);
        // Lines are read as they come and are never held whole.
        let is_stream = path == "/v1/logs/ingest" && media != JSON;
        let expect = if is_stream { 200 } else { 413 };
        assert_eq!(answer.status, expect, "{method} {path} {media}: {}", answer.text());
        if path.ends_with("_bulk") {
            assert_eq!(answer.json()["error"]["type"], "content_too_long_exception");
        }
    }
    let many = format!("[7{}]", ",7".repeat(docdb::ingest::decoded::ENTRIES_MAX));
    let world = World::new();
    let answer = WRITES[0].ask(&world, None, many.as_bytes());
    answer.is_failure(413, "PayloadTooLarge");
    assert_eq!(world.json("GET", "/v1/logs", "")["entries"], json!([]), "nothing of it was stored");
}
