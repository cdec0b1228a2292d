//! The simulator's object store as a [`Store`], and the little that tests of stores share.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use base::retry::{Policy, Waited, Waiter, run};
use base::rng::Rng;
use bytes::Bytes;
use search::storage::{
    Listed, Name, Source, Store, StoreError, StoreErrorKind, StoreRef, list_all, put_unique,
};
use sim::VirtualClock;
use sim::objects::{Failure, FaultStore};

/// Bytes of a part of an upload, so that small contents have several.
const PART_BYTES: u64 = 100;

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Waits in virtual time.
struct Virtual(VirtualClock);

impl Waiter for Virtual {
    fn wait(&self, time: std::time::Duration) -> Waited {
        self.0.advance(time);
        Waited::Elapsed
    }
}

/// A [`FaultStore`] behind the trait, with the retries of a remote store.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) inner: FaultStore,
    clock: VirtualClock,
    policy: Policy,
}

impl Faulty {
    /// A store that tries each call so often.
    pub(crate) fn new(inner: FaultStore, clock: VirtualClock, tries: u32) -> Self {
        Self { inner, clock, policy: Policy { tries, ..Policy::DEFAULT } }
    }

    fn tries<T>(
        &self,
        object: &Name,
        mut call: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let waiter = Virtual(self.clock.clone());
        run(&self.policy, Rng::new(1), &waiter, |_| {
            call().map_err(|failure| {
                let kind = match failure {
                    Failure::Exists => StoreErrorKind::AlreadyExists,
                    Failure::Unavailable => StoreErrorKind::Unavailable,
                    Failure::Timeout => StoreErrorKind::Timeout,
                };
                StoreError::new(kind, object, "weather")
            })
        })
    }
}

fn shorter(name: &Name) -> StoreError {
    StoreError::new(StoreErrorKind::Damaged, name, "shorter than asked for")
}

impl Store for Faulty {
    fn put_new(&self, name: &Name, content: &dyn Source) -> Result<(), StoreError> {
        let mut parts = Vec::new();
        let mut at = 0;
        while at < content.len() {
            let end = content.len().min(at + PART_BYTES);
            parts.push(content.read(at..end).unwrap());
            at = end;
        }
        let parts: Vec<&[u8]> = parts.iter().map(|part| &**part).collect();
        self.tries(name, || self.inner.put_new(name.as_str(), &parts))
    }

    fn get_ranges(&self, wanted: &[(Name, Range<u64>)]) -> Result<Vec<Bytes>, StoreError> {
        let mut parts = Vec::new();
        let mut last: Option<(&Name, Arc<[u8]>)> = None;
        for (name, range) in wanted {
            let content = match last.take().filter(|(same, _)| *same == name) {
                Some((_, content)) => content,
                None => self
                    .tries(name, || self.inner.get(name.as_str()))?
                    .ok_or_else(|| StoreError::new(StoreErrorKind::NotFound, name, "none"))?,
            };
            let at = |at: u64| usize::try_from(at).unwrap();
            let part = content.get(at(range.start)..at(range.end)).ok_or_else(|| shorter(name))?;
            self.inner.count_read(part.len() as u64);
            parts.push(Bytes::copy_from_slice(part));
            last = Some((name, content));
        }
        Ok(parts)
    }

    fn get(&self, name: &Name) -> Result<Option<Bytes>, StoreError> {
        let content = self.tries(name, || self.inner.get(name.as_str()))?;
        Ok(content.map(|content| Bytes::copy_from_slice(&content)))
    }

    fn len_of(&self, name: &Name) -> Result<Option<u64>, StoreError> {
        let content = self.tries(name, || self.inner.get(name.as_str()))?;
        Ok(content.map(|content| content.len() as u64))
    }

    fn list_after(
        &self,
        folder: &Name,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let prefix = format!("{folder}/");
        let after = after.map_or("", Name::as_str);
        let listed = self.tries(folder, || self.inner.list(&prefix, after, limit))?;
        Ok(listed.into_iter().map(|(text, len)| Listed { name: name(&text), len }).collect())
    }

    fn delete(&self, names: &[Name]) -> Result<(), StoreError> {
        names.iter().try_for_each(|name| self.tries(name, || self.inner.delete(name.as_str())))
    }
}

