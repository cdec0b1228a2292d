//! How the data of a file is spread over it: blocks, stripes, parity and tables.
//!
//! *Data offsets* count the bytes of records alone; *file offsets* count all bytes. Everything that
//! turns one into the other is here, and nothing here touches a file.
//!
//! ```text
//! header, header copy, stripe 0, stripe 1, …
//! stripe: data block × n, parity block (if the file has parity), table
//! ```
//!
//! Invariant: every number that a [`Geometry`] gives is a constant of the format; data offsets fit
//! in 32 bits, so that no sum here overflows 64.

/// How large the parts of a file are. A closed list: a file with other numbers in its header is
/// not a data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Geometry {
    /// 16 blocks of 64 KiB.
    #[default]
    Standard,
    /// 4 blocks of 512 bytes: for tests that damage every block there is.
    Tiny,
}

/// Whether the stripes of a file have a parity block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parity {
    /// Any one damaged block of a stripe can be rebuilt, for 6 % of disk.
    #[default]
    On,
    /// Damage is found and contained, and healed only from other copies.
    Off,
}

impl Geometry {
    /// Data blocks in a stripe.
    #[must_use]
    pub const fn blocks(self) -> usize {
        match self {
            Self::Standard => 16,
            Self::Tiny => 4,
        }
    }

    /// Bytes in a block.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::Standard => 64 * 1024,
            Self::Tiny => 512,
        }
    }

    /// Bytes that the table of a stripe takes, and each copy of the header.
    #[must_use]
    pub const fn table_bytes(self) -> usize {
        match self {
            Self::Standard => 4096,
            Self::Tiny => 512,
        }
    }

    /// Bytes of data in a stripe.
    #[must_use]
    pub const fn stripe_bytes(self) -> u64 {
        self.blocks() as u64 * self.block_bytes() as u64
    }

    /// The geometry with these numbers.
    #[must_use]
    pub fn from_numbers(blocks: u32, block_bytes: u32) -> Option<Self> {
        let is = |geometry: &Self| {
            geometry.blocks() as u64 == u64::from(blocks)
                && geometry.block_bytes() as u64 == u64::from(block_bytes)
        };
        [Self::Standard, Self::Tiny].into_iter().find(is)
    }
}

/// Geometry and parity of one file: where everything is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layout {
    /// The sizes.
    pub geometry: Geometry,
    /// Whether there are parity blocks.
    pub parity: Parity,
}

impl Layout {
    /// File offset of the first stripe: the header stands there twice before it.
    #[must_use]
    pub const fn header_bytes(self) -> u64 {
        2 * self.geometry.table_bytes() as u64
    }

    /// Bytes of a stripe in the file: data, parity and table.
    #[must_use]
    pub const fn stripe_file_bytes(self) -> u64 {
        self.geometry.stripe_bytes() + self.parity_bytes() + self.geometry.table_bytes() as u64
    }

    const fn parity_bytes(self) -> u64 {
        match self.parity {
            Parity::On => self.geometry.block_bytes() as u64,
            Parity::Off => 0,
        }
    }

    /// File offset of the byte at a data offset; also the length of a file that holds the data
    /// before it, with parity and table of every complete stripe.
    #[must_use]
    pub const fn file_offset(self, data_offset: u64) -> u64 {
        let stripe = data_offset / self.geometry.stripe_bytes();
        self.stripe_start(stripe) + data_offset % self.geometry.stripe_bytes()
    }

    /// File offset of a stripe.
    #[must_use]
    pub const fn stripe_start(self, stripe: u64) -> u64 {
        self.header_bytes() + stripe * self.stripe_file_bytes()
    }

    /// File offset of a data block of a stripe.
    #[must_use]
    pub const fn block_start(self, stripe: u64, block: usize) -> u64 {
        self.stripe_start(stripe) + block as u64 * self.geometry.block_bytes() as u64
    }

    /// File offset of the parity block of a stripe, which is that of the table without parity.
    #[must_use]
    pub const fn parity_start(self, stripe: u64) -> u64 {
        self.stripe_start(stripe) + self.geometry.stripe_bytes()
    }

