//! From bytes to the parts of an index file: nothing here trusts a byte before it was checked.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use base::words::{CollectionId, DatabaseId, DocId, Lsn};
use wal::frame::LSN_MAX;

use super::super::block::{
    Block, COVERS, COVERS_EXPIRY, EXPIRES, FLAG_BITS, NumberSlot, OtherSlot, Slots, TOMBSTONE,
    Times,
};
use super::super::change::Tally;
use super::super::error::Wrong;
use super::{
    BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, END_BYTES, END_MAGIC, HEADER_BYTES, Header, Kind, MAGIC,
    VERSION,
};

/// Every flag that there is.
const FLAGS: u64 = (1 << FLAG_BITS) - 1;
/// The flags that a base may have.
const BASE_FLAGS: u64 = EXPIRES;

/// Bytes that are taken from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u16(&mut self) -> Option<usize> {
        self.array().map(u16::from_le_bytes).map(usize::from)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// `n` numbers of 8 bytes.
    fn words(&mut self, n: usize) -> Option<Box<[u64]>> {
        let (chunks, _) = self.take(n.checked_mul(8)?)?.as_chunks::<8>();
        Some(chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect())
    }

    /// `n` numbers of 2 bytes.
    fn shorts(&mut self, n: usize) -> Option<Box<[u16]>> {
        let (chunks, _) = self.take(n.checked_mul(2)?)?.as_chunks::<2>();
        Some(chunks.iter().map(|chunk| u16::from_le_bytes(*chunk)).collect())
    }

    /// `n` slots of `WORDS` numbers.
    fn slots<const WORDS: usize>(&mut self, n: usize) -> Option<Box<[[u64; WORDS]]>> {
        let bytes = self.take(n.checked_mul(WORDS)?.checked_mul(8)?)?;
        let (words, _) = bytes.as_chunks::<8>();
        let (slots, _) = words.as_chunks::<WORDS>();
        Some(slots.iter().map(|slot| slot.map(u64::from_le_bytes)).collect())
    }
}

/// Decodes a header.
pub(super) fn header(bytes: &[u8; HEADER_BYTES]) -> Result<Header, Wrong> {
    let (sealed, crc) = bytes.split_last_chunk::<4>().ok_or(Wrong::Short)?;
    let mut rest = Bytes(sealed);
    if rest.take(8).ok_or(Wrong::Short)? != MAGIC {
        return Err(Wrong::Magic);
    }
    if crc32c::crc32c(sealed) != u32::from_le_bytes(*crc) {
        return Err(Wrong::Checksum);
    }
    match rest.u32().ok_or(Wrong::Short)? {
        VERSION => {}
        later if later > VERSION => return Err(Wrong::Version(later)),
        _ => return Err(Wrong::Rule("there never was such a version")),
    }
    let kind = match rest.u32().ok_or(Wrong::Short)? {
        1 => Kind::Base,
        2 => Kind::Run,
        _ => return Err(Wrong::Rule("it is neither a base nor a run")),
    };
    let database = DatabaseId::from_bytes(rest.array().ok_or(Wrong::Short)?);
    let number = rest.u64().ok_or(Wrong::Short)?;
    let checkpoint = Lsn(rest.u64().ok_or(Wrong::Short)?);
    if checkpoint.0 > LSN_MAX {
        return Err(Wrong::Rule("the checkpoint is beyond the last LSN there can be"));
    }
    if rest.0.iter().any(|byte| *byte != 0) {
        return Err(Wrong::Rule("the unused bytes of the header are not zero"));
    }
    Ok(Header { database, number, kind, checkpoint })
}

/// The end of a trailer.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) checksum: u32,
    pub(super) collections: u32,
    pub(super) blocks: u32,
    pub(super) chain: u32,
    pub(super) file_bytes: u64,
}

/// Decodes the end of a trailer, whose checksum is looked at with the rest of it.
pub(super) fn end(bytes: &[u8; END_BYTES]) -> Result<End, Wrong> {
    let mut rest = Bytes(bytes);
    let end = (|| {
        Some(End {
            checksum: rest.u32()?,
            collections: rest.u32()?,
            blocks: rest.u32()?,
            chain: rest.u32()?,
            file_bytes: rest.u64()?,
        })
    })()
    .ok_or(Wrong::Short)?;
    if rest.0 == END_MAGIC { Ok(end) } else { Err(Wrong::Magic) }
}