/// A store in memory that does as it is told.
#[derive(Debug, Default)]
pub(crate) struct Objects(Mutex<BTreeMap<String, Bytes>>);

impl Objects {
    /// One that holds these.
    pub(crate) fn of(objects: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let objects = objects.into_iter().map(|(name, content)| (name, content.into()));
        Self(Mutex::new(objects.collect()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.0.lock().unwrap()
    }
}

impl Store for Objects {
    fn put_new(&self, name: &Name, content: &dyn Source) -> Result<(), StoreError> {
        let content = content.read(0..content.len()).unwrap();
        match self.lock().entry(name.as_str().to_owned()) {
            Entry::Vacant(entry) => {
                entry.insert(content);
                Ok(())
            }
            Entry::Occupied(_) => {
                Err(StoreError::new(StoreErrorKind::AlreadyExists, name, "it is there"))
            }
        }
    }

    fn get_ranges(&self, wanted: &[(Name, Range<u64>)]) -> Result<Vec<Bytes>, StoreError> {
        let objects = self.lock();
        let at = |at: u64| usize::try_from(at).unwrap();
        let part = |(name, range): &(Name, Range<u64>)| {
            let content = objects
                .get(name.as_str())
                .ok_or_else(|| StoreError::new(StoreErrorKind::NotFound, name, "none"))?;
            if range.end > content.len() as u64 {
                return Err(shorter(name));
            }
            Ok(content.slice(at(range.start)..at(range.end)))
        };
        wanted.iter().map(part).collect()
    }

    fn get(&self, name: &Name) -> Result<Option<Bytes>, StoreError> {
        Ok(self.lock().get(name.as_str()).cloned())
    }

    fn len_of(&self, name: &Name) -> Result<Option<u64>, StoreError> {
        Ok(self.lock().get(name.as_str()).map(|content| content.len() as u64))
    }

    fn list_after(
        &self,
        folder: &Name,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let prefix = format!("{folder}/");
        let after = after.map_or("", Name::as_str);
        let objects = self.lock();
        let found =
            objects.iter().filter(|(text, _)| text.starts_with(&prefix) && text.as_str() > after);
        let listed = |(text, content): (&String, &Bytes)| Listed {
            name: name(text),
            len: content.len() as u64,
        };
        Ok(found.take(limit).map(listed).collect())
    }

    fn delete(&self, names: &[Name]) -> Result<(), StoreError> {
        let mut objects = self.lock();
        names.iter().for_each(|name| _ = objects.remove(name.as_str()));
        Ok(())
    }
}

/// A store of which some changes fail, half of them after they have happened.
#[derive(Debug)]
pub(crate) struct Unsteady {
    inner: StoreRef,
    failing: Mutex<Failing>,
}

/// Which changes fail.
#[derive(Debug)]
struct Failing {
    rng: Rng,
    /// How many of a thousand.
    per_mille: u64,
    /// Of objects with this in their names.
    within: &'static str,
}

impl Unsteady {
    pub(crate) fn new(inner: StoreRef, seed: u64) -> Self {
        let failing = Failing { rng: Rng::new(seed), per_mille: 0, within: "" };
        Self { inner, failing: Mutex::new(failing) }
    }

    /// From now on so many of a thousand changes fail.
    pub(crate) fn fail(&self, per_mille: u64) {
        let mut failing = self.failing.lock().unwrap();
        (failing.per_mille, failing.within) = (per_mille, "");
    }

    /// From now on all changes fail of objects with this in their names.
    pub(crate) fn fail_below(&self, within: &'static str) {
        let mut failing = self.failing.lock().unwrap();
        (failing.per_mille, failing.within) = (1000, within);
    }

    fn change(
        &self,
        object: &Name,
        change: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let (fails, happens) = {
            let mut failing = self.failing.lock().unwrap();
            let (per_mille, within) = (failing.per_mille, failing.within);
            let fails = failing.rng.chance(per_mille) && object.as_str().contains(within);
            (fails, failing.rng.chance(500))
        };
        if !fails {
            return change();
        }
        let kind = if happens {
            change()?;
            StoreErrorKind::Timeout
        } else {
            StoreErrorKind::Unavailable
        };
        Err(StoreError::new(kind, object, "unsteady"))
    }
}

impl Store for Unsteady {
    fn put_new(&self, name: &Name, content: &dyn Source) -> Result<(), StoreError> {
        self.change(name, || self.inner.put_new(name, content))
    }

    fn get_ranges(&self, wanted: &[(Name, Range<u64>)]) -> Result<Vec<Bytes>, StoreError> {
        self.inner.get_ranges(wanted)
    }

    fn get(&self, name: &Name) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(name)
    }

    fn len_of(&self, name: &Name) -> Result<Option<u64>, StoreError> {
        self.inner.len_of(name)
    }

    fn list_after(
        &self,
        folder: &Name,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        self.inner.list_after(folder, after, limit)
    }

    fn delete(&self, names: &[Name]) -> Result<(), StoreError> {
        match names.first() {
            Some(first) => self.change(first, || self.inner.delete(names)),
            None => Ok(()),
        }
    }
}

/// A store in good weather, with its counters.
pub(crate) fn fair() -> (StoreRef, FaultStore) {
    let clock = VirtualClock::default();
    let inner = FaultStore::new(1, clock.clone());
    (Arc::new(Faulty::new(inner.clone(), clock, 1)), inner)
}

fn kind<T: std::fmt::Debug>(result: Result<T, StoreError>) -> StoreErrorKind {
    result.unwrap_err().kind()
}

fn names(listed: &[Listed]) -> Vec<&str> {
    listed.iter().map(|listed| listed.name.as_str()).collect()
}

/// What every store does, whatever is behind it. Leaves nothing.
pub(crate) fn exercise(store: &dyn Store) {
    let objects = ["x/a-1", "x/a/1", "x/a/2", "x/b"];
    for (at, object) in objects.iter().enumerate() {
        store.put_new(&name(object), &vec![b'0' + u8::try_from(at).unwrap(); 1000]).unwrap();
    }
    let (first, none) = (name("x/a-1"), name("x/none"));
    assert_eq!(kind(store.put_new(&first, &b"other".to_vec())), StoreErrorKind::AlreadyExists);
    put_unique(store, &first, &vec![b'0'; 1000]).unwrap();
    assert_eq!(kind(put_unique(store, &first, &vec![b'0'; 9])), StoreErrorKind::AlreadyExists);
    assert_eq!(store.get(&first).unwrap().unwrap(), vec![b'0'; 1000]);
    assert_eq!((store.get(&none).unwrap(), store.len_of(&none).unwrap()), (None, None));
    assert_eq!(store.len_of(&first).unwrap(), Some(1000));
    let wanted = [
        (name("x/b"), 10..20),
        (first.clone(), 0..1000),
        (name("x/b"), 990..1000),
        (first.clone(), 7..7),
    ];
    let parts = store.get_ranges(&wanted).unwrap();
    assert_eq!(parts, [vec![b'3'; 10], vec![b'0'; 1000], vec![b'3'; 10], vec![]]);
    assert_eq!(kind(store.get_ranges(&[(first.clone(), 990..1001)])), StoreErrorKind::Damaged);
    assert_eq!(kind(store.get_ranges(&[(none.clone(), 0..1)])), StoreErrorKind::NotFound);
    let folder = name("x");
    assert_eq!(names(&list_all(store, &folder, 3).unwrap()), objects);
    let after = store.list_after(&folder, Some(&name("x/a-1")), 2).unwrap();
    assert_eq!(names(&after), ["x/a/1", "x/a/2"]);
    assert_eq!(names(&list_all(store, &name("x/a"), 9).unwrap()), ["x/a/1", "x/a/2"]);
    assert!(list_all(store, &none, 9).unwrap().is_empty());
    let all: Vec<Name> = objects.iter().map(|object| name(object)).chain([none]).collect();
    store.delete(&all).unwrap();
    store.delete(&all).unwrap();
    assert!(list_all(store, &folder, 9).unwrap().is_empty());
}

#[test]
fn the_local_store_and_the_simulated_one_do_what_every_store_does() {
    let root = std::path::Path::new("/store");
    exercise(&search::storage::LocalStore::open(base::io::MemDisk::shared(), root).unwrap());
    exercise(&*fair().0);
    exercise(&Objects::default());
    exercise(&Unsteady::new(Arc::new(Objects::default()), 1));
}
