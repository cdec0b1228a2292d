//! Namespaces: the language of their clients, the simpler shapes of docdb's own, and what they share with
//! the documents of the same collection.

use std::io::Write as _;

use serde_json::{Value, json};

use super::world::{Answer, World};

const BOOKS: &str = "/v2/namespaces/books";
const DOCS: &str = "/v1/databases/default/collections/books/documents";

/// Checks the shape of an error of namespaces.
#[track_caller]
fn fails(answer: &Answer, status: u16, code: &str, what: &str) {
    let body = answer.json();
    assert_eq!((answer.status, body["code"].as_str()), (status, Some(code)), "{body}");
    let message = body["error"].as_str().unwrap_or_default();
    assert!(body["status"] == "error" && message.contains(what), "{body}");
}

fn books(world: &World) {
    let body = json!({
        "distance_metric": "euclidean_squared",
        "schema": {"title": {"type": "string", "full_text_search": true, "filterable": true},
                   "published": "datetime"},
        "upsert_rows": [
            {"id": 1, "vector": [0.0, 0.0], "title": "Walden", "year": 1854, "tags": ["a", "b"]},
            {"id": 2, "vector": "AACAPwAAAAA=", "title": "Emma", "year": 1815, "price": null},
            {"id": "x", "vector": [0, 2], "title": "Ulysses", "year": 1922, "tags": ["b"]},
        ],
    });
    let answer = world.json("POST", BOOKS, &body.to_string());
    assert_eq!((&answer["rows_affected"], &answer["status"]), (&json!(3), &json!("OK")));
}

