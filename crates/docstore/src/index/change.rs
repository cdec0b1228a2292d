//! What the index knows of one document: where it is, which revision, until when.
//!
//! A [`Change`] is that knowledge as one layer holds it, together with what it did to the layers
//! below: whether they have a live document there, and when that one would have expired. So the
//! numbers of documents, and of expired ones, are sums over layers and need no lookup.

use base::clock::WallMs;
use base::words::Lsn;

use crate::location::Location;

/// Where a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The LSN that wrote it: its revision.
    pub lsn: Lsn,
    /// Where its record is.
    pub location: Location,
    /// When it stops being visible, if ever.
    pub expires_at: Option<WallMs>,
}

/// What a lookup finds. Nothing at all means that the index never had the id, or that a merge has
/// forgotten its tombstone: either way there is no such document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A document, which may have expired.
    Live(Entry),
    /// It was deleted by this LSN.
    Deleted(Lsn),
}

impl Found {
    /// The entry of a live document.
    #[must_use]
    pub const fn live(self) -> Option<Entry> {
        match self {
            Self::Live(entry) => Some(entry),
            Self::Deleted(_) => None,
        }
    }
}

/// What was found below, as far as a change above has to remember it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beneath {
    /// No live document.
    Nothing,
    /// A live one, that expires then if ever.
    Live(Option<WallMs>),
}

impl Beneath {
    pub(super) fn of(found: Option<Found>) -> Self {
        match found.and_then(Found::live) {
            Some(entry) => Self::Live(entry.expires_at),
            None => Self::Nothing,
        }
    }

    pub(super) const fn expires_at(self) -> Option<WallMs> {
        match self {
            Self::Nothing => None,
            Self::Live(expires_at) => expires_at,
        }
    }
}

/// What one layer says of one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) now: Found,
    pub(super) beneath: Beneath,
}

impl Change {
    /// This change and an `older` one that it lies directly on, as one.
    pub(super) const fn over(self, older: Change) -> Self {
        Self { now: self.now, beneath: older.beneath }
    }

    /// The change with nothing below it: what a base holds.
    pub(super) const fn at_the_bottom(self) -> Self {
        Self { now: self.now, beneath: Beneath::Nothing }
    }

    /// Whether it says anything: a tombstone over nothing does not.
    pub(super) const fn matters(&self) -> bool {
        !matches!((self.now, self.beneath), (Found::Deleted(_), Beneath::Nothing))
    }

    pub(super) const fn expires_at(&self) -> Option<WallMs> {
        match self.now {
            Found::Live(entry) => entry.expires_at,
            Found::Deleted(_) => None,
        }
    }
}

/// Sums over changes. Of a base: its documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    /// Changes that leave a document.
    pub(super) puts: u64,
    /// Changes that leave none.
    pub(super) tombstones: u64,
    /// Changes below which there is a live document.
    pub(super) covered: u64,
}

impl Tally {
    pub(super) fn add(&mut self, change: &Change) {
        match change.now {
            Found::Live(_) => self.puts += 1,
            Found::Deleted(_) => self.tombstones += 1,
        }
        self.covered += u64::from(change.beneath != Beneath::Nothing);
    }

    pub(super) fn remove(&mut self, change: &Change) {
        match change.now {
            Found::Live(_) => self.puts -= 1,
            Found::Deleted(_) => self.tombstones -= 1,
        }
        self.covered -= u64::from(change.beneath != Beneath::Nothing);
    }

    pub(super) fn add_all(&mut self, other: Tally) {
        self.puts += other.puts;
        self.tombstones += other.tombstones;
        self.covered += other.covered;
    }
}
