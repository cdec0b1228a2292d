//! Whole queries over whole documents: tables of cases, and answers against sorting everything.

use proptest::prelude::*;

use super::*;
use crate::aggregate::{GROUPS_MAX, Total};
use crate::json::Json;
use crate::schema::Undeclared;

const SCHEMA: &str = r#"{"n":"int","f":"float","s":"string","tags":"[]string","d":"datetime",
    "v":{"type":"[2]f32","distance_metric":"euclidean_squared"},
    "w":{"type":"[2]i8","distance_metric":"dot","ann":false}}"#;

const DOCUMENTS: [&str; 6] = [
    r#"{"n":3,"f":0.5,"s":"a","tags":["x","y","x"],"v":[0,0],"w":[1,1],"d":"2024-01-01"}"#,
    r#"{"n":1,"f":0.25,"s":"b","tags":["y"],"v":[3,4],"w":[-1,2]}"#,
    r#"{"n":3,"s":"a","v":[1,0],"w":[0,3],"d":"2023-01-01"}"#,
    r#"{"n":9223372036854775807,"s":"c","v":[0,2]}"#,
    r#"{"n":9223372036854775807,"s":"a","tags":["z"]}"#,
    r#"{"f":-1}"#,
];

fn schema() -> Schema {
    let request = Json::parse(SCHEMA.as_bytes()).unwrap();
    Schema::new(Undeclared::Refuse).declare(request, None).unwrap().schema
}

fn documents() -> Vec<Document> {
    DOCUMENTS.iter().map(|text| Document::parse(text.as_bytes()).unwrap()).collect()
}

fn query(text: &str) -> Result<Query> {
    Query::parse(Json::parse(text.as_bytes()).unwrap())
}

fn answer(text: &str) -> Result<Answer> {
    let documents = documents();
    let rows = (1..).map(DocId::U64).zip(&documents);
    scan(&schema(), &query(text)?, rows, 1_000)
}

fn ids(answer: &Answer) -> Vec<u64> {
    let id = |found: &Found| if let Value::Uint(id) = found.id { id } else { panic!() };
    answer.rows.iter().map(id).collect()
}

