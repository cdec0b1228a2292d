//! Text as what stands in a URL or a header: a scan's query, a cursor, a condition, a time, an id.
//! Refused with an answer that says why, or understood, and then it is written again to mean the
//! same.

use std::ops::Bound;

use base::words::{DocId, Lsn};
use docdb::http::decode;

use crate::http_body::is_answer;

/// The last time that is written as it is: of the year 9999.
const LAST_MS: u64 = 253_402_300_799_999;

/// One input.
pub fn run(data: &[u8]) {
    if let Some(again) = decode::cursor_again(data) {
        assert_eq!(again, data, "two encodings of one position");
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    match decode::scan_query(text) {
        Ok((_, limit)) => assert!((1..=docstore::PAGE_DOCUMENTS_MAX).contains(&limit)),
        Err(refused) => is_answer(&refused),
    }
    match decode::transaction_cursor(text) {
        Ok((Bound::Excluded(last), to)) => {
            let again = decode::write_transaction_cursor(&last, &to);
            assert_eq!(decode::transaction_cursor(&again), Ok((Bound::Excluded(last), to)));
        }
        Ok(range) => panic!("a cursor that begins nowhere: {range:?}"),
        Err(refused) => is_answer(&refused),
    }
    if let Err(refused) = decode::if_match(text, Lsn(7)) {
        is_answer(&refused);
    }
    if let Some(at) = decode::parse_time(text).filter(|at| at.0 <= LAST_MS) {
        assert_eq!(decode::parse_time(&at.rfc3339()), Some(at), "{text:?}");
    }
    for id_type in [None, Some("u64"), Some("uuid"), Some("string")] {
        match decode::path_id(text, id_type) {
            Ok(id) => is_same(&id, id_type),
            Err(refused) => is_answer(&refused),
        }
    }
}

/// The text of an id with its type is that id again.
fn is_same(id: &DocId, id_type: Option<&str>) {
    let of = match id {
        DocId::U64(_) => "u64",
        DocId::Uuid(_) => "uuid",
        DocId::Str(_) => "string",
    };
    assert!(id_type.is_none_or(|id_type| id_type == of));
    assert_eq!(decode::path_id(&id.to_string(), Some(of)).as_ref(), Ok(id));
}

/// A text of each kind, and a cursor in bytes.
pub fn seeds() -> Vec<Vec<u8>> {
    let string = |text| DocId::string(text).expect("a short text is an id");
    let ends = [Bound::Unbounded, Bound::Included(DocId::U64(7)), Bound::Excluded(string("z"))];
    let cursors = ends.iter().map(|to| decode::write_transaction_cursor(&string("a.b"), to));
    let texts = [
        "from=1&to=9&limit=10&ids=text",
        "after=%C3%A9&after_type=string&before=67e55044-10b1-426f-9247-bb680e5fe0c8",
        "prefix=order-&limit=10000",
        "prefix=%F4%8F%BF%BF",
        "\"7\", W/\"8\",\"x\"",
        "*",
        "2023-11-14T16:44:20.0009-05:30",
        "2000-02-29 23:59:60z",
        "18446744073709551616",
        "67e55044-10b1-426f-9247-bb680e5fe0c8",
    ];
    let mut seeds: Vec<Vec<u8>> = texts.map(|text| text.as_bytes().to_vec()).into();
    seeds.extend(cursors.map(String::into_bytes));
    // Database, snapshot and collection; the last id; what the end is, and the end.
    let id = |id: DocId| {
        let mut bytes = vec![0];
        id.encode(&mut bytes);
        bytes[0] = u8::try_from(bytes.len() - 1).expect("a short id");
        bytes
    };
    let begin = [vec![7; 28], id(DocId::U64(1))].concat();
    seeds.push([begin.clone(), vec![0]].concat());
    seeds.push([begin, vec![2], id(string("z"))].concat());
    seeds
}
