//! The vector index: which rows of a segment are nearest to a vector.
//!
//! Rows are grouped into clusters by k-means; each row is kept as a RaBitQ code of its residual to the
//! centroid, one bit a dimension for the scan and up to seven more for the estimate, and is compared by
//! its raw vector before it is returned. Up to some thousands of rows there is one cluster, the flat
//! tier: the same codes and the same loops.
//!
//! What it is not: it knows nothing of documents, of what has been deleted, or of other segments.
//! Rows are numbers from 0, and who may be returned is a [`RowSet`].
//!
//! Invariants:
//! - Distances returned are those of the raw vectors; only which rows are returned is approximate.
//! - The same rows, options and seed give the same index, byte by byte, whatever the number of threads and
//!   the instruction set.
//! - No query panics, whatever it contains: what does not fit is an error.
//!
//! Start with [`VectorIndex`], then `search.rs` (a query's way), `code.rs` (the codes) and
//! `kernel.rs` (the inner loops).

mod build;
mod calibrate;
mod code;
mod error;
mod file;
mod filter;
mod index;
mod kernel;
mod kmeans;
mod list;
mod merge;
mod metric;
mod query;
mod rotation;
mod search;
mod source;
mod top;

pub use build::Options;
pub use error::VectorError;
pub use file::{ReadRanges, VectorFile, Written};
pub use filter::RowSet;
pub use kernel::{Element, Kernels};
pub use merge::{Changes, GONE, Kept};
pub use metric::Metric;
pub use search::{Effort, Work};
pub use source::Rows;

use std::sync::OnceLock;

use index::Index;
use list::List;
use search::{Scratch, Searcher};
use source::Memory;
use top::Near;

/// Dimensions that a vector may have.
pub const DIMS_MAX: usize = 10_752;
/// The greatest absolute value of an element: the square of a vector's length is then a number, with
/// room for what is calculated from it.
pub const ELEMENT_MAX: f32 = 1e15;
/// Rows that a search may be asked for.
pub const K_MAX: usize = 10_000;

/// A row that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Its number.
    pub row: u32,
    /// Its distance, exactly, as its [`Metric`] reports it.
    pub distance: f32,
}

/// What to look for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// How many rows, up to [`K_MAX`].
    pub k: usize,
    /// How far to search.
    pub effort: Effort,
    /// The rows that may be returned; all when there is none.
    pub filter: Option<&'a RowSet>,
}

/// The space that searches need; keep it from one to the next. It belongs to the index that made it.
#[derive(Debug)]
pub struct Space {
    scratch: Scratch,
}

impl Space {
    /// What the last search did.
    #[must_use]
    pub fn work(&self) -> Work {
        self.scratch.work()
    }
}

/// An index in memory. The raw vectors belong to the caller and go with every call.
#[derive(Debug, Clone)]
pub struct VectorIndex {
    index: Index,
    /// Rotated, exactly: what a merge starts from, and what no search needs.
    centroids: Vec<f32>,
    lists: Vec<List>,
    /// The cluster of each row, once a search with a filter wanted to know.
    map: OnceLock<Vec<u32>>,
}

impl VectorIndex {
    fn new(index: Index, centroids: Vec<f32>, lists: Vec<List>) -> Self {
        Self { index, centroids, lists, map: OnceLock::new() }
    }

    /// Builds an index of `rows`. Costs about as much as comparing each row with 500 others.
    ///
    /// # Errors
    /// [`VectorError::OutOfRange`] for options that are, and [`VectorError::NotFinite`] for a
    /// row with an element that is no number.
    pub fn build(options: &Options, rows: Rows<'_>) -> Result<Self, VectorError> {
        build::build(options, rows)
    }

    /// Builds an index of `rows`, some of which another index has: its centroids and codes are kept where that is of
    /// use, which costs about as much for each row that is new as building does, and little for the others.
    ///
    /// # Errors
    /// As [`build`](Self::build); [`VectorError::OutOfRange`] for numbers that are not as [`Kept::numbers`] says.
    pub fn merge(
        options: &Options,
        kept: Kept<'_>,
        rows: Rows<'_>,
    ) -> Result<(Self, Changes), VectorError> {
        merge::merge(options, kept, rows)
    }

    /// Space for searches.
    #[must_use]
    pub fn space(&self) -> Space {
        Space { scratch: Scratch::new(&self.index) }
    }

