//! `rows.idx`: what must be known of a segment before it can be asked or a row of it can die: the positions of its
//! rows, which of them expire, and which have which vectors. It is read whole, in one round trip.
//!
//! Rows are in the order of their positions, so that the row of a version is its rank among the positions.
//!
//! Integers little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `DOCDBROW` |
//! | 8 | 4 | version, 1 |
//! | 12 | 4 | rows |
//! | 16 | 16 | identity of the segment |
//! | 32 | 8 | bytes of the file |
//! | 40 | 4 | bytes of the set of positions |
//! | 44 | n | the set of positions: a roaring treemap in its portable form |
//! | | 4 | number of expiries |
//! | | 12 each | the time, in milliseconds since 1970 (8), and the row (4); by time, then by row |
//! | | 2 | number of vector fields |
//! | | 2 + 4 + n each | the number of the field (2), bytes of the set (4), the set of rows that have a vector: a roaring bitmap in its portable form |
//! | end - 4 | 4 | checksum |
//!
//! **The file is valid** when the checksum fits (CRC32C of all bytes before it) and it names the identity and the length that
//! it was opened by.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use base::clock::WallMs;
use base::words::Lsn;
use roaring::{RoaringBitmap, RoaringTreemap};

use super::error::{IndexError, Result};
use crate::schema::FieldNo;

const MAGIC: &[u8; 8] = b"DOCDBROW";
const VERSION: u32 = 1;

/// The rows of a segment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RowTable {
    positions: RoaringTreemap,
    /// By time.
    expiries: Vec<(WallMs, u32)>,
    vectors: Vec<(FieldNo, RoaringBitmap)>,
}

impl RowTable {
    /// A table of these rows, which are in the order of their positions.
    #[must_use]
    pub fn new(
        rows: impl IntoIterator<Item = (Lsn, Option<WallMs>)>,
        vectors: Vec<(FieldNo, RoaringBitmap)>,
    ) -> Self {
        let mut positions = RoaringTreemap::new();
        let mut expiries = Vec::new();
        for (row, (lsn, expires_at)) in (0..).zip(rows) {
            positions.insert(lsn.0);
            expiries.extend(expires_at.map(|at| (at, row)));
        }
        expiries.sort_unstable();
        Self { positions, expiries, vectors }
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        // Checked when it was read, and no memtable has more.
        u32::try_from(self.positions.len()).unwrap_or(u32::MAX)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// The row of the version that this position wrote.
    #[must_use]
    pub fn row_of(&self, lsn: Lsn) -> Option<u32> {
        if !self.positions.contains(lsn.0) {
            return None;
        }
        u32::try_from(self.positions.rank(lsn.0).saturating_sub(1)).ok()
    }

    /// The position that wrote a row.
    #[must_use]
    pub fn lsn_of(&self, row: u32) -> Lsn {
        Lsn(self.positions.select(u64::from(row)).unwrap_or(0))
    }

    /// The positions of the first and the last row.
    #[must_use]
    pub fn span(&self) -> (Lsn, Lsn) {
        let bound = |lsn: Option<u64>| Lsn(lsn.unwrap_or(0));
        (bound(self.positions.min()), bound(self.positions.max()))
    }

    /// Each of some rows, in their order, with its position and when it expires.
    #[must_use]
    pub fn rows(&self, some: &RoaringBitmap) -> Vec<(Lsn, Option<WallMs>)> {
        let mut expiries: Vec<(u32, WallMs)> =
            self.expiries.iter().map(|(at, row)| (*row, *at)).collect();
        expiries.sort_unstable();
        let all = (0_u32..).zip(&self.positions).filter(|(row, _)| some.contains(*row));
        let expiry = |row: u32| {
            let at = expiries.binary_search_by_key(&row, |(row, _)| *row).ok()?;
            expiries.get(at).map(|(_, at)| *at)
        };
        all.map(|(row, lsn)| (Lsn(lsn), expiry(row))).collect()
    }

    /// The rows that have expired by this time.
    pub fn expired(&self, now: WallMs) -> impl Iterator<Item = u32> + '_ {
        self.expiries.iter().take_while(move |(at, _)| *at <= now).map(|(_, row)| *row)
    }

    /// The vector fields, and which rows have a vector.
    #[must_use]
    pub fn vectors(&self) -> &[(FieldNo, RoaringBitmap)] {
        &self.vectors
    }