/// What a trailer says of one collection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed {
    pub(super) collection: CollectionId,
    pub(super) is_dropped: bool,
    pub(super) blocks: u32,
    pub(super) tally: Tally,
}

/// Checks and decodes a whole trailer, with its end.
pub(super) fn trailer(
    bytes: &[u8],
    end: &End,
    seed: u32,
    kind: Kind,
) -> Result<Vec<Listed>, Wrong> {
    let (entries, tail) = bytes.split_last_chunk::<END_BYTES>().ok_or(Wrong::Short)?;
    let (_, sealed) = tail.split_first_chunk::<4>().ok_or(Wrong::Short)?;
    if crc32c::crc32c_append(crc32c::crc32c_append(seed, entries), sealed) != end.checksum {
        return Err(Wrong::Checksum);
    }
    let mut rest = Bytes(entries);
    let mut listed: Vec<Listed> = Vec::with_capacity(entries.len() / super::COLLECTION_BYTES);
    while !rest.0.is_empty() {
        let next = collection(&mut rest, kind)?;
        if listed.last().is_some_and(|last| last.collection >= next.collection) {
            return Err(Wrong::Rule("the collections are out of order"));
        }
        listed.push(next);
    }
    Ok(listed)
}

fn collection(rest: &mut Bytes<'_>, kind: Kind) -> Result<Listed, Wrong> {
    let read = |rest: &mut Bytes<'_>| {
        let collection = CollectionId(rest.u32()?);
        let (state, blocks, zero) = (rest.u32()?, rest.u32()?, rest.u32()?);
        let tally = Tally { puts: rest.u64()?, tombstones: rest.u64()?, covered: rest.u64()? };
        Some((state, zero, Listed { collection, is_dropped: state == 2, blocks, tally }))
    };
    let (state, zero, listed) = read(rest).ok_or(Wrong::Short)?;
    let is_whole = match state {
        1 => listed.blocks > 0,
        2 => listed.blocks == 0 && listed.tally == Tally::default() && kind == Kind::Run,
        _ => false,
    };
    if is_whole && zero == 0 {
        Ok(listed)
    } else {
        Err(Wrong::Rule("the trailer says what cannot be of a collection"))
    }
}

/// The length that a block's header claims.
pub(super) fn block_len(header: &[u8; BLOCK_HEADER_BYTES]) -> Result<usize, Wrong> {
    let mut rest = Bytes(header);
    let len = rest.take(4).and_then(|_| rest.u32()).ok_or(Wrong::Short)?;
    match usize::try_from(len) {
        Ok(len) if (BLOCK_HEADER_BYTES..=BLOCK_BYTES_MAX).contains(&len) => Ok(len),
        Ok(_) | Err(_) => Err(Wrong::Rule("the block is shorter or longer than blocks are")),
    }
}

/// Where a block belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whereabouts {
    pub(super) position: u32,
    pub(super) collection: CollectionId,
}

/// Checks and decodes a block; answers its checksum too.
pub(super) fn block(
    bytes: &[u8],
    place: Whereabouts,
    seed: u32,
    kind: Kind,
) -> Result<(Block, u32), Wrong> {
    let (crc, sealed) = bytes.split_first_chunk::<4>().ok_or(Wrong::Short)?;
    let crc = u32::from_le_bytes(*crc);
    if crc32c::crc32c_append(seed, sealed) != crc {
        return Err(Wrong::Checksum);
    }
    let mut rest = Bytes(sealed);
    let (found, parts) =
        parts(&mut rest).ok_or(Wrong::Rule("the block's lengths do not add up"))?;
    if found != place {
        return Err(Wrong::Rule("the block belongs to another place or collection"));
    }
    let (slots, expiries, covered) = parts?;
    check_keys(&slots)?;
    check_flags(&slots, &expiries, &covered, kind)?;
    Ok((Block::new(slots, expiries, covered), crc))
}

type Parts = (Slots, Times, Times);

