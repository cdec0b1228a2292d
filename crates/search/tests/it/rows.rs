//! Rows of every type of attribute, files of them in memory, and queries over them.

use std::fmt::Write as _;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use base::document::Document;
use base::words::{DocId, Lsn};
use proptest::prelude::*;
use roaring::RoaringBitmap;
use search::attributes::{Reader, Result, Writer, Written};
use search::filter::{Compiled, Filter, Op};
use search::json::Json;
use search::query::Query;
use search::schema::{Row, Schema, Undeclared};
use search::vector::ReadRanges;
use uuid::Uuid;

pub(crate) const IDENTITY: [u8; 16] = *b"attributes by us";

const SCHEMA: &str = r#"{"s":"string","i":"int","u":"uint","f":"float","b":"bool","x":"uuid",
    "d":"datetime","a.b":"[]int","ss":"[]string","never":"int",
    "hidden":{"type":"string","filterable":false},"v":{"type":"[2]f32","distance_metric":"dot"}}"#;

pub(crate) fn schema() -> Schema {
    schema_of(SCHEMA)
}

pub(crate) fn schema_of(text: &str) -> Schema {
    let request = Json::parse(text.as_bytes()).expect("a schema");
    Schema::new(Undeclared::Refuse).declare(request, None).expect("a schema").schema
}

/// A file in memory.
#[derive(Debug)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl ReadRanges for Bytes {
    fn read(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Vec<u8>>> {
        let part = |range: &Range<u64>| {
            let (from, to) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
            self.0.get(from..to).map(<[u8]>::to_vec)
        };
        ranges.iter().map(|range| part(range).ok_or(io::ErrorKind::UnexpectedEof.into())).collect()
    }
}

/// Rows and their LSNs.
pub(crate) type Rows = Vec<(Lsn, Row)>;

/// Rows of documents, the first written at this LSN, later ones a little later.
pub(crate) fn rows(schema: &Schema, documents: &[(DocId, String)], first: u64) -> Rows {
    let row = |(at, (id, text)): (u64, &(DocId, String))| {
        let document = Document::parse(text.as_bytes()).expect("a document");
        (Lsn(first + at * 3), schema.row(id, &document).expect("a row"))
    };
    (0..).zip(documents).map(row).collect()
}

pub(crate) fn written(schema: &Schema, rows: &[(Lsn, Row)]) -> (Vec<u8>, Written) {
    let mut writer = Writer::new(schema);
    for (lsn, row) in rows {
        writer.add(row, *lsn).expect("room");
    }
    let mut bytes = Vec::new();
    let written = writer.finish(&IDENTITY, &mut bytes).expect("a file");
    assert_eq!(written.len, bytes.len() as u64);
    (bytes, written)
}

pub(crate) fn open(bytes: Vec<u8>, written: Written) -> Result<Reader> {
    Reader::open(Arc::new(Bytes(bytes)), &IDENTITY, written)
}

pub(crate) fn reader(schema: &Schema, rows: &[(Lsn, Row)]) -> Reader {
    let (bytes, written) = written(schema, rows);
    open(bytes, written).expect("a file")
}

pub(crate) fn filter(schema: &Schema, text: &str) -> Option<Compiled> {
    let filter = Filter::parse(Json::parse(text.as_bytes()).expect("JSON")).ok()?;
    filter.compile(schema).ok()
}

pub(crate) fn query(text: &str) -> Query {
    Query::parse(Json::parse(text.as_bytes()).expect("JSON")).expect("a query")
}

/// What a filter lets through, row by row.
pub(crate) fn scanned(filter: &Compiled, rows: &[(Lsn, Row)]) -> RoaringBitmap {
    (0..).zip(rows).filter(|(_, (_, row))| filter.matches(row)).map(|(at, _)| at).collect()
}

/// One of few values of each type, as JSON.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["", "a", "ab", "abc", "b", "é", "red", "Red", "a.png"])
            .prop_map(str::to_owned),
        "[a-c]{0,4}",
    ]
}

