//! What power loss may do to one call that was not yet synced.
//!
//! A write is cut into sectors at absolute file offsets. Power loss keeps some of its sectors and
//! leaves the rest as they were, grown, or garbage. Bytes outside the write are never harmed:
//! sectors are overwritten atomically (see `docs/formats/fault-model.md`).

use std::fmt;

use base::rng::Rng;

use super::pages::Pages;

/// The unit in which a device writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SectorSize {
    /// 512 bytes.
    B512,
    /// 4096 bytes.
    B4096,
}

impl SectorSize {
    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::B512 => 512,
            Self::B4096 => 4096,
        }
    }
}

/// Which sectors of a write reached the device. Sectors are numbered from the write's first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kept {
    /// None of them.
    None,
    /// All of them.
    All,
    /// The first so many.
    Prefix(u64),
    /// All but the first so many.
    Suffix(u64),
    /// Sector `i` when bit `i mod 64` is set.
    Mask(u64),
}

impl Kept {
    fn has(self, sector: u64) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Prefix(n) => sector < n,
            Self::Suffix(n) => sector >= n,
            Self::Mask(bits) => bits >> (sector % 64) & 1 == 1,
        }
    }
}

/// What stands where a sector of the write did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rest {
    /// What was there before; the file is only as long as what was kept needs.
    Old,
    /// What was there before, and the file has the length the write gave it: zeros past the
    /// former end.
    Grown,
    /// Bytes nobody wrote, chosen by this number, over the write's own range.
    Garbage(u64),
}

/// What became of one unsynced call.
///
/// Name operations and `set_len` know only [`Fate::APPLIED`] and [`Fate::LOST`]; any other fate
/// given to them counts as lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fate {
    /// The sectors that arrived.
    pub kept: Kept,
    /// What stands in the others.
    pub rest: Rest,
    /// The size of a sector.
    pub sector: SectorSize,
}

impl Fate {
    /// The call reached the device whole.
    pub const APPLIED: Self = Self::torn(Kept::All, Rest::Old);
    /// The call left no trace.
    pub const LOST: Self = Self::torn(Kept::None, Rest::Old);
    /// The length arrived, the bytes did not.
    pub const GROWN: Self = Self::torn(Kept::None, Rest::Grown);

    /// Part of a write arrived, in sectors of 512 bytes.
    #[must_use]
    pub const fn torn(kept: Kept, rest: Rest) -> Self {
        Self { kept, rest, sector: SectorSize::B512 }
    }

    /// The same in sectors of `sector`.
    #[must_use]
    pub const fn in_sectors(self, sector: SectorSize) -> Self {
        Self { sector, ..self }
    }

    /// Whether the whole call arrived.
    #[must_use]
    pub fn is_applied(self) -> bool {
        self.kept == Kept::All
    }

    /// Whether the call left no trace.
    #[must_use]
    pub fn is_lost(self) -> bool {
        self.kept == Kept::None && self.rest == Rest::Old
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_applied() {
            return f.write_str("applied");
        }
        if self.is_lost() {
            return f.write_str("lost");
        }
        write!(f, "{:?} of {}-byte sectors kept", self.kept, self.sector.bytes())?;
        match self.rest {
            Rest::Old => f.write_str(", the rest lost"),
            Rest::Grown => f.write_str(", the rest zero or old at full length"),
            Rest::Garbage(seed) => write!(f, ", the rest garbage seed={seed}"),
        }
    }
}

/// One sector's part of a write: its number, and the range of the write's bytes in it.
struct Piece {
    number: u64,
    from: usize,
    to: usize,
}

/// Cuts a write of `len` bytes at `offset` at the absolute sector boundaries it crosses.
fn pieces(offset: u64, len: usize, sector: SectorSize) -> impl Iterator<Item = Piece> {
    let size = sector.bytes();
    let first = offset / size;
    let count = sectors(offset, len, sector);
    (0..count).map(move |number| {
        let start = (first + number) * size;
        let from = start.saturating_sub(offset);
        let to = (start + size - offset).min(len as u64);
        Piece {
            number,
            from: usize::try_from(from).unwrap_or(len),
            to: usize::try_from(to).unwrap_or(len),
        }
    })
}

/// How many sectors a write of `len` bytes at `offset` touches.
pub(crate) fn sectors(offset: u64, len: usize, sector: SectorSize) -> u64 {
    if len == 0 {
        return 0;
    }
    let size = sector.bytes();
    (offset + len as u64).div_ceil(size) - offset / size
}

/// `len` bytes that depend on `seed` alone.
pub(crate) fn garbage(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&rng.next_u64().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Does to `pages` what `fate` makes of writing `bytes` at `offset`.
pub(crate) fn apply_write(pages: &mut Pages, offset: u64, bytes: &[u8], fate: Fate) {
    if fate.is_applied() {
        return pages.write(offset, bytes);
    }
    for Piece { number, from, to } in pieces(offset, bytes.len(), fate.sector) {
        let at = offset + from as u64;
        if fate.kept.has(number) {
            pages.write(at, &bytes[from..to]);
        } else if let Rest::Garbage(seed) = fate.rest {
            // The number goes in so that no two sectors of a write hold the same garbage.
            let seed = seed.wrapping_add(at.wrapping_mul(0x9E37_79B9));
            pages.write(at, &garbage(seed, to - from));
        }
    }
    if fate.rest == Rest::Grown {
        pages.grow(offset + bytes.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(fate: Fate, offset: u64, len: usize) -> Vec<u8> {
        let mut pages = Pages::default();
        pages.write(0, &[1; 1000]);
        apply_write(&mut pages, offset, &vec![2; len], fate);
        let mut bytes = vec![0; usize::try_from(pages.len()).unwrap()];
        pages.read(0, &mut bytes);
        bytes
    }

    #[test]
    fn sectors_are_cut_at_absolute_offsets() {
        // 500..1100 touches the sectors 0, 1 and 2.
        assert_eq!(sectors(500, 600, SectorSize::B512), 3);
        assert_eq!(sectors(500, 600, SectorSize::B4096), 1);
        let prefix = after(Fate::torn(Kept::Prefix(1), Rest::Old), 500, 600);
        assert_eq!(prefix.len(), 1000);
        assert_eq!((prefix[499], prefix[500], prefix[511], prefix[512]), (1, 2, 2, 1));
        let suffix = after(Fate::torn(Kept::Suffix(2), Rest::Old), 500, 600);
        assert_eq!(suffix.len(), 1100);
        assert_eq!((suffix[999], suffix[1023], suffix[1024], suffix[1099]), (1, 0, 2, 2));
        let middle = after(Fate::torn(Kept::Mask(0b010), Rest::Old), 500, 600);
        assert_eq!(middle.len(), 1024);
        assert_eq!((middle[511], middle[512], middle[1023]), (1, 2, 2));
    }

    #[test]
    fn a_grown_write_has_its_length_and_zeros_past_the_former_end() {
        let grown = after(Fate::GROWN, 500, 600);
        assert_eq!(grown.len(), 1100);
        assert!(grown[..1000].iter().all(|b| *b == 1));
        assert!(grown[1000..].iter().all(|b| *b == 0));
    }

    #[test]
    fn garbage_stays_within_the_write() {
        let torn = after(Fate::torn(Kept::None, Rest::Garbage(3)), 500, 200);
        assert!(torn[..500].iter().chain(&torn[700..]).all(|b| *b == 1));
        assert!(torn[500..700].iter().any(|b| *b != 1 && *b != 2));
        assert_eq!(torn, after(Fate::torn(Kept::None, Rest::Garbage(3)), 500, 200));
    }
}
