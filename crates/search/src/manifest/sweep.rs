//! Deleting what no manifest needs any more: old manifests, the files of merged segments, and orphans that a failed
//! flush, merge or upload left.
//!
//! An object may go when no manifest names it that is the newest or was so less than the grace ago, and its own
//! identifier is older than the grace. Readers keep what they opened for less than the grace, and what is being made is
//! younger or named by the caller.
//!
//! Two dangers are shut out. Another writer may have taken over: so the next number is looked at first. And a try to
//! publish that was never answered may still come to be, with objects that are named nowhere else: so nothing is
//! deleted unless the last try was answered, and only after this writer has published itself, which takes the number
//! that a try of an earlier process could have had.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use base::clock::WallMs;

use super::chain::PAGE;
use super::{Chain, Manifest, ManifestError, Place, decode};
use crate::storage::{Listed, Name, Store, Ulid, list_all};

/// Objects per deletion.
const BATCH: usize = 1000;

/// What a sweep goes by.
#[derive(Debug, Clone, Default)]
pub struct Sweep {
    /// The time.
    pub now: WallMs,
    /// For how long what was named stays. Longer than any reader keeps a snapshot.
    pub grace: Duration,
    /// Segments that are being made.
    pub in_work: HashSet<Ulid>,
}

/// What a sweep deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Manifests.
    pub manifests: u64,
    /// Other objects.
    pub objects: u64,
    /// Bytes of those.
    pub bytes: u64,
}

/// Manifests that were the newest once, so that each is read once; none for one that cannot be read, and then nobody
/// else can read it either.
pub(super) type Past = BTreeMap<(u64, u64), Option<Arc<Manifest>>>;

/// What is to be deleted.
#[derive(Debug, Default)]
struct Plan {
    manifests: Vec<(u64, u64)>,
    objects: Vec<Listed>,
}

/// Adds what a manifest names.
fn add_names(manifest: &Manifest, names: &mut HashSet<Name>) -> Result<(), ManifestError> {
    let place = &manifest.place;
    for segment in &*manifest.contents.segments {
        for file in &segment.files {
            names.insert(place.file(segment.id, &file.name)?);
        }
        if let Some(dead) = segment.dead {
            names.insert(place.dead(segment.id, dead.id)?);
        }
    }
    Ok(())
}

impl Sweep {
    /// Whether what ended at `then` ended longer ago than the grace. A clock that was set back makes it wait.
    fn is_over(&self, then: WallMs) -> bool {
        let grace = u64::try_from(self.grace.as_millis()).unwrap_or(u64::MAX);
        then.0.saturating_add(grace) <= self.now.0
    }

    /// Which manifests may go, the oldest first. What the others name is added to `named`.
    fn manifests(
        &self,
        past: &Past,
        newest: &Manifest,
        named: &mut HashSet<Name>,
    ) -> Result<Vec<(u64, u64)>, ManifestError> {
        let mut gone = Vec::new();
        add_names(newest, named)?;
        // When the one at hand stopped to be the newest.
        let mut ended = newest.written_at;
        for (numbers, manifest) in past.iter().rev() {
            if self.is_over(ended) {
                gone.push(*numbers);
            } else if let Some(manifest) = manifest {
                add_names(manifest, named)?;
            }
            ended = manifest.as_ref().map_or(ended, |manifest| manifest.written_at);
        }
        gone.reverse();
        Ok(gone)
    }

    /// Whether an object that nobody names may go.
    fn is_orphan(&self, place: &Place, name: &Name) -> bool {
        // What is not called as we call things is not ours to delete.
        place.segment_object(name).is_some_and(|object| {
            self.is_over(object.made_at()) && !self.in_work.contains(&object.segment)
        })
    }
}

impl Chain {
    /// Deletes what is needed no more. Does nothing before this writer has published, or while a try to publish is
    /// not answered.
    ///
    /// # Errors
    /// [`ManifestError::Fenced`] when somebody else has published; what the store answers otherwise, and then a part
    /// may have been deleted. Calling it again is safe.
    pub fn sweep(&mut self, sweep: &Sweep) -> Result<Swept, ManifestError> {
        self.must_hold()?;
        let Some(newest) = self.newest.clone().filter(|_| self.settled) else {
            return Ok(Swept::default());
        };
        let plan = self.plan(sweep, &newest)?;
        self.delete(&plan)
    }