fn any_int() -> impl Strategy<Value = i64> {
    prop_oneof![4 => -4..5_i64, 1 => any::<i64>(), 1 => Just(9_007_199_254_740_993)]
}

fn uuid(n: u128) -> String {
    Uuid::from_u128(n << 64 | n).to_string()
}

fn day(n: u32) -> String {
    format!("2024-01-0{}T00:00:00.00000000{}Z", n % 9 + 1, n % 2)
}

/// The members of a document, each there or not.
pub(crate) fn any_document() -> impl Strategy<Value = String> {
    let maybe = prop::option::of::<BoxedStrategy<String>>;
    let quoted = |text: String| format!("\"{text}\"");
    let ints = prop::collection::vec(any_int(), 0..4).prop_map(|ints| format!("{ints:?}"));
    let texts = prop::collection::vec(any_text(), 0..4).prop_map(|texts| format!("{texts:?}"));
    let members = (
        maybe(any_text().prop_map(quoted).boxed()),
        maybe(any_int().prop_map(|int| int.to_string()).boxed()),
        maybe(prop_oneof![0..5_u64, any::<u64>()].prop_map(|uint| uint.to_string()).boxed()),
        maybe((-6..6_i32).prop_map(|half| format!("{:?}", f64::from(half) / 2.0)).boxed()),
        maybe(any::<bool>().prop_map(|bool| bool.to_string()).boxed()),
        maybe((0..4_u128).prop_map(move |n| quoted(uuid(n))).boxed()),
        maybe((0..9_u32).prop_map(move |n| quoted(day(n))).boxed()),
        maybe(ints.boxed()),
        maybe(texts.boxed()),
        maybe((-2..3_i8, -2..3_i8).prop_map(|(a, b)| format!("[{a},{b}]")).boxed()),
    );
    members.prop_map(|(s, i, u, f, b, x, d, ab, ss, v)| {
        let mut out = String::from("{\"hidden\":\"h\"");
        let ab = ab.map(|ab| format!("{{\"b\":{ab}}}"));
        for (name, value) in ["s", "i", "u", "f", "b", "x", "d", "a", "ss", "v"]
            .iter()
            .zip([s, i, u, f, b, x, d, ab, ss, v])
        {
            if let Some(value) = value {
                let _ = write!(out, ",\"{name}\":{value}");
            }
        }
        out.push('}');
        out
    })
}

/// Documents with different ids of every kind, in whatever order.
pub(crate) fn any_documents(most: usize) -> impl Strategy<Value = Vec<(DocId, String)>> {
    let id = prop_oneof![
        3 => (0..60_u64).prop_map(DocId::U64),
        1 => any::<u64>().prop_map(DocId::U64),
        1 => (0..20_u128).prop_map(|n| DocId::Uuid(Uuid::from_u128(n << 120))),
        1 => "[a-c]{1,3}".prop_map(|text| DocId::string(&text).expect("an id")),
    ];
    prop::collection::hash_map(id, any_document(), 0..most)
        .prop_map(|documents| documents.into_iter().collect())
}