fn ids(answer: &Value) -> Vec<Value> {
    answer["rows"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect()
}

#[test]
fn rows_are_documents_and_documents_are_rows() {
    let world = World::new();
    books(&world);
    assert_eq!(
        world.ask("GET", &format!("{DOCS}/1"), "").text(),
        r#"{"tags":["a","b"],"title":"Walden","vector":"AAAAAAAAAAA=","year":1854}"#
    );
    let put =
        world.json("PUT", &format!("{DOCS}/9"), r#"{"vector":[1,1],"title":"Faust","pages":500}"#);
    assert_eq!(put["id"], 9);
    let near = world.json(
        "POST",
        &format!("{BOOKS}/query"),
        r#"{"rank_by":["vector","ANN",[1,1]],"limit":1,"include_attributes":true}"#,
    );
    assert_eq!(
        near["rows"],
        json!([{"id": 9, "$dist": 0.0, "vector": [1, 1], "title": "Faust", "pages": 500}])
    );
    let schema = world.json("GET", "/v1/namespaces/books/schema", "");
    assert_eq!(schema["pages"]["type"], "int");
    assert_eq!(
        schema["vector"],
        json!({"type": "[2]f32", "ann": true, "distance_metric": "euclidean_squared"})
    );
    assert_eq!(schema["title"]["full_text_search"]["language"], "english");
}

#[test]
fn queries_find_order_count_and_page() {
    let world = World::new();
    books(&world);
    let query = |body: &str| world.json("POST", &format!("{BOOKS}/query"), body);
    let near =
        query(r#"{"rank_by":["vector","ANN",[0,0]],"top_k":2,"include_attributes":["title"]}"#);
    assert_eq!(
        near["rows"],
        json!([
            {"id": 1, "$dist": 0.0, "title": "Walden"}, {"id": 2, "$dist": 1.0, "title": "Emma"},
        ])
    );
    let performance = &near["performance"];
    assert_eq!(
        (&performance["exhaustive_search_count"], &performance["approx_namespace_size"]),
        (&json!(3), &json!(3))
    );
    for (body, expect) in [
        (r#"{"rank_by":["year","asc"]}"#, json!([2, 1, "x"])),
        (r#"{"rank_by":["year","desc"],"filters":["tags","Contains","b"]}"#, json!(["x", 1])),
        (r#"{"filters":["And",[["year","Gt",1820],["title","Glob","W*"]]]}"#, json!([1])),
        (r#"{"rank_by":["vector","kNN",[0,2]],"filters":["id","NotEq","x"]}"#, json!([1, 2])),
        (
            r#"{"rank_by":["Sum",[["Attribute","year"],["Product",1000,["tags","Contains","a"]]]],"limit":1}"#,
            json!([1]),
        ),
        (r#"{"filters":["price","Eq",null],"limit":2}"#, json!([1, 2])),
        (
            r#"{"rank_by":["year","asc"],"limit":{"total":5,"per":{"attributes":["title"],"limit":1}},"offset":1}"#,
            json!([1, "x"]),
        ),
    ] {
        let answer = world.ask("POST", &format!("{BOOKS}/query"), body);
        if body.contains("price") {
            fails(&answer, 400, "InvalidQuery", "price");
            continue;
        }
        assert_eq!(Value::from(ids(&answer.json())), expect, "{body}");
    }
    let counted = query(r#"{"aggregate_by":{"n":["Count"],"sum":["Sum","year"]}}"#);
    assert_eq!(counted["aggregations"], json!({"n": 3, "sum": 5591}));
    assert!(counted.get("rows").is_none());
    let groups = query(
        r#"{"aggregate_by":{"n":["Count"]},"group_by":["title"],"filters":["year","Lt",1900]}"#,
    );
    assert_eq!(
        groups["aggregation_groups"],
        json!([{"title": "Emma", "n": 1}, {"title": "Walden", "n": 1}])
    );
    let first = query(r#"{"rank_by":["year","asc"],"limit":2}"#);
    let cursor = first["next_cursor"].as_str().unwrap();
    let next =
        query(&json!({"rank_by": ["year", "asc"], "limit": 2, "cursor": cursor}).to_string());
    assert_eq!((ids(&next), next.get("next_cursor")), (vec![json!("x")], None));
    let facets = query(r#"{"facets":["tags"]}"#);
    assert_eq!(
        facets["facets"]["tags"],
        json!([{"value": "b", "count": 2}, {"value": "a", "count": 1}])
    );
    let base64 = query(
        r#"{"filters":["id","Eq",2],"include_attributes":["vector"],"vector_encoding":"base64"}"#,
    );
    assert_eq!(base64["rows"], json!([{"id": 2, "vector": "AACAPwAAAAA="}]));
}

#[test]
fn several_queries_see_one_position_and_may_be_fused() {
    let world = World::new();
    books(&world);
    let path = format!("{BOOKS}/query?stainless_overload=multiQuery");
    let queries = json!([
        {"rank_by": ["vector", "ANN", [0, 0]], "limit": 2},
        {"rank_by": ["year", "desc"], "limit": 2, "include_attributes": ["title"]},
    ]);
    let several = world.json("POST", &path, &json!({"queries": queries}).to_string());
    assert_eq!(ids(&several["results"][0]), [json!(1), json!(2)]);
    assert_eq!(several["results"][1]["rows"][0], json!({"id": "x", "title": "Ulysses"}));
    let body = json!({"queries": queries, "rerank_by": ["RRF"], "limit": 2});
    let fused = world.json("POST", &path, &body.to_string());
    assert_eq!(ids(&fused), [json!(1), json!("x")]);
    let score = fused["rows"][0]["$dist"].as_f64().unwrap();
    assert!((score - (1.0 / 61.0 + 1.0 / 62.0)).abs() < 1e-12, "{score}");
}

#[test]
fn one_bad_row_refuses_the_whole_request_and_leaves_no_namespace() {
    let world = World::new();
    for (rows, status, code, what) in [
        (json!([{"id": 1, "a": 1}, {"id": 2, "a": "x"}]), 400, "InvalidSchema", "path=`a`"),
        (json!([{"id": 1, "vector": [1, 2]}]), 400, "InvalidSchema", "distance_metric"),
        (json!([{"id": 1, "$a": 1}]), 400, "InvalidSchema", "$a"),
        (json!([{"id": -1}]), 400, "InvalidId", "row=0"),
        (json!([{"id": 1, "a": [[1]]}]), 400, "InvalidSchema", "path=`a`"),
    ] {
        let body = json!({ "upsert_rows": rows });
        fails(&world.ask("POST", BOOKS, &body.to_string()), status, code, what);
        fails(
            &world.ask("GET", "/v1/namespaces/books/schema", ""),
            404,
            "CollectionNotFound",
            "books",
        );
    }
    books(&world);
    for (rows, what) in [
        (json!([{"id": 5, "vector": [1, 2, 3]}]), "path=`vector`"),
        (json!([{"id": 5, "vector": [1, "x"]}]), "path=`vector`"),
        (json!([{"id": 5, "vector": [1, 1e39]}]), "path=`vector`"),
        (json!([{"id": 5, "year": 1.5}]), "path=`year`"),
        (json!([{"id": 5, "year": 9_223_372_036_854_775_808_u64}]), "path=`year`"),
        (json!([{"id": 5, "title": {"en": "x"}}]), "path=`title`"),
    ] {
        let good = json!({"id": 6, "year": 1});
        let mut all = vec![good];
        all.extend(rows.as_array().unwrap().clone());
        let body = json!({ "upsert_rows": all }).to_string();
        fails(&world.ask("POST", BOOKS, &body), 400, "InvalidSchema", what);
        world.fails("GET", &format!("{DOCS}/6"), "", 404, "DocNotFound");
    }
    // Through the surfaces of documents alike.
    for body in [r#"{"year":"x"}"#, r#"{"vector":[1]}"#, r#"{"id":8}"#, "[1]", "7"] {
        world.fails("PUT", &format!("{DOCS}/5"), body, 400, "InvalidSchema");
    }
    let batch = json!({"operations": [{"op": "put", "collection": "books", "id": 5, "document": {"year": "x"}}]});
    world.fails("POST", "/v1/databases/default/batch", &batch.to_string(), 400, "InvalidSchema");
    world.fails(
        "PATCH",
        &format!("{DOCS}/1"),
        r#"[{"op":"set","path":"/year","value":"x"}]"#,
        400,
        "InvalidSchema",
    );
    let lines = "{\"id\":5,\"document\":{\"year\":\"x\"}}\n{\"id\":6,\"document\":{\"year\":1}}\n";
    let imported = world.json("POST", "/v1/databases/default/collections/books/bulk", lines);
    assert_eq!((&imported["created"], &imported["refused"]), (&json!(1), &json!(1)));
    let begun = world.json("POST", "/v1/databases/default/transactions", "");
    let step = format!(
        "/v1/databases/default/transactions/{}/collections/books/documents/5",
        begun["transaction"].as_str().unwrap()
    );
    world.fails("PUT", &step, r#"{"year":"x"}"#, 400, "InvalidSchema");
}

#[test]
fn conditions_patches_and_filters_write_what_they_say() {
    let world = World::new();
    books(&world);
    let write = |body: Value| world.json("POST", BOOKS, &body.to_string());
    let newer = json!(["year", "Lt", {"$ref_new": "year"}]);
    let written = write(json!({
        "upsert_rows": [{"id": 1, "year": 1}, {"id": 2, "year": 1999}, {"id": 3, "year": 1}],
        "upsert_condition": newer, "return_affected_ids": true,
    }));
    assert_eq!((&written["rows_upserted"], &written["upserted_ids"]), (&json!(2), &json!([2, 3])));
    let written = write(json!({
        "patch_rows": [{"id": 1, "title": "Life in the Woods", "tags": null}, {"id": 404, "title": "none"}],
        "deletes": [3, 405], "return_affected_ids": true,
    }));
    assert_eq!((&written["rows_patched"], &written["rows_deleted"]), (&json!(1), &json!(1)));
    assert_eq!((&written["patched_ids"], &written["deleted_ids"]), (&json!([1]), &json!([3])));
    let found = world.json(
        "POST",
        &format!("{BOOKS}/query"),
        r#"{"filters":["tags","Eq",null],"include_attributes":["title","year"]}"#,
    );
    assert_eq!(
        found["rows"],
        json!([{"id": 1, "title": "Life in the Woods", "year": 1854}, {"id": 2, "year": 1999}])
    );
    let written = write(
        json!({"patch_by_filter": {"filters": ["year", "Gt", 1900], "patch": {"modern": true}}}),
    );
    assert_eq!((&written["rows_patched"], &written["rows_remaining"]), (&json!(2), &json!(false)));
    let written = write(
        json!({"delete_by_filter": ["modern", "Eq", true], "upsert_columns": {"id": [7, 8], "year": [1, 2]}}),
    );
    assert_eq!((&written["rows_deleted"], &written["rows_upserted"]), (&json!(2), &json!(2)));
    let left = world.json("POST", &format!("{BOOKS}/query"), "{}");
    assert_eq!(ids(&left), [json!(1), json!(7), json!(8)]);
    let condition = json!({"deletes": [7, 8], "delete_condition": ["year", "Eq", 2]});
    assert_eq!(write(condition)["rows_deleted"], 1);
}

/// How a namespace says that it answers, once its index does: until that is made it looks at the documents.
fn explained(world: &World, name: &str) -> String {
    let path = format!("/v2/namespaces/{name}/explain_query");
    for _ in 0..10_000 {
        let plan = world.json("POST", &path, r#"{"rank_by":["year","asc"]}"#);
        let text = plan["plan_text"].as_str().unwrap();
        if text.starts_with("index") {
            return text.to_owned();
        }
        assert!(text.contains("because"), "{text}");
        std::thread::yield_now();
    }
    panic!("the index of {name} is never made");
}

#[test]
fn a_namespace_is_described_listed_copied_and_removed() {
    let world = World::new();
    books(&world);
    let copied = world.json(
        "POST",
        "/v2/namespaces/copy?stainless_overload=copyFrom",
        r#"{"copy_from_namespace":{"source_namespace":"books"}}"#,
    );
    assert_eq!(copied["rows_affected"], 3);
    let again = world.ask("POST", "/v2/namespaces/copy", r#"{"branch_from_namespace":"books"}"#);
    fails(&again, 409, "CollectionExists", "copy");
    world.json("POST", "/v2/namespaces/copy", r#"{"deletes":[1]}"#);
    let metadata = |name: &str| world.json("GET", &format!("/v2/namespaces/{name}/metadata"), "");
    let (of_books, of_copy) = (metadata("books"), metadata("copy"));
    assert_eq!(
        (&of_books["approx_row_count"], &of_copy["approx_row_count"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(
        (&of_books["schema"], &of_books["index"]["status"]),
        (&of_copy["schema"], &json!("up-to-date"))
    );
    assert!(of_books["created_at"].as_str() <= of_copy["updated_at"].as_str());
    let changed = world.json(
        "PATCH",
        "/v1/namespaces/books/metadata",
        r#"{"read_only":false,"pinning":null}"#,
    );
    assert_eq!(changed["approx_row_count"], 3);
    fails(
        &world.ask("PATCH", "/v1/namespaces/books/metadata", r#"{"pinning":true}"#),
        400,
        "Unsupported",
        "pinned",
    );

    world.json("PUT", "/v1/databases/default/collections/plain", "");
    let list = |query: &str| world.json("GET", &format!("/v1/namespaces{query}"), "");
    assert_eq!(list(""), json!({"namespaces": [{"id": "books"}, {"id": "copy"}]}));
    assert_eq!(
        list("?page_size=1"),
        json!({"namespaces": [{"id": "books"}], "next_cursor": "books"})
    );
    assert_eq!(list("?page_size=1&cursor=books"), json!({"namespaces": [{"id": "copy"}]}));
    assert_eq!(list("?prefix=c&colour=red"), json!({"namespaces": [{"id": "copy"}]}));

    assert_eq!(world.json("GET", "/v1/namespaces/books/hint_cache_warm", "")["status"], "ACCEPTED");
    let text = explained(&world, "books");
    assert!(text.starts_with("index of 3 documents, collection=books, position="), "{text}");
    // In memory or in a segment, as it was made before or after the rows were written.
    assert!(text.contains("\n    rows=3 scanned=3 matched=3\n    "), "{text}");
    assert!(text.ends_with("rows=3 matching=3"), "{text}");
    let recall = world.json(
        "POST",
        "/v1/namespaces/books/_debug/recall",
        r#"{"num":2,"top_k":2,"include_ground_truth":true}"#,
    );
    assert_eq!((&recall["avg_recall"], &recall["avg_ann_count"]), (&json!(1.0), &json!(2.0)));
    assert_eq!(recall["ground_truth"].as_array().unwrap().len(), 2);

    assert_eq!(world.json("DELETE", "/v2/namespaces/copy", "")["status"], "OK");
    fails(&world.ask("DELETE", "/v2/namespaces/copy", ""), 404, "CollectionNotFound", "copy");
    fails(
        &world.ask("POST", "/v2/namespaces/plain/query", "{}"),
        404,
        "CollectionNotFound",
        "plain",
    );
}

#[test]
fn a_change_of_the_schema_is_checked_against_every_document() {
    let world = World::new();
    let docs = "/v1/databases/default/collections/default/documents";
    let schema = "/v1/databases/default/collections/default/schema";
    for n in 0..30 {
        let body = if n % 2 == 0 { json!({"n": n}) } else { json!({"n": format!("{n}")}) };
        world.json("PUT", &format!("{docs}/{n}"), &body.to_string());
    }
    assert_eq!(world.ask("GET", schema, "").text(), "null");
    let refused = world.ask("PUT", schema, r#"{"attributes":{"n":"int"},"undeclared":"refuse"}"#);
    refused.is_failure(400, "InvalidSchema");
    let message = refused.text();
    assert!(
        message.contains("15 of 30 documents") && message.matches("id=").count() == 10,
        "{message}"
    );
    assert_eq!(world.ask("GET", schema, "").text(), "null");
    for n in 0..15 {
        world.json("DELETE", &format!("{docs}/{}", 2 * n + 1), "");
    }
    let described = world.json("GET", &format!("{schema}?infer=true"), "");
    assert_eq!(
        (&described["attributes"]["n"]["type"], &described["sampled"]),
        (&json!("int"), &json!(15))
    );
    let set = world.json("PUT", schema, r#"{"attributes":{"n":"int"},"undeclared":"refuse"}"#);
    assert_eq!(set["undeclared"], "refuse");
    world.fails("PUT", &format!("{docs}/1"), r#"{"m":1}"#, 400, "InvalidSchema");
    world.fails("PUT", schema, r#"{"attributes":{"n":"string"}}"#, 400, "InvalidSchema");
    world.json("PUT", schema, r#"{"undeclared":"ignore"}"#);
    world.json("PUT", &format!("{docs}/1"), r#"{"m":{"deep":1}}"#);
    let indexes = "/v1/databases/default/collections/default/indexes";
    world.fails("POST", indexes, r#"{"paths":{"m.deep":"string"}}"#, 400, "InvalidSchema");
    let index = world.json("POST", indexes, r#"{"paths":{"m.deep":"int"}}"#);
    assert_eq!(
        (&index["undeclared"], &index["attributes"]["m.deep"]["type"]),
        (&json!("ignore"), &json!("int"))
    );
    world.fails("PUT", &format!("{docs}/2"), r#"{"m":{"deep":"x"}}"#, 400, "InvalidSchema");
    assert_eq!(world.ask("DELETE", schema, "").status, 204);
    world.json("PUT", &format!("{docs}/2"), r#"{"m":{"deep":"x"}}"#);
}

#[test]
fn a_schema_and_rows_of_a_namespace_that_holds_documents_come_one_after_the_other() {
    let world = World::new();
    books(&world);
    let body = r#"{"schema":{"isbn":"string"},"upsert_rows":[{"id":4,"isbn":"x"}]}"#;
    assert_eq!(world.json("POST", BOOKS, body)["rows_affected"], 1);
    assert_eq!(world.json("GET", "/v1/namespaces/books/schema", "")["isbn"]["type"], "string");
    let answer =
        world.ask("POST", BOOKS, r#"{"schema":{"year":"string"},"upsert_rows":[{"id":5}]}"#);
    fails(&answer, 400, "InvalidSchema", "cannot become string");
    fails(
        &world.ask("POST", BOOKS, r#"{"distance_metric":"dot","upsert_rows":[{"id":5}]}"#),
        400,
        "InvalidSchema",
        "distance_metric",
    );
    let updated = world.json("POST", "/v1/namespaces/books/schema", r#"{"shelf":"int"}"#);
    assert_eq!(
        (&updated["shelf"]["type"], &updated["year"]["type"]),
        (&json!("int"), &json!("int"))
    );
    fails(
        &world.ask("POST", "/v1/namespaces/gone/schema", r#"{"a":"int"}"#),
        404,
        "CollectionNotFound",
        "gone",
    );
}

#[test]
fn a_plain_collection_is_queried_by_a_scan_that_says_so() {
    let world = World::new();
    let docs = "/v1/databases/default/collections/default/documents";
    for (n, body) in [
        (1, r#"{ "n":1, "o":{"s":"a"}, "v":[0,0] }"#),
        (2, r#"{"n":2.5,"o":{"s":"b"},"v":[3,4]}"#),
        (3, r#"{"n":3,"w":"x"}"#),
    ] {
        world.json("PUT", &format!("{docs}/{n}"), body);
    }
    let path = "/v1/databases/default/collections/default";
    let query = |body: &str| world.json("POST", &format!("{path}/query"), body);
    let found = query(r#"{"filters":["n","Gte",2],"rank_by":["n","desc"]}"#);
    assert_eq!(found["documents"][0]["document"], json!({"n": 3, "w": "x"}));
    assert_eq!(found["documents"][1]["id"], 2);
    let performance = &found["performance"];
    assert_eq!(
        (&performance["access"], &performance["scanned"], &performance["bound"]),
        (&json!("scan"), &json!(3), &json!(100_000))
    );
    assert_eq!(performance["why"], "the collection has no search schema");
    let projected = query(r#"{"filters":["/o/s","Eq","a"],"include_attributes":["o.s","n"]}"#);
    assert_eq!(projected["documents"][0]["document"], json!({"o.s": "a", "n": 1}));
    let near = query(r#"{"rank_by":["v","kNN",[0,0]],"distance_metric":"euclidean_squared","include_attributes":false,"filters":["v","NotEq",null]}"#.replace(r#","filters":["v","NotEq",null]"#, "").as_str());
    assert_eq!(near["documents"], json!([{"id": 1, "score": 0.0}, {"id": 2, "score": 25.0}]));
    let sums = query(r#"{"aggregate_by":{"sum":["Sum","n"]},"facets":["o.s"]}"#);
    assert_eq!(sums["aggregations"], json!({"sum": 6.5}));
    let text = world.json("POST", &format!("{path}/query?ids=text"), r#"{"limit":1}"#);
    assert_eq!(text["documents"][0]["id_type"], "u64");
    let plan = world.json("POST", &format!("{path}/explain"), r#"{"rank_by":["n","asc"]}"#);
    assert_eq!(
        (&plan["access"], &plan["has_schema"], &plan["bound"]),
        (&json!("scan"), &json!(false), &json!(100_000))
    );
    world.json("PUT", &format!("{docs}/4"), r#"{"n":"x"}"#);
    let mixed = world.ask("POST", &format!("{path}/query"), r#"{"rank_by":["n","asc"]}"#);
    mixed.is_failure(400, "InvalidQuery");
    assert!(mixed.text().contains("float in document 1 and string in 4"), "{}", mixed.text());
}

#[test]
fn the_simpler_shapes_do_the_same() {
    let world = World::new();
    let path = "/v1/namespaces/notes";
    let made = world.ask("PUT", path, r#"{"attributes":{"n":"int"},"undeclared":"infer"}"#);
    assert_eq!((made.status, made.json()["documents"].as_u64()), (201, Some(0)));
    assert_eq!(world.ask("PUT", path, r#"{"attributes":{"m":"int"}}"#).status, 200);
    let rows = r#"{"rows":[{"id":1,"vector":[1,0],"attributes":{"n":1}},{"id":2,"vector":[0,1],"attributes":{"n":2}}],"distance_metric":"cosine_distance"}"#;
    assert_eq!(world.json("POST", &format!("{path}/upsert"), rows), json!({"rows_affected": 2}));
    let found = world.json("POST", &format!("{path}/query"),
        r#"{"vector":[1,0],"top_k":1,"filter":{"operator":"and","conditions":[{"attribute":"n","op":"gte","value":1}]}}"#);
    assert_eq!(found["matches"], json!([{"id": 1, "score": 0.0, "attributes": {"n": 1}}]));
    let lines = "{\"id\":3,\"vector\":[1,1],\"attributes\":{\"n\":3}}\n{\"id\":4,\"attributes\":{\"n\":\"x\"}}\nno\n\n{\"id\":5}\n";
    let imported = world.json("POST", &format!("{path}/bulk"), lines);
    assert_eq!((&imported["written"], &imported["refused"]), (&json!(2), &json!(2)));
    let bad: Vec<u64> = imported["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["line"].as_u64().unwrap())
        .collect();
    assert_eq!(bad, [2, 3]);
    let filter = r#"{"filter":{"attribute":"n","op":"lte","value":2}}"#;
    assert_eq!(world.json("POST", &format!("{path}/delete"), filter), json!({"rows_affected": 2}));
    assert_eq!(
        world.json("POST", &format!("{path}/delete"), r#"{"ids":[3,9]}"#),
        json!({"rows_affected": 1})
    );
    assert_eq!(world.json("GET", path, "")["documents"], 1);
    assert_eq!(world.ask("DELETE", path, "").status, 204);
    fails(&world.ask("GET", path, ""), 404, "CollectionNotFound", "notes");
}

#[test]
fn bodies_may_be_compressed_and_other_databases_are_named_in_the_query() {
    let world = World::new();
    let body = json!({"upsert_columns": {"id": (0..500).collect::<Vec<u64>>(), "n": (0..500).collect::<Vec<u64>>()}});
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(body.to_string().as_bytes()).unwrap();
    let packed = packer.finish().unwrap();
    world.json("PUT", "/v1/databases/other", "");
    let headers = [("content-encoding", "gzip"), ("prefer", "respond-async")];
    let path = "/v2/namespaces/big?database=other";
    let answer = world.connect().ask("POST", path, &headers, &packed);
    assert_eq!((answer.status, &answer.json()["rows_affected"]), (200, &json!(500)));
    assert_eq!(
        world.json("GET", "/v1/namespaces?database=other", "")["namespaces"],
        json!([{"id": "big"}])
    );
    assert_eq!(world.json("GET", "/v1/namespaces", "")["namespaces"], json!([]));
    fails(&world.ask("GET", "/v1/namespaces?database=none", ""), 404, "DbNotFound", "none");
    let count = world.json(
        "POST",
        "/v2/namespaces/big/query?database=other",
        r#"{"aggregate_by":{"n":["Count"]}}"#,
    );
    assert_eq!(count["aggregations"], json!({"n": 500}));
}

#[test]
fn a_key_of_another_database_reaches_no_namespace() {
    let world = World::new();
    books(&world);
    world.json("PUT", "/v1/databases/other", "");
    let ask = |key: &str, method: &str, path: &str, body: &str| {
        let bearer = format!("Bearer {key}");
        world.connect().ask(method, path, &[("authorization", &bearer)], body.as_bytes())
    };
    let (reader, stranger) =
        (world.key("reader", &["default=read"]), world.key("stranger", &["other=admin"]));
    fails(&world.ask("GET", "/v1/namespaces", ""), 401, "Unauthenticated", "key");
    assert_eq!(ask(&reader, "POST", &format!("{BOOKS}/query"), "{}").status, 200);
    fails(&ask(&reader, "POST", BOOKS, r#"{"deletes":[1]}"#), 403, "Forbidden", "default");
    fails(&ask(&reader, "GET", "/v1/namespaces?database=other", ""), 403, "Forbidden", "other");
    fails(&ask(&stranger, "POST", &format!("{BOOKS}/query"), "{}"), 403, "Forbidden", "default");
    assert_eq!(
        ask(
            &stranger,
            "POST",
            "/v2/namespaces/mine?database=other",
            r#"{"upsert_rows":[{"id":1}]}"#
        )
        .status,
        200
    );
}

#[test]
fn clients_that_write_at_once_lose_nothing() {
    let world = World::new();
    std::thread::scope(|scope| {
        for writer in 0..8_u64 {
            let world = &world;
            scope.spawn(move || {
                for n in 0..20_u64 {
                    let id = writer * 100 + n;
                    let body = json!({
                        "distance_metric": "euclidean_squared", "schema": {"kind": "string"},
                        "upsert_rows": [{"id": id, "vector": [id, 0], "kind": "k", (format!("a{writer}")): n}],
                    });
                    let answer = world.ask("POST", "/v2/namespaces/busy", &body.to_string());
                    assert_eq!(answer.status, 200, "{}", answer.text());
                }
            });
        }
    });
    let counted = world.json(
        "POST",
        "/v2/namespaces/busy/query",
        r#"{"aggregate_by":{"n":["Count"]},"filters":["kind","Eq","k"]}"#,
    );
    assert_eq!(counted["aggregations"], json!({"n": 160}));
    let schema = world.json("GET", "/v1/namespaces/busy/schema", "");
    assert_eq!(schema.as_object().unwrap().len(), 10);
}
