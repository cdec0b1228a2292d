//! Documents, batches, scans and transactions.

use serde_json::json;

use super::world::World;

const DOCS: &str = "/v1/databases/default/collections/default/documents";

#[test]
fn a_document_is_written_read_changed_and_removed() {
    let world = World::new();
    let path = format!("{DOCS}/7");
    let answer = world.ask("PUT", &path, r#"{ "title" : "Walden", "year":1854.0 }"#);
    assert_eq!(answer.status, 201);
    let revision = answer.json()["revision"].as_u64().unwrap();
    assert_eq!(answer.json()["id"], 7);
    let tag = format!("\"{revision}\"");
    assert_eq!(answer.header("etag"), Some(tag.as_str()));

    let read = world.ask("GET", &path, "");
    assert_eq!(
        (read.status, read.text().as_str()),
        (200, r#"{ "title" : "Walden", "year":1854.0 }"#)
    );
    assert_eq!(read.header("etag"), Some(tag.as_str()));
    assert_eq!(read.header("content-type"), Some("application/json"));
    let head = world.connect().ask("HEAD", &path, &[], b"");
    assert_eq!((head.status, head.header("etag")), (200, Some(tag.as_str())));
    let mut client = world.connect();
    assert_eq!(client.ask("GET", &path, &[("if-none-match", &tag)], b"").status, 304);

    let patch = br#"[{"op":"set","path":"/year","value":1855},{"op":"test","path":"/title","value":"Walden"}]"#;
    let others = "\"998\", \"999\"";
    client.ask("PATCH", &path, &[("if-match", others)], patch).is_failure(412, "ConditionFailed");
    let patched = client.ask("PATCH", &path, &[("if-match", &tag)], patch);
    assert_eq!(patched.status, 200);
    client.ask("PUT", &path, &[("if-match", &tag)], b"1").is_failure(412, "RevisionMismatch");
    client.ask("PUT", &path, &[("if-none-match", "*")], b"1").is_failure(412, "ConditionFailed");
    client
        .ask("PUT", &format!("{DOCS}/8"), &[("if-match", "*")], b"1")
        .is_failure(412, "ConditionFailed");
    assert!(world.ask("GET", &path, "").text().contains("1855"));

    world.fails("POST", &path, "1", 409, "DocExists");
    assert_eq!(world.ask("DELETE", &path, "").status, 200);
    world.fails("GET", &path, "", 404, "DocNotFound");
    world.fails("DELETE", &path, "", 404, "DocNotFound");
    world.fails("PATCH", &path, r#"[{"op":"set","path":"/a","value":1}]"#, 404, "DocNotFound");
    assert_eq!(world.ask("POST", &path, "1").status, 201);
}

#[test]
fn ids_are_what_their_form_or_their_type_says() {
    let world = World::new();
    let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    for (id, shown) in [
        ("18446744073709551615", json!(18446744073709551615_u64)),
        ("007", json!("007")),
        (uuid, json!(uuid)),
        ("a%2Fb%20c", json!("a/b c")),
        ("stra%C3%9Fe", json!("straße")),
    ] {
        let answer = world.json("PUT", &format!("{DOCS}/{id}"), "1");
        assert_eq!(answer["id"], shown);
        assert_eq!(world.ask("GET", &format!("{DOCS}/{id}"), "").status, 200, "{id}");
    }
    let text = world.json("PUT", &format!("{DOCS}/18446744073709551615?ids=text"), "1");
    assert_eq!(text["id"], "18446744073709551615");
    assert_eq!(text["id_type"], "u64");
    assert_eq!(world.json("PUT", &format!("{DOCS}/5?id_type=string"), "1")["id"], "5");
    world.fails("GET", &format!("{DOCS}/5"), "", 404, "DocNotFound");
    world.fails("PUT", &format!("{DOCS}/18446744073709551616"), "1", 400, "InvalidId");
    world.fails("PUT", &format!("{DOCS}/x?id_type=u64"), "1", 400, "InvalidId");
    world.fails("PUT", &format!("{DOCS}/a%00b"), "1", 400, "InvalidId");
    world.fails("PUT", &format!("{DOCS}/{}", "x".repeat(65)), "1", 400, "InvalidId");
    world.fails("PUT", &format!("{DOCS}/%ff"), "1", 400, "InvalidName");
}

#[test]
fn documents_expire_when_they_are_told_to() {
    let world = World::new();
    let path = format!("{DOCS}/1");
    assert_eq!(world.ask("PUT", &format!("{path}?ttl_ms=3600000"), "1").status, 201);
    assert!(world.ask("GET", &path, "").header("docdb-expires-at").unwrap().ends_with('Z'));
    let at = "2100-01-01T00:00:00.000Z";
    assert_eq!(world.ask("PUT", &format!("{path}?expires_at={at}"), "1").status, 200);
    assert_eq!(world.ask("GET", &path, "").header("docdb-expires-at"), Some(at));
    assert_eq!(world.json("GET", DOCS, "")["documents"][0]["expires_at"], at);
    assert_eq!(
        world.ask("PUT", &format!("{path}?expires_at=2000-01-01T00:00:00Z"), "1").status,
        200
    );
    world.fails("GET", &path, "", 404, "DocNotFound");
    world.fails("PUT", &format!("{path}?ttl_ms=0"), "1", 400, "InvalidQuery");
    world.fails("PUT", &format!("{path}?ttl_ms=1&expires_at={at}"), "1", 400, "InvalidQuery");
    world.fails("PUT", &format!("{path}?expires_at=soon"), "1", 400, "InvalidQuery");
}

#[test]
fn a_collection_is_read_in_pages_of_one_moment() {
    let world = World::new();
    for id in 0..25 {
        world.json("PUT", &format!("{DOCS}/{id}"), &format!("{{\"n\":{id}}}"));
    }
    for id in ["order-1", "order-2", "other"] {
        world.json("PUT", &format!("{DOCS}/{id}"), "1");
    }
    let mut page = world.json("GET", &format!("{DOCS}?limit=10&before=20"), "");
    world.json("PUT", &format!("{DOCS}/15"), "\"changed\"");
    let mut seen = Vec::new();
    loop {
        for document in page["documents"].as_array().unwrap() {
            seen.push(document["id"].as_u64().unwrap());
            assert_eq!(document["document"]["n"], document["id"], "as of the first page");
        }
        let Some(next) = page["next"].as_str() else { break };
        page = world.json("GET", &format!("{DOCS}?limit=3&cursor={next}"), "");
    }
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
    let ids = |query: &str| {
        let page = world.json("GET", &format!("{DOCS}?{query}"), "");
        let documents = page["documents"].as_array().unwrap();
        documents.iter().map(|document| document["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids("prefix=order-"), [json!("order-1"), json!("order-2")]);
    assert_eq!(ids("from=23&before=order-2"), [json!(23), json!(24), json!("order-1")]);
    assert_eq!(ids("after=22&to=order-1"), [json!(23), json!(24), json!("order-1")]);
    assert_eq!(ids("from=0&from_type=string&to=order-1"), [json!("order-1")]);
    assert_eq!(ids("from=24&limit=1&ids=text"), [json!("24")]);
    for (query, code) in [
        ("limit=0", "InvalidQuery"),
        ("limit=10001", "InvalidQuery"),
        ("cursor=x", "InvalidQuery"),
        ("cursor=x&from=1", "InvalidQuery"),
        ("prefix=a&from=1", "InvalidQuery"),
        ("unknown=1", "InvalidQuery"),
        ("from=1&after=1", "InvalidQuery"),
        ("to_type=u64", "InvalidQuery"),
        ("from=18446744073709551616", "InvalidId"),
    ] {
        world.fails("GET", &format!("{DOCS}?{query}"), "", 400, code);
    }
}

#[test]
fn a_batch_is_done_as_a_whole_or_not_at_all() {
    let world = World::new();
    let path = "/v1/databases/default/batch";
    let batch = r#"{"operations":[
        {"op":"put","collection":"default","id":1,"document":{"a":1}},
        {"op":"create","collection":"default","id":"x","document":2,"ttl_ms":3600000}]}"#;
    let done = world.json("POST", path, batch);
    assert_eq!(done["results"][0]["effect"], "created");
    assert_eq!(done["results"][1]["revision"], done["lsn"]);
    let answer = world.ask("POST", path, batch);
    answer.is_failure(409, "DocExists");
    assert_eq!(answer.json()["error"]["operation"], 1);
    let mixed = r#"{"operations":[
        {"op":"patch","collection":"default","id":"1","id_type":"u64","patch":[{"op":"set","path":"/b","value":2}]},
        {"op":"get","collection":"default","id":1},
        {"op":"get","collection":"default","id":9},
        {"op":"delete","collection":"default","id":"x"}]}"#;
    let done = world.json("POST", path, mixed);
    assert_eq!(done["results"][1]["document"], json!({"a":1,"b":2}));
    assert_eq!(done["results"][2], json!({"id":9,"found":false}));
    assert_eq!(done["results"][3]["effect"], "deleted");
    let stale = r#"{"operations":[{"op":"put","collection":"default","id":1,"document":1,"if_revision":1}]}"#;
    world.fails("POST", path, stale, 412, "RevisionMismatch");
    for (body, code) in [
        ("", "InvalidJson"),
        ("{", "InvalidJson"),
        ("[]", "InvalidQuery"),
        (
            r#"{"operations":[{"op":"put","collection":"default","id":1,"document":{"a":1,"a":2}}]}"#,
            "InvalidJson",
        ),
        (r#"{"operations":[{"op":"put","collection":"a/b","id":1,"document":1}]}"#, "InvalidName"),
        (
            r#"{"operations":[{"op":"put","collection":"default","id":1.5,"document":1}]}"#,
            "InvalidId",
        ),
        (
            r#"{"operations":[{"op":"patch","collection":"default","id":1,"patch":{}}]}"#,
            "InvalidPatch",
        ),
    ] {
        world.fails("POST", path, body, 400, code);
    }
    assert_eq!(world.json("POST", path, r#"{"operations":[]}"#), json!({"results":[],"lsn":0}));
}

#[test]
fn a_transaction_is_seen_by_nobody_before_its_commit() {
    let world = World::new();
    let all = "/v1/databases/default/transactions";
    let begin = || world.json("POST", all, "{}")["transaction"].as_str().unwrap().to_owned();
    let one = format!("{all}/{}", begin());
    let put = r#"{"operations":[{"op":"put","collection":"default","id":1,"document":"mine"}]}"#;
    let step = world.json("POST", &format!("{one}/operations"), put);
    assert_eq!(step["results"][0]["effect"], "created");
    assert_eq!(step["results"][0]["revision"], 0);
    world.fails("GET", &format!("{DOCS}/1"), "", 404, "DocNotFound");
    let inside = format!("{one}/collections/default");
    assert_eq!(world.ask("GET", &format!("{inside}/documents/1"), "").text(), "\"mine\"");
    world.fails("GET", &format!("{inside}/documents/2"), "", 404, "DocNotFound");
    assert_eq!(world.ask("PUT", &format!("{inside}/documents/2"), "2").status, 201);
    world.fails("POST", &format!("{inside}/documents/2"), "2", 409, "DocExists");
    assert_eq!(world.ask("DELETE", &format!("{inside}/documents/2"), "").status, 200);
    let page = world.json("GET", &format!("{inside}/documents"), "");
    assert_eq!(page["documents"][0]["document"], "mine");
    let next = page["next"].as_str().unwrap();
    let end = world.json("GET", &format!("{inside}/documents?cursor={next}"), "");
    assert_eq!(end, json!({"documents":[],"next":null}));
    let committed = world.json("POST", &format!("{one}/commit"), "");
    assert_eq!(
        committed["results"].as_array().unwrap().last().unwrap()["revision"],
        committed["lsn"]
    );
    assert_eq!(world.ask("GET", &format!("{DOCS}/1"), "").text(), "\"mine\"");
    world.fails("POST", &format!("{one}/commit"), "", 404, "TxnNotFound");

    let two = format!("{all}/{}", begin());
    world.ask("GET", &format!("{two}/collections/default/documents/1"), "");
    world.json("PUT", &format!("{DOCS}/1"), "\"theirs\"");
    world.json("POST", &format!("{two}/operations"), put);
    world.fails("POST", &format!("{two}/commit"), "", 409, "TxnConflict");

    let three = format!("{all}/{}", begin());
    world.json("POST", &format!("{three}/operations"), put);
    assert_eq!(world.ask("DELETE", &three, "").status, 204);
    world.fails("DELETE", &three, "", 404, "TxnNotFound");
    assert_eq!(world.ask("GET", &format!("{DOCS}/1"), "").text(), "\"theirs\"");
    world.fails("DELETE", &format!("{all}/x"), "", 404, "TxnNotFound");
    world.json("PUT", "/v1/databases/other", "");
    let elsewhere = format!("/v1/databases/other/transactions/{}", begin());
    world.fails("DELETE", &elsewhere, "", 404, "TxnNotFound");
}