    /// The rows nearest to `query`, nearest first; of two at one distance the lower number.
    ///
    /// # Errors
    /// [`VectorError::Dimension`] or [`VectorError::NotFinite`] for a query that does not fit,
    /// [`VectorError::OutOfRange`] for too great a `k` or for rows that are not those of the index.
    pub fn search(
        &self,
        rows: Rows<'_>,
        query: &[f32],
        request: &Request<'_>,
        space: &mut Space,
    ) -> Result<Vec<Hit>, VectorError> {
        self.check(&rows, query, request.k)?;
        let kernels = self.index.kernels;
        let source = Memory { kernels, lists: &self.lists, rows, map: &self.map };
        let searcher = Searcher {
            index: &self.index,
            source: &source,
            element: rows.element(),
            k: request.k,
            effort: request.effort,
            filter: request.filter,
        };
        let near = searcher.run(query, &mut space.scratch)?;
        Ok(hits(self.index.metric, near))
    }

    /// The same rows by comparing with each one: exact, and slow.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub fn exact(
        &self,
        rows: Rows<'_>,
        query: &[f32],
        k: usize,
        filter: Option<&RowSet>,
    ) -> Result<Vec<Hit>, VectorError> {
        self.check(&rows, query, k)?;
        let near = build::exact(&self.index, rows, query, k, filter, 0..rows.len());
        Ok(hits(self.index.metric, near))
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.rows
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.rows == 0
    }

    /// How distance is measured.
    #[must_use]
    pub fn metric(&self) -> Metric {
        self.index.metric
    }

    /// The number of clusters.
    #[must_use]
    pub fn clusters(&self) -> usize {
        self.index.centroids.len()
    }

    /// Bytes of the lists: what is held beside centroids and raw vectors.
    #[must_use]
    pub fn list_bytes(&self) -> usize {
        self.lists.iter().map(|list| list.bytes().len()).sum()
    }

    /// Each reach that was tried when the index was built, with the recall that was measured.
    pub fn calibration(&self) -> impl Iterator<Item = (f32, f32)> + '_ {
        self.index.calibration.points.iter().map(|point| (point.reach, point.recall))
    }

    /// Writes the index and its raw rows as one file; see `docs/formats/vectors.md`. `identity` is
    /// what the file is known by, and what opening it has to name.
    ///
    /// # Errors
    /// [`VectorError::Write`] when `out` takes no more, and as [`search`](Self::search) for rows that
    /// are not those of the index.
    pub fn write(
        &self,
        rows: Rows<'_>,
        identity: &[u8; 16],
        out: &mut dyn std::io::Write,
    ) -> Result<Written, VectorError> {
        self.check_rows(&rows)?;
        file::write(self, rows, identity, out)
    }

    fn check(&self, rows: &Rows<'_>, query: &[f32], k: usize) -> Result<(), VectorError> {
        self.check_rows(rows)?;
        check_request(&self.index, query, k)
    }

    fn check_rows(&self, rows: &Rows<'_>) -> Result<(), VectorError> {
        let (wanted, found) = (self.index.rotation.dims(), rows.dims());
        if found != wanted {
            return Err(VectorError::Dimension { wanted, found });
        }
        let (wanted, found) = (self.index.rows, rows.len());
        if found != wanted {
            let (what, min, max) = ("rows", wanted, wanted);
            return Err(VectorError::OutOfRange { what, min, max, found });
        }
        Ok(())
    }
}

/// What was found, as it is reported.
fn hits(metric: Metric, near: Vec<Near>) -> Vec<Hit> {
    near.into_iter()
        .map(|near| Hit { row: near.row, distance: metric.reported(near.distance) })
        .collect()
}

/// Whether a query fits an index.
fn check_request(index: &Index, query: &[f32], k: usize) -> Result<(), VectorError> {
    if k > K_MAX {
        return Err(VectorError::OutOfRange { what: "k", min: 0, max: K_MAX, found: k });
    }
    let wanted = index.rotation.dims();
    if query.len() != wanted {
        return Err(VectorError::Dimension { wanted, found: query.len() });
    }
    check_vector(query)
}

/// Whether vectors may have this dimension.
fn check_dims(dims: usize) -> Result<(), VectorError> {
    if (1..=DIMS_MAX).contains(&dims) {
        return Ok(());
    }
    Err(VectorError::OutOfRange { what: "dimensions", min: 1, max: DIMS_MAX, found: dims })
}

/// Whether every element is a number whose square can be summed.
fn check_vector(vector: &[f32]) -> Result<(), VectorError> {
    match vector.iter().position(|x| x.is_nan() || x.abs() > ELEMENT_MAX) {
        Some(element) => Err(VectorError::NotFinite { element }),
        None => Ok(()),
    }
}
