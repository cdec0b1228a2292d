//! Whether a store is fit to be shared: it must refuse to create what exists, also when several try at once.
//!
//! Some servers that speak S3 ignore `If-None-Match`, or check it and then write without holding anything in between.
//! Two writers would then overwrite each other's manifests unseen, so such a bucket is refused at the start.

use base::rng::Rng;
use base::workers::parallel;
use bytes::Bytes;

use super::{Name, Store, StoreError, StoreErrorKind};
use crate::storage::Ulid;
use base::clock::WallMs;

/// How many create the same object at once.
const RACERS: usize = 8;
/// How many races are run: a server that only checks first may win one by luck.
const RACES: usize = 4;

/// Creates, races for and deletes objects below `folder`.
///
/// # Errors
/// [`StoreErrorKind::Unfit`] when the store cannot be shared, saying why; otherwise what went wrong on the way.
pub fn probe(
    store: &dyn Store,
    folder: &Name,
    now: WallMs,
    rng: &mut Rng,
) -> Result<(), StoreError> {
    let mut made = Vec::new();
    let mut fresh = || {
        let name = folder.join(&format!("probe-{}", Ulid::new(now, rng)))?;
        made.push(name.clone());
        Ok::<_, StoreError>(name)
    };
    let names = (0..=RACES).map(|_| fresh()).collect::<Result<Vec<Name>, _>>()?;
    let fit = match names.split_first() {
        Some((first, races)) => {
            twice(store, first).and_then(|()| races.iter().try_for_each(|name| race(store, name)))
        }
        None => Ok(()),
    };
    let removed = store.delete(&made);
    fit.and(removed)
}

fn unfit(name: &Name, reason: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unfit, name, reason)
}

/// Creates one object twice, one after the other.
fn twice(store: &dyn Store, name: &Name) -> Result<(), StoreError> {
    let (first, second) = (Bytes::from_static(b"first"), Bytes::from_static(b"second"));
    match store.put_new(name, &first) {
        // The answer to a try before was lost.
        Err(error) if error.kind() == StoreErrorKind::AlreadyExists => {}
        other => other?,
    }
    match store.put_new(name, &second) {
        Ok(()) => {
            return Err(unfit(name, "it creates an object that exists: If-None-Match is ignored"));
        }
        Err(error) if error.kind() == StoreErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    match store.get(name)? {
        Some(content) if content == first => Ok(()),
        Some(_) => Err(unfit(name, "it says that an object exists and overwrites it")),
        None => Err(unfit(name, "an object that was created is not there")),
    }
}

/// Lets several create one object at once.
fn race(store: &dyn Store, name: &Name) -> Result<(), StoreError> {
    let content = |racer: usize| Bytes::from(format!("racer {racer}"));
    let results =
        parallel::map("probe", RACERS, RACERS, |racer| store.put_new(name, &content(racer)));
    let mut winner = None;
    for (racer, result) in results.into_iter().enumerate() {
        match result {
            Ok(()) if winner.is_some() => {
                return Err(unfit(name, "two that create an object at once both succeed"));
            }
            Ok(()) => winner = Some(racer),
            Err(error) if error.kind() == StoreErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    let Some(found) = store.get(name)? else {
        return Err(unfit(name, "nobody could create an object that is not there"));
    };
    // No winner at all is one whose answer was lost: then any of the contents will do.
    match winner {
        Some(winner) if found != content(winner) => {
            Err(unfit(name, "another content is there than that which was created"))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use base::io::MemDisk;

    use super::*;
    use crate::storage::LocalStore;

    #[test]
    fn a_local_store_passes_and_nothing_is_left_of_the_probe() {
        let store = LocalStore::open(MemDisk::shared(), std::path::Path::new("/store")).unwrap();
        let folder = Name::new("probe").unwrap();
        probe(&store, &folder, WallMs(1), &mut Rng::new(1)).unwrap();
        assert!(store.list_after(&folder, None, 10).unwrap().is_empty());
    }
}
