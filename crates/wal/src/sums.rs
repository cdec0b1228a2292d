//! Checksums of arbitrary ranges of a file, for work that grows with the file and not with what
//! its bytes claim.
//!
//! Who looks for frames behind damage meets headers that nobody vouches for. Overlapping ones may
//! each claim the 16 MiB behind it, and checksumming one payload after the other is then work in
//! the square of the file's length. CRC is linear, `crc(AB) = zeros(crc(A), len(B)) ^ crc(B)`, where
//! `zeros` is what appending zero bytes does to a CRC, so the CRC of a range follows from those of
//! the two prefixes that end at its borders. Every [`STEP`]th prefix is kept.
//!
//! Invariants:
//! - Each byte is checksummed once for the prefixes that are kept, and less than [`STEP`] bytes for
//!   each border of a range that is asked for.
//! - Memory: 4 bytes for each [`STEP`] bytes of file up to the farthest border asked for.
//!
//! What it is not: a verdict. The bytes may be others when they are read again; who uses them
//! checks those that it has.

use std::io;

use base::io::{File, read_full_at};

/// Bytes between two prefixes whose CRC is kept.
pub(crate) const STEP: usize = 512;
/// Bytes read at once.
const CHUNK: usize = 128 * STEP;

/// CRC32C's polynomial, bit-reversed.
const POLYNOMIAL: u32 = 0x82F6_3B78;
/// Enough doublings for ranges of 4 GiB.
const DOUBLINGS: usize = 32;

/// A linear map of CRCs: what it makes of each single bit.
type Map = [u32; 32];

const fn apply(map: &Map, mut crc: u32) -> u32 {
    let mut out = 0;
    while crc != 0 {
        out ^= map[crc.trailing_zeros() as usize];
        crc &= crc - 1;
    }
    out
}

/// What `2^i` zero bytes do.
const ZEROS: [Map; DOUBLINGS] = {
    let mut byte: Map = [0; 32];
    let mut bit = 0;
    while bit < 32 {
        let mut crc = 1 << bit;
        let mut shift = 0;
        while shift < 8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
            shift += 1;
        }
        byte[bit] = crc;
        bit += 1;
    }
    let mut maps = [byte; DOUBLINGS];
    let mut i = 1;
    while i < DOUBLINGS {
        let mut bit = 0;
        while bit < 32 {
            maps[i][bit] = apply(&maps[i - 1], maps[i - 1][bit]);
            bit += 1;
        }
        i += 1;
    }
    maps
};

/// What `len` zero bytes do to `crc`.
fn zeros(crc: u32, len: u32) -> u32 {
    let doubled = ZEROS.iter().enumerate().filter(|(i, _)| (len >> i) & 1 == 1);
    doubled.fold(crc, |crc, (_, map)| apply(map, crc))
}

/// The CRCs of a file's prefixes, from some offset on.
#[derive(Debug)]
pub(crate) struct Sums {
    start: u64,
    /// CRC of the bytes from `start` on, of 0, [`STEP`], 2 × [`STEP`], … of them.
    prefixes: Vec<u32>,
    work: u64,
}

impl Sums {
    /// Of the bytes from `start` on.
    pub(crate) fn new(start: u64) -> Self {
        Self { start, prefixes: vec![0], work: 0 }
    }

    /// Bytes checksummed so far.
    pub(crate) fn work(&self) -> u64 {
        self.work
    }

    /// CRC of `len` bytes of `file` from `from` on, which is not before the start; `None` when the
    /// file ends before them.
    pub(crate) fn crc(&mut self, file: &dyn File, from: u64, len: u32) -> io::Result<Option<u32>> {
        let Some(before) = self.prefix(file, from)? else { return Ok(None) };
        let Some(whole) = self.prefix(file, from.saturating_add(u64::from(len)))? else {
            return Ok(None);
        };
        Ok(Some(zeros(before, len) ^ whole))
    }

    /// CRC of the bytes from the start to `to`.
    fn prefix(&mut self, file: &dyn File, to: u64) -> io::Result<Option<u32>> {
        let step = STEP as u64;
        let (index, rest) = ((to - self.start) / step, (to - self.start) % step);
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if !self.extend(file, index)? {
            return Ok(None);
        }
        let Some(crc) = self.prefixes.get(index).copied() else { return Ok(None) };
        let mut bytes = [0; STEP];
        let rest = usize::try_from(rest).unwrap_or_default();
        let bytes = bytes.get_mut(..rest).unwrap_or_default();
        if read_full_at(file, bytes, to - rest as u64)? < rest {
            return Ok(None);
        }
        self.work += rest as u64;
        Ok(Some(crc32c::crc32c_append(crc, bytes)))
    }

    /// Works out the prefixes up to the one with this index; `false` when the file ends before it.
    fn extend(&mut self, file: &dyn File, index: usize) -> io::Result<bool> {
        let mut buffer = Vec::new();
        while let Some(missing) = (index + 1).checked_sub(self.prefixes.len()).filter(|n| *n > 0) {
            let have = self.prefixes.len() - 1;
            buffer.resize(missing.saturating_mul(STEP).min(CHUNK), 0);
            let got = read_full_at(file, &mut buffer, self.start + (have * STEP) as u64)?;
            if got < STEP {
                return Ok(false);
            }
            for block in buffer.get(..got).unwrap_or_default().chunks_exact(STEP) {
                let before = self.prefixes.last().copied().unwrap_or_default();
                self.prefixes.push(crc32c::crc32c_append(before, block));
                self.work += STEP as u64;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use base::io::{Disk, MemDisk, Open, write_all_at};
    use base::rng::Rng;

    use super::*;

    const LEN: u64 = 3 * CHUNK as u64 + 17;

    fn file() -> (base::io::FileRef, Vec<u8>) {
        let mut rng = Rng::new(5);
        let bytes: Vec<u8> = (0..LEN).map(|_| u8::try_from(rng.below(256)).unwrap()).collect();
        let file = MemDisk::new().open(Path::new("/f"), Open::CreateNew).unwrap();
        write_all_at(&*file, &bytes, 0).unwrap();
        (file, bytes)
    }

    #[test]
    fn any_range_has_the_checksum_of_its_bytes() {
        let (file, bytes) = file();
        let mut rng = Rng::new(6);
        let mut sums = Sums::new(40);
        for _ in 0..2000 {
            let from = 40 + rng.below(LEN - 40);
            let len = u32::try_from(rng.below(LEN - from + 1)).unwrap();
            let at = usize::try_from(from).unwrap();
            let expected = crc32c::crc32c(&bytes[at..at + len as usize]);
            assert_eq!(sums.crc(&*file, from, len).unwrap(), Some(expected), "{from} {len}");
        }
        assert!(sums.work() < LEN + 2000 * 2 * STEP as u64, "{}", sums.work());
    }

    #[test]
    fn a_range_past_the_end_of_the_file_has_none() {
        let (file, _) = file();
        for start in [0, 7] {
            let mut sums = Sums::new(start);
            for (from, len) in [(LEN - 3, 4), (LEN + 1, 0), (LEN + 10_000, 1), (9, u32::MAX)] {
                assert_eq!(sums.crc(&*file, from, len).unwrap(), None, "{from} {len}");
            }
            assert!(sums.crc(&*file, LEN - 3, 3).unwrap().is_some());
        }
    }
}
