//! Reading one object by ranges, as every reader of a file of a segment does.

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::{Name, StoreRef};

/// Something to read ranges of bytes from.
pub trait ReadRanges: Debug + Send + Sync {
    /// The bytes of each range, in their order. One call is one round trip, however many ranges.
    ///
    /// # Errors
    /// When any of them cannot be read in full.
    fn read(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Vec<u8>>>;
}

impl<R: ReadRanges + ?Sized> ReadRanges for Arc<R> {
    fn read(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Vec<u8>>> {
        (**self).read(ranges)
    }
}

/// One object of a store, read without a cache: for what is read once, such as a merge. Queries read through
/// [`CachedObject`](super::cache::CachedObject).
#[derive(Debug, Clone)]
pub struct Object {
    store: StoreRef,
    name: Name,
}

impl Object {
    /// The object of this name, which need not exist yet.
    #[must_use]
    pub fn new(store: StoreRef, name: Name) -> Self {
        Self { store, name }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }
}

impl ReadRanges for Object {
    fn read(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Vec<u8>>> {
        let wanted: Vec<_> =
            ranges.iter().map(|range| (self.name.clone(), range.clone())).collect();
        let parts = self.store.get_ranges(&wanted)?;
        Ok(parts.into_iter().map(Vec::from).collect())
    }
}
