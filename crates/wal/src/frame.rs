//! The frame: one change in the log.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | CRC32C of bytes 4..40, seeded with the database's UUID and the segment's sequence |
//! | 4 | 4 | length of the payload, bytes |
//! | 8 | 8 | LSN |
//! | 16 | 8 | durable hint: the LSN known durable when the frame was written |
//! | 24 | 6 | wall time, milliseconds since the Unix epoch |
//! | 30 | 1 | kind |
//! | 31 | 1 | flags: bit 0 = last frame of its transaction; the others are zero |
//! | 32 | 4 | position in its transaction, from 0; the transaction's id is LSN − this |
//! | 36 | 4 | CRC32C of the payload |
//! | 40 | n | payload |
//! | 40+n | 0..7 | zeros up to a multiple of 8 |
//!
//! **A header is valid** when its checksum fits; the seed makes sure that no byte of a recycled
//! file, of another segment or of another database ever does. A valid header alone proves its
//! hint: the hint is a statement about the past. **A frame is valid** when its header is, the
//! payload lies inside the segment and its checksum fits, and it is **next** when its LSN is the
//! expected one and its position continues its transaction.
//!
//! Frames of kind [`Kind::Hint`] and [`Kind::Close`] only carry a hint: they repeat the last LSN
//! and take none.

use base::words::{DatabaseId, Lsn};

use crate::options::Options;

/// Length of a frame header, bytes.
pub const HEADER_BYTES: usize = 40;
/// Frames start at multiples of this.
pub const ALIGN: usize = 8;
/// Largest payload, bytes: a document of 16 MiB and what goes with it.
pub const PAYLOAD_BYTES_MAX: usize = base::limits::DOCUMENT_BYTES_MAX + 1024;
/// Largest LSN that a frame may carry; larger ones are damage.
pub const LSN_MAX: u64 = 1 << 56;

const FLAG_COMMIT: u8 = 1;
const WALL_MS_MAX: u64 = (1 << 48) - 1;

/// What a frame's payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A document was written ([`base::words::Change::Put`]).
    Put = 1,
    /// A document was deleted.
    Delete = 2,
    /// A collection was created.
    CreateCollection = 3,
    /// A collection was dropped.
    DropCollection = 4,
    /// A collection got or lost a property.
    SetProperty = 5,
    /// A checkpoint was taken; the payload is the LSN up to which it holds.
    Checkpoint = 16,
    /// A salvage found the LSNs from this one to the payload's missing.
    Gap = 17,
    /// Only a hint; takes no LSN.
    Hint = 32,
    /// Only a hint, and the last frame of its segment: the log was closed. Takes no LSN.
    Close = 33,
}

impl Kind {
    /// The kind with this number.
    #[must_use]
    pub const fn from_number(n: u8) -> Option<Self> {
        Some(match n {
            1 => Self::Put,
            2 => Self::Delete,
            3 => Self::CreateCollection,
            4 => Self::DropCollection,
            5 => Self::SetProperty,
            16 => Self::Checkpoint,
            17 => Self::Gap,
            32 => Self::Hint,
            33 => Self::Close,
            _ => return None,
        })
    }

    /// Its name in output for people and programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Delete => "delete",
            Self::CreateCollection => "create_collection",
            Self::DropCollection => "drop_collection",
            Self::SetProperty => "set_property",
            Self::Checkpoint => "checkpoint",
            Self::Gap => "gap",
            Self::Hint => "hint",
            Self::Close => "close",
        }
    }

    /// Whether frames of this kind take no LSN.
    #[must_use]
    pub const fn is_hint(self) -> bool {
        matches!(self, Self::Hint | Self::Close)
    }
}

/// Whether a frame ends its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// More frames follow.
    Inside,
    /// The transaction is complete with this frame.
    Last,
}

/// A decoded frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Length of the payload, bytes.
    pub len: u32,
    /// Position in the log.
    pub lsn: Lsn,
    /// The LSN known durable when the frame was written.
    pub hint: Lsn,
    /// Wall time of the transaction, milliseconds since the Unix epoch.
    pub wall_ms: u64,
    /// What the payload is.
    pub kind: Kind,
    /// Whether the frame ends its transaction.
    pub place: Place,
    /// Position in its transaction, from 0.
    pub tx_index: u32,
    /// CRC32C of the payload.
    pub payload_crc: u32,
}

/// Start value of every header checksum in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(u32);

impl Seed {
    /// The seed of a segment.
    #[must_use]
    pub fn new(database: DatabaseId, sequence: u64) -> Self {
        let uuid = crc32c::crc32c(database.as_bytes());
        Self(crc32c::crc32c_append(uuid, &sequence.to_le_bytes()))
    }

    /// The seed of a segment of a log with these options.
    pub(crate) fn of(options: &Options, database: DatabaseId, sequence: u64) -> Self {
        if planted!(options, UnseededFrames) { Self(0) } else { Self::new(database, sequence) }
    }
}

