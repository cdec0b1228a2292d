//! A block: up to 64 KiB of changes in the order of their keys, packed and never changed again.
//!
//! All keys of a block are numbers, or none is. A number takes 24 bytes: the id, the location, and
//! the LSN with four flags; any other id takes 18 and the bytes of its encoding. Only changes that
//! have to do with an expiry pay for one: 10 bytes in a list beside the slots.
//!
//! Blocks are shared: a merge takes over those that nothing has changed ([`super::merge`]).
//!
//! # Invariants
//!
//! - Keys ascend strictly. There is at least one.
//! - The time lists hold exactly the slots that have the flag, in order.

use base::clock::WallMs;
use base::words::Lsn;

use super::change::{Beneath, Change, Entry, Found, Tally};
use super::key::{Key, KeyRef};
use super::search;
use crate::location::Location;

/// What the changes of one block may weigh together ([`weight`]), bytes. With its header a block
/// of the file is then at most 64 KiB.
pub(super) const WEIGHT_MAX: usize = 64 * 1024 - 64;

/// A number's id, location and tagged LSN.
pub(super) type NumberSlot = [u64; 3];
/// Any other id's location and tagged LSN.
pub(super) type OtherSlot = [u64; 2];

/// The document is gone.
pub(super) const TOMBSTONE: u64 = 1;
/// The entry has an expiry, in [`Block::expiries`].
pub(super) const EXPIRES: u64 = 2;
/// There is a live document below.
pub(super) const COVERS: u64 = 4;
/// The live document below has an expiry, in [`Block::covered`].
pub(super) const COVERS_EXPIRY: u64 = 8;
/// How far the LSN stands left of the flags.
pub(super) const FLAG_BITS: u32 = 4;

/// The slots of a block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Slots {
    /// Ids that are numbers.
    Numbers(Box<[NumberSlot]>),
    /// Other ids.
    Others {
        /// Where each id ends in `ids`.
        ends: Box<[u16]>,
        /// The encodings, one behind the other.
        ids: Box<[u8]>,
        /// The rest.
        slots: Box<[OtherSlot]>,
    },
}

/// Times of some of the slots.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Times {
    /// Which slots, ascending.
    pub(super) at: Box<[u16]>,
    /// Their times, milliseconds.
    pub(super) ms: Box<[u64]>,
}

impl Times {
    fn get(&self, slot: usize) -> Option<WallMs> {
        let slot = u16::try_from(slot).ok()?;
        let i = self.at.binary_search(&slot).ok()?;
        self.ms.get(i).map(|ms| WallMs(*ms))
    }

    /// How many are not later than `now`.
    fn until(&self, now: WallMs) -> u64 {
        self.ms.iter().map(|ms| u64::from(*ms <= now.0)).sum()
    }
}

/// The first and the last of some times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first: u64,
    last: u64,
}

impl Span {
    fn of(times: &Times) -> Option<Self> {
        let first = *times.ms.iter().min()?;
        let last = *times.ms.iter().max()?;
        Some(Self { first, last })
    }
}

/// A block. Made by [`Block::pack`], or by [`Block::new`] of checked parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    slots: Slots,
    expiries: Times,
    covered: Times,
    expiry_span: Option<Span>,
    covered_span: Option<Span>,
    tally: Tally,
}

/// What a change weighs in a block, bytes.
pub(super) fn weight(key: KeyRef<'_>, change: &Change) -> usize {
    let slot = match key {
        KeyRef::Number(_) => size_of::<NumberSlot>(),
        KeyRef::Other(bytes) => size_of::<OtherSlot>() + size_of::<u16>() + bytes.len(),
    };
    let times = usize::from(change.expires_at().is_some())
        + usize::from(change.beneath.expires_at().is_some());
    slot + times * (size_of::<u16>() + size_of::<u64>())
}

