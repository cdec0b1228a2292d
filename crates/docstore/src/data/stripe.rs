//! Stripes: the XOR of their blocks, and the table that says what each block must hold.
//!
//! The table of a stripe, as long as [`Geometry::table_bytes`]:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `DOCDBSTR` |
//! | 8 | 4 | number of the stripe |
//! | 12 | 4 | CRC32C of the parity block; 0 without parity |
//! | 16 | 4 | data offset of the last record that begins before the end of the stripe |
//! | 20 | 4 | data offset where the first record at or behind that end begins |
//! | 24 | 8 × n | per data block: its CRC32C, and where in it the first record begins (all ones: none) |
//! | 24 + 8n | … | zero |
//! | end − 4 | 4 | CRC32C of everything before it, seeded as records are, with the stripe's number |
//!
//! **Valid** when magic, number and CRC fit and the offsets are in range. A valid table proves
//! where records begin: reading goes on from there when what stands before is damaged.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::bytes::Cursor;
use super::error::Flaw;
use super::identity::FileIdentity;
use super::layout::{Geometry, Layout, Parity};
use super::record::Seed;

const MAGIC: &[u8; 8] = b"DOCDBSTR";
const NO_RECORD: u32 = u32::MAX;

/// What a table says of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) crc: u32,
    /// Where in the block the first record begins.
    pub(super) first: Option<u32>,
}

/// What stands behind the blocks of a stripe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) stripe: u32,
    pub(super) parity_crc: u32,
    pub(super) last_start: u32,
    pub(super) next_start: u32,
    pub(super) blocks: Vec<Block>,
}

