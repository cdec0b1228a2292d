//! What a data directory remembers of the manifests that it published to a store others can reach.
//!
//! A copy of a data directory has the same identity as the original, and both could publish to the same place in turns.
//! The record tells them apart: it says which number was last published from here, and by which openings. The newest
//! manifest of the store must be that one, or the next with one of these writers (its answer was lost, or the record
//! of it). Otherwise somebody else has gone on, and this directory is the copy, or has become one.
//!
//! An index whose manifests lie in the data directory itself needs no record: they are copied with it.

use std::path::Path;

use base::io::DiskRef;
use base::slots::{Kind, SlotError, Slots};

use super::{Manifest, ManifestError, WriterId};

const KIND: Kind = Kind { magic: *b"DOCDBSRC", version: 1 };
/// The most openings that are remembered of one number. With more, the oldest are forgotten: a try of theirs that
/// still came to be would be taken for somebody else's.
const WRITERS_MAX: usize = 256;

/// The record of one index, in three files of the data directory (`base::slots`).
#[derive(Debug)]
pub struct Record {
    slots: Slots,
    state: State,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) term: u64,
    /// The number that was last published from here; 0 before the first.
    pub(super) number: u64,
    /// Who published it, and who was opened since.
    pub(super) writers: Vec<WriterId>,
}

impl State {
    const NOTHING: State = State { term: 0, number: 0, writers: Vec::new() };

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&self.term.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        self.writers.iter().for_each(|writer| bytes.extend_from_slice(&writer.0));
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (term, rest) = bytes.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (writers, rest) = rest.as_chunks();
        let (term, number) = (u64::from_le_bytes(*term), u64::from_le_bytes(*number));
        let writers = writers.iter().map(|writer| WriterId(*writer)).collect();
        rest.is_empty().then_some(State { term, number, writers })
    }

    /// Whether the newest manifest of the store may have been published from here.
    pub(super) fn fits(&self, newest: &Manifest) -> bool {
        let next = self.number.checked_add(1);
        let is_next = newest.number == self.number || Some(newest.number) == next;
        is_next && newest.term == self.term.max(1) && self.writers.contains(&newest.writer)
    }

    /// What is to be remembered when `writer` begins, and this is the newest manifest.
    pub(super) fn opened(
        &self,
        (term, number): (u64, u64),
        newest: Option<&Manifest>,
        writer: WriterId,
    ) -> State {
        let mut writers = match newest {
            // Nobody can publish its number any more.
            Some(newest) if newest.number != self.number => vec![newest.writer],
            Some(_) | None => self.writers.clone(),
        };
        writers.push(writer);
        writers.drain(..writers.len().saturating_sub(WRITERS_MAX));
        State { term, number, writers }
    }
}

impl Record {
    /// The record at `<path>.0` to `.2`, made when there is none. One of which no copy is valid was never finished: nothing
    /// was published from here. Should it have been lost instead, a place where something was published is refused.
    ///
    /// # Errors
    /// [`ManifestError::Record`] when it cannot be read or written.
    pub fn open(disk: &DiskRef, path: &Path) -> Result<Self, ManifestError> {
        let (slots, bytes) = match Slots::open(disk, path, KIND) {
            Ok(opened) => opened,
            Err(SlotError::Missing(_) | SlotError::Corrupt(_)) => {
                let state = State::NOTHING;
                let slots = Slots::create(disk, path, KIND, &state.encode())?;
                return Ok(Self { slots, state });
            }
            Err(other) => return Err(other.into()),
        };
        let state = State::decode(&bytes).ok_or_else(|| SlotError::Corrupt(path.to_path_buf()))?;
        Ok(Self { slots, state })
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn store(&mut self, state: State) -> Result<(), ManifestError> {
        self.slots.store(&state.encode())?;
        self.state = state;
        Ok(())
    }
}
