//! Where a record is: a data file and an offset in it, 8 bytes in all.
//!
//! The index keeps one per document; the data files give them out. What a location means (which
//! record starts there, whether it is verified) is the data files' business.

use std::fmt;

/// Number of a data file within its database; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileNumber(pub u32);

impl fmt::Display for FileNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a record starts. Ordered by file, then by offset: the order in which a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// In which data file.
    pub file: FileNumber,
    /// How far from its start, bytes.
    pub offset: u32,
}

impl Location {
    /// The place of a record of which nobody knows where it was: no data file has this number.
    pub(crate) const NOWHERE: Self = Self { file: FileNumber(0), offset: 0 };

    /// One number for both, that sorts as locations do.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        ((self.file.0 as u64) << 32) | self.offset as u64
    }

    /// The location that [`Location::to_bits`] made this number of. Every number is one.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
    pub const fn from_bits(bits: u64) -> Self {
        Self { file: FileNumber((bits >> 32) as u32), offset: bits as u32 }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_survive_being_one_number_and_sort_as_it_does() {
        let at = |file, offset| Location { file: FileNumber(file), offset };
        let places = [at(0, 0), at(0, u32::MAX), at(1, 0), at(1, 1), at(u32::MAX, u32::MAX)];
        for place in places {
            assert_eq!(Location::from_bits(place.to_bits()), place);
        }
        assert!(places.is_sorted());
        assert!(places.is_sorted_by_key(|place| place.to_bits()));
    }
}
