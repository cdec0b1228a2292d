//! What an index consists of: numbered manifests in its store, each created only if there is none of its number.
//!
//! A [`Manifest`] names the segments, how far they follow the log, and the schema they were made with. The one with the
//! highest number of the highest term is the index; all others are the past. A writer publishes the next number by
//! creating it ([`Chain::publish`]), and a store creates a name once: so of two writers one gets
//! [`ManifestError::Fenced`], whatever else went wrong. The byte tables are in `docs/formats/search-manifest.md`.
//!
//! # Invariants
//!
//! - A manifest that was published is followed by number + 1 and never changed. What it names was in the store before.
//! - Whose a manifest is, its writer's id says. That id is drawn anew whenever an index is opened, so a manifest with
//!   our own id under a number that we tried to publish is ours and the answer was lost.
//! - Segments cover disjoint ranges of LSNs, none past the applied one.
//! - Nothing is deleted that a manifest names which was the newest less than the grace ago, and only the writer of the
//!   newest manifest deletes ([`Chain::sweep`]).
//!
//! Start with [`Chain`]; `format.rs` writes and reads manifests, `record.rs` is what a data directory remembers of the
//! store, `sweep.rs` deletes.

mod chain;
mod error;
mod format;
mod place;
mod record;
mod sweep;

use std::fmt;
use std::io;
use std::sync::Arc;

use base::clock::WallMs;
use base::rng;
use base::words::Lsn;

use crate::storage::Ulid;

pub use chain::{Chain, Newest, newest, newest_after};
pub use error::ManifestError;
pub use format::{MANIFEST_BYTES_MAX, decode, encode};
pub use place::Place;
pub use record::Record;
pub use sweep::{Sweep, Swept, remove_all};

/// Most segments of an index. Compaction keeps it at a hundred or so.
pub const SEGMENTS_MAX: usize = 4096;
/// Most files of a segment.
pub const FILES_MAX: usize = 32;
/// Longest name of a file in its segment, in bytes.
pub const FILE_NAME_BYTES_MAX: usize = 64;
/// Most bytes that a file's reader may have noted in the manifest.
pub const OPENING_BYTES_MAX: usize = 1024;
/// Longest schema, in bytes.
pub const SCHEMA_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One opening of one index by one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WriterId(pub [u8; 16]);

impl WriterId {
    /// A new one, of the system's randomness.
    ///
    /// # Errors
    /// When the system has none.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; 16];
        rng::os_bytes(&mut bytes)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Whose index it is.
    pub place: Place,
    /// The term of its writer.
    pub term: u64,
    /// Its number, from 1; goes on through terms.
    pub number: u64,
    /// Who wrote it.
    pub writer: WriterId,
    /// When, by the writer's clock.
    pub written_at: WallMs,
    /// What the index consists of.
    pub contents: Contents,
}

/// What an index consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The LSN up to which all changes are in the segments.
    pub applied: Lsn,
    /// The schema, as its own format writes it.
    pub schema: Arc<[u8]>,
    /// The segments, by their LSNs.
    pub segments: Arc<[Segment]>,
}

/// A segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its identifier, the name of its folder.
    pub id: Ulid,
    /// The first LSN that it covers.
    pub first: Lsn,
    /// The last LSN that it covers.
    pub last: Lsn,
    /// How many rows it has, dead ones included.
    pub rows: u32,
    /// The rows that died up to this manifest, when there are any.
    pub dead: Option<Dead>,
    /// Its files.
    pub files: Vec<SegmentFile>,
}

/// Where the numbers of the dead rows of a segment are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dead {
    /// The identifier of the object: `dead-<id>.roar` in the folder of the segment.
    pub id: Ulid,
    /// Its length in bytes.
    pub len: u64,
    /// How many rows are dead.
    pub rows: u32,
}

/// A file of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFile {
    /// Its name in the folder of the segment, as `attrs.idx`.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
    /// The identity that seeds its checksums.
    pub identity: [u8; 16],
    /// What its reader wants to know before it reads anything, as the length of its head.
    pub opening: Vec<u8>,
}

impl Segment {
    /// The file of this name.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&SegmentFile> {
        self.files.iter().find(|file| file.name == name)
    }
}

impl Contents {
    /// What is wrong with them, if something is.
    ///
    /// # Errors
    /// In words.
    pub fn check(&self) -> Result<(), &'static str> {
        let rule = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(what) };
        rule(self.schema.len() <= SCHEMA_BYTES_MAX, "the schema is too long")?;
        rule(self.segments.len() <= SEGMENTS_MAX, "there are too many segments")?;
        let mut covered = None;
        let mut ids: Vec<Ulid> = Vec::with_capacity(self.segments.len());
        for segment in &*self.segments {
            segment.check()?;
            rule(covered < Some(segment.first), "segments overlap or are out of order")?;
            covered = Some(segment.last);
            ids.push(segment.id);
        }
        rule(covered <= Some(self.applied), "a segment is ahead of the applied LSN")?;
        ids.sort_unstable();
        rule(ids.is_sorted_by(|a, b| a < b), "two segments have one identifier")
    }
}

impl Segment {
    fn check(&self) -> Result<(), &'static str> {
        let rule = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(what) };
        rule(self.first <= self.last, "the LSNs of a segment are in the wrong order")?;
        rule(self.rows > 0, "a segment has no rows")?;
        rule(!self.files.is_empty(), "a segment has no files")?;
        rule(self.files.len() <= FILES_MAX, "a segment has too many files")?;
        if let Some(dead) = self.dead {
            rule(dead.rows > 0, "dead rows are named and there are none")?;
            rule(dead.rows <= self.rows, "more rows are dead than there are")?;
        }
        let mut names: Vec<&str> = self.files.iter().map(|file| file.name.as_str()).collect();
        names.sort_unstable();
        rule(names.is_sorted_by(|a, b| a < b), "two files of a segment have one name")?;
        self.files.iter().try_for_each(SegmentFile::check)
    }
}

impl SegmentFile {
    fn check(&self) -> Result<(), &'static str> {
        let rule = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(what) };
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        let is_name = (1..=FILE_NAME_BYTES_MAX).contains(&self.name.len())
            && !self.name.starts_with('.')
            && self.name.bytes().all(is_plain);
        rule(is_name, "the name of a file is not valid")?;
        rule(!self.name.starts_with("dead-"), "the name of a file is kept for dead rows")?;
        rule(self.opening.len() <= OPENING_BYTES_MAX, "a file's opening is too long")
    }
}
