//! Filters on rows: a table of cases, the laws of logic, and what is refused.

use base::document::Document;
use base::words::DocId;
use proptest::prelude::*;

use super::*;
use crate::error::{Result, SearchError};
use crate::json::Json;
use crate::schema::{Row, Schema, Undeclared};

const SCHEMA: &str = r#"{"s":"string","i":"int","u":"uint","f":"float","b":"bool","x":"uuid","d":"datetime",
    "a.b":"[]int","ss":"[]string","hidden":{"type":"string","filterable":false},
    "t":{"type":"string","full_text_search":true},"v":{"type":"[2]f32","distance_metric":"dot"}}"#;

/// Documents 1 to 4; of 3 everything is missing.
const DOCUMENTS: [&str; 4] = [
    r#"{"s":"straße","i":-1,"u":18446744073709551615,"f":0.5,"b":true,
        "x":"00112233-4455-6677-8899-aabbccddeeff","d":"2024-01-01T00:00:00.000000001Z",
        "a":{"b":[1,5]},"ss":["red","green"]}"#,
    r#"{"s":"a.png","i":9007199254740993,"u":0,"f":9007199254740992,"b":false,
        "d":"2023-12-31T23:00:00-02:00","a":{"b":[2]},"ss":["blue"]}"#,
    r#"{"s":null,"a":{"b":[]},"ss":[]}"#,
    r#"{"s":"A.PNG","i":7,"f":-3,"a":{"b":[1,2,3]}}"#,
];

fn schema() -> Schema {
    let request = Json::parse(SCHEMA.as_bytes()).unwrap();
    Schema::new(Undeclared::Refuse).declare(request, None).unwrap().schema
}

fn rows(schema: &Schema) -> Vec<Row> {
    let documents = DOCUMENTS.iter().zip(1..);
    let parse = |text: &str| Document::parse(text.as_bytes()).unwrap();
    documents.map(|(text, id)| schema.row(&DocId::U64(id), &parse(text)).unwrap()).collect()
}

fn parse(text: &str) -> Result<Filter> {
    Filter::parse(Json::parse(text.as_bytes()).unwrap())
}

/// The documents that a filter finds.
fn found(text: &str) -> Result<Vec<usize>> {
    let schema = schema();
    let filter = parse(text)?.compile(&schema)?;
    let rows = rows(&schema);
    Ok((1..=rows.len()).filter(|id| filter.matches(&rows[id - 1])).collect())
}

