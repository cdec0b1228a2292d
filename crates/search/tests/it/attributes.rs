//! Attribute files: what they answer is what looking at every row answers, whatever the rows, the filter and
//! the split into files; what is merged is what is written anew; what is damaged is found.

use std::sync::Arc;

use base::words::{DocId, Lsn};
use proptest::prelude::*;
use roaring::RoaringBitmap;
use search::attributes::{AttributesError, Input, Reader, Written, merge};
use search::exhaustive::{Answer, Exhaustive};
use search::filter::Compiled;
use search::schema::{FieldNo, Schema};
use search::value::Value;

use crate::rows::{
    Bytes, IDENTITY, Rows, any_documents, any_filter, any_query, filter, open, query, reader, rows,
    scanned, schema, schema_of, written,
};

fn all(reader: &Reader) -> RoaringBitmap {
    let mut rows = RoaringBitmap::new();
    rows.insert_range(0..reader.rows());
    rows
}

fn check_filter(
    reader: &Reader,
    rows: &Rows,
    filter: &Compiled,
    within: &RoaringBitmap,
    text: &str,
) {
    let expect = scanned(filter, rows);
    assert_eq!(reader.matching(filter, None).expect("rows"), expect, "{text}");
    let found = reader.matching(filter, Some(within)).expect("rows");
    assert_eq!(found, &expect & within & all(reader), "{text}");
    let estimate = reader.estimate(filter).expect("an estimate");
    let bounds = estimate.least..=estimate.most;
    assert!(bounds.contains(&expect.len()), "{text}: {} of {estimate:?}", expect.len());
    assert!(bounds.contains(&estimate.likely), "{text}: {estimate:?}");
}