/// Takes a block apart; `None` when its lengths do not add up.
fn parts(rest: &mut Bytes<'_>) -> Option<(Whereabouts, Result<Parts, Wrong>)> {
    let _len = rest.u32()?;
    let place = Whereabouts { position: rest.u32()?, collection: CollectionId(rest.u32()?) };
    let (count, id_bytes) = (rest.u16()?, rest.u16()?);
    let (expiries, covered) = (rest.u16()?, rest.u16()?);
    let [key_kind, zeros @ ..] = rest.array::<8>()?;
    if zeros != [0; 7] {
        return Some((place, Err(Wrong::Rule("the unused bytes of the block are not zero"))));
    }
    if count == 0 {
        return Some((place, Err(Wrong::Rule("the block is empty"))));
    }
    let slots = match key_kind {
        1 if id_bytes == 0 => Slots::Numbers(rest.slots(count)?),
        2 => Slots::Others { ends: [].into(), ids: [].into(), slots: rest.slots(count)? },
        _ => return Some((place, Err(Wrong::Rule("the block's ids are of no known kind")))),
    };
    let (expiry_ms, covered_ms) = (rest.words(expiries)?, rest.words(covered)?);
    let expiries = Times { at: rest.shorts(expiries)?, ms: expiry_ms };
    let covered = Times { at: rest.shorts(covered)?, ms: covered_ms };
    let slots = match slots {
        Slots::Numbers(_) => slots,
        Slots::Others { slots, .. } => {
            let ends = rest.shorts(count)?;
            Slots::Others { ends, ids: rest.take(id_bytes)?.into(), slots }
        }
    };
    rest.0.is_empty().then_some((place, Ok((slots, expiries, covered))))
}

/// Keys ascend strictly, and are ids of their kind.
fn check_keys(slots: &Slots) -> Result<(), Wrong> {
    let is_sound = match slots {
        Slots::Numbers(slots) => slots.is_sorted_by(|[a, ..], [b, ..]| a < b),
        Slots::Others { ends, ids, .. } => are_ids(ends, ids),
    };
    if is_sound { Ok(()) } else { Err(Wrong::Rule("the block's ids are out of order or no ids")) }
}

fn are_ids(ends: &[u16], ids: &[u8]) -> bool {
    let mut rest = Bytes(ids);
    let mut from = 0;
    let mut last: &[u8] = &[];
    for end in ends.iter().map(|end| usize::from(*end)) {
        let Some(text) = end.checked_sub(from).and_then(|len| rest.take(len)) else {
            return false;
        };
        if text <= last || !matches!(DocId::decode(text), Ok(DocId::Uuid(_) | DocId::Str(_))) {
            return false;
        }
        (from, last) = (end, text);
    }
    rest.0.is_empty()
}

/// LSNs and flags are possible, and the time lists hold what the flags say.
fn check_flags(slots: &Slots, expiries: &Times, covered: &Times, kind: Kind) -> Result<(), Wrong> {
    let broken = match slots {
        Slots::Numbers(slots) => {
            let tagged =
                slots.iter().map(|[_, location, tagged]: &NumberSlot| (*location, *tagged));
            broken_flags(tagged, expiries, covered, kind)
        }
        Slots::Others { slots, .. } => {
            let tagged = slots.iter().map(|[location, tagged]: &OtherSlot| (*location, *tagged));
            broken_flags(tagged, expiries, covered, kind)
        }
    };
    broken.map_or(Ok(()), |rule| Err(Wrong::Rule(rule)))
}

fn broken_flags(
    tagged: impl Iterator<Item = (u64, u64)>,
    expiries: &Times,
    covered: &Times,
    kind: Kind,
) -> Option<&'static str> {
    let allowed = match kind {
        Kind::Base => BASE_FLAGS,
        Kind::Run => FLAGS,
    };
    let (mut expiring, mut covering) = (expiries.at.iter(), covered.at.iter());
    for (slot, (location, tagged)) in (0_u16..).zip(tagged) {
        let (lsn, flags) = (tagged >> FLAG_BITS, tagged & FLAGS);
        if lsn == 0 || lsn > LSN_MAX {
            return Some("an LSN is beyond those that there can be");
        }
        if flags == 0 {
            continue;
        }
        if flags & !allowed != 0 {
            return Some("a base holds something that is no document");
        }
        let is = |flag| flags & flag != 0;
        if is(TOMBSTONE) && (is(EXPIRES) || !is(COVERS) || location != 0) {
            return Some("a tombstone has what only documents have, or hides nothing");
        }
        if is(COVERS_EXPIRY) && !is(COVERS) {
            return Some("an expiry is covered where no document is");
        }
        let is_listed = (!is(EXPIRES) || expiring.next() == Some(&slot))
            && (!is(COVERS_EXPIRY) || covering.next() == Some(&slot));
        if !is_listed {
            return Some("an expiry is missing");
        }
    }
    let is_all = expiring.next().is_none() && covering.next().is_none();
    (!is_all).then_some("there are more expiries than documents that expire")
}