#[test]
fn every_operator_finds_what_it_says() {
    for (text, expect) in [
        (r#"["i","Eq",-1]"#, &[1][..]),
        (r#"["i","Eq",-1.0]"#, &[1]),
        (r#"["i","Eq",9007199254740992.0]"#, &[]),
        (r#"["i","Gt",9007199254740992.0]"#, &[2]),
        (r#"["f","Eq",9007199254740992]"#, &[2]),
        (r#"["f","Lt",9007199254740993]"#, &[1, 2, 4]),
        (r#"["u","Eq",18446744073709551615]"#, &[1]),
        (r#"["u","Gte",-5]"#, &[1, 2]),
        (r#"["s","Eq",null]"#, &[3]),
        (r#"["s","NotEq",null]"#, &[1, 2, 4]),
        (r#"["a.b","Eq",null]"#, &[3]),
        (r#"["a.b","Eq",[]]"#, &[3]),
        (r#"["a.b","Eq",[2.0]]"#, &[2]),
        (r#"["/a/b","NotEq",[1,5]]"#, &[2, 3, 4]),
        (r#"["s","NotEq","a.png"]"#, &[1, 3, 4]),
        (r#"["i","In",[7,-1,3]]"#, &[1, 4]),
        (r#"["i","In",[7,null]]"#, &[3, 4]),
        (r#"["i","NotIn",[7,null]]"#, &[1, 2]),
        (r#"["i","NotIn",[7]]"#, &[1, 2, 3]),
        (r#"["i","In",[]]"#, &[]),
        (r#"["b","Eq",false]"#, &[2]),
        (r#"["b","Lt",true]"#, &[2]),
        (r#"["x","Eq","00112233-4455-6677-8899-AABBCCDDEEFF"]"#, &[1]),
        (r#"["d","Gt","2024-01-01T00:00:00Z"]"#, &[1, 2]),
        (r#"["d","Lte","2024-01-01T00:00:00.000000001"]"#, &[1]),
        (r#"["d","Eq","2024-01-01T01:00:00Z"]"#, &[2]),
        (r#"["$.a.b","Contains",1]"#, &[1, 4]),
        (r#"["a.b","NotContains",1]"#, &[2, 3]),
        (r#"["a.b","ContainsAny",[5,3]]"#, &[1, 4]),
        (r#"["ss","NotContainsAny",["red","x"]]"#, &[2, 3, 4]),
        (r#"["a.b","AnyLt",2]"#, &[1, 4]),
        (r#"["a.b","AnyLte",2]"#, &[1, 2, 4]),
        (r#"["a.b","AnyGt",3]"#, &[1]),
        (r#"["a.b","AnyGte",3]"#, &[1, 4]),
        (r#"["s","Glob","*.png"]"#, &[2]),
        (r#"["s","IGlob","*.png"]"#, &[2, 4]),
        (r#"["s","NotGlob","*.png"]"#, &[1, 3, 4]),
        (r#"["s","NotIGlob","*.png"]"#, &[1, 3]),
        (r#"["s","Regex","[aß]"]"#, &[1, 2]),
        (r#"["s","Fuzzy","strasse"]"#, &[1]),
        (r#"["s","Fuzzy","strasse",{"max_edit_distance":1}]"#, &[]),
        (r#"["id","Gt",2]"#, &[3, 4]),
        (r#"["id","In",[1,"x",null]]"#, &[1]),
        (r#"["id","Lt","a"]"#, &[]),
        (r#"["And",[["i","Gt",0],["Not",["s","IGlob","*p?g"]]]]"#, &[]),
        (r#"["Or",[["i","Lt",0],["s","Eq",null]]]"#, &[1, 3]),
        (r#"["And",[]]"#, &[1, 2, 3, 4]),
        (r#"["Or",[]]"#, &[]),
        (r#"["Not",["s","Lt","b"]]"#, &[1, 3]),
    ] {
        assert_eq!(found(text), Ok(expect.to_vec()), "{text}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (text, place, reason) in [
        ("3", "filters", "a filter is"),
        (r#"["And",3]"#, "filters[1]", "array of filters"),
        (r#"["And",[["i","Eq",1],["i"]]]"#, "filters[1][1]", "a filter is"),
        (r#"["i","Equals",1]"#, "filters[1]", "there are Eq"),
        (r#"["i","Eq",1,{}]"#, "filters[3]", "no options"),
        (r#"["i","Eq",1,{},{}]"#, "filters", "a filter is"),
        (r#"["i","Eq",{"$ref":"a"}]"#, "filters[2]", "$ref_new"),
        (r#"["i","Eq",{"$ref_new":"i"}]"#, "filters[2]", "conditions of writes"),
        (r#"["i","In",[1,[2]]]"#, "filters[2][1]", "one value"),
        (r#"["i","Eq",18446744073709551616]"#, "filters[2]", "beyond 64 bits"),
        (r#"["$x","Eq",1]"#, "filters[0]", "reserved"),
        (r#"["nothing","Eq",1]"#, "filters[0]", "no attribute `nothing`"),
        (r#"["Not",["v","Eq",1]]"#, "filters[1][0]", "is a vector"),
        (r#"["hidden","Eq","a"]"#, "filters[0]", "not filterable"),
        (r#"["t","Eq","a"]"#, "filters[0]", "not filterable"),
        (r#"["i","Eq","1"]"#, "filters[2]", "type int"),
        (r#"["s","Gt",1]"#, "filters[2]", "type string"),
        (r#"["b","Eq",1]"#, "filters[2]", "type bool"),
        (r#"["d","Eq","today"]"#, "filters[2]", "type datetime"),
        (r#"["d","Eq",0]"#, "filters[2]", "type datetime"),
        (r#"["x","In",["?"]]"#, "filters[2][0]", "type uuid"),
        (r#"["id","Eq",true]"#, "filters[2]", "an id"),
        (r#"["i","Lt",null]"#, "filters[2]", "null cannot be compared by Lt"),
        (r#"["a.b","Contains",null]"#, "filters[2]", "null cannot"),
        (r#"["a.b","ContainsAny",[null]]"#, "filters[2]", "no element"),
        (r#"["a.b","Eq",1]"#, "filters[1]", "Contains"),
        (r#"["a.b","In",[1]]"#, "filters[1]", "ContainsAny"),
        (r#"["i","Eq",[1]]"#, "filters[1]", "In tests several"),
        (r#"["i","Lt",[1]]"#, "filters[2]", "takes one value"),
        (r#"["i","In",1]"#, "filters[2]", "array of values"),
        (r#"["i","Contains",1]"#, "filters[1]", "tests an array"),
        (r#"["i","AnyLt",1]"#, "filters[1]", "tests an array"),
        (r#"["i","Glob","*"]"#, "filters[1]", "tests a string"),
        (r#"["ss","Regex","a"]"#, "filters[1]", "tests a string"),
        (r#"["s","Glob","[a"]"#, "filters[2]", "not closed"),
        (r#"["s","Regex",1]"#, "filters[2]", "a pattern is a string"),
        (r#"["s","Regex","("]"#, "filters[2]", "cannot be used"),
        (r#"["s","Fuzzy",1]"#, "filters[2]", "expected a string"),
        (r#"["s","Fuzzy","a",{"max_edit_distance":3}]"#, "filters[3]", "0, 1 or 2"),
        (r#"["s","Fuzzy","a",{"edits":1}]"#, "filters[3]", "max_edit_distance"),
        (r#"["i","Fuzzy","a"]"#, "filters[1]", "tests a string"),
        (r#"["s","ContainsAllTokens","a"]"#, "filters[0]", "full_text_search"),
        (r#"["id","ContainsAnyToken","a"]"#, "filters[0]", "full_text_search"),
        (r#"["t","ContainsAnyToken",1]"#, "filters[2]", "expected a string"),
        (r#"["t","ContainsAnyToken",["a",1]]"#, "filters[2][1]", "expected a string"),
        (r#"["t","ContainsAnyToken","a",{"last_as_prefix":1}]"#, "filters[3]", "true or false"),
        (r#"["t","ContainsAnyToken",{"$ref_new":"t"}]"#, "filters[2]", "$ref_new"),
    ] {
        let error = found(text).unwrap_err();
        let SearchError::Query { place: at, reason: why } = &error else { panic!("{error}") };
        assert!(&**at == place && why.contains(reason), "{text}: {error}");
    }
}

#[test]
fn words_of_a_text_are_found_whatever_form_they_have() {
    let schema = schema();
    let texts = ["The Red fox", "a fox, so red", "reddish foxes", "red", "the"];
    let rows: Vec<Row> = (1..)
        .zip(texts)
        .map(|(id, text)| {
            let document = Document::parse(format!("{{\"t\":\"{text}\"}}").as_bytes()).unwrap();
            schema.row(&DocId::U64(id), &document).unwrap()
        })
        .collect();
    for (text, expect) in [
        (r#"["t","ContainsAllTokens","RED fox"]"#, &[1, 2][..]),
        (r#"["t","ContainsAnyToken",["red","foxes"]]"#, &[1, 2, 3, 4]),
        (r#"["t","ContainsTokenSequence","red fox"]"#, &[1]),
        (r#"["t","ContainsTokenSequence","reddish fox",{"last_as_prefix":true}]"#, &[3]),
        (r#"["t","ContainsAllTokens","red",{"last_as_prefix":true}]"#, &[1, 2, 3, 4]),
        (r#"["Not",["t","ContainsAnyToken","fox"]]"#, &[3, 4, 5]),
        (r#"["t","ContainsAllTokens","the"]"#, &[]),
        (r#"["t","ContainsAllTokens",""]"#, &[]),
    ] {
        let filter = parse(text).unwrap();
        let mut out = String::new();
        filter.write_json(&mut out);
        assert_eq!(parse(&out), Ok(filter.clone()), "{out}");
        let filter = filter.compile(&schema).unwrap();
        let found: Vec<u64> =
            (1..).zip(&rows).filter(|(_, row)| filter.matches(row)).map(|(id, _)| id).collect();
        assert_eq!(found, expect, "{text}");
    }
}

#[test]
fn filters_are_bounded() {
    let deep = |n: usize| format!("{}[\"i\",\"Eq\",1]{}", "[\"Not\",".repeat(n), "]".repeat(n));
    assert_eq!(found(&deep(FILTER_DEPTH_MAX)), Ok(vec![]));
    assert!(found(&deep(FILTER_DEPTH_MAX + 1)).is_err());
    let wide = |n: usize| format!("[\"Or\",[{}]]", vec![r#"["i","Eq",7]"#; n].join(","));
    assert_eq!(found(&wide(FILTER_NODES_MAX - 1)), Ok(vec![4]));
    assert!(found(&wide(FILTER_NODES_MAX)).is_err());
    let many = |n: usize| format!("[\"i\",\"In\",[{}]]", vec!["7"; n].join(","));
    assert_eq!(found(&many(FILTER_VALUES_MAX)), Ok(vec![4]));
    assert!(found(&many(FILTER_VALUES_MAX + 1)).is_err());
    let patterns = |n: usize| format!("[\"And\",[{}]]", vec![r#"["s","Glob","a*"]"#; n].join(","));
    assert_eq!(found(&patterns(FILTER_PATTERNS_MAX)), Ok(vec![2]));
    assert!(found(&patterns(FILTER_PATTERNS_MAX + 1)).is_err());
    let long = |n: usize| format!("[\"s\",\"Fuzzy\",\"{}\"]", "a".repeat(n));
    assert_eq!(found(&long(FUZZY_BYTES_MAX)), Ok(vec![]));
    assert!(found(&long(FUZZY_BYTES_MAX + 1)).is_err());
}

#[test]
fn a_condition_compares_with_the_document_that_is_written() {
    let schema = schema();
    let rows = rows(&schema);
    let holds = |text: &str, stored: usize, incoming: usize| {
        let bound = parse(text).unwrap().bind(&schema, &rows[incoming - 1]).unwrap();
        bound.compile(&schema).unwrap().matches(&rows[stored - 1])
    };
    for (text, stored, incoming, expect) in [
        (r#"["i","Lt",{"$ref_new":"i"}]"#, 1, 2, true),
        (r#"["i","Lt",{"$ref_new":"i"}]"#, 2, 1, false),
        (r#"["i","Lt",{"$ref_new":"i"}]"#, 1, 3, false),
        (r#"["i","Eq",{"$ref_new":"i"}]"#, 3, 3, true),
        (r#"["i","NotEq",{"$ref_new":"f"}]"#, 1, 3, true),
        (r#"["i","NotIn",{"$ref_new":"i"}]"#, 1, 3, true),
        (r#"["d","Gt",{"$ref_new":"d"}]"#, 2, 1, true),
        (r#"["x","Eq",{"$ref_new":"x"}]"#, 1, 1, true),
        (r#"["a.b","Eq",{"$ref_new":"a.b"}]"#, 1, 1, true),
        (r#"["a.b","ContainsAny",{"$ref_new":"a.b"}]"#, 2, 4, true),
        (r#"["Not",["id","Eq",{"$ref_new":"id"}]]"#, 2, 4, true),
    ] {
        assert_eq!(holds(text, stored, incoming), expect, "{text} {stored} {incoming}");
    }
    let unknown = parse(r#"["i","Eq",{"$ref_new":"nothing"}]"#).unwrap();
    assert!(unknown.bind(&schema, &rows[0]).is_err());
}

/// A filter as JSON, mostly one that fits the schema.
fn any_filter() -> impl Strategy<Value = String> {
    let attribute =
        prop::sample::select(vec!["s", "i", "u", "f", "b", "x", "d", "a.b", "ss", "id", "t"]);
    let value = prop::sample::select(vec![
        "1",
        "-1",
        "0.5",
        "7",
        "null",
        "true",
        "\"a.png\"",
        "\"red\"",
        "[1,2]",
        "[7,null]",
        "[]",
        "\"2024-01-01\"",
        "\"00112233-4455-6677-8899-aabbccddeeff\"",
        "9007199254740993",
        "[\"red\"]",
    ]);
    let op = prop::sample::select(Op::ALL.to_vec());
    let test =
        (attribute, op, value).prop_map(|(a, op, v)| format!("[\"{a}\",\"{}\",{v}]", op.name()));
    test.prop_recursive(3, 12, 3, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            list.clone().prop_map(|list| format!("[\"And\",[{}]]", list.join(","))),
            list.prop_map(|list| format!("[\"Or\",[{}]]", list.join(","))),
            inner.prop_map(|filter| format!("[\"Not\",{filter}]")),
        ]
    })
}

proptest! {
    #[test]
    fn filters_read_back_from_their_json(text in any_filter()) {
        if let Ok(filter) = parse(&text) {
            let mut out = String::new();
            filter.write_json(&mut out);
            prop_assert_eq!(parse(&out), Ok(filter), "{}", out);
        }
    }

    #[test]
    fn not_is_the_complement_and_de_morgan_holds(a in any_filter(), b in any_filter()) {
        let (Ok(in_a), Ok(in_b)) = (found(&a), found(&b)) else { return Ok(()) };
        let complement = |ids: &[usize]| (1..=4).filter(|id| !ids.contains(id)).collect::<Vec<_>>();
        prop_assert_eq!(found(&format!("[\"Not\",{a}]")).unwrap(), complement(&in_a));
        let both = found(&format!("[\"And\",[{a},{b}]]")).unwrap();
        let in_both: Vec<usize> = in_a.iter().copied().filter(|id| in_b.contains(id)).collect();
        prop_assert_eq!(&both, &in_both);
        let neither = format!("[\"Not\",[\"Or\",[[\"Not\",{a}],[\"Not\",{b}]]]]");
        prop_assert_eq!(found(&neither).unwrap(), both);
    }

    #[test]
    fn an_operator_and_its_opposite_part_the_rows(text in any_filter()) {
        let Ok(Filter::Test(test)) = parse(&text) else { return Ok(()) };
        let Some(positive) = test.op.positive() else { return Ok(()) };
        let other = text.replacen(test.op.name(), positive.name(), 1);
        match (found(&text), found(&other)) {
            (Ok(a), Ok(b)) => prop_assert!((1..=4).all(|id| a.contains(&id) != b.contains(&id))),
            (Err(_), Err(_)) => {}
            (a, b) => prop_assert!(false, "{:?} {:?}", a, b),
        }
    }
}
