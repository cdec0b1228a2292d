//! Bytes as an attribute file: a clear error, or a file that can be asked everything, and merged.
//!
//! Checksums of all blocks that can be found are made to fit, so that mutations reach the rules behind them.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use base::document::Document;
use base::words::{DocId, Lsn};
use search::attributes::{Input, Reader, Result, Writer, Written, merge};
use search::exhaustive::Exhaustive;
use search::filter::Filter;
use search::json::Json;
use search::query::Query;
use search::schema::{Schema, Undeclared};
use search::vector::ReadRanges;

const IDENTITY: [u8; 16] = [7; 16];
const SCHEMA: &str = r#"{"s":"string","i":"int","ss":"[]string","f":"float"}"#;
const HEADER_BYTES: usize = 32;
const TRAILER_BYTES: usize = 40;
const ENTRY_BYTES: usize = 46;
/// Rows that are asked for; a file may claim many more than it has bytes.
const ROWS_ASKED: u32 = 10_000;

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

/// One input: as it is, and with checksums that fit.
pub fn run(data: &[u8]) {
    open(data.to_vec());
    open(forged(data));
}

fn open(bytes: Vec<u8>) {
    let written = Written { len: bytes.len() as u64, tail_bytes: 100 };
    let Ok(reader) = Reader::open(Arc::new(Bytes(bytes)), &IDENTITY, written) else { return };
    if reader.rows() <= ROWS_ASKED {
        // What is found is found; what is refused is refused.
        let _: Result<()> = ask(&reader);
    }
}

fn schema() -> Schema {
    let request = Json::parse(SCHEMA.as_bytes()).expect("a schema");
    Schema::new(Undeclared::Refuse).declare(request, None).expect("a schema").schema
}

fn ask(reader: &Reader) -> Result<()> {
    let schema = schema();
    let all = (0..reader.rows()).collect();
    for text in [
        r#"["Or",[["s","Gte","b"],["Not",["i","In",[1,5]]],["s","Glob","*a"]]]"#,
        r#"["And",[["ss","Eq",["x","y"]],["id","Lt",99],["f","NotEq",null]]]"#,
    ] {
        let filter = Filter::parse(Json::parse(text.as_bytes()).expect("JSON"))
            .and_then(|filter| filter.compile(&schema))
            .expect("a filter");
        let (estimate, found) = (reader.estimate(&filter), reader.matching(&filter, None));
        if let (Ok(estimate), Ok(found)) = (estimate, found) {
            assert!(found.max().is_none_or(|row| row < reader.rows()));
            assert!(estimate.least <= estimate.most);
        }
    }
    let text = r#"{"rank_by":[["s","desc"],["f","asc"]],"aggregate_by":{"n":["Sum","i"],"m":["Max","s"]},
        "group_by":["f"],"facets":["ss"]}"#;
    let query = Query::parse(Json::parse(text.as_bytes()).expect("JSON")).expect("a query");
    let scored =
        r#"{"rank_by":["Sum",[["Attribute","i"],["Product",2,["s","Gte","b"]]]],"limit":3}"#;
    let scored = Query::parse(Json::parse(scored.as_bytes()).expect("JSON")).expect("a query");
    for query in [query, scored] {
        let mut answer = Exhaustive::new(&schema, &query).expect("it fits");
        let _ = answer.add_segment(reader, &all);
    }
    let mut merged = Vec::new();
    let _ = merge(&schema, &[Input { reader, live: &all }], &IDENTITY, &mut merged);
    let rows: Vec<u32> = all.iter().collect();
    for field in reader.fields() {
        if let Some(column) = reader.column(field)? {
            column.values(&rows)?;
        }
    }
    reader.ids()?.lsn_order()?;
    reader.ids()?.ids(&rows).map(|_| ())
}

/// The input with its length and every checksum that can be found set right, as `docs/formats/attributes.md`
/// says.
fn forged(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    // Wherever the walk ends, what was met so far is sealed.
    let _ = forge(&mut bytes);
    bytes
}

