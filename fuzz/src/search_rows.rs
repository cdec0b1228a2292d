//! Bytes as the rows of a segment of a search index, and as its dead rows: a clear error, or a table in which every row is
//! found by its position.
//!
//! Identity, length and checksum are made to fit, so that mutations reach the rules behind them.

use base::clock::WallMs;
use base::rng::Rng;
use base::words::Lsn;
use search::index::{RowTable, decode_dead, encode_dead};
use search::schema::FieldNo;
use search::storage::Ulid;

const SUM_BYTES: usize = 4;
/// Rows that are looked at one by one; a few bytes of a set may stand for very many.
const ROWS_MAX: u32 = 10_000;

fn segment() -> Ulid {
    Ulid::from_bytes([7; 16])
}

/// One input: as it is, and with what guards it set right.
pub fn run(data: &[u8]) {
    rows(data);
    dead(data);
    if let Some(forged) = forged(data, 16, Some(32)) {
        rows(&forged);
    }
    if let Some(forged) = forged(data, 0, None) {
        dead(&forged);
    }
}

fn rows(bytes: &[u8]) {
    let Ok(table) = RowTable::decode(bytes, &segment().bytes()) else { return };
    let (first, last) = table.span();
    assert!(first <= last || table.is_empty());
    for row in 0..table.len().min(ROWS_MAX) {
        let lsn = table.lsn_of(row);
        assert_eq!(table.row_of(lsn), Some(row), "a row is where its position says");
        assert!((first..=last).contains(&lsn));
    }
    assert!(table.expired(WallMs(u64::MAX)).all(|row| row < table.len()));
    let all = (0..table.len().min(ROWS_MAX)).collect();
    assert_eq!(table.rows(&all).len(), all.len() as usize);
    // One table has several forms, of which one is written.
    let written = table.encode(&segment().bytes());
    let again = RowTable::decode(&written, &segment().bytes()).expect("what is written is read");
    assert_eq!(again, table);
}

fn dead(bytes: &[u8]) {
    // Whatever number of rows the manifest says.
    for count in [0, 1, 3, 100] {
        if let Ok(rows) = decode_dead(segment(), count, bytes) {
            assert_eq!(rows.len(), u64::from(count));
            let written = encode_dead(segment(), &rows);
            assert_eq!(decode_dead(segment(), count, &written).expect("what is written"), rows);
        }
    }
}

/// The input with the identity, the length and the checksum at its end set right.
fn forged(data: &[u8], identity: usize, len: Option<usize>) -> Option<Vec<u8>> {
    let mut bytes = data.to_vec();
    bytes.get_mut(identity..identity + 16)?.copy_from_slice(&segment().bytes());
    if let Some(at) = len {
        let whole = (bytes.len() as u64).to_le_bytes();
        bytes.get_mut(at..at + 8)?.copy_from_slice(&whole);
    }
    let at = bytes.len().checked_sub(SUM_BYTES)?;
    let sum = crc32c::crc32c(bytes.get(..at)?);
    bytes.get_mut(at..)?.copy_from_slice(&sum.to_le_bytes());
    Some(bytes)
}

/// Tables of no rows, of few and of many; and dead rows.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut rng = Rng::new(1);
    let mut table = |rows: u64| {
        let mut lsn = 0;
        let row = (0..rows).map(|row| {
            lsn += 1 + rng.below(9);
            (Lsn(lsn), row.is_multiple_of(3).then(|| WallMs(1_000_000 - row)))
        });
        let rows = u32::try_from(rows).expect("few");
        let some = |step| (0..rows).step_by(step).collect();
        let vectors = vec![(FieldNo(2), some(1)), (FieldNo(5), some(4))];
        let row: Vec<_> = row.collect();
        RowTable::new(row, vectors).encode(&segment().bytes())
    };
    let mut seeds = [0, 1, 5, 300].map(&mut table).to_vec();
    for rows in [1, 3, 100] {
        seeds.push(encode_dead(segment(), &(0..rows).map(|row| row * 2).collect()));
    }
    seeds
}