/// The answer of files: rows are split among them, the last part is looked at row by row, and dead rows are
/// in the files, too.
fn answer_in_parts(
    schema: &Schema,
    text: &str,
    rows: &Rows,
    part: usize,
) -> search::error::Result<Answer> {
    let query = query(text);
    let mut answer = Exhaustive::new(schema, &query)?;
    let mut parts: Vec<_> = rows.chunks(part.max(1)).collect();
    for (_, row) in parts.pop().unwrap_or_default() {
        answer.add(row)?;
    }
    for (at, part) in parts.into_iter().enumerate() {
        let mut other = Exhaustive::new(schema, &query)?;
        // Every row once dead and once alive.
        let dead = part.iter().map(|(lsn, row)| (Lsn(lsn.0 + 1), row.clone()));
        let half = part.len() / 2;
        for (live, rest) in [(&part[..half], &part[half..]), (&part[half..], &part[..half])] {
            let mut file: Rows = live.to_vec();
            file.extend(
                dead.clone()
                    .filter(|(lsn, _)| rest.iter().any(|(of_rest, _)| of_rest.0 + 1 == lsn.0)),
            );
            let reader = reader(schema, &file);
            let mut rows = RoaringBitmap::new();
            rows.insert_range(0..u32::try_from(live.len()).expect("few"));
            let target = if at % 2 == 0 { &mut answer } else { &mut other };
            target.add_segment(&reader, &rows).map_err(refused)?;
        }
        answer.merge(other)?;
    }
    Ok(answer.finish())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else it is, it is not expected")]
fn refused(error: AttributesError) -> search::error::SearchError {
    match error {
        AttributesError::Query(error) => error,
        other => panic!("{other}"),
    }
}

fn answer_by_rows(schema: &Schema, text: &str, rows: &Rows) -> search::error::Result<Answer> {
    let mut answer = Exhaustive::new(schema, &query(text))?;
    for (_, row) in rows {
        answer.add(row)?;
    }
    Ok(answer.finish())
}

proptest! {
    #[test]
    fn filters_find_what_looking_at_every_row_finds(
        documents in any_documents(60),
        texts in prop::collection::vec(any_filter(), 1..6),
        within in prop::collection::btree_set(0..70_u32, 0..40),
    ) {
        let schema = schema();
        let rows = rows(&schema, &documents, 5);
        let reader = reader(&schema, &rows);
        let within: RoaringBitmap = within.into_iter().collect();
        for text in texts {
            let filter = filter(&schema, &text).expect("it fits");
            check_filter(&reader, &rows, &filter, &within, &text);
        }
    }

    #[test]
    fn parts_answer_what_looking_at_every_row_answers(
        documents in any_documents(40),
        text in any_query(),
        part in 1..30_usize,
    ) {
        let schema = schema();
        let rows = rows(&schema, &documents, 1);
        let mut page = format!("{{{text}}}");
        for _ in 0..4 {
            let expect = answer_by_rows(&schema, &page, &rows);
            let found = answer_in_parts(&schema, &page, &rows, part);
            prop_assert_eq!(&found, &expect, "{}", page);
            let Some(cursor) = expect.ok().and_then(|answer| answer.cursor) else { break };
            page = format!("{{{text},\"cursor\":\"{cursor}\"}}");
        }
    }

    #[test]
    fn values_ids_and_lsns_are_those_that_were_written(documents in any_documents(50)) {
        let schema = schema();
        let rows = rows(&schema, &documents, 9);
        let reader = reader(&schema, &rows);
        prop_assert_eq!(reader.rows() as usize, rows.len());
        let numbers: Vec<u32> = (0..reader.rows()).rev().collect();
        let at = |row: &u32| &rows[*row as usize];
        let ids = reader.ids().unwrap();
        let expect: Vec<DocId> = numbers.iter().map(|row| documents[*row as usize].0.clone()).collect();
        prop_assert_eq!(&ids.ids(&numbers).unwrap(), &expect);
        prop_assert_eq!(
            ids.rows_of(&expect).unwrap(),
            numbers.iter().map(|row| Some(*row)).collect::<Vec<_>>()
        );
        prop_assert_eq!(ids.rows_of(&[DocId::U64(777)]).unwrap().len(), 1);
        let lsns: Vec<Lsn> = numbers.iter().map(|row| at(row).0).collect();
        prop_assert_eq!(&ids.lsns(&numbers).unwrap(), &lsns);
        let order = ids.lsn_order().unwrap();
        for (row, lsn) in numbers.iter().zip(&lsns) {
            prop_assert_eq!(order.row(*lsn), Some(*row));
            prop_assert_eq!(order.row(Lsn(lsn.0 + 1)), None);
            prop_assert_eq!(ids.rows_at(&[Lsn(lsn.0 + 1), *lsn]).unwrap(), vec![None, Some(*row)]);
        }
        let fields: Vec<FieldNo> = reader.fields().collect();
        for field in &fields {
            let column = reader.column(*field).unwrap().unwrap();
            let expect: Vec<Option<Value>> =
                numbers.iter().map(|row| at(row).1.value(*field).cloned()).collect();
            prop_assert_eq!(&column.values(&numbers).unwrap(), &expect);
            prop_assert_eq!(column.present().len(), expect.iter().flatten().count() as u64);
            prop_assert_eq!(column.statistics().present as usize, expect.iter().flatten().count());
            let mut elements: Vec<&Value> = expect.iter().flatten().flat_map(Value::elements).collect();
            elements.sort();
            let ends = elements.first().zip(elements.last());
            let ends = ends.map(|(first, last)| ((*first).clone(), (*last).clone()));
            prop_assert_eq!(column.extremes().unwrap(), ends);
            elements.dedup();
            prop_assert_eq!(column.statistics().distinct as usize, elements.len());
        }
    }

    #[test]
    fn a_merge_is_what_writing_the_live_rows_anew_is(
        documents in any_documents(60),
        dead in prop::collection::btree_set(0..60_u32, 0..60),
        cuts in prop::collection::btree_set(0..60_usize, 0..4),
    ) {
        let schema = schema();
        let rows = rows(&schema, &documents, 1);
        let (mut readers, mut lives, mut expect) = (Vec::new(), Vec::new(), Vec::new());
        let mut start = 0;
        for end in cuts.into_iter().chain([rows.len()]) {
            let part = &rows[start.min(rows.len())..end.min(rows.len())];
            let is_live = |at: &usize| !dead.contains(&u32::try_from(start + at).unwrap());
            let live: Vec<usize> = (0..part.len()).filter(is_live).collect();
            expect.extend(live.iter().map(|at| part[*at].clone()));
            lives.push(live.iter().map(|at| u32::try_from(*at).unwrap()).collect::<RoaringBitmap>());
            readers.push(reader(&schema, part));
            start = end;
        }
        let inputs: Vec<Input<'_>> =
            readers.iter().zip(&lives).map(|(reader, live)| Input { reader, live }).collect();
        let mut bytes = Vec::new();
        let found = merge(&schema, &inputs, &IDENTITY, &mut bytes).unwrap();
        let (anew, expect) = written(&schema, &expect);
        prop_assert_eq!(found, expect);
        prop_assert!(bytes == anew, "the same file, byte by byte");
    }
}

/// Many rows, so that there are several blocks of everything.
fn many(schema: &Schema, count: u64) -> Rows {
    // A permutation: no order of values is that of rows.
    let documents: Vec<(DocId, String)> = (0..count)
        .map(|at| {
            let n = at * 7_919 % count;
            let text = format!(
                r#"{{"s":"user-{n:08}","i":{},"u":{},"f":{:?},"b":{},"a":{{"b":[{},{n},{}]}},"ss":["tag{}"]}}"#,
                n % 10,
                at,
                (n / 3) as f64,
                n.is_multiple_of(1000),
                n % 7,
                n % 7,
                n % 5000,
            );
            (DocId::U64(n), text)
        })
        .collect();
    rows(schema, &documents, 1)
}

#[test]
fn many_rows_and_values_are_found_in_every_block() {
    let schema = schema();
    let rows = many(&schema, 40_000);
    let reader = reader(&schema, &rows);
    let within: RoaringBitmap = (0..40_000).step_by(977).collect();
    for text in [
        r#"["s","Eq","user-00012345"]"#,
        r#"["s","Gte","user-00020000"]"#,
        r#"["s","Lt","user-00000100"]"#,
        r#"["s","Glob","user-0001*"]"#,
        r#"["s","Glob","*77"]"#,
        r#"["s","Regex","9{3}"]"#,
        r#"["s","Fuzzy","user-0012345",{"max_edit_distance":1}]"#,
        r#"["s","NotEq","user-00012345"]"#,
        r#"["i","Eq",3]"#,
        r#"["i","In",[3,4,99]]"#,
        r#"["u","Gt",39990]"#,
        r#"["u","Lte",20000]"#,
        r#"["f","Gte",13000.5]"#,
        r#"["f","Lt",-1]"#,
        r#"["b","Eq",true]"#,
        r#"["x","Eq",null]"#,
        r#"["x","NotEq",null]"#,
        r#"["a.b","Contains",39999]"#,
        r#"["a.b","AnyGte",39000]"#,
        r#"["a.b","AnyLt",7]"#,
        r#"["a.b","Eq",[3,10,3]]"#,
        r#"["a.b","Eq",[3,10]]"#,
        r#"["a.b","ContainsAny",[100,200,300]]"#,
        r#"["ss","Contains","tag4999"]"#,
        r#"["id","Lt",1000]"#,
        r#"["And",[["i","Eq",3],["b","Eq",false],["s","Lt","user-00030000"]]]"#,
        r#"["And",[["s","Eq","user-00012345"],["f","Gte",0],["a.b","AnyGt",5]]]"#,
        r#"["Or",[["u","Lt",5],["Not",["u","Lt",39995]]]]"#,
    ] {
        let filter = filter(&schema, text).expect("it fits");
        check_filter(&reader, &rows, &filter, &within, text);
    }
    let ids: Vec<String> = (0..3000).map(|n| (n * 13).to_string()).collect();
    let text = format!("[\"u\",\"In\",[{}]]", ids.join(","));
    check_filter(&reader, &rows, &filter(&schema, &text).expect("it fits"), &within, "In");
    for text in [
        r#"{"rank_by":["s","asc"],"limit":20}"#,
        r#"{"rank_by":[["i","desc"],["s","desc"]],"limit":20,"offset":5000}"#,
        r#"{"rank_by":["Sum",[["Attribute","f"],["Attribute","u"]]],"limit":20,"filters":["i","Eq",3]}"#,
        r#"{"rank_by":["u","desc"],"limit":{"total":30,"per":{"attributes":["i"],"limit":2}}}"#,
        r#"{"limit":0,"aggregate_by":{"n":["Count"],"s":["Sum","f"],"m":["Max","s"],"l":["Min","u"]},"group_by":["i"]}"#,
        r#"{"limit":0,"aggregate_by":{"s":["Sum","f"],"a":["Avg","u"],"m":["Max","s"]},"facets":["i","ss"]}"#,
        r#"{"limit":0,"aggregate_by":{"n":["Count"]},"group_by":["i","b"],"filters":["u","Lt",20]}"#,
    ] {
        let expect = answer_by_rows(&schema, text, &rows).expect("an answer");
        let mut found = Exhaustive::new(&schema, &query(text)).expect("a query");
        found.add_segment(&reader, &all(&reader)).expect("rows");
        assert_eq!(found.finish(), expect, "{text}");
    }
    for text in [
        r#"{"limit":0,"aggregate_by":{"n":["Count"]},"group_by":["s"]}"#,
        r#"{"limit":0,"facets":["s"]}"#,
        r#"{"limit":{"total":30,"per":{"attributes":["s"],"limit":2}}}"#,
    ] {
        let expect = answer_by_rows(&schema, text, &rows).expect_err("too many");
        let mut found = Exhaustive::new(&schema, &query(text)).expect("a query");
        let error = found.add_segment(&reader, &all(&reader)).expect_err("too many");
        assert_eq!(refused(error), expect, "{text}");
    }
}

#[test]
fn distances_that_were_found_elsewhere_rank_the_rows_of_segments() {
    let schema = schema();
    let documents: Vec<(DocId, String)> = (0..30_u64)
        .map(|n| {
            (
                DocId::U64(n * 7 % 30),
                format!("{{\"s\":\"k{}\",\"v\":[{},{}]}}", n % 3, n % 5, n % 4),
            )
        })
        .collect();
    let rows = rows(&schema, &documents, 1);
    let reader = reader(&schema, &rows);
    for text in [
        r#"{"rank_by":["v","kNN",[1,2]],"limit":7}"#,
        r#"{"rank_by":["v","kNN",[1,2]],"filters":["s","Eq","k1"],"limit":4,"offset":2}"#,
        r#"{"rank_by":["v","kNN",[1,2]],"limit":{"total":5,"per":{"attributes":["s"],"limit":2}},"facets":["s"]}"#,
    ] {
        let mut found = Exhaustive::new(&schema, &query(text)).expect("a query");
        let matched = found.add_segment(&reader, &all(&reader)).expect("rows");
        let dot = |n: u32| f64::from(n % 5) + 2.0 * f64::from(n % 4);
        let distances: Vec<(u32, f64)> = matched.iter().map(|row| (row, dot(row))).collect();
        found.add_distances(&reader, &distances).expect("rows");
        assert_eq!(Ok(found.finish()), answer_by_rows(&schema, text, &rows), "{text}");
    }
}

#[test]
fn a_merge_of_many_rows_is_what_writing_them_anew_is() {
    let schema = schema();
    let rows = many(&schema, 40_000);
    let (first, second) = rows.split_at(17_000);
    let (first, second) = (reader(&schema, first), reader(&schema, second));
    let mut live = all(&second);
    live.remove_range(5000..6000);
    let inputs =
        [Input { reader: &first, live: &all(&first) }, Input { reader: &second, live: &live }];
    let mut bytes = Vec::new();
    merge(&schema, &inputs, &IDENTITY, &mut bytes).expect("a file");
    let expect: Rows = [&rows[..22_000], &rows[23_000..]].concat();
    assert!(bytes == written(&schema, &expect).0, "the same file, byte by byte");
}

#[test]
fn a_merge_follows_the_schema_of_today() {
    let old = schema_of(r#"{"a":"int","b":"string"}"#);
    let documents = [(DocId::U64(1), r#"{"a":1,"b":"x"}"#.to_owned())];
    let rows_before = rows(&old, &documents, 1);
    let reader = reader(&old, &rows_before);
    let request = r#"{"b":{"type":"string","filterable":false},"c":"[]int"}"#;
    let json = search::json::Json::parse(request.as_bytes()).expect("JSON");
    let today = old.declare(json, None).expect("a change").schema;
    let mut bytes = Vec::new();
    let inputs = [Input { reader: &reader, live: &all(&reader) }];
    let found = merge(&today, &inputs, &IDENTITY, &mut bytes).expect("a file");
    assert!(bytes == written(&today, &rows_before).0, "as written anew");
    let merged = open(bytes, found).expect("a file");
    assert_eq!(merged.fields().collect::<Vec<_>>(), [FieldNo(0), FieldNo(2)]);
    let missing = filter(&today, r#"["c","Eq",null]"#).expect("it fits");
    assert_eq!(merged.matching(&missing, None).expect("rows").len(), 1);
    // A file that was written before an attribute was declared: it is missing in every row.
    assert_eq!(reader.matching(&missing, None).expect("rows").len(), 1);
    assert!(reader.column(FieldNo(2)).expect("no damage").is_none());
}

#[test]
fn an_id_or_an_lsn_that_is_given_twice_is_refused() {
    let schema = schema_of(r#"{"a":"int"}"#);
    let documents = [(DocId::U64(1), "{}".to_owned()), (DocId::U64(2), "{}".to_owned())];
    let rows = rows(&schema, &documents, 1);
    for twice in [
        [rows[0].clone(), (Lsn(9), rows[0].1.clone())],
        [rows[0].clone(), (rows[0].0, rows[1].1.clone())],
    ] {
        let mut writer = search::attributes::Writer::new(&schema);
        for (lsn, row) in &twice {
            writer.add(row, *lsn).expect("room");
        }
        let error = writer.finish(&IDENTITY, &mut Vec::new()).expect_err("twice");
        assert!(error.to_string().contains("twice"), "{error}");
    }
    let reader = reader(&schema, &rows);
    let input = Input { reader: &reader, live: &all(&reader) };
    let error = merge(&schema, &[input, input], &IDENTITY, &mut Vec::new()).expect_err("twice");
    assert!(error.to_string().contains("two live rows"), "{error}");
}

/// Everything that a small file can be asked.
fn everything(schema: &Schema, reader: &Reader) -> Result<Vec<String>, AttributesError> {
    let numbers: Vec<u32> = (0..reader.rows()).collect();
    let ids = reader.ids()?;
    let mut out = vec![
        format!("{:?}", ids.ids(&numbers)?),
        format!("{:?}", ids.lsns(&numbers)?),
        format!("{:?}", ids.lsn_order()?),
        format!("{:?}", ids.rows_at(&[Lsn(5), Lsn(8), Lsn(11)])?),
    ];
    for field in reader.fields() {
        let Some(column) = reader.column(field)? else { continue };
        let (present, statistics) = (column.present(), column.statistics());
        out.push(format!("{:?} {present:?} {statistics:?}", column.values(&numbers)?));
        out.push(format!("{:?}", column.extremes()?));
    }
    for text in [
        r#"["s","Gte","a"]"#,
        r#"["s","Glob","*b*"]"#,
        r#"["i","In",[1,2,3,-4]]"#,
        r#"["a.b","Eq",[1,2]]"#,
        r#"["ss","Contains","red"]"#,
        r#"["Not",["f","Lt",1]]"#,
        r#"["id","Gt",3]"#,
        r#"["x","Eq",null]"#,
    ] {
        let filter = filter(schema, text).expect("it fits");
        out.push(format!("{:?} {:?}", reader.matching(&filter, None)?, reader.estimate(&filter)?));
    }
    let text = r#"{"rank_by":[["s","desc"],["i","asc"]],"aggregate_by":{"n":["Count"],"s":["Sum","f"]},
        "group_by":["b"],"facets":["ss"]}"#;
    let mut answer = Exhaustive::new(schema, &query(text)).expect("a query");
    answer.add_segment(reader, &all(reader))?;
    out.push(format!("{:?}", answer.finish()));
    Ok(out)
}

fn few(schema: &Schema) -> Rows {
    let texts = [
        r#"{"s":"a","i":1,"u":7,"f":0.5,"b":true,"x":"00112233-4455-6677-8899-aabbccddeeff","d":"2024-01-01",
            "a":{"b":[1,2]},"ss":["red","blue"]}"#,
        r#"{"s":"ab","i":-4,"f":1.5,"b":false,"a":{"b":[2,1]},"ss":["red"]}"#,
        r#"{}"#,
        r#"{"s":"b","i":3,"u":18446744073709551615,"f":-2,"a":{"b":[1,2,1]}}"#,
        r#"{"s":"ab","i":1,"b":true,"ss":["blue","blue"]}"#,
    ];
    let ids = [DocId::U64(4), DocId::U64(2), DocId::U64(9), DocId::string("k").expect("an id")];
    let ids = ids.into_iter().chain([DocId::U64(3)]);
    let documents: Vec<_> = ids.zip(texts.map(str::to_owned)).collect();
    rows(schema, &documents, 5)
}

#[test]
fn every_damaged_byte_is_found_or_changes_nothing() {
    let schema = schema();
    let (bytes, written) = written(&schema, &few(&schema));
    let whole = open(bytes.clone(), written).expect("a file");
    let expect = everything(&schema, &whole).expect("answers");
    for at in 0..bytes.len() {
        for flip in [1, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            match open(damaged, written).and_then(|reader| everything(&schema, &reader)) {
                Ok(found) => assert_eq!(found, expect, "byte {at}"),
                Err(AttributesError::Damaged { .. }) => {}
                Err(other) => panic!("byte {at}: {other}"),
            }
        }
    }
    for len in 0..bytes.len() {
        let cut = Written { len: len as u64, ..written };
        assert!(open(bytes[..len].to_vec(), cut).is_err(), "cut to {len}");
        assert!(open(bytes[..len].to_vec(), written).is_err(), "cut to {len}, and not told");
    }
}

#[test]
fn another_file_is_not_taken_for_this_one() {
    let schema = schema();
    let (bytes, written) = written(&schema, &few(&schema));
    let other = Reader::open(Arc::new(Bytes(bytes.clone())), b"another identity", written);
    assert!(matches!(other, Err(AttributesError::Damaged { .. })));
    // What is told of the tail is a hint: too little costs a round trip.
    for tail_bytes in [0, 100, u64::MAX] {
        assert!(open(bytes.clone(), Written { tail_bytes, ..written }).is_ok(), "{tail_bytes}");
    }
}

#[test]
fn a_file_of_version_1_opens_and_answers() {
    let schema = schema();
    let (bytes, written) = written(&schema, &few(&schema));
    let fixture = include_bytes!("fixtures/attributes-1.idx");
    assert!(bytes == fixture, "version 1 is written as it always was");
    let reader = open(fixture.to_vec(), written).expect("a file");
    let values = reader.ids().expect("ids").ids(&[0, 3]).expect("ids");
    assert_eq!(values, [DocId::U64(4), DocId::string("k").expect("an id")]);
    let filter = filter(&schema, r#"["a.b","Eq",[1,2]]"#).expect("it fits");
    assert_eq!(reader.matching(&filter, None).expect("rows").iter().collect::<Vec<_>>(), [0]);
}

#[test]
fn files_of_no_rows_are_files_too() {
    let schema = schema();
    let reader = reader(&schema, &Vec::new());
    assert_eq!(reader.rows(), 0);
    everything(&schema, &reader).expect("answers");
    let mut bytes = Vec::new();
    let written = merge(&schema, &[], &IDENTITY, &mut bytes).expect("a file");
    assert_eq!(open(bytes, written).expect("a file").rows(), 0);
}

#[test]
fn a_file_is_not_much_larger_than_what_it_has_to_say() {
    // One attribute each, so that what each costs is seen; ids ascend with rows and cost little.
    let cases = [
        ("string", "s", 24.0, (|n| format!("\"user-{n:08}\"")) as fn(u64) -> String),
        ("int", "i", 3.0, |n| (n % 10).to_string()),
        ("bool", "b", 0.6, |n| n.is_multiple_of(1000).to_string()),
        ("float", "f", 18.0, |n| format!("{:?}", n as f64 / 7.0)),
    ];
    let count = 40_000_u64;
    let size = |schema: &Schema, text: &dyn Fn(u64) -> String| {
        let documents: Vec<_> =
            (0..count).map(|n| (DocId::U64(n), text(n * 7_919 % count))).collect();
        written(schema, &rows(schema, &documents, 1)).0.len() as f64
    };
    let base = size(&schema_of("{}"), &|_| "{}".to_owned());
    assert!(base / (count as f64) < 9.0, "ids and LSNs: {} bytes a row", base / count as f64);
    for (kind, name, most, value) in cases {
        let schema = schema_of(&format!("{{\"{name}\":\"{kind}\"}}"));
        let text = |n| format!("{{\"{name}\":{}}}", value(n));
        let each = (size(&schema, &text) - base) / count as f64;
        assert!(each < most, "{kind}: {each} bytes a row");
    }
}
