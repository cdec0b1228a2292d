//! The search index of the documents that the clients write: what it answers is what the documents say.

use std::collections::BTreeMap;

use serde_json::Value;

use super::clients::documents;
use super::server::Server;

/// Attempts of which one must be answered by the index: while it is made, the documents are looked at.
const ATTEMPTS: usize = 100_000;

/// Makes a namespace of the collection.
pub(crate) fn declare(server: &Server) {
    let client = server.client().expect("it serves");
    let schema = r#"{"attributes":{"n":"uint"},"undeclared":"ignore"}"#;
    documents(&client).set_search_schema(schema).expect("all documents fit");
}

/// Asks until the index has answered, and compares every answer with what the documents have.
pub(crate) fn compare(server: &Server, truth: &BTreeMap<u64, u64>) {
    let mut by_number: Vec<(u64, u64)> = truth.iter().map(|(id, n)| (*n, *id)).collect();
    by_number.sort_unstable();
    let middle = by_number.get(by_number.len() / 2).map_or(0, |(n, _)| *n);
    let ids = |from: u64| -> Vec<u64> {
        by_number.iter().filter(|(n, _)| *n >= from).map(|(_, id)| *id).collect()
    };
    for (filter, expect) in
        [(String::new(), ids(0)), (format!(r#""filters":["n","Gte",{middle}],"#), ids(middle))]
    {
        let query = format!(r#"{{{filter}"rank_by":["n","asc"],"limit":1000}}"#);
        let by_index = (0..ATTEMPTS).any(|_| {
            let (found, access) = ask(server, &query);
            assert_eq!(found, expect, "{query} by {access}");
            access == "index"
        });
        assert!(by_index, "the index never answers");
    }
}

fn ask(server: &Server, query: &str) -> (Vec<u64>, String) {
    let client = server.client().expect("it serves");
    let answer = documents(&client).query(query).expect("it is answered");
    let answer: Value = serde_json::from_str(&answer).expect("it is JSON");
    let rows = answer["documents"].as_array().expect("a list").iter();
    let ids = rows.map(|row| row["id"].as_u64().expect("a number")).collect();
    (ids, answer["performance"]["access"].as_str().expect("a name").to_owned())
}