/// Bytes that a frame with this payload takes, padding included.
#[must_use]
pub const fn frame_bytes(payload: usize) -> usize {
    (HEADER_BYTES + payload).next_multiple_of(ALIGN)
}

impl Header {
    /// Bytes the frame takes, padding included.
    #[must_use]
    pub const fn frame_bytes(&self) -> usize {
        frame_bytes(self.len as usize)
    }

    /// Encodes the header without its checksum, which [`seal`] adds.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let flags = match self.place {
            Place::Inside => 0,
            Place::Last => FLAG_COMMIT,
        };
        let wall = self.wall_ms.min(WALL_MS_MAX)
            | (u64::from(self.kind as u8) << 48)
            | (u64::from(flags) << 56);
        out[4..8].copy_from_slice(&self.len.to_le_bytes());
        out[8..16].copy_from_slice(&self.lsn.0.to_le_bytes());
        out[16..24].copy_from_slice(&self.hint.0.to_le_bytes());
        out[24..32].copy_from_slice(&wall.to_le_bytes());
        out[32..36].copy_from_slice(&self.tx_index.to_le_bytes());
        out[36..40].copy_from_slice(&self.payload_crc.to_le_bytes());
        out
    }

    /// Decodes and verifies a header; `None` when it is not one of this segment.
    #[must_use]
    pub fn decode(bytes: &[u8; HEADER_BYTES], seed: Seed) -> Option<Self> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let long = |at: usize| u64::from(word(at)) | (u64::from(word(at + 4)) << 32);
        let wall = long(24);
        let [kind, flags] = [bytes[30], bytes[31]];
        let header = Self {
            len: word(4),
            lsn: Lsn(long(8)),
            hint: Lsn(long(16)),
            wall_ms: wall & WALL_MS_MAX,
            kind: Kind::from_number(kind)?,
            place: if flags == FLAG_COMMIT { Place::Last } else { Place::Inside },
            tx_index: word(32),
            payload_crc: word(36),
        };
        let plausible = header.len as usize <= PAYLOAD_BYTES_MAX
            && header.lsn.0 <= LSN_MAX
            && header.hint <= header.lsn
            && flags <= FLAG_COMMIT
            && header.tx_index < base::limits::TXN_OPS_MAX;
        (plausible && crc32c::crc32c_append(seed.0, &bytes[4..]) == word(0)).then_some(header)
    }

    /// LSN of the first frame of this frame's transaction: the transaction's id.
    #[must_use]
    pub fn tx_first(&self) -> Lsn {
        Lsn(self.lsn.0.saturating_sub(u64::from(self.tx_index)))
    }
}

/// Writes hint and checksum into an encoded header, the last step before it is written.
/// Returns the checksum, which feeds the segment's chain.
pub fn seal(header: &mut [u8], hint: Lsn, seed: Seed) -> u32 {
    header[16..24].copy_from_slice(&hint.0.to_le_bytes());
    let crc = crc32c::crc32c_append(seed.0, &header[4..HEADER_BYTES]);
    header[0..4].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// The chain value after one more frame: a digest of all frames from the start of the log, so
/// that a segment fits only behind the very segment it was written behind.
#[must_use]
pub fn chain(before: u32, header_crc: u32) -> u32 {
    crc32c::crc32c_append(before, &header_crc.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Header {
        Header {
            len: 5,
            lsn: Lsn(77),
            hint: Lsn(70),
            wall_ms: 1_700_000_000_000,
            kind: Kind::Put,
            place: Place::Last,
            tx_index: 3,
            payload_crc: 0xDEAD_BEEF,
        }
    }

    #[test]
    fn headers_round_trip_in_their_own_segment_only() {
        let seed = Seed::new(DatabaseId::from_bytes([7; 16]), 4);
        let mut bytes = sample().encode();
        seal(&mut bytes, sample().hint, seed);
        assert_eq!(Header::decode(&bytes, seed), Some(sample()));
        assert_eq!(sample().tx_first(), Lsn(74));
        let others = [
            Seed::new(DatabaseId::from_bytes([7; 16]), 5),
            Seed::new(DatabaseId::from_bytes([8; 16]), 4),
        ];
        for other in others {
            assert_eq!(Header::decode(&bytes, other), None);
        }
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let seed = Seed::new(DatabaseId::from_bytes([1; 16]), 1);
        let mut good = sample().encode();
        seal(&mut good, sample().hint, seed);
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bad, seed), None, "bit {bit}");
        }
    }

    #[test]
    fn zeros_are_not_a_frame() {
        let seed = Seed::new(DatabaseId::from_bytes([0; 16]), 0);
        assert_eq!(Header::decode(&[0; HEADER_BYTES], seed), None);
    }
}
