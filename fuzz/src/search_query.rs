//! Bytes as a query and a document, over a schema of every type: the query is refused or answered, never a
//! panic; filters read back from what they write; a filter and its negation part the rows.
//!
//! The two texts are separated by the first NUL, which neither can contain.

use base::document::Document;
use base::words::DocId;
use search::exhaustive::scan;
use search::filter::Filter;
use search::json::Json;
use search::query::Query;
use search::schema::{Schema, Undeclared};

const SCHEMA: &str = r#"{"s":"string","i":"int","u":"uint","f":"float","b":"bool","x":"uuid","d":"datetime",
    "a.b":"[]int","ss":"[]string","t":{"type":"string","full_text_search":true},
    "v":{"type":"[2]f32","distance_metric":"cosine_distance"}}"#;

/// One input.
pub fn run(data: &[u8]) {
    let mut texts = data.splitn(2, |byte| *byte == 0);
    let (text, document) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
    let request = Json::parse(SCHEMA.as_bytes()).expect("the schema is JSON");
    let schema = Schema::new(Undeclared::Ignore).declare(request, None);
    let schema = schema.expect("the schema is one").schema;
    let Some(query) = Json::parse(text).ok().and_then(|json| Query::parse(json).ok()) else {
        return;
    };
    let documents: Vec<(DocId, Document)> = [document, b"{}", br#"{"s":"a","i":1,"v":[1,0]}"#]
        .iter()
        .zip(1..)
        .filter_map(|(text, id)| Some((DocId::U64(id), Document::parse(text).ok()?)))
        .filter(|(id, document)| schema.row(id, document).is_ok())
        .collect();
    if let Some(filter) = &query.filter {
        check_filter(filter, &schema, &documents);
    }
    let rows = documents.iter().map(|(id, document)| (id.clone(), document));
    if let Ok(answer) = scan(&schema, &query, rows, u64::MAX) {
        assert!(answer.rows.len() <= query.limit);
        assert!(answer.work.matched <= documents.len() as u64 && !answer.work.is_cut);
        assert!(answer.rows.iter().all(|found| found.dist.is_none_or(f64::is_finite)));
    }
}

fn check_filter(filter: &Filter, schema: &Schema, documents: &[(DocId, Document)]) {
    let mut text = String::new();
    filter.write_json(&mut text);
    let again = Filter::parse(Json::parse(text.as_bytes()).expect("a filter is written as JSON"));
    assert_eq!(again.as_ref(), Ok(filter), "{text}");
    let opposite = Filter::Not(filter.clone().into());
    match (filter.compile(schema), opposite.compile(schema)) {
        (Ok(filter), Ok(opposite)) => {
            for (id, document) in documents {
                let row = schema.row(id, document).expect("it was read before");
                assert_ne!(filter.matches(&row), opposite.matches(&row), "{text}");
            }
        }
        (Err(_), Err(_)) => {}
        (one, other) => panic!("{text}: {one:?}, {other:?}"),
    }
}

/// Every kind of query, with a document that each finds.
pub fn seeds() -> Vec<Vec<u8>> {
    let document = r#"{"s":"straße.png","i":-1,"u":18446744073709551615,"f":0.5,"b":true,"a":{"b":[1,2]},"ss":["red"],
        "x":"00112233-4455-6677-8899-aabbccddeeff","d":"2024-01-01T00:00:00Z","v":[0.5,1],"t":"The quick brown fox 私は"}"#;
    [
        r#"{"rank_by":["v","ANN",[0.1,0.2]],"filters":["And",[["s","Eq","a"],["i","Gte",-1.5]]],"top_k":10}"#,
        r#"{"rank_by":[["i","asc"],["id","desc"]],"filters":["Or",[["s","Glob","*.{png,gif}"],["d","Lt","2024-01-01"]]]}"#,
        r#"{"filters":["Not",["a.b","ContainsAny",[2,5]]],"limit":{"total":3,"per":{"attributes":["s"],"limit":1}}}"#,
        r#"{"filters":["And",[["s","Regex","[a-z]+"],["s","Fuzzy","strasse.png",{"max_edit_distance":2}],["a.b","AnyGt",0]]]}"#,
        r#"{"filters":["Or",[["x","In",["00112233-4455-6677-8899-aabbccddeeff",null]],["ss","NotContains","red"]]]}"#,
        r#"{"rank_by":["Sum",[["Product",2,["Attribute","f"]],["s","Eq","a"],["Decay",["Dist",["Attribute","d"],"2024-01-02"],{"midpoint":"1d"}]]]}"#,
        r#"{"aggregate_by":{"n":["Count"],"s":["Sum","u"],"m":["Max","d"]},"group_by":["b"],"facets":["ss"]}"#,
        r#"{"rank_by":["v","kNN","zczMPc3MTD4="],"offset":1,"limit":1}"#,
        r#"{"rank_by":["t","BM25","the +quick \"brown fox\"* -bear fxo~1",{"match":"boolean"}]}"#,
        r#"{"rank_by":["Sum",[["t","BM25",["quick","fo"],{"match":"phrase","last_as_prefix":true,"max_edit_distance":1}],["Attribute","f"]]]}"#,
        r#"{"filters":["And",[["t","ContainsAllTokens","quick"],["t","ContainsTokenSequence",["brown","fox"],{"last_as_prefix":true}]]]}"#,
    ]
    .iter()
    .map(|query| [query, "\0", document].concat().into_bytes())
    .collect()
}
