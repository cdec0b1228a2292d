//! The filter of a block: which tokens and field values it may have. It can be wrong by saying yes,
//! never by saying no.
//!
//! A Bloom filter (Bloom, CACM 1970) in 16 slices: the upper four bits of a token's hash choose the
//! slice, so that looking for one token in thousands of blocks reads a sixteenth of their filters.
//! A slice is the CRC-32C of the rest (4 bytes) and then 12 bits for each of its tokens, of which 8
//! are set: three tokens in a thousand are taken for others.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use super::BadBlock;
use crate::filter::{EntryRef, Field};
use crate::text::{fold, tokens};

pub(crate) const SLICES: usize = 16;
const BITS_PER_TOKEN: usize = 12;
const PROBES: u32 = 8;
const CRC_BYTES: usize = 4;

/// The hash of a token or a value, and with it the slice that knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenHash(u64);

impl TokenHash {
    /// Of a folded token.
    pub(crate) fn of_token(folded: &str) -> Self {
        Self(finish(folded.bytes().fold(OFFSET, step)))
    }

    /// Of a field's value. Its first byte is none that a token has.
    pub(crate) fn of_field(field: Field, value: &str) -> Self {
        let tag = match field {
            Field::Hostname => 1,
            Field::AppName => 2,
            Field::ProcId => 3,
            Field::MsgId => 4,
            Field::Source => 5,
            Field::Facility => 6,
            Field::Severity => 7,
        };
        Self(finish(value.bytes().fold(step(OFFSET, tag), step)))
    }

    /// Of a token as it stands in a message.
    fn of_raw(token: &str) -> Self {
        if token.is_ascii() {
            let folded = token.bytes().map(|byte| byte.to_ascii_lowercase());
            return Self(finish(folded.fold(OFFSET, step)));
        }
        let folded: String = token.chars().map(fold).collect();
        Self::of_token(&folded)
    }

    pub(crate) fn slice(self) -> usize {
        // Four bits, which fit everywhere.
        (self.0 >> 60) as usize
    }

    /// The bits of a slice of `bits` bits that belong to this hash.
    fn probes(self, bits: u32) -> impl Iterator<Item = usize> {
        let [a, b] = [self.0 & 0xffff_ffff, (self.0 >> 32) | 1];
        (0..u64::from(PROBES)).map(move |n| {
            let mixed = a.wrapping_add(n.wrapping_mul(b)) & 0xffff_ffff;
            // Below `bits`, which is a u32.
            ((mixed * u64::from(bits)) >> 32) as usize
        })
    }
}

/// FNV-1a (Fowler, Noll, Vo), and the finish of SplitMix64 to spread it. Part of the format.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
}

fn finish(hash: u64) -> u64 {
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Hashes are spread already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        debug_assert!(false, "only hashes are hashed");
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// Collects what a block has.
#[derive(Default)]
pub(crate) struct FilterBuilder {
    known: HashSet<TokenHash, BuildHasherDefault<AsItIs>>,
}

impl FilterBuilder {
    pub(crate) fn add(&mut self, entry: &EntryRef<'_>) {
        self.known.extend(tokens(entry.message).map(TokenHash::of_raw));
    }

    pub(crate) fn add_field(&mut self, field: Field, value: &str) {
        self.known.insert(TokenHash::of_field(field, value));
    }

    pub(crate) fn finish(self) -> Vec<Vec<u8>> {
        let mut by_slice: [Vec<TokenHash>; SLICES] = Default::default();
        for hash in self.known {
            by_slice[hash.slice()].push(hash);
        }
        by_slice.iter().map(|hashes| slice_of(hashes)).collect()
    }
}

fn slice_of(hashes: &[TokenHash]) -> Vec<u8> {
    let bytes = (hashes.len() * BITS_PER_TOKEN).div_ceil(8).max(8);
    let mut slice = vec![0; CRC_BYTES + bytes];
    let bits = u32::try_from(bytes * 8).unwrap_or(u32::MAX);
    for hash in hashes {
        for probe in hash.probes(bits) {
            slice[CRC_BYTES + probe / 8] |= 1 << (probe % 8);
        }
    }
    let crc = crc32c::crc32c(&slice[CRC_BYTES..]);
    slice[..CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
    slice
}

/// Whether a slice may know a hash.
pub(crate) fn may_have(slice: &[u8], hash: TokenHash) -> Result<bool, BadBlock> {
    let (crc, bits) =
        slice.split_first_chunk::<CRC_BYTES>().ok_or(BadBlock("a filter has no checksum"))?;
    let count = u32::try_from(bits.len() * 8).map_err(|_| BadBlock("a filter is too large"))?;
    if u32::from_le_bytes(*crc) != crc32c::crc32c(bits) || count == 0 {
        return Err(BadBlock("the checksum of a filter does not fit"));
    }
    Ok(hash.probes(count).all(|probe| bits[probe / 8] >> (probe % 8) & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Entry, EntryId, UnixNanos};

    fn filters(messages: &[String]) -> Vec<Vec<u8>> {
        let mut builder = FilterBuilder::default();
        for message in messages {
            let entry = Entry::new(UnixNanos(1), message.as_str());
            builder.add(&EntryRef::of(EntryId(1), &entry));
        }
        builder.add_field(Field::AppName, "nginx");
        builder.finish()
    }

    fn has(filters: &[Vec<u8>], hash: TokenHash) -> bool {
        may_have(&filters[hash.slice()], hash).unwrap()
    }

    #[test]
    fn what_is_in_a_filter_is_always_found_and_the_rest_hardly_ever() {
        let messages: Vec<String> =
            (0..4000).map(|n| format!("Request id{n} TOOK {n}ms")).collect();
        let filters = filters(&messages);
        for n in 0..4000 {
            assert!(has(&filters, TokenHash::of_token(&format!("id{n}"))));
            assert!(has(&filters, TokenHash::of_token(&format!("{n}ms"))));
        }
        assert!(has(&filters, TokenHash::of_token("took")));
        assert!(has(&filters, TokenHash::of_field(Field::AppName, "nginx")));
        assert!(!has(&filters, TokenHash::of_field(Field::Hostname, "nginx")));
        let wrong = (0..10_000)
            .filter(|n| has(&filters, TokenHash::of_token(&format!("other{n}"))))
            .count();
        assert!(wrong < 100, "{wrong} of 10,000 are taken for others");
    }

    #[test]
    fn the_hash_is_part_of_the_format() {
        assert_eq!(TokenHash::of_token("disk").0, TokenHash::of_raw("DISK").0);
        assert_eq!(TokenHash::of_token("größe").0, TokenHash::of_raw("GRÖßE").0);
        assert_eq!(TokenHash::of_token("").0, finish(0xcbf2_9ce4_8422_2325));
    }

    #[test]
    fn a_damaged_filter_is_an_error_and_not_a_no() {
        let mut filters = filters(&["disk full".to_owned()]);
        let hash = TokenHash::of_token("disk");
        let slice = &mut filters[hash.slice()];
        for at in 0..slice.len() {
            slice[at] ^= 1;
            assert!(may_have(slice, hash).is_err());
            slice[at] ^= 1;
        }
        assert!(may_have(slice, hash).unwrap());
        assert!(may_have(&[], hash).is_err() && may_have(&slice[..4], hash).is_err());
    }
}