    /// File offset of the table of a stripe.
    #[must_use]
    pub const fn table_start(self, stripe: u64) -> u64 {
        self.parity_start(stripe) + self.parity_bytes()
    }

    /// The stripe that holds a data offset.
    #[must_use]
    pub const fn stripe_of(self, data_offset: u64) -> u64 {
        data_offset / self.geometry.stripe_bytes()
    }

    /// The block, within its stripe, that holds a data offset.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "below the number of blocks, 16 at most")]
    pub const fn block_of(self, data_offset: u64) -> usize {
        let within = data_offset % self.geometry.stripe_bytes();
        (within / self.geometry.block_bytes() as u64) as usize
    }

    /// Where in its block a data offset is.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "below the size of a block, 64 KiB at most"
    )]
    pub const fn within_block(self, data_offset: u64) -> usize {
        (data_offset % self.geometry.block_bytes() as u64) as usize
    }

    /// Bytes from a data offset to the end of its stripe: how much one read can give.
    #[must_use]
    pub const fn to_stripe_end(self, data_offset: u64) -> u64 {
        self.geometry.stripe_bytes() - data_offset % self.geometry.stripe_bytes()
    }

    /// The data before this length that stands in complete stripes.
    #[must_use]
    pub const fn complete(self, data_len: u64) -> u64 {
        data_len - data_len % self.geometry.stripe_bytes()
    }

    /// How much data a file of this length holds, the last of it perhaps without its table.
    #[must_use]
    pub fn data_len(self, file_len: u64) -> u64 {
        let body = file_len.saturating_sub(self.header_bytes());
        let whole = body / self.stripe_file_bytes();
        let rest = (body % self.stripe_file_bytes()).min(self.geometry.stripe_bytes());
        whole * self.geometry.stripe_bytes() + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layouts() -> impl Iterator<Item = Layout> {
        [Geometry::Standard, Geometry::Tiny].into_iter().flat_map(|geometry| {
            [Parity::On, Parity::Off].map(|parity| Layout { geometry, parity })
        })
    }

    #[test]
    fn every_part_of_a_file_follows_the_one_before_it() {
        for layout in layouts() {
            let Layout { geometry, .. } = layout;
            let block = geometry.block_bytes() as u64;
            assert_eq!(layout.file_offset(0), layout.header_bytes());
            for stripe in 0..3 {
                for n in 0..geometry.blocks() {
                    let data = stripe * geometry.stripe_bytes() + n as u64 * block;
                    assert_eq!(layout.file_offset(data), layout.block_start(stripe, n));
                    assert_eq!(layout.block_of(data + block - 1), n);
                    assert_eq!(layout.stripe_of(data + block - 1), stripe);
                }
                let last = layout.block_start(stripe, geometry.blocks() - 1);
                assert_eq!(layout.parity_start(stripe), last + block);
                let table = geometry.table_bytes() as u64;
                assert_eq!(layout.stripe_start(stripe + 1), layout.table_start(stripe) + table);
                assert_eq!(layout.table_start(stripe) % 512, 0, "sectors are not shared");
            }
        }
    }

    #[test]
    fn the_length_of_a_file_says_how_much_data_it_holds() {
        for layout in layouts() {
            let stripe = layout.geometry.stripe_bytes();
            for data in [0, 8, stripe - 8, stripe, stripe + 8, 3 * stripe] {
                assert_eq!(layout.data_len(layout.file_offset(data)), data);
            }
            assert_eq!(layout.data_len(0), 0);
            assert_eq!(layout.data_len(layout.file_offset(stripe) - 1), stripe);
        }
    }

    #[test]
    fn parity_and_tables_of_a_standard_file_take_less_than_seven_percent() {
        let layout = Layout::default();
        let extra = layout.stripe_file_bytes() - layout.geometry.stripe_bytes();
        assert_eq!(extra * 100 / layout.geometry.stripe_bytes(), 6);
    }
}
