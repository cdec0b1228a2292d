//! Bytes as a text index file: a clear error, or a file that can be asked and merged.
//!
//! Checksums of the header and of the table of the fields are made to fit, so that mutations reach the rules
//! behind them. Those of what tantivy wrote are not: it trusts its bytes, and that none reaches it unverified
//! is what must hold.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use base::document::Document;
use base::words::DocId;
use search::json::Json;
use search::path::Path;
use search::schema::{Schema, Undeclared};
use search::text::{Input, Memory, Part, Reader, TextMatch, Texts, Written, merge};
use search::vector::ReadRanges;

const IDENTITY: [u8; 16] = [7; 16];
const HEADER_BYTES: usize = 64;
const ENTRY_BYTES: usize = 32;
/// Most rows of a file that is merged.
const ROWS_MAX: u32 = 100_000;

/// A file in memory.
#[derive(Debug)]
struct Bytes(Vec<u8>);

impl ReadRanges for Bytes {
    fn read(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Vec<u8>>> {
        let part = |range: &Range<u64>| {
            let (from, to) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
            self.0.get(from..to).map(<[u8]>::to_vec)
        };
        ranges.iter().map(|range| part(range).ok_or(io::ErrorKind::UnexpectedEof.into())).collect()
    }
}

fn schema() -> Schema {
    let text = r#"{"t":{"type":"string","full_text_search":true},"u":{"type":"string","full_text_search":true}}"#;
    let request = Json::parse(text.as_bytes()).expect("the schema is JSON");
    Schema::new(Undeclared::Ignore).declare(request, None).expect("the schema is one").schema
}

/// One input: as it is, and with checksums that fit.
pub fn run(data: &[u8]) {
    open(data.to_vec());
    if let Some(forged) = forged(data) {
        open(forged);
    }
}

fn open(bytes: Vec<u8>) {
    let written = Written { len: bytes.len() as u64, head_bytes: HEADER_BYTES as u64 };
    let Ok(reader) = Reader::open(Arc::new(Bytes(bytes)), &IDENTITY, written) else { return };
    let schema = schema();
    for name in ["t", "u"] {
        let path = Path::parse(name).expect("a path");
        let query =
            TextMatch { last_as_prefix: true, edits: 1, ..TextMatch::any(path, "quick fo") };
        let query = query.compile(&schema).expect("a query");
        if let Ok(prepared) = Part::File(&reader).prepare(&query) {
            let found = prepared.matches();
            assert!(found.max().is_none_or(|row| row < reader.rows()));
            assert!(prepared.statistics(None).df.iter().all(|df| *df <= u64::from(reader.rows())));
        }
    }
    if reader.rows() > ROWS_MAX {
        // A header that was forged: merging would take memory for each row.
        return;
    }
    let to: Vec<u32> = (0..reader.rows()).collect();
    let merged = merge(&IDENTITY, &[Input { part: Part::File(&reader), to: &to }], reader.rows());
    assert!(merged.is_err() || reader.verify().is_ok());
}

/// The input with its identity, the length that the header tells, and the checksums of header and table set right,
/// as `docs/formats/text.md` says.
fn forged(data: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = data.to_vec();
    bytes.get_mut(16..32)?.copy_from_slice(&IDENTITY);
    bytes.get_mut(48..56)?.copy_from_slice(&(data.len() as u64).to_le_bytes());
    let sum = checksum(0, bytes.get(..HEADER_BYTES - 4)?);
    bytes.get_mut(HEADER_BYTES - 4..HEADER_BYTES)?.copy_from_slice(&sum);
    let fields = u32::from_le_bytes(data.get(12..16)?.try_into().ok()?);
    let table = usize::try_from(fields).ok()?.checked_mul(ENTRY_BYTES)?;
    let end = HEADER_BYTES.checked_add(table)?;
    let sum = checksum(1, bytes.get(HEADER_BYTES..end)?);
    bytes.get_mut(end..end.checked_add(4)?)?.copy_from_slice(&sum);
    Some(bytes)
}

fn checksum(kind: u8, bytes: &[u8]) -> [u8; 4] {
    let crc = crc32c::crc32c(&IDENTITY);
    let crc = crc32c::crc32c_append(crc, &[kind, 0, 0, 0, 0]);
    crc32c::crc32c_append(crc, bytes).to_le_bytes()
}

/// Small files: without rows, with one field, and with two.
pub fn seeds() -> Vec<Vec<u8>> {
    let (schema, texts) = (schema(), Texts::new(&schema()));
    let file = |rows: u64, text: &str| {
        let memory = Memory::new();
        for id in 0..rows {
            let document = Document::parse(text.as_bytes()).expect("a document");
            let row = schema.row(&DocId::U64(id), &document).expect("a row");
            memory.append(&texts.analyze(&row)).expect("room");
        }
        let snapshot = memory.snapshot();
        let to: Vec<u32> = (0..snapshot.rows()).collect();
        let input = Input { part: Part::Memory(&snapshot), to: &to };
        merge(&IDENTITY, &[input], snapshot.rows()).expect("a file").0
    };
    vec![
        file(0, "{}"),
        file(3, r#"{"t":"quick brown fox"}"#),
        file(9, r#"{"t":"quick quick fox","u":"foxes are fond of words"}"#),
    ]
}