/// A filter, mostly one that fits the schema.
pub(crate) fn any_filter() -> impl Strategy<Value = String> {
    let attribute =
        prop::sample::select(vec!["s", "i", "u", "f", "b", "x", "d", "a.b", "ss", "id", "never"]);
    let value = prop_oneof![
        prop::sample::select(vec![
            "1",
            "-1",
            "0.5",
            "2",
            "-0.0",
            "null",
            "true",
            "false",
            "[1,2]",
            "[2,null]",
            "[]",
            "9007199254740992.0",
            "9007199254740993",
            "[\"red\",\"a\"]",
            "[\"red\"]",
            "\"a*\"",
            "\"[ab]*\"",
            "\"r?d\"",
            "\"^a\"",
            "[1,1]",
            "18446744073709551615",
            "-1e300",
        ])
        .prop_map(str::to_owned),
        any_text().prop_map(|text| format!("\"{text}\"")),
        (0..9_u32).prop_map(|n| format!("\"{}\"", day(n))),
        (0..4_u128).prop_map(|n| format!("\"{}\"", uuid(n))),
        any_int().prop_map(|int| int.to_string()),
        prop::collection::vec(any_int(), 0..4).prop_map(|ints| format!("{ints:?}")),
    ];
    let op = prop::sample::select(Op::ALL.to_vec());
    let test =
        (attribute, op, value).prop_map(|(a, op, v)| format!("[\"{a}\",\"{}\",{v}]", op.name()));
    let schema = schema();
    let test = test.prop_filter("fits the schema", move |text| filter(&schema, text).is_some());
    test.prop_recursive(3, 12, 3, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            list.clone().prop_map(|list| format!("[\"And\",[{}]]", list.join(","))),
            list.prop_map(|list| format!("[\"Or\",[{}]]", list.join(","))),
            inner.prop_map(|filter| format!("[\"Not\",{filter}]")),
        ]
    })
}

/// A query with everything that is answered from attributes, but for limit and cursor.
pub(crate) fn any_query() -> impl Strategy<Value = String> {
    let rank = prop::sample::select(vec![
        r#""rank_by":["i","asc"]"#,
        r#""rank_by":[["s","desc"],["f","asc"]]"#,
        r#""rank_by":[["b","asc"],["d","desc"],["x","asc"]]"#,
        r#""rank_by":[["never","asc"],["u","desc"]]"#,
        r#""rank_by":["id","desc"]"#,
        r#""rank_by":["Sum",[["Attribute","f"],["Product",2,["Attribute","b"]]]]"#,
        r#""rank_by":["Max",[["Dist",["Attribute","i"],1],["Not",["id","In",[1,2,3,"a"]]]]]"#,
        r#""rank_by":["Sum",[["ss","Contains","red"],["Attribute","d"]]]"#,
        "\"offset\":0",
    ]);
    let per = prop::sample::select(vec!["[\"s\"]", "[\"b\",\"never\"]", "[\"id\"]"]);
    let limit =
        (0..8_usize, prop::option::of((per, 1..3_usize))).prop_map(|(total, per)| match per {
            None => format!("\"limit\":{total}"),
            Some((per, limit)) => {
                format!(
                    r#""limit":{{"total":{total},"per":{{"attributes":{per},"limit":{limit}}}}}"#
                )
            }
        });
    let group = prop::sample::select(vec![
        "",
        "[\"s\"]",
        "[\"b\",\"d\"]",
        "[\"never\"]",
        "[\"id\"]",
        "[\"f\",\"never\",\"x\"]",
    ]);
    let numbers = r#""aggregate_by":{"n":["Count"],"ci":["Count","i"],"ca":["Count","ss"],"cn":["Count","never"],
        "si":["Sum","i"],"sf":["Sum","f"],"su":["Sum","u"],"sn":["Sum","never"],"af":["Avg","f"],"an":["Avg","never"],
        "mins":["Min","s"],"maxs":["Max","s"],"mind":["Min","d"],"maxid":["Max","id"],"maxn":["Max","never"]},
        "facets":["s","a.b",{"attribute":"ss","limit":2},"never","id","b"]"#;
    (rank, limit, group, prop::option::of(any_filter()), any::<bool>()).prop_map(
        move |(rank, limit, group, filter, counts)| {
            let mut out = format!("{rank},{limit}");
            if counts {
                let _ = write!(out, ",{numbers}");
            }
            if counts && !group.is_empty() {
                let _ = write!(out, ",\"group_by\":{group}");
            }
            if let Some(filter) = filter {
                let _ = write!(out, ",\"filters\":{filter}");
            }
            out
        },
    )
}
