//! `text.idx` read by ranges, damaged, and opened as what it is not.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::error::{Code, Coded};
use search::schema::Schema;
use search::text::{Input, Memory, Part, Reader, TextError, TextQuery, Texts, Written, merge};

use crate::text::{Bytes, IDENTITY, compile, opened, row, schema};

fn text_schema() -> Schema {
    schema(
        r#"{"t":{"type":"string","full_text_search":true},"u":{"type":"string","full_text_search":true}}"#,
    )
}

/// A file of rows of which every third has words in `u`.
fn file(rows: u64) -> (Vec<u8>, Written) {
    let schema = text_schema();
    let (texts, memory) = (Texts::new(&schema), Memory::new());
    for id in 0..rows {
        let text = match id % 3 {
            0 => format!(r#"{{"t":"quick fox number{id} again","u":"bear {}"}}"#, id % 7),
            1 => r#"{"t":"quick brown fox"}"#.to_owned(),
            _ => "{}".to_owned(),
        };
        memory.append(&texts.analyze(&row(&schema, id, &text))).expect("room");
    }
    let snapshot = memory.snapshot();
    let to: Vec<u32> = (0..snapshot.rows()).collect();
    let input = Input { part: Part::Memory(&snapshot), to: &to };
    merge(&IDENTITY, &[input], snapshot.rows()).expect("a file")
}

fn queries() -> Vec<TextQuery> {
    let schema = text_schema();
    [
        r#"["t","BM25","quick number3"]"#,
        r#"["t","BM25","quick fox",{"match":"phrase"}]"#,
        r#"["u","BM25","be",{"last_as_prefix":true}]"#,
        r#"["t","BM25","nmber9",{"max_edit_distance":2}]"#,
    ]
    .iter()
    .map(|text| compile(&schema, text))
    .collect()
}

/// What queries find: rows, statistics and scores.
fn answers(reader: &Reader) -> Result<Vec<String>, TextError> {
    let answer = |query: &TextQuery| {
        let prepared = Part::File(reader).prepare(query)?;
        let statistics = prepared.statistics(None);
        let scores = prepared.scores(&query.weigh(&statistics), prepared.matches());
        Ok(format!("{:?} {statistics:?} {scores:?}", prepared.matches()))
    };
    queries().iter().map(answer).collect()
}

#[test]
fn opening_a_file_and_asking_it_are_one_round_trip_each() {
    let (bytes, written) = file(5_000);
    assert_eq!(written.len, bytes.len() as u64);
    let bytes = Arc::new(Bytes { bytes, ..Bytes::default() });
    let trips = || bytes.trips.swap(0, Ordering::Relaxed);
    let reader = Reader::open(Arc::clone(&bytes) as Arc<_>, &IDENTITY, written).expect("a file");
    assert_eq!(trips(), 1);
    for query in queries() {
        let prepared = Part::File(&reader).prepare(&query).expect("postings");
        assert_eq!(trips(), 1);
        assert!(!prepared.matches().is_empty() || prepared.postings() == 0);
        assert_eq!(trips(), 0);
    }
    let short = Written { head_bytes: 0, ..written };
    Reader::open(Arc::clone(&bytes) as Arc<_>, &IDENTITY, short).expect("a file");
    assert_eq!(trips(), 2);
}

#[test]
fn every_flipped_byte_is_found_or_harmless() {
    let (mut bytes, written) = file(40);
    let expect = answers(&opened(bytes.clone(), written)).expect("answers");
    for at in 0..bytes.len() {
        bytes[at] ^= 1 << (at % 8);
        let shared = Arc::new(Bytes { bytes: bytes.clone(), ..Bytes::default() });
        match Reader::open(shared, &IDENTITY, written) {
            Err(error) => assert_eq!(error.code(), Code::CorruptRecord, "byte {at}: {error}"),
            Ok(reader) => {
                match answers(&reader) {
                    Ok(found) => assert_eq!(found, expect, "byte {at}"),
                    Err(error) => {
                        assert_eq!(error.code(), Code::CorruptRecord, "byte {at}: {error}")
                    }
                }
                let error = reader.verify().expect_err("a byte of a page");
                assert_eq!(error.code(), Code::CorruptRecord, "byte {at}: {error}");
                let to: Vec<u32> = (0..reader.rows()).collect();
                let input = Input { part: Part::File(&reader), to: &to };
                assert!(merge(&IDENTITY, &[input], reader.rows()).is_err(), "byte {at}");
            }
        }
        bytes[at] ^= 1 << (at % 8);
    }
}

#[test]
fn another_file_or_a_part_of_one_is_refused() {
    let (bytes, written) = file(40);
    let open = |bytes: &[u8], identity: &[u8; 16], written: Written| {
        let shared = Arc::new(Bytes { bytes: bytes.to_vec(), ..Bytes::default() });
        Reader::open(shared, identity, written).map(|_| ())
    };
    assert!(open(&bytes, &IDENTITY, written).is_ok());
    assert_eq!(open(&bytes, &[0; 16], written).expect_err("another").code(), Code::CorruptRecord);
    let longer = Written { len: written.len + 1, ..written };
    assert_eq!(open(&bytes, &IDENTITY, longer).expect_err("longer").code(), Code::CorruptRecord);
    let cut = open(&bytes[..bytes.len() / 8], &IDENTITY, written);
    assert_eq!(cut.expect_err("cut").code(), Code::FileRead);
}

#[test]
fn a_file_without_rows_or_without_words_finds_nothing() {
    for rows in [0, 1] {
        let schema = text_schema();
        let (texts, memory) = (Texts::new(&schema), Memory::new());
        for id in 0..rows {
            memory
                .append(&texts.analyze(&row(&schema, id, r#"{"t":"the","u":""}"#)))
                .expect("room");
        }
        let snapshot = memory.snapshot();
        let to: Vec<u32> = (0..snapshot.rows()).collect();
        let input = Input { part: Part::Memory(&snapshot), to: &to };
        let (bytes, written) = merge(&IDENTITY, &[input], snapshot.rows()).expect("a file");
        let reader = opened(bytes, written);
        for query in queries() {
            let prepared = Part::File(&reader).prepare(&query).expect("postings");
            let statistics = prepared.statistics(None);
            assert_eq!((statistics.docs, statistics.tokens), (rows, 0));
            assert!(prepared.matches().is_empty());
        }
    }
}