    /// The file.
    #[must_use]
    pub fn encode(&self, identity: &[u8; 16]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.len().to_le_bytes());
        out.extend_from_slice(identity);
        out.extend_from_slice(&[0; 8]);
        let mut set = Vec::with_capacity(self.positions.serialized_size());
        self.positions.serialize_into(&mut set).expect("memory takes every byte");
        put_sized(&set, &mut out);
        out.extend_from_slice(&number(self.expiries.len()));
        for (at, row) in &self.expiries {
            out.extend_from_slice(&at.0.to_le_bytes());
            out.extend_from_slice(&row.to_le_bytes());
        }
        let fields = u16::try_from(self.vectors.len()).expect("a schema has two at most");
        out.extend_from_slice(&fields.to_le_bytes());
        for (field, rows) in &self.vectors {
            out.extend_from_slice(&field.0.to_le_bytes());
            put_sized(&bitmap_bytes(rows), &mut out);
        }
        let len = (out.len() as u64).saturating_add(4);
        if let Some(place) = out.get_mut(32..40) {
            place.copy_from_slice(&len.to_le_bytes());
        }
        let sum = crc32c::crc32c(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads the file of this identity.
    ///
    /// # Errors
    /// [`IndexError::Damaged`] when it is not what was written.
    pub fn decode(bytes: &[u8], identity: &[u8; 16]) -> Result<Self> {
        let damaged = |what: &str| IndexError::Damaged { what: what.into() };
        let (summed, sum) =
            bytes.split_last_chunk::<4>().ok_or_else(|| damaged("the rows are cut off"))?;
        if u32::from_le_bytes(*sum) != crc32c::crc32c(summed) {
            return Err(damaged("the checksum of the rows does not fit"));
        }
        let mut cursor = Cursor(summed);
        let header = (cursor.take(8), cursor.u32(), cursor.u32(), cursor.array(), cursor.u64());
        let (Some(magic), Some(version), Some(rows), Some(named), Some(len)) = header else {
            return Err(damaged("the rows are cut off"));
        };
        if magic != MAGIC || version != VERSION {
            return Err(damaged("the rows are of another kind or version"));
        }
        if named != *identity || len != bytes.len() as u64 {
            return Err(damaged("the rows are those of another segment"));
        }
        Self::decode_parts(&mut cursor)
            .filter(|table| table.is_consistent(rows))
            .ok_or_else(|| damaged("the rows contradict themselves"))
    }

    fn decode_parts(cursor: &mut Cursor<'_>) -> Option<Self> {
        let positions = RoaringTreemap::deserialize_from(cursor.sized()?).ok()?;
        let mut expiries = Vec::new();
        for _ in 0..cursor.u32()? {
            expiries.push((WallMs(cursor.u64()?), cursor.u32()?));
        }
        let mut vectors = Vec::new();
        for _ in 0..cursor.u16()? {
            let field = FieldNo(cursor.u16()?);
            vectors.push((field, RoaringBitmap::deserialize_from(cursor.sized()?).ok()?));
        }
        cursor.0.is_empty().then_some(Self { positions, expiries, vectors })
    }

    fn is_consistent(&self, rows: u32) -> bool {
        self.positions.len() == u64::from(rows)
            && self.expiries.is_sorted()
            && self.expiries.iter().all(|(_, row)| *row < rows)
            && self.vectors.iter().all(|(_, some)| some.max().is_none_or(|row| row < rows))
    }
}

fn number(number: usize) -> [u8; 4] {
    u32::try_from(number).expect("a segment is far smaller").to_le_bytes()
}

fn put_sized(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&number(bytes.len()));
    out.extend_from_slice(bytes);
}

/// A set of rows in its portable form.
pub(super) fn bitmap_bytes(rows: &RoaringBitmap) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows.serialized_size());
    rows.serialize_into(&mut bytes).expect("memory takes every byte");
    bytes
}

/// Takes what stands at the front of bytes; `None` where they end too early.
#[derive(Debug)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length, and as many bytes.
    fn sized(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.u32()?).ok()?;
        self.take(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: [u8; 16] = *b"rows of a segmen";

    fn table(rows: u64) -> RowTable {
        let row = |n: u64| (Lsn(10 + n * n), n.is_multiple_of(5).then(|| WallMs(1000 - n)));
        let vectors = vec![(FieldNo(3), (0..u32::try_from(rows).unwrap()).step_by(2).collect())];
        RowTable::new((0..rows).map(row), vectors)
    }

    #[test]
    fn what_is_written_reads_back() {
        for rows in [0, 1, 7, 1000] {
            let table = table(rows);
            let read = RowTable::decode(&table.encode(&IDENTITY), &IDENTITY).unwrap();
            assert_eq!(read, table);
            assert_eq!(u64::from(read.len()), rows);
            for row in 0..read.len() {
                let lsn = Lsn(10 + u64::from(row) * u64::from(row));
                assert_eq!((read.row_of(lsn), read.lsn_of(row)), (Some(row), lsn));
            }
            assert_eq!(read.row_of(Lsn(12)), None);
        }
    }

    #[test]
    fn rows_expire_at_their_times() {
        let table = table(7);
        let expired = |now| table.expired(WallMs(now)).collect::<Vec<_>>();
        assert_eq!(expired(994), [] as [u32; 0]);
        assert_eq!(expired(995), [5]);
        assert_eq!(expired(1000), [5, 0]);
        let some = table.rows(&[0, 4, 5].into_iter().collect());
        let expect = [(Lsn(10), Some(WallMs(1000))), (Lsn(26), None), (Lsn(35), Some(WallMs(995)))];
        assert_eq!(some, expect);
    }

    #[test]
    fn every_flipped_bit_and_every_other_length_is_noticed() {
        let bytes = table(300).encode(&IDENTITY);
        for at in 0..bytes.len() {
            let mut hit = bytes.clone();
            hit[at] ^= 1 << (at % 8);
            let error = RowTable::decode(&hit, &IDENTITY).unwrap_err();
            assert!(matches!(error, IndexError::Damaged { .. }), "byte {at}: {error}");
        }
        for len in [0, 3, 4, 44, bytes.len() - 1] {
            assert!(RowTable::decode(&bytes[..len], &IDENTITY).is_err(), "{len} bytes");
        }
        assert!(RowTable::decode(&bytes, b"another identity").is_err());
    }
}