#[test]
fn rows_come_in_the_order_that_is_asked_for() {
    for (text, expect) in [
        ("{}", &[1, 2, 3, 4, 5, 6][..]),
        (r#"{"limit":2,"offset":3}"#, &[4, 5]),
        (r#"{"limit":0}"#, &[]),
        (r#"{"rank_by":["n","asc"]}"#, &[2, 1, 3, 4, 5, 6]),
        (r#"{"rank_by":["n","desc"]}"#, &[4, 5, 1, 3, 2, 6]),
        (r#"{"rank_by":[["s","asc"],["n","desc"],["id","desc"]]}"#, &[5, 3, 1, 2, 4, 6]),
        (r#"{"rank_by":["v","ANN",[0,0]]}"#, &[1, 3, 4, 2]),
        (r#"{"rank_by":["v","kNN",[0,0]],"filters":["s","Eq","a"],"top_k":5}"#, &[1, 3]),
        (r#"{"rank_by":["w","kNN",[1,0.5]]}"#, &[1, 3, 2]),
        (
            r#"{"rank_by":["Sum",[["Attribute","f"],["Product",2,["s","Eq","a"]]]]}"#,
            &[1, 3, 5, 2, 4, 6],
        ),
        (
            r#"{"rank_by":["Decay",["Dist",["Attribute","d"],"2023-01-01"],{"midpoint":"7d"}],"limit":2}"#,
            &[3, 1],
        ),
        (r#"{"limit":{"total":9,"per":{"attributes":["s"],"limit":1}}}"#, &[1, 2, 4, 6]),
        (
            r#"{"rank_by":["n","desc"],"limit":{"total":3,"per":{"attributes":["s"],"limit":2}}}"#,
            &[4, 5, 1],
        ),
        (r#"{"filters":["s","NotEq","a"]}"#, &[2, 4, 6]),
        (r#"{"aggregate_by":{"n":["Count"]}}"#, &[]),
        (r#"{"aggregate_by":{"n":["Count"]},"rank_by":["id","asc"],"limit":1}"#, &[1]),
    ] {
        assert_eq!(answer(text).map(|answer| ids(&answer)), Ok(expect.to_vec()), "{text}");
    }
}

#[test]
fn distances_and_scores_are_the_true_ones() {
    let dists = |text: &str| -> Vec<Option<f64>> {
        answer(text).unwrap().rows.iter().map(|found| found.dist).collect()
    };
    assert_eq!(dists(r#"{"rank_by":["v","ANN",[0,0]]}"#), [0.0, 1.0, 4.0, 25.0].map(Some));
    assert_eq!(dists(r#"{"rank_by":["w","kNN",[1,0.5]]}"#), [1.5, 1.5, 0.0].map(Some));
    assert_eq!(dists(r#"{"rank_by":["Product",2,["Attribute","f"]],"limit":1}"#), [Some(1.0)]);
    assert_eq!(dists(r#"{"rank_by":["n","asc"],"limit":1}"#), [None]);
}

#[test]
fn numbers_about_all_rows_are_exact() {
    let text = r#"{"aggregate_by":{"c":["Count"],"cn":["Count","n"],"ct":["Count","tags"],"s":["Sum","n"],
        "f":["Sum","f"],"min":["Min","s"],"max":["Max","n"],"avg":["Avg","f"],"none":["Max","d"]},
        "filters":["id","NotIn",[1,3]]}"#;
    let groups = answer(text).unwrap().groups;
    let expect = vec![
        Total::Integer(4),
        Total::Integer(3),
        Total::Integer(2),
        Total::Integer(2 * i128::from(i64::MAX) + 1),
        Total::Float(-0.75),
        Total::Value(Value::String("a".into())),
        Total::Value(Value::Int(i64::MAX)),
        Total::Float(-0.375),
        Total::Missing,
    ];
    assert_eq!(groups, [Group { key: vec![], totals: expect }]);
    let text = r#"{"aggregate_by":{"c":["Count"],"s":["Sum","f"]},"group_by":["s"]}"#;
    let string = |text: &str| vec![Some(Value::String(text.into()))];
    let group =
        |key, count, sum| Group { key, totals: vec![Total::Integer(count), Total::Float(sum)] };
    assert_eq!(
        answer(text).unwrap().groups,
        [
            group(vec![None], 1, -1.0),
            group(string("a"), 3, 0.5),
            group(string("b"), 1, 0.25),
            group(string("c"), 1, 0.0),
        ]
    );
    let nothing = answer(r#"{"aggregate_by":{"c":["Count"],"a":["Avg","f"]},"filters":["Or",[]]}"#);
    let totals = vec![Total::Integer(0), Total::Missing];
    assert_eq!(nothing.unwrap().groups, [Group { key: vec![], totals }]);
    assert_eq!(answer("{}").unwrap().groups, []);
    let mut out = String::new();
    Total::Integer(2 * i128::from(i64::MAX) + 1).write_json(&mut out);
    assert_eq!(out, "18446744073709551615");
}

#[test]
fn facets_are_the_commonest_values_and_an_element_counts_once_a_row() {
    let text = r#"{"facets":["tags",{"attribute":"s","limit":2}]}"#;
    let answer = answer(text).unwrap();
    let facet = |values: &[(&str, u64)]| -> Vec<(Value, u64)> {
        values.iter().map(|(text, count)| (Value::String((*text).into()), *count)).collect()
    };
    assert_eq!(
        answer.facets,
        [facet(&[("y", 2), ("x", 1), ("z", 1)]), facet(&[("a", 3), ("b", 1)])]
    );
    assert!(answer.rows.is_empty());
}

#[test]
fn what_does_not_fit_the_schema_is_named_with_its_place() {
    for (text, place) in [
        (r#"{"rank_by":["x","ANN",[1,2]]}"#, "rank_by[0]"),
        (r#"{"rank_by":["n","ANN",[1,2]]}"#, "rank_by[0]"),
        (r#"{"rank_by":["w","ANN",[1,2]]}"#, "rank_by[1]"),
        (r#"{"rank_by":["v","ANN",[1,2,3]]}"#, "rank_by[2]"),
        (r#"{"rank_by":["tags","asc"]}"#, "rank_by[0]"),
        (r#"{"rank_by":["v","asc"]}"#, "rank_by[0]"),
        (r#"{"filters":["x","Eq",1]}"#, "filters[0]"),
        (r#"{"aggregate_by":{"s":["Sum","s"]}}"#, "aggregate_by[0]"),
        (r#"{"aggregate_by":{"s":["Avg","d"]}}"#, "aggregate_by[0]"),
        (r#"{"aggregate_by":{"s":["Min","tags"]}}"#, "aggregate_by[0]"),
        (r#"{"aggregate_by":{"s":["Count"]},"group_by":["tags"]}"#, "group_by[0]"),
        (r#"{"facets":["x"]}"#, "facets[0]"),
        (r#"{"limit":{"per":{"attributes":["tags"],"limit":1}}}"#, "limit.per.attributes[0]"),
        (r#"{"cursor":"e30"}"#, "cursor"),
    ] {
        let error = answer(text).unwrap_err();
        let SearchError::Query { place: found, .. } = &error else { panic!("{text}: {error}") };
        assert_eq!(&**found, place, "{text}: {error}");
    }
}

#[test]
fn rows_are_ranked_by_their_text() {
    let schema = r#"{"t":{"type":"string","full_text_search":true},"b":{"type":"string","full_text_search":true},
        "n":"int","s":"string"}"#;
    let request = Json::parse(schema.as_bytes()).unwrap();
    let schema = Schema::new(Undeclared::Refuse).declare(request, None).unwrap().schema;
    let documents: Vec<Document> = [
        r#"{"t":"quick brown fox","b":"lazy","n":1,"s":"x"}"#,
        r#"{"t":"quick quick fox and a long text about other things","n":2,"s":"x"}"#,
        r#"{"t":"brown bear","b":"quick fox","n":3,"s":"y"}"#,
        r#"{"b":"nothing","n":4,"s":"y"}"#,
        r#"{"t":"fox","n":5,"s":"x"}"#,
    ]
    .iter()
    .map(|text| Document::parse(text.as_bytes()).unwrap())
    .collect();
    let run = |text: &str| {
        let rows = (1..).map(DocId::U64).zip(&documents);
        scan(&schema, &query(text).unwrap(), rows, 1_000).unwrap()
    };
    for (text, expect) in [
        (r#"{"rank_by":["t","BM25","fox"]}"#, &[5, 1, 2][..]),
        (r#"{"rank_by":["t","BM25","quick fox"],"filters":["n","Gt",1]}"#, &[2, 5]),
        (r#"{"rank_by":["t","BM25","quick fox",{"match":"phrase"}]}"#, &[2]),
        (r#"{"rank_by":["t","BM25","qui",{"last_as_prefix":true}]}"#, &[1, 2]),
        (r#"{"rank_by":["t","BM25","brwn foxx",{"max_edit_distance":1}]}"#, &[1, 3, 5, 2]),
        (r#"{"rank_by":["t","BM25","+fox -brown quick",{"match":"boolean"}]}"#, &[2, 5]),
        (
            r#"{"rank_by":["Sum",[["t","BM25","quick"],["Product",9,["b","BM25","quick"]]]]}"#,
            &[3, 1, 2],
        ),
        (r#"{"rank_by":["Sum",[["t","BM25","fox"],["Attribute","n"]]]}"#, &[5, 2, 1]),
        (
            r#"{"rank_by":["t","BM25","fox"],"limit":{"total":9,"per":{"attributes":["s"],"limit":1}}}"#,
            &[5],
        ),
        (r#"{"rank_by":["t","BM25","fox"],"limit":1,"offset":1}"#, &[1]),
        (r#"{"rank_by":["t","BM25","the"]}"#, &[]),
    ] {
        assert_eq!(ids(&run(text)), expect, "{text}");
    }
    // 5 documents, of which 3 have the word, with 14 tokens; this text is the word alone.
    let idf = (1.0 + (5.0 - 3.0 + 0.5_f64) / (3.0 + 0.5)).ln();
    let expect = idf * 2.2 / (1.0 + 1.2 * (0.25 + 0.75 * 1.0 / (14.0 / 5.0)));
    let filtered = run(r#"{"rank_by":["t","BM25","fox"],"filters":["n","Eq",5]}"#);
    let found = filtered.rows[0].dist.unwrap();
    assert!((found - expect).abs() < 1e-5, "{found} {expect}");
}

#[test]
fn a_scan_has_a_bound_and_says_whether_it_was_reached() {
    let documents = documents();
    let run = |rows_max| {
        let rows = (1..).map(DocId::U64).zip(&documents);
        scan(&schema(), &query(r#"{"filters":["s","Eq","a"]}"#).unwrap(), rows, rows_max).unwrap()
    };
    assert_eq!(run(6).work, Work { scanned: 6, matched: 3, is_cut: false });
    let cut = run(4);
    assert_eq!((cut.work, ids(&cut)), (Work { scanned: 4, matched: 2, is_cut: true }, vec![1, 3]));
}

#[test]
fn groups_and_kinds_are_bounded() {
    let run = |text: &str, rows: u64| {
        let schema = schema();
        let mut answer = Exhaustive::new(&schema, &query(text).unwrap()).unwrap();
        (0..rows).try_for_each(|n| {
            let document = Document::parse(format!("{{\"n\":{n}}}").as_bytes()).unwrap();
            answer.add(&schema.row(&DocId::U64(n), &document).unwrap())
        })
    };
    let max = GROUPS_MAX as u64;
    for (text, place) in [
        (r#"{"aggregate_by":{"c":["Count"]},"group_by":["n"]}"#, "group_by"),
        (r#"{"facets":["n"]}"#, "facets"),
        (r#"{"limit":{"total":1,"per":{"attributes":["n"],"limit":1}}}"#, "limit.per"),
    ] {
        assert_eq!(run(text, max), Ok(()), "{text}");
        let error = run(text, max + 1).unwrap_err();
        assert!(
            matches!(&error, SearchError::Query { place: at, .. } if &**at == place),
            "{error}"
        );
    }
}

#[test]
fn a_document_that_does_not_fit_is_not_passed_over() {
    let bad = Document::parse(br#"{"n":"three"}"#).unwrap();
    let error = scan(&schema(), &query("{}").unwrap(), [(DocId::U64(1), &bad)], 10).unwrap_err();
    assert!(matches!(error, SearchError::Schema { .. }), "{error}");
}

/// Documents of few values, so that ties are common.
fn any_document() -> impl Strategy<Value = String> {
    let n = prop::option::of(-2..3_i64);
    let f = prop::option::of(prop::sample::select(vec![-1.5, 0.0, 1.0, 2.5]));
    let s = prop::option::of(prop::sample::select(vec!["a", "b", "c"]));
    let v = prop::option::of((-2..3_i8, -2..3_i8));
    (n, f, s, v).prop_map(|(n, f, s, v)| {
        let mut members = Vec::new();
        members.extend(n.map(|n| format!("\"n\":{n}")));
        members.extend(f.map(|f| format!("\"f\":{f:?}")));
        members.extend(s.map(|s| format!("\"s\":\"{s}\"")));
        members.extend(v.map(|(a, b)| format!("\"v\":[{a},{b}]")));
        format!("{{{}}}", members.join(","))
    })
}

fn any_query() -> impl Strategy<Value = String> {
    let rank = prop::sample::select(vec![
        r#""rank_by":["n","asc"],"#,
        r#""rank_by":[["s","desc"],["f","asc"]],"#,
        r#""rank_by":["v","ANN",[1,1]],"#,
        r#""rank_by":["Sum",[["Attribute","n"],["Attribute","f"]]],"#,
        "",
    ]);
    let filter = prop::sample::select(vec![
        "",
        r#""filters":["n","Gte",0],"#,
        r#""filters":["Not",["s","Eq","a"]],"#,
    ]);
    (rank, filter).prop_map(|(rank, filter)| format!("{rank}{filter}"))
}

fn run(documents: &[Document], text: &str) -> Answer {
    let rows = (0..).map(DocId::U64).zip(documents);
    scan(&schema(), &query(text).unwrap(), rows, u64::MAX).unwrap()
}

proptest! {
    #[test]
    fn pages_by_cursor_and_by_offset_are_the_whole_answer_in_pieces(
        texts in prop::collection::vec(any_document(), 0..25),
        text in any_query(),
        page in 1..6_usize,
        per in prop::option::of(1..3_usize),
    ) {
        let documents: Vec<Document> =
            texts.iter().map(|text| Document::parse(text.as_bytes()).unwrap()).collect();
        let limit = |total: usize| match per {
            None => format!("\"limit\":{total}"),
            Some(per) => format!(r#""limit":{{"total":{total},"per":{{"attributes":["s"],"limit":{per}}}}}"#),
        };
        let whole = run(&documents, &format!("{{{text}{}}}", limit(100)));
        prop_assert!(whole.cursor.is_none());
        let (mut by_cursor, mut by_offset) = (Vec::new(), Vec::new());
        let mut cursor: Option<String> = None;
        loop {
            let after = cursor.map_or_else(String::new, |cursor| format!(",\"cursor\":\"{cursor}\""));
            let answer = run(&documents, &format!("{{{text}{}{after}}}", limit(page)));
            by_cursor.extend(answer.rows);
            cursor = answer.cursor;
            if cursor.is_none() {
                break;
            }
        }
        while by_offset.len() < whole.rows.len() {
            let offset = by_offset.len();
            let answer = run(&documents, &format!("{{{text}{},\"offset\":{offset}}}", limit(page)));
            prop_assert!(!answer.rows.is_empty());
            by_offset.extend(answer.rows);
        }
        prop_assert_eq!(&by_cursor, &whole.rows);
        prop_assert_eq!(&by_offset, &whole.rows);
    }

    #[test]
    fn the_order_of_rows_changes_no_answer(
        texts in prop::collection::vec(any_document(), 0..25),
        text in any_query(),
        limit in 0..12_usize,
    ) {
        let documents: Vec<(DocId, Document)> = (0..)
            .map(DocId::U64)
            .zip(texts.iter().map(|text| Document::parse(text.as_bytes()).unwrap()))
            .collect();
        let text = format!(
            r#"{{{text}"limit":{limit},"aggregate_by":{{"c":["Count"],"n":["Sum","n"],"m":["Max","f"]}},"group_by":["s"],"facets":["n"]}}"#
        );
        let query = query(&text).unwrap();
        let forth = documents.iter().map(|(id, document)| (id.clone(), document));
        let back = forth.clone().rev();
        let forth = scan(&schema(), &query, forth, u64::MAX).unwrap();
        prop_assert_eq!(&forth, &scan(&schema(), &query, back, u64::MAX).unwrap());
        let count = |group: &Group| {
            if let Total::Integer(count) = group.totals[0] { count } else { panic!("{group:?}") }
        };
        let counted: i128 = forth.groups.iter().map(count).sum();
        prop_assert_eq!(counted, i128::from(forth.work.matched));
    }

    #[test]
    fn the_nearest_are_those_of_sorting_all_distances(
        points in prop::collection::vec((-9..9_i8, -9..9_i8), 0..30),
        (x, y) in (-9..9_i8, -9..9_i8),
        limit in 1..12_usize,
    ) {
        let documents: Vec<Document> = points
            .iter()
            .map(|(a, b)| Document::parse(format!("{{\"v\":[{a},{b}],\"w\":[{a},{b}]}}").as_bytes()).unwrap())
            .collect();
        let squared = |(a, b): (i8, i8)| {
            let (dx, dy) = (i64::from(a) - i64::from(x), i64::from(b) - i64::from(y));
            dx * dx + dy * dy
        };
        let dot = |(a, b): (i8, i8)| i64::from(a) * i64::from(x) + i64::from(b) * i64::from(y);
        let mut near: Vec<(i64, u64)> = points.iter().map(|point| squared(*point)).zip(0..).collect();
        near.sort_unstable();
        let mut alike: Vec<(i64, u64)> = points.iter().map(|point| -dot(*point)).zip(0..).collect();
        alike.sort_unstable();
        for (field, expect) in [("v", near), ("w", alike)] {
            let text = format!("{{\"rank_by\":[\"{field}\",\"kNN\",[{x},{y}]],\"limit\":{limit}}}");
            let expect: Vec<u64> = expect.into_iter().take(limit).map(|(_, id)| id).collect();
            prop_assert_eq!(ids(&run(&documents, &text)), expect, "{}", field);
        }
    }
}
