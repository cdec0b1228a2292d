//! Everything but documents: databases, collections, health, metrics, and what no route serves.

use serde_json::json;

use super::world::World;

#[test]
fn databases_are_made_described_and_dropped() {
    let world = World::new();
    let all = "/v1/databases";
    let made = world.ask("POST", all, r#"{"name":"shop"}"#);
    assert_eq!((made.status, made.json()["name"].as_str()), (201, Some("shop")));
    world.fails("POST", all, r#"{"name":"shop"}"#, 409, "DbExists");
    assert_eq!(world.ask("PUT", "/v1/databases/shop", "").status, 200);
    assert_eq!(world.ask("PUT", "/v1/databases/club", "").status, 201);
    let names = world.json("GET", all, "");
    let names: Vec<_> = names["databases"].as_array().unwrap().iter().map(|d| &d["name"]).collect();
    assert_eq!(names, ["club", "default", "shop"]);
    assert_eq!(world.json("GET", "/v1/databases/shop", "")["state"], "open");
    assert_eq!(world.ask("DELETE", "/v1/databases/shop", "").status, 204);
    world.fails("GET", "/v1/databases/shop", "", 404, "DbNotFound");
    world.fails("DELETE", "/v1/databases/shop", "", 404, "DbNotFound");
    world.fails("DELETE", "/v1/databases/default", "", 400, "Unsupported");
    world.fails("POST", all, r#"{"name":"../etc"}"#, 400, "InvalidName");
    world.fails("POST", all, r#"{"name":"a","more":1}"#, 400, "InvalidQuery");
    world.fails("POST", all, "", 400, "InvalidJson");
}

#[test]
fn names_that_are_none_reach_no_file() {
    let world = World::new();
    for name in ["..%2F..%2Fetc", "a%00b", "%2Fetc%2Fpasswd", ".hidden", "a%20b", "%C3%A4"] {
        world.fails("PUT", &format!("/v1/databases/{name}"), "", 400, "InvalidName");
        world.fails("GET", &format!("/v1/databases/{name}/collections"), "", 400, "InvalidName");
        let collection = format!("/v1/databases/default/collections/{name}");
        world.fails("PUT", &collection, "", 400, "InvalidName");
        world.fails("GET", &format!("{collection}/documents/1"), "", 400, "InvalidName");
    }
}

#[test]
fn collections_are_made_described_and_dropped() {
    let world = World::new();
    let all = "/v1/databases/default/collections";
    assert_eq!(world.ask("POST", all, r#"{"name":"books"}"#).status, 201);
    world.fails("POST", all, r#"{"name":"books"}"#, 409, "CollectionExists");
    let one = format!("{all}/books");
    assert_eq!(world.ask("PUT", &one, "").status, 200);
    world.json("PUT", &format!("{one}/documents/1"), "1");
    assert_eq!(world.json("GET", &one, "")["documents"], 1);
    assert_eq!(world.json("GET", all, "")["collections"].as_array().unwrap().len(), 2);
    world.fails("DELETE", &one, "", 409, "CollectionNotEmpty");
    assert_eq!(world.ask("DELETE", &format!("{one}?force=true"), "").status, 204);
    world.fails("GET", &one, "", 404, "CollectionNotFound");
    world.fails("GET", &format!("{one}/documents"), "", 404, "CollectionNotFound");
    world.fails("PUT", &format!("{one}/documents/1"), "1", 404, "CollectionNotFound");
    world.fails("DELETE", &one, "", 404, "CollectionNotFound");
    world.fails("DELETE", &format!("{one}?force=perhaps"), "", 400, "InvalidQuery");
}

#[test]
fn documents_must_fit_the_schema_of_their_collection() {
    let world = World::new();
    let one = "/v1/databases/default/collections/default";
    let schema = r#"{"type":"object","required":["title"]}"#;
    assert_eq!(world.ask("GET", &format!("{one}/validation"), "").text(), "null");
    assert_eq!(world.ask("PUT", &format!("{one}/validation"), schema).status, 204);
    assert_eq!(world.ask("GET", &format!("{one}/validation"), "").text(), schema);
    world.fails("PUT", &format!("{one}/documents/1"), "{}", 400, "InvalidSchema");
    world.json("PUT", &format!("{one}/documents/1"), r#"{"title":"Walden"}"#);
    world.fails("PUT", &format!("{one}/validation"), r#"{"type":7}"#, 400, "InvalidSchema");
    world.fails("PUT", &format!("{one}/validation"), "", 400, "InvalidJson");
    assert_eq!(world.ask("DELETE", &format!("{one}/validation"), "").status, 204);
    world.json("PUT", &format!("{one}/documents/1"), "{}");
}

#[test]
fn the_server_says_what_it_is_and_how_it_is() {
    let world = World::new();
    assert_eq!(world.json("GET", "/", "")["name"], "docdb");
    assert_eq!(world.json("GET", "/health/live", ""), json!({"status":"ok"}));
    assert_eq!(world.json("GET", "/health/ready", ""), json!({"status":"ok"}));
    let health = world.json("GET", "/health", "");
    assert_eq!(
        (&health["status"], &health["databases"][0]["name"]),
        (&json!("ok"), &json!("default"))
    );
    let stats = world.json("GET", "/v1/stats", "");
    assert!(stats["scheduler"]["pool_capacity"].as_u64().unwrap() > 0);
    let put = "/v1/databases/default/collections/default/documents/1";
    world.json("PUT", put, "1");
    let metrics = world.ask("GET", "/metrics", "").text();
    for line in [
        "docdb_operations_total{operation=\"write\",status=\"ok\"} 1",
        "docdb_http_requests_total{route=\"put_document\",status=\"201\"} 1",
        "docdb_http_open_connections 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    let accept = ("accept", "application/openmetrics-text; version=1.0.0");
    let open = world.connect().ask("GET", "/metrics", &[accept], b"");
    assert!(open.text().ends_with("# EOF\n"));
    assert!(open.header("content-type").unwrap().starts_with("application/openmetrics-text"));
}

#[test]
fn every_answer_names_its_request() {
    let world = World::new();
    let mut client = world.connect();
    let named = client.ask("GET", "/", &[("x-request-id", "order-7")], b"");
    assert_eq!(named.header("x-request-id"), Some("order-7"));
    for odd in ["", "a b", "a\"b"] {
        let answer = client.ask("GET", "/nowhere", &[("x-request-id", odd)], b"");
        answer.is_failure(404, "Unsupported");
        assert_ne!(answer.header("x-request-id"), Some(odd));
    }
    let allowed = client.ask("DELETE", "/v1/databases", &[], b"");
    allowed.is_failure(405, "Unsupported");
    let allow = allowed.header("allow").unwrap();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
}