fn forge(bytes: &mut [u8]) -> Option<()> {
    const FILE: u32 = u32::MAX;
    bytes.get_mut(12..28)?.copy_from_slice(&IDENTITY);
    seal(bytes, 0, HEADER_BYTES, (0, FILE, 0))?;
    let trailer = bytes.len().checked_sub(TRAILER_BYTES)?;
    let len = (bytes.len() as u64).to_le_bytes();
    bytes.get_mut(trailer + 20..trailer + 28)?.copy_from_slice(&len);
    seal(bytes, trailer, TRAILER_BYTES, (1, FILE, 0))?;
    let entries = number(bytes, trailer + 4, 4)?;
    let directory = number(bytes, trailer + 8, 8)?;
    for entry in 0..entries {
        let at = directory.checked_add(entry.checked_mul(ENTRY_BYTES)?)?;
        let slot = u32::try_from(number(bytes, at, 4)?).ok()?;
        let (index, len) = (number(bytes, at + 22, 8)?, number(bytes, at + 30, 4)?);
        seal(bytes, index, len, (7, slot, 0))?;
        let _ = forge_blocks(bytes, index, slot);
        let (present, len) = (number(bytes, at + 34, 8)?, number(bytes, at + 42, 4)?);
        if len > 0 {
            seal(bytes, present, len, (6, slot, 0))?;
        }
    }
    let len = entries.checked_mul(ENTRY_BYTES)?.checked_add(4)?;
    seal(bytes, directory, len, (2, FILE, 0))
}

/// Seals the blocks that an index tells of.
fn forge_blocks(bytes: &mut [u8], index: usize, slot: u32) -> Option<()> {
    let mut at = index;
    for part in [3, 4, 5] {
        let blocks = varint(bytes, &mut at)?;
        for block in 0..blocks {
            // How many values or rows; of a dictionary the pairs, too.
            for _ in 0..if part == 3 { 2 } else { 1 } {
                varint(bytes, &mut at)?;
            }
            let (from, len) = (varint(bytes, &mut at)?, varint(bytes, &mut at)?);
            seal(bytes, from, len, (part, slot, u32::try_from(block).ok()?))?;
            if part == 3 {
                let separator = varint(bytes, &mut at)?;
                at = at.checked_add(separator)?;
            }
        }
    }
    Some(())
}

fn number(bytes: &[u8], at: usize, len: usize) -> Option<usize> {
    let mut word = [0; 8];
    word.get_mut(..len)?.copy_from_slice(bytes.get(at..at.checked_add(len)?)?);
    usize::try_from(u64::from_le_bytes(word)).ok()
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut number = 0_usize;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= usize::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Sets the checksum at the end of a block right.
fn seal(
    bytes: &mut [u8],
    at: usize,
    len: usize,
    (part, slot, number): (u8, u32, u32),
) -> Option<()> {
    let block = bytes.get_mut(at..at.checked_add(len)?)?;
    let (summed, sum) = block.split_last_chunk_mut::<4>()?;
    let crc = crc32c::crc32c(&IDENTITY);
    let crc = crc32c::crc32c_append(crc, &[part]);
    let crc = crc32c::crc32c_append(crc, &slot.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &number.to_le_bytes());
    *sum = crc32c::crc32c_append(crc, summed).to_le_bytes();
    Some(())
}

/// Small files: of no rows, of some, and of many values.
pub fn seeds() -> Vec<Vec<u8>> {
    let file = |count: u64| {
        let schema = schema();
        let mut writer = Writer::new(&schema);
        for n in 0..count {
            let text = match n % 3 {
                0 => format!(r#"{{"s":"word-{n}","i":{},"ss":["x","y"]}}"#, n % 2),
                1 => format!(r#"{{"s":"a","f":{n}.5,"ss":["y","x","y"]}}"#),
                _ => "{}".to_owned(),
            };
            let document = Document::parse(text.as_bytes()).expect("a document");
            let id = if n == 5 {
                DocId::string("five").expect("an id")
            } else {
                DocId::U64(n * 7 % 101)
            };
            writer.add(&schema.row(&id, &document).expect("a row"), Lsn(n + 1)).expect("room");
        }
        let mut out = Vec::new();
        writer.finish(&IDENTITY, &mut out).expect("space in memory");
        out
    };
    [0, 1, 9, 60].map(file).to_vec()
}
