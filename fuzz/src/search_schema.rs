//! Bytes as a stored schema, a declaration and a document. What is read must be written as the same again,
//! a document that a schema was inferred from must fit it, and nothing may panic.
//!
//! The three texts are separated by NUL, which none can contain.

use base::document::Document;
use base::words::DocId;
use search::json::Json;
use search::schema::{Schema, Undeclared};
use search::vector::Metric;

/// One input.
pub fn run(data: &[u8]) {
    let mut texts = data.splitn(3, |byte| *byte == 0);
    let mut text = || texts.next().unwrap_or_default();
    let (stored, declared, document) = (text(), text(), text());
    let schema = Schema::from_stored(stored).unwrap_or_else(|_| Schema::new(Undeclared::Infer));
    check_stored(&schema);
    let declared = Json::parse(declared)
        .ok()
        .and_then(|request| schema.declare(request, Some(Metric::Cosine)).ok())
        .map_or(schema, |change| change.schema);
    check_stored(&declared);
    let shown = declared.to_json();
    let request = Json::parse(shown.as_bytes()).expect("a schema is shown as JSON");
    let again = declared.declare(request, None).expect("what is shown can be declared");
    assert_eq!(again.schema, declared);
    assert!(again.builds.is_empty(), "nothing has changed: {:?}", again.builds);
    if let Ok(document) = Document::parse(document) {
        check_document(&declared, &document);
    }
}

fn check_stored(schema: &Schema) {
    let stored = schema.to_stored();
    assert_eq!(Schema::from_stored(stored.as_bytes()).as_ref(), Ok(schema));
}

/// Inference and reading agree about which documents there are.
fn check_document(schema: &Schema, document: &Document) {
    let Ok(grown) = schema.infer(document) else { return };
    let schema = grown.unwrap_or_else(|| schema.clone());
    assert_eq!(schema.infer(document), Ok(None), "a schema grows once by a document");
    match schema.row(&DocId::U64(7), document) {
        Ok(row) => assert!(row.values().count() <= schema.fields().count()),
        // A field that was declared before may be of another type, and `id` another key.
        Err(error) => assert!(!error.to_string().contains("not declared"), "{error}"),
    }
}

/// Every type and option, and documents with all of them.
pub fn seeds() -> Vec<Vec<u8>> {
    let stored = concat!(
        r#"{"version":1,"undeclared":"infer","next_number":9,"fields":["#,
        r#"{"number":2,"path":["a","b.c"],"type":"[]datetime","filterable":false},"#,
        r#"{"number":7,"path":["v"],"type":"[2]f16","ann":false,"distance_metric":"dot"}]}"#,
    );
    let declared = r#"{"t":{"type":"string","full_text_search":{"language":"german","k1":2}},"i":"int","u":"uint",
        "/a/b.c":{"type":"[]datetime","filterable":true},"x":"uuid","w":"[1]i8","s":{"type":"string","glob":true},
        "v":{"type":"[2]f16","ann":{"distance_metric":"euclidean_squared"}}}"#;
    let document = r#"{"id":7,"t":"text","i":-1,"u":18446744073709551615,"a":{"b.c":["2024-01-01T00:00:00.5Z"],"n":null},
        "x":"00112233-4455-6677-8899-aabbccddeeff","w":[1],"v":"zczMPc3MTD4=","f":[1,2.5],"o":{"p":{"q":true}}}"#;
    let ignoring = r#"{"version":1,"undeclared":"ignore","next_number":0,"fields":[]}"#;
    [(stored, declared, document), (ignoring, r#"{"a.b":"float"}"#, r#"{"a":{"b":1e5},"$c":[{}]}"#)]
        .iter()
        .map(|(a, b, c)| [a, "\0", b, "\0", c].concat().into_bytes())
        .collect()
}