/// Two words of a slot: where, and the LSN with its flags.
fn words(change: &Change) -> OtherSlot {
    let (lsn, location, mut flags) = match change.now {
        Found::Live(entry) => (entry.lsn, entry.location.to_bits(), 0),
        Found::Deleted(lsn) => (lsn, 0, TOMBSTONE),
    };
    let mut set = |flag, on| flags |= if on { flag } else { 0 };
    set(EXPIRES, change.expires_at().is_some());
    set(COVERS, change.beneath != Beneath::Nothing);
    set(COVERS_EXPIRY, change.beneath.expires_at().is_some());
    [location, (lsn.0 << FLAG_BITS) | flags]
}

/// The parts of a block in the making.
#[derive(Debug, Default)]
struct Parts {
    numbers: Vec<NumberSlot>,
    others: Vec<OtherSlot>,
    ends: Vec<u16>,
    ids: Vec<u8>,
    expiries: (Vec<u16>, Vec<u64>),
    covered: (Vec<u16>, Vec<u64>),
}

impl Parts {
    fn push(&mut self, slot: u16, key: &Key, change: &Change) {
        let [location, tagged] = words(change);
        match key {
            Key::Number(id) => self.numbers.push([*id, location, tagged]),
            Key::Other(bytes) => {
                self.others.push([location, tagged]);
                self.ids.extend_from_slice(bytes);
                let end = u16::try_from(self.ids.len());
                self.ends.push(end.expect("a block weighs less than 64 KiB"));
            }
        }
        for (times, at) in [
            (&mut self.expiries, change.expires_at()),
            (&mut self.covered, change.beneath.expires_at()),
        ] {
            if let Some(WallMs(ms)) = at {
                times.0.push(slot);
                times.1.push(ms);
            }
        }
    }
}

impl Block {
    /// Packs changes, in the order of their keys: all numbers or none, at least one, weighing at
    /// most [`WEIGHT_MAX`].
    pub(super) fn pack(changes: impl Iterator<Item = (Key, Change)>) -> Self {
        let mut parts = Parts::default();
        for (slot, (key, change)) in (0..=u16::MAX).zip(changes) {
            parts.push(slot, &key, &change);
        }
        debug_assert!(parts.numbers.is_empty() != parts.others.is_empty(), "one kind of key");
        let slots = if parts.others.is_empty() {
            Slots::Numbers(parts.numbers.into())
        } else {
            let (ends, ids) = (parts.ends.into(), parts.ids.into());
            Slots::Others { ends, ids, slots: parts.others.into() }
        };
        let times = |(at, ms): (Vec<u16>, Vec<u64>)| Times { at: at.into(), ms: ms.into() };
        Self::new(slots, times(parts.expiries), times(parts.covered))
    }

    /// A block of parts that keep the invariants above.
    pub(super) fn new(slots: Slots, expiries: Times, covered: Times) -> Self {
        let (expiry_span, covered_span) = (Span::of(&expiries), Span::of(&covered));
        let mut block =
            Self { slots, expiries, covered, expiry_span, covered_span, tally: Tally::default() };
        block.tally = block.count();
        block
    }

    fn count(&self) -> Tally {
        let mut tally = Tally::default();
        for slot in 0..self.len() {
            let [_, tagged] = self.words(slot);
            tally.puts += u64::from(tagged & TOMBSTONE == 0);
            tally.tombstones += u64::from(tagged & TOMBSTONE != 0);
            tally.covered += u64::from(tagged & COVERS != 0);
        }
        tally
    }

    /// How many changes.
    pub(super) fn len(&self) -> usize {
        match &self.slots {
            Slots::Numbers(slots) => slots.len(),
            Slots::Others { slots, .. } => slots.len(),
        }
    }

    pub(super) const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Its slots, the expiries of entries, and those of documents below.
    pub(super) const fn parts(&self) -> (&Slots, &Times, &Times) {
        (&self.slots, &self.expiries, &self.covered)
    }

    fn words(&self, slot: usize) -> OtherSlot {
        match &self.slots {
            Slots::Numbers(slots) => {
                let [_, location, tagged] = slots[slot];
                [location, tagged]
            }
            Slots::Others { slots, .. } => slots[slot],
        }
    }

