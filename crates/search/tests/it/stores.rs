//! The simulator's object store as a [`Store`], and the little that tests of stores share.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::ops::Range;
use std::sync::Arc;

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
}
