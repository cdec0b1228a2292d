//! The manifests of one index as its writer sees them: find the newest, publish the next, stop when somebody else did.

use std::sync::Arc;

use base::clock::WallMs;

use super::record::State;
use super::sweep::Past;
use super::{Contents, Manifest, ManifestError, Place, Record, WriterId, decode, encode};
use crate::storage::{Name, Store, StoreError, StoreErrorKind, StoreRef, list_all};

/// Names per list.
pub(super) const PAGE: usize = 1000;
/// The term of a writer that took over from nobody.
const FIRST_TERM: u64 = 1;
/// How often one publishing tries the next number. Of the tries before it, which all went for one number, one may
/// have happened: two are enough.
const ROUNDS_MAX: usize = 3;

/// The newest manifest, as it is found at open.
#[derive(Debug, Clone)]
pub enum Newest {
    /// There is none: the index is new.
    Nothing,
    /// This one.
    Manifest(Arc<Manifest>),
    /// There is one and it says nothing any more: the index must be built again. What is published next comes after it.
    Damaged(ManifestError),
}

/// The manifests of an index, for its writer.
#[derive(Debug)]
pub struct Chain {
    pub(super) store: StoreRef,
    pub(super) place: Place,
    writer: WriterId,
    pub(super) term: u64,
    /// The number of the newest manifest; 0 when there is none.
    pub(super) number: u64,
    pub(super) newest: Option<Arc<Manifest>>,
    record: Option<Record>,
    /// Why nothing may be published any more.
    stopped: Option<ManifestError>,
    /// Whether the newest manifest is what was published last, and no earlier try of anybody can become the next one:
    /// this chain has published, and its last try was answered.
    pub(super) settled: bool,
    /// Older manifests, as far as they are known: a list that lags behind must not make a sweep forget them.
    pub(super) past: Past,
    /// Whether there was something, when it was looked for last, that waits for its grace to be over.
    pub(super) waiting: bool,
}

/// Bytes under a name.
struct Found {
    term: u64,
    number: u64,
    bytes: bytes::Bytes,
}

/// The manifest with the highest number of the highest term. `known` is one that was there once.
fn find_newest(
    store: &dyn Store,
    place: &Place,
    known: Option<(u64, u64)>,
) -> Result<Option<Found>, ManifestError> {
    let folder = place.manifests()?;
    let listed = list_all(store, &folder, PAGE)?;
    let listed = listed.iter().filter_map(|listed| place.numbers_of(&listed.name)).max();
    let mut candidates = [known, listed];
    candidates.sort_unstable();
    for (term, number) in candidates.into_iter().rev().flatten() {
        if let Some(bytes) = store.get(&place.manifest(term, number)?)? {
            // A list may lag behind.
            return follow(store, place, Found { term, number, bytes }).map(Some);
        }
    }
    match listed {
        None => Ok(None),
        // Only what has newer ones behind it is deleted, so they exist and the list does not know them yet.
        Some(_) => {
            let reason = "manifests are listed that are gone: the list lags behind";
            Err(StoreError::new(StoreErrorKind::Unavailable, folder, reason).into())
        }
    }
}

/// The newest manifest, found by a list and without becoming its writer; none when there is none.
///
/// # Errors
/// What the store answers, or that the manifest is damaged or of a later docdb.
pub fn newest(store: &dyn Store, place: &Place) -> Result<Option<Manifest>, ManifestError> {
    let found = find_newest(store, place, None)?;
    found.map(|found| decode(*place, found.term, found.number, &found.bytes)).transpose()
}

/// The last of the numbers that follow one another.
fn follow(store: &dyn Store, place: &Place, from: Found) -> Result<Found, ManifestError> {
    let mut found = from;
    while let Some(number) = found.number.checked_add(1) {
        match store.get(&place.manifest(found.term, number)?)? {
            Some(bytes) => found = Found { number, bytes, ..found },
            None => break,
        }
    }
    Ok(found)
}

/// The newest manifest after one that a reader has, by reads of the next numbers; none when that is the newest. A
/// reader that slept for longer than the grace finds that its own is gone, and then the newest is looked for by a list.
///
/// # Errors
/// What the store answers, or that the manifest is damaged.
pub fn newest_after(
    store: &dyn Store,
    place: &Place,
    term: u64,
    number: u64,
) -> Result<Option<Manifest>, ManifestError> {
    let mut found = follow(store, place, Found { term, number, bytes: bytes::Bytes::new() })?;
    if found.number == number {
        if store.len_of(&place.manifest(term, number)?)?.is_some() {
            return Ok(None);
        }
        match find_newest(store, place, None)? {
            Some(newest) => found = newest,
            None => return Ok(None),
        }
    }
    decode(*place, found.term, found.number, &found.bytes).map(Some)
}