    /// Whether there is something that [`Chain::sweep`] would delete, if this writer had published since it was opened
    /// and its last try had been answered. Without this an index that nobody writes to would keep for ever what
    /// an earlier process left.
    ///
    /// # Errors
    /// As [`Chain::sweep`].
    pub fn has_leftovers_before_publishing(
        &mut self,
        sweep: &Sweep,
    ) -> Result<bool, ManifestError> {
        if self.settled {
            return Ok(false);
        }
        self.must_hold()?;
        let Some(newest) = self.newest.clone() else { return Ok(false) };
        let Plan { manifests, objects } = self.plan(sweep, &newest)?;
        Ok(!manifests.is_empty() || !objects.is_empty())
    }

    /// Whether a later sweep will have something to delete, even if nothing happens until then: what the last one
    /// looked at and left because of the grace. True before the first.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        self.waiting
    }

    /// Decides.
    fn plan(&mut self, sweep: &Sweep, newest: &Manifest) -> Result<Plan, ManifestError> {
        let listed = list_all(&*self.store, &self.place.manifests()?, PAGE)?;
        let current = (newest.term, newest.number);
        for numbers in listed.iter().filter_map(|listed| self.place.numbers_of(&listed.name)) {
            if numbers < current && !self.past.contains_key(&numbers) {
                let manifest = self.read(numbers)?;
                self.past.insert(numbers, manifest);
            }
        }
        let mut named = HashSet::new();
        let manifests = sweep.manifests(&self.past, newest, &mut named)?;
        let mut objects = list_all(&*self.store, &self.place.segments()?, PAGE)?;
        objects.retain(|object| {
            !named.contains(&object.name) && self.place.segment_object(&object.name).is_some()
        });
        let unnamed = objects.len();
        objects.retain(|object| sweep.is_orphan(&self.place, &object.name));
        self.waiting = unnamed > objects.len() || self.past.len() > manifests.len();
        Ok(Plan { manifests, objects })
    }

    fn read(&self, (term, number): (u64, u64)) -> Result<Option<Arc<Manifest>>, ManifestError> {
        // Deleted already, perhaps, and the list does not know.
        let Some(bytes) = self.store.get(&self.place.manifest(term, number)?)? else {
            return Ok(None);
        };
        match decode(self.place, term, number, &bytes) {
            Ok(manifest) => Ok(Some(Arc::new(manifest))),
            Err(ManifestError::Damaged { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Does. Objects first: as long as a manifest is there, another sweep finds what it named.
    fn delete(&mut self, plan: &Plan) -> Result<Swept, ManifestError> {
        let objects: Vec<Name> = plan.objects.iter().map(|object| object.name.clone()).collect();
        let manifests = plan.manifests.iter();
        let manifests = manifests.map(|(term, number)| self.place.manifest(*term, *number));
        let manifests = manifests.collect::<Result<Vec<Name>, _>>()?;
        for batch in objects.chunks(BATCH) {
            self.store.delete(batch)?;
        }
        // The oldest first and one after another: a gap would be the end for whoever follows the numbers.
        for name in &manifests {
            self.store.delete(std::slice::from_ref(name))?;
        }
        plan.manifests.iter().for_each(|numbers| _ = self.past.remove(numbers));
        Ok(Swept {
            manifests: manifests.len() as u64,
            objects: objects.len() as u64,
            bytes: plan.objects.iter().map(|object| object.len).sum(),
        })
    }
}

/// Deletes everything of an index whose collection is gone. Calling it again is safe, and needed after an error.
///
/// # Errors
/// What the store answers.
pub fn remove_all(store: &dyn Store, place: &Place) -> Result<u64, ManifestError> {
    let all = list_all(store, &place.folder()?, PAGE)?;
    let names: Vec<Name> = all.into_iter().map(|listed| listed.name).collect();
    for batch in names.chunks(BATCH) {
        store.delete(batch)?;
    }
    Ok(names.len() as u64)
}
