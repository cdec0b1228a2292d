//! Looking at an index in a store without opening it for anybody: what its manifest says, and whether every file
//! that it names is what was written.

use std::sync::Arc;

use super::error::Result;
use super::files::{Backing, Files};
use super::segment::Segment;
use super::{Index, lock};
use crate::manifest::{Manifest, Place, newest};
use crate::storage::StoreRef;
use crate::storage::cache::{Blocks, MemoryCache};

/// What was found of an index.
#[derive(Debug)]
pub struct Inspection {
    /// Its newest manifest.
    pub manifest: Manifest,
    /// Of each segment, in the order of the manifest, whether all of it is what was written.
    pub verdicts: Vec<Result<()>>,
}

/// Reads the newest manifest of the index at a place and every file that it names; none when there is none. Nothing is
/// written. A vector file is held in memory while it is read.
///
/// # Errors
/// [`super::IndexError::Manifest`] when the manifest is damaged or of a later docdb, and when the store cannot be read.
/// What is wrong with a segment stands in its verdict.
pub fn inspect(store: &StoreRef, place: Place) -> Result<Option<Inspection>> {
    let Some(manifest) = newest(&**store, &place)? else { return Ok(None) };
    let blocks = Blocks::new(Box::new(MemoryCache::new(0)), 0);
    let files = Files::new(Backing { store: Arc::clone(store), blocks }, place);
    let verdicts = manifest.contents.segments.iter().map(|segment| {
        Segment::verify(&files, &segment.into())?;
        segment.dead.iter().try_for_each(|dead| files.read_dead(segment.id, dead).map(|_| ()))
    });
    Ok(Some(Inspection { verdicts: verdicts.collect(), manifest }))
}

impl Index {
    /// Reads every file of every segment from the store, past the cache, and compares it with its checksums: also what no
    /// query reads. Queries, changes and background work go on meanwhile; a segment that is merged away during
    /// it is looked at to the end.
    ///
    /// # Errors
    /// [`super::IndexError::Segment`] with the name of the first that is damaged or cannot be read: the index should be made
    /// again.
    pub fn verify(&self) -> Result<()> {
        let segments: Vec<Arc<Segment>> =
            lock(&self.core).segments.iter().map(|part| Arc::clone(&part.segment)).collect();
        segments.iter().try_for_each(|segment| Segment::verify(&self.files, segment.files()))
    }
}