impl Chain {
    /// Finds the newest manifest and makes ready to publish after it, as `writer`, which nobody was before. With a
    /// record, makes sure that what is there was published from here.
    ///
    /// A store that others can reach should be told of the new writer at once, by [`Chain::claim`].
    ///
    /// # Errors
    /// [`ManifestError::Fenced`] when somebody else has published, [`ManifestError::Version`] when a later docdb has,
    /// or what the store answers. A manifest that is damaged is no error: see [`Newest`].
    pub fn open(
        store: StoreRef,
        place: Place,
        writer: WriterId,
        mut record: Option<Record>,
    ) -> Result<(Self, Newest), ManifestError> {
        let known = record.as_ref().map(Record::state).filter(|state| state.number > 0);
        let found = find_newest(&*store, &place, known.map(|state| (state.term, state.number)))?;
        let (term, number) =
            found.as_ref().map_or((FIRST_TERM, 0), |found| (found.term, found.number));
        let newest = match &found {
            None => Newest::Nothing,
            Some(found) => match decode(place, term, number, &found.bytes) {
                Ok(manifest) => Newest::Manifest(Arc::new(manifest)),
                Err(damaged @ ManifestError::Damaged { .. }) => Newest::Damaged(damaged),
                Err(other) => return Err(other),
            },
        };
        let manifest = match &newest {
            Newest::Manifest(manifest) => Some(Arc::clone(manifest)),
            Newest::Nothing | Newest::Damaged(_) => None,
        };
        if let Some(record) = &mut record {
            let state = record.state();
            if let Some(manifest) = manifest.as_ref().filter(|manifest| !state.fits(manifest)) {
                let object = place.manifest(term, number)?;
                return Err(ManifestError::Fenced { object, by: manifest.writer });
            }
            let state = state.opened((term, number), manifest.as_deref(), writer);
            record.store(state)?;
        }
        let (stopped, settled, past) = (None, false, Past::default());
        let chain = Self {
            store,
            place,
            writer,
            term,
            number,
            newest: manifest,
            record,
            stopped,
            settled,
            past,
            waiting: true,
        };
        Ok((chain, newest))
    }

    /// Whose index it is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The newest manifest, unless there is none or it is damaged.
    #[must_use]
    pub fn newest(&self) -> Option<&Arc<Manifest>> {
        self.newest.as_ref()
    }

    /// Publishes the newest contents once more, as this writer: whoever published them is fenced from now on.
    /// Nothing happens when there are none.
    ///
    /// # Errors
    /// As [`Chain::publish`].
    pub fn claim(&mut self, now: WallMs) -> Result<(), ManifestError> {
        match self.newest.as_ref().map(|newest| newest.contents.clone()) {
            Some(contents) => self.publish(contents, now).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Publishes the next manifest. When it returns, the index consists of `contents`, durably.
    ///
    /// After an error of the store it may still come to that, also later; publishing again, these or later contents, is
    /// safe and finds out.
    ///
    /// # Errors
    /// [`ManifestError::Fenced`] when somebody else has published; every later call answers the same.
    /// [`ManifestError::Record`] when the data directory could not remember it; nothing is published after that either.
    pub fn publish(
        &mut self,
        contents: Contents,
        now: WallMs,
    ) -> Result<Arc<Manifest>, ManifestError> {
        for _ in 0..ROUNDS_MAX {
            if let Some(stopped) = &self.stopped {
                return Err(stopped.clone());
            }
            let (number, name) = self.next()?;
            let manifest = Manifest {
                place: self.place,
                term: self.term,
                number,
                writer: self.writer,
                written_at: now,
                contents: contents.clone(),
            };
            let bytes = encode(&manifest)?;
            // From here until it is answered, nobody knows.
            self.settled = false;
            match self.store.put_new(&name, &bytes) {
                Ok(()) => {
                    let published = self.adopt(manifest)?;
                    self.settled = true;
                    return Ok(published);
                }
                Err(error) if error.kind() == StoreErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
            let Some(found) = self.store.get(&name)? else {
                let reason = "it exists and cannot be read yet";
                return Err(StoreError::new(StoreErrorKind::Unavailable, name, reason).into());
            };
            let theirs = self.take(number, name, &found)?;
            if found == bytes {
                self.settled = true;
                return Ok(theirs);
            }
            // An earlier try of ours, whose answer was lost: these contents come after it.
        }
        let object = self.place.manifest(self.term, self.number)?;
        Err(ManifestError::Damaged { object, what: "one writer published one number twice" })
    }

    /// Makes sure that nobody has published since.
    pub(super) fn must_hold(&mut self) -> Result<(), ManifestError> {
        if let Some(stopped) = &self.stopped {
            return Err(stopped.clone());
        }
        let (number, name) = self.next()?;
        match self.store.get(&name)? {
            Some(found) => self.take(number, name, &found).map(|_| ()),
            None => Ok(()),
        }
    }

    fn next(&self) -> Result<(u64, Name), ManifestError> {
        let exhausted = ManifestError::Invalid { what: "there are no more numbers" };
        let number = self.number.checked_add(1).ok_or(exhausted)?;
        Ok((number, self.place.manifest(self.term, number)?))
    }

    /// Goes on from a manifest that was found under the next number, if it is our own.
    fn take(
        &mut self,
        number: u64,
        object: Name,
        bytes: &[u8],
    ) -> Result<Arc<Manifest>, ManifestError> {
        let manifest = decode(self.place, self.term, number, bytes)?;
        if manifest.writer == self.writer {
            return self.adopt(manifest);
        }
        let fenced = ManifestError::Fenced { object, by: manifest.writer };
        self.stopped = Some(fenced.clone());
        Err(fenced)
    }

    fn adopt(&mut self, manifest: Manifest) -> Result<Arc<Manifest>, ManifestError> {
        self.number = manifest.number;
        let manifest = Arc::new(manifest);
        if let Some(before) = self.newest.replace(Arc::clone(&manifest)) {
            self.past.insert((before.term, before.number), Some(before));
        }
        if let Some(record) = &mut self.record {
            let writers = vec![self.writer];
            let remembered = record.store(State { term: self.term, number: self.number, writers });
            if let Err(error) = remembered {
                // Another one on top would look like somebody else's at the next open.
                self.stopped = Some(error.clone());
                return Err(error);
            }
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests;