impl Table {
    pub(super) fn encode(&self, geometry: Geometry, identity: FileIdentity) -> Vec<u8> {
        let mut out = Vec::with_capacity(geometry.table_bytes());
        out.extend_from_slice(MAGIC);
        for n in [self.stripe, self.parity_crc, self.last_start, self.next_start] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        for block in &self.blocks {
            out.extend_from_slice(&block.crc.to_le_bytes());
            out.extend_from_slice(&block.first.unwrap_or(NO_RECORD).to_le_bytes());
        }
        out.resize(geometry.table_bytes().saturating_sub(4), 0);
        let crc = Seed::new(identity, self.stripe).crc(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// The table of `stripe` in `bytes`, which are as long as a table.
    pub(super) fn decode(
        bytes: &[u8],
        geometry: Geometry,
        identity: FileIdentity,
        stripe: u32,
    ) -> Result<Self, Flaw> {
        let (checked, crc) = bytes.split_last_chunk::<4>().ok_or(Flaw::Short)?;
        if u32::from_le_bytes(*crc) != Seed::new(identity, stripe).crc(checked) {
            return Err(Flaw::Checksum);
        }
        let mut cursor = Cursor::new(checked);
        let is_ours = cursor.array() == Some(*MAGIC) && cursor.u32() == Some(stripe);
        let [parity_crc, last_start, next_start] =
            [cursor.u32(), cursor.u32(), cursor.u32()].map(|n| n.ok_or(Flaw::Short));
        let (parity_crc, last_start, next_start) = (parity_crc?, last_start?, next_start?);
        let mut blocks = Vec::with_capacity(geometry.blocks());
        let mut in_range = is_ours;
        for _ in 0..geometry.blocks() {
            let crc = cursor.u32().ok_or(Flaw::Short)?;
            let first = cursor.u32().filter(|first| *first != NO_RECORD);
            in_range &= first.is_none_or(|first| (first as usize) < geometry.block_bytes());
            in_range &= first.is_none_or(|first| first.is_multiple_of(8));
            blocks.push(Block { crc, first });
        }
        let end = u64::from(stripe).saturating_add(1).saturating_mul(geometry.stripe_bytes());
        in_range &= u64::from(last_start) < end && u64::from(next_start) >= end;
        in_range &= last_start.is_multiple_of(8) && next_start.is_multiple_of(8);
        if in_range {
            Ok(Self { stripe, parity_crc, last_start, next_start, blocks })
        } else {
            Err(Flaw::Malformed("the table of the stripe contradicts itself"))
        }
    }
}

/// XORs `bytes` into `into` from its start; the shorter of the two says how far.
pub(super) fn xor(into: &mut [u8], bytes: &[u8]) {
    for (to, from) in into.iter_mut().zip(bytes) {
        *to ^= from;
    }
}

/// Parity and table of a stripe in the making.
#[derive(Debug)]
pub(super) struct Builder {
    layout: Layout,
    identity: FileIdentity,
    stripe: u32,
    /// Bytes of data in the stripe so far.
    filled: u64,
    parity: Vec<u8>,
    blocks: Vec<Block>,
    last_start: u32,
    next_start: u32,
}

impl Builder {
    /// For the first stripe of a file.
    pub(super) fn new(layout: Layout, identity: FileIdentity) -> Self {
        Self::at(layout, identity, 0, (0, 0))
    }

    /// For a stripe, and the last record that begins before it and where the next one begins.
    pub(super) fn at(
        layout: Layout,
        identity: FileIdentity,
        stripe: u32,
        (last_start, next_start): (u32, u32),
    ) -> Self {
        let Layout { geometry, parity } = layout;
        let parity_bytes = match parity {
            Parity::On => geometry.block_bytes(),
            Parity::Off => 0,
        };
        let blocks = vec![Block { crc: 0, first: None }; geometry.blocks()];
        let parity = vec![0; parity_bytes];
        Self { layout, identity, stripe, filled: 0, parity, blocks, last_start, next_start }
    }

    /// Notes that a record begins at a data offset of this stripe or of one before it, and where
    /// the next one begins. Records come in order.
    pub(super) fn record(&mut self, at: u32, next: u32) {
        let within = self.layout.within_block(u64::from(at));
        let is_ours = self.layout.stripe_of(u64::from(at)) == u64::from(self.stripe);
        let block = self.blocks.get_mut(self.layout.block_of(u64::from(at)));
        if let Some(block) = block.filter(|_| is_ours) {
            block.first = block.first.or(u32::try_from(within).ok());
        }
        (self.last_start, self.next_start) = (at, next);
    }

    /// Bytes that the stripe still takes.
    pub(super) fn room(&self) -> u64 {
        self.layout.geometry.stripe_bytes().saturating_sub(self.filled)
    }

    /// Takes the next bytes of data, at most as many as there is room for.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        debug_assert!(bytes.len() as u64 <= self.room());
        let block_bytes = self.layout.geometry.block_bytes();
        while !bytes.is_empty() {
            let number = self.layout.block_of(self.filled);
            let within = self.layout.within_block(self.filled);
            let n = block_bytes.saturating_sub(within).min(bytes.len());
            let (part, rest) = bytes.split_at_checked(n).unwrap_or((bytes, &[]));
            if let Some(block) = self.blocks.get_mut(number) {
                block.crc = crc32c::crc32c_append(block.crc, part);
            }
            xor(self.parity.get_mut(within..).unwrap_or_default(), part);
            self.filled = self.filled.saturating_add(part.len() as u64);
            bytes = rest;
        }
    }

    /// Ends a full stripe: appends its parity and table to `out` and begins the next one.
    pub(super) fn complete(&mut self, out: &mut Vec<u8>) {
        debug_assert_eq!(self.room(), 0);
        out.extend_from_slice(&self.parity);
        let next = self.stripe.saturating_add(1);
        let starts = (self.last_start, self.next_start);
        let fresh = Self::at(self.layout, self.identity, next, starts);
        let done = std::mem::replace(self, fresh);
        let geometry = done.layout.geometry;
        out.extend_from_slice(&done.into_table().encode(geometry, self.identity));
    }

    /// The table of what was taken.
    pub(super) fn into_table(self) -> Table {
        let parity_crc = match self.layout.parity {
            Parity::On => crc32c::crc32c(&self.parity),
            Parity::Off => 0,
        };
        Table {
            stripe: self.stripe,
            parity_crc,
            last_start: self.last_start,
            next_start: self.next_start,
            blocks: self.blocks,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test may panic"
    )]
    use base::words::DatabaseId;

    use super::*;
    use crate::location::FileNumber;

    const GEOMETRY: Geometry = Geometry::Tiny;

    fn identity() -> FileIdentity {
        FileIdentity { database: DatabaseId::from_bytes([3; 16]), number: FileNumber(4) }
    }

    fn table() -> Table {
        let block = |n: u32| Block { crc: n, first: n.is_multiple_of(2).then_some(n * 8) };
        Table {
            stripe: 2,
            parity_crc: 77,
            last_start: 4096,
            next_start: 7000,
            blocks: (0..4).map(block).collect(),
        }
    }

    #[test]
    fn tables_round_trip_in_their_own_place_only() {
        let bytes = table().encode(GEOMETRY, identity());
        assert_eq!(bytes.len(), GEOMETRY.table_bytes());
        let decode = |identity, stripe| Table::decode(&bytes, GEOMETRY, identity, stripe);
        assert_eq!(decode(identity(), 2), Ok(table()));
        assert_eq!(decode(identity(), 3), Err(Flaw::Checksum));
        let other = FileIdentity { number: FileNumber(5), ..identity() };
        assert_eq!(decode(other, 2), Err(Flaw::Checksum));
        let other = FileIdentity { database: DatabaseId::from_bytes([4; 16]), ..identity() };
        assert_eq!(decode(other, 2), Err(Flaw::Checksum));
    }

    #[test]
    fn every_flipped_bit_of_a_table_is_noticed_in_its_zeros_too() {
        let good = table().encode(GEOMETRY, identity());
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Table::decode(&bad, GEOMETRY, identity(), 2).is_err(), "bit {bit}");
        }
        for cut in 0..good.len() {
            assert!(Table::decode(&good[..cut], GEOMETRY, identity(), 2).is_err(), "cut {cut}");
        }
    }

    #[test]
    fn a_sealed_table_that_contradicts_itself_is_refused() {
        let tables = [
            Table { last_start: 6144, ..table() },
            Table { next_start: 6136, ..table() },
            Table { last_start: 4, ..table() },
            Table { next_start: 6145, ..table() },
            Table { blocks: vec![Block { crc: 0, first: Some(512) }; 4], ..table() },
            Table { blocks: vec![Block { crc: 0, first: Some(4) }; 4], ..table() },
        ];
        for table in tables {
            let bytes = table.encode(GEOMETRY, identity());
            let refused = Table::decode(&bytes, GEOMETRY, identity(), 2);
            assert!(matches!(refused, Err(Flaw::Malformed(_))), "{table:?}");
        }
    }

    #[test]
    fn a_stripe_is_the_same_however_its_bytes_come() {
        let layout = Layout { geometry: GEOMETRY, parity: Parity::On };
        let data: Vec<u8> = (0..2048_u32).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect();
        let build = |step: usize| {
            let mut builder = Builder::new(layout, identity());
            builder.record(0, 600);
            builder.record(600, 2048);
            data.chunks(step).for_each(|part| builder.push(part));
            let mut out = Vec::new();
            builder.complete(&mut out);
            out
        };
        let whole = build(2048);
        for step in [1, 7, 512, 513, 1000] {
            assert_eq!(build(step), whole, "step {step}");
        }
        let table = Table::decode(&whole[512..], GEOMETRY, identity(), 0).unwrap();
        let firsts: Vec<_> = table.blocks.iter().map(|block| block.first).collect();
        assert_eq!(firsts, [Some(0), Some(88), None, None]);
        assert_eq!((table.last_start, table.next_start), (600, 2048));
        for (block, bytes) in table.blocks.iter().zip(data.chunks(512)) {
            assert_eq!(block.crc, crc32c::crc32c(bytes));
        }
        let mut all = whole[..512].to_vec();
        data.chunks(512).for_each(|bytes| xor(&mut all, bytes));
        assert!(all.iter().all(|byte| *byte == 0));
    }
}
