//! Bytes as a line of an import: refused, or a document with an id that is written as a line again
//! and read back the same. What passes is JSON, but for a document that is at the limits by itself.

use base::clock::WallMs;
use base::document::{Document, JsonErrorKind};
use base::words::{DocId, Lsn};
use docstore::{ImportLine, LINE_BYTES_MAX, Stored, write_export_line};

/// One input.
pub fn run(data: &[u8]) {
    let Ok(read) = ImportLine::parse(data) else { return };
    if let Err(error) = Document::parse(data) {
        let at_limit = matches!(error.kind, JsonErrorKind::TooDeep | JsonErrorKind::TooLarge);
        assert!(at_limit, "a line passes that is no JSON: {error}");
    }
    let ImportLine { id, expires_at, document } = read.clone();
    let mut line = Vec::new();
    write_export_line(&mut line, &id, &Stored { revision: Lsn(1), expires_at, document });
    let (end, inner) = line.split_last().expect("it has an end");
    assert_eq!(*end, b'\n');
    assert!(inner.len() <= LINE_BYTES_MAX && !inner.contains(&b'\n'), "more than a line");
    let again = ImportLine::parse(inner).expect("we wrote it");
    assert_eq!(again, read);
}

/// Lines as they are written, and others that are accepted or not.
pub fn seeds() -> Vec<Vec<u8>> {
    let string = |text| DocId::string(text).expect("a short text is an id");
    let uuid = DocId::decode(&[2; 17]).unwrap_or(DocId::U64(2));
    let ids = [DocId::U64(u64::MAX), uuid, string("a\"\\b é"), string("7")];
    let texts = ["{\"a\" : 1.50e+7}", "[1,\n\"\\u00e9\\\\\"]", " null ", "\"}]\""];
    let mut seeds = Vec::new();
    for (n, (id, text)) in ids.iter().zip(texts).enumerate() {
        let document = Document::parse(text.as_bytes()).expect("it is JSON");
        let expires_at = (n % 2 == 0).then_some(WallMs(1_700_000_000_000));
        let mut line = Vec::new();
        write_export_line(&mut line, id, &Stored { revision: Lsn(9), expires_at, document });
        line.pop();
        seeds.push(line);
    }
    let others = [
        "{\"document\":{},\"id\":\"1\",\"id_type\":\"u64\",\"expires_at\":null}",
        " { \"id\" : 0 , \"text\" : \"{\\n\\\"a\\\":\\t1}\" } ",
        "{\"id\":\"\\ud83d\\ude00\\/\",\"document\":1e400}",
        "{\"id\":1,\"document\":[[[[{}]]]],\"revision\":18446744073709551615}",
    ];
    seeds.extend(others.iter().map(|line| line.as_bytes().to_vec()));
    seeds
}