    /// The key of the change in `slot`, which there is.
    pub(super) fn key(&self, slot: usize) -> KeyRef<'_> {
        match &self.slots {
            Slots::Numbers(slots) => KeyRef::Number(slots[slot][0]),
            Slots::Others { ends, ids, .. } => KeyRef::Other(text(ends, ids, slot)),
        }
    }

    pub(super) fn first(&self) -> KeyRef<'_> {
        self.key(0)
    }

    pub(super) fn last(&self) -> KeyRef<'_> {
        self.key(self.len() - 1)
    }

    /// What the change in `slot` says, without what it lies on.
    pub(super) fn found(&self, slot: usize) -> Found {
        let [location, tagged] = self.words(slot);
        let lsn = Lsn(tagged >> FLAG_BITS);
        if tagged & TOMBSTONE != 0 {
            return Found::Deleted(lsn);
        }
        let expires_at = if tagged & EXPIRES == 0 { None } else { self.expiries.get(slot) };
        Found::Live(Entry { lsn, location: Location::from_bits(location), expires_at })
    }

    pub(super) fn change(&self, slot: usize) -> Change {
        let [_, tagged] = self.words(slot);
        let beneath = match (tagged & COVERS, tagged & COVERS_EXPIRY) {
            (0, _) => Beneath::Nothing,
            (_, 0) => Beneath::Live(None),
            (_, _) => Beneath::Live(self.covered.get(slot)),
        };
        Change { now: self.found(slot), beneath }
    }

    /// The first slot whose key is not below `key`, and whether it is `key`. `upper` is a number
    /// that no number in the block exceeds: the closer, the faster.
    pub(super) fn search(&self, key: KeyRef<'_>, upper: u64) -> Result<usize, usize> {
        match (&self.slots, key) {
            (Slots::Numbers(slots), KeyRef::Number(id)) => search::number(slots, id, upper),
            (Slots::Numbers(slots), KeyRef::Other(_)) => Err(slots.len()),
            (Slots::Others { .. }, KeyRef::Number(_)) => Err(0),
            (Slots::Others { ends, ids, .. }, KeyRef::Other(wanted)) => {
                search::other(ends.len(), wanted, |slot| text(ends, ids, slot))
            }
        }
    }

    /// Entries expired at `now`, less live documents below that would have been.
    pub(super) fn expired_at(&self, now: WallMs) -> (u64, u64) {
        let until = |times: &Times, span: Option<Span>| match span {
            Some(span) if span.last <= now.0 => times.ms.len() as u64,
            Some(span) if span.first <= now.0 => times.until(now),
            Some(_) | None => 0,
        };
        (until(&self.expiries, self.expiry_span), until(&self.covered, self.covered_span))
    }

    /// The slots of entries that are expired at `now`.
    pub(super) fn expired_slots(&self, now: WallMs) -> impl Iterator<Item = usize> + '_ {
        let any = self.expiry_span.is_some_and(|span| span.first <= now.0);
        let times =
            if any { self.expiries.at.iter().zip(&self.expiries.ms) } else { [].iter().zip(&[]) };
        times.filter(move |(_, ms)| **ms <= now.0).map(|(slot, _)| usize::from(*slot))
    }

    /// The earliest expiry of an entry.
    pub(super) fn earliest_expiry(&self) -> Option<WallMs> {
        self.expiry_span.map(|span| WallMs(span.first))
    }

    /// Bytes on the heap, itself included.
    pub(super) fn bytes(&self) -> usize {
        let slots = match &self.slots {
            Slots::Numbers(slots) => size_of_val(&**slots),
            Slots::Others { ends, ids, slots } => {
                size_of_val(&**ends) + ids.len() + size_of_val(&**slots)
            }
        };
        let times = |times: &Times| size_of_val(&*times.at) + size_of_val(&*times.ms);
        // An `Arc` keeps two counters beside its value.
        slots + times(&self.expiries) + times(&self.covered) + size_of::<Self>() + 16
    }
}

fn text<'a>(ends: &[u16], ids: &'a [u8], slot: usize) -> &'a [u8] {
    let from = if slot == 0 { 0 } else { usize::from(ends[slot - 1]) };
    &ids[from..usize::from(ends[slot])]
}
