//! Where the files of segments and the manifests are: objects, each written once and under a name that is
//! never used again.
//!
//! [`Store`] is the seam. Its calls are synchronous and shaped like round trips: what belongs together is
//! asked for together. [`LocalStore`] keeps objects as files through [`base::io`], so that it runs in the
//! simulator; [`RemoteStore`] keeps them at S3, GCS or Azure. [`probe()`] finds out whether a bucket is fit to
//! be shared, [`cache`] stands between readers and a store.
//!
//! # What a caller may rely on
//!
//! - An object is there as a whole or not at all, and its content never changes.
//! - Of any number of calls that create an object of up to [`WHOLE_BYTES_MAX`] bytes under one name, one at most
//!   succeeds. That is the only means of agreement there is: manifests are made of it.
//! - A call that failed otherwise than with [`StoreErrorKind::AlreadyExists`] may have happened all the same, or
//!   may happen later. A repeated creation then answers `AlreadyExists`; whose object it is, the caller finds out by
//!   reading it, or knows because nobody else uses such a name ([`put_unique`]).
//! - Lists may lag behind; reads by name do not.
//!
//! What this is not: no checksums (every file has its own), no retry beyond what [`RemoteStore`] does for one call,
//! no knowledge of what objects mean.

pub mod cache;
mod error;
mod local;
mod name;
mod object;
mod probe;
mod remote;
mod source;
mod tasks;
mod ulid;

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

pub use error::{StoreError, StoreErrorKind};
pub use local::LocalStore;
pub use name::{NAME_BYTES_MAX, Name, PART_BYTES_MAX};
pub use object::{Object, ReadRanges};
pub use probe::probe;
pub use remote::{RemoteOptions, RemoteStore};
pub use source::{FileSource, Source, Spool};
pub use ulid::Ulid;

/// The most bytes that an object may have to be created atomically and got in one piece. Longer ones are sent in
/// parts of this size, so that it is also what sending one holds in memory.
pub const WHOLE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A shared store.
pub type StoreRef = Arc<dyn Store>;

/// An object in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: Name,
    /// Its length in bytes.
    pub len: u64,
}

/// A place for objects.
pub trait Store: Debug + Send + Sync {
    /// Creates an object. Durable on return.
    ///
    /// Content longer than [`WHOLE_BYTES_MAX`] goes in parts; that the name is free is then looked at right before
    /// they are joined, which two creators at the same moment may both find. Long objects therefore have names
    /// that are unique by themselves, with a [`Ulid`].
    ///
    /// # Errors
    /// [`StoreErrorKind::AlreadyExists`] when there is an object of this name, which may be what an earlier call of
    /// the same caller made; see the invariants of this module for all others.
    fn put_new(&self, name: &Name, content: &dyn Source) -> Result<(), StoreError>;

    /// The bytes of each range, in their order, all in one round trip.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotFound`] when one of the objects is missing, [`StoreErrorKind::Damaged`] when one is
    /// shorter than it was asked for.
    fn get_ranges(&self, wanted: &[(Name, Range<u64>)]) -> Result<Vec<Bytes>, StoreError>;

    /// A whole object, `None` when there is none.
    ///
    /// # Errors
    /// [`StoreErrorKind::Damaged`] when it is longer than [`WHOLE_BYTES_MAX`].
    fn get(&self, name: &Name) -> Result<Option<Bytes>, StoreError>;

    /// The length of an object, `None` when there is none.
    ///
    /// # Errors
    /// As the store says.
    fn len_of(&self, name: &Name) -> Result<Option<u64>, StoreError>;

    /// The first `limit` objects below `folder` whose names come after `after`, in the order of their bytes. Fewer
    /// than `limit` means that there are no more. May lack what was just created and name what was just deleted.
    ///
    /// # Errors
    /// As the store says.
    fn list_after(
        &self,
        folder: &Name,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError>;

    /// Deletes objects, all of them in one go. One that is not there counts as deleted.
    ///
    /// # Errors
    /// When one of them may still be there; the others may be gone. Calling it again is safe.
    fn delete(&self, names: &[Name]) -> Result<(), StoreError>;
}

/// Creates an object under a name that nobody else ever uses, so that one which is there already is what an earlier
/// try of the caller made.
///
/// # Errors
/// As [`Store::put_new`]; `AlreadyExists` only when the object there has another length, which a name that is
/// unique does not.
pub fn put_unique(store: &dyn Store, name: &Name, content: &dyn Source) -> Result<(), StoreError> {
    match store.put_new(name, content) {
        Err(error) if error.kind() == StoreErrorKind::AlreadyExists => match store.len_of(name)? {
            Some(len) if len == content.len() => Ok(()),
            Some(_) | None => Err(error),
        },
        other => other,
    }
}

/// Every object below `folder`, in the order of their names, by lists of `page` objects.
///
/// # Errors
/// As [`Store::list_after`].
pub fn list_all(store: &dyn Store, folder: &Name, page: usize) -> Result<Vec<Listed>, StoreError> {
    let mut all: Vec<Listed> = Vec::new();
    loop {
        let after = all.last().map(|listed| listed.name.clone());
        let listed = store.list_after(folder, after.as_ref(), page)?;
        let is_last = listed.len() < page;
        all.extend(listed);
        if is_last {
            return Ok(all);
        }
    }
}
