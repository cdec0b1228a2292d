//! Where a search gets posting lists and raw vectors from: memory, or a file.

use std::sync::OnceLock;

use super::error::VectorError;
use super::kernel::{Element, Kernels};
use super::list::List;

/// Raw vectors in memory, row after row, each a whole number of little-endian elements.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    bytes: &'a [u8],
    element: Element,
    dims: usize,
}

impl<'a> Rows<'a> {
    /// Rows of `dims` elements.
    ///
    /// # Errors
    /// [`VectorError::OutOfRange`] when the bytes are no whole number of rows, or when there are
    /// more than `u32::MAX` rows or dimensions than [`DIMS_MAX`](super::DIMS_MAX), or none.
    pub fn new(element: Element, dims: usize, bytes: &'a [u8]) -> Result<Self, VectorError> {
        super::check_dims(dims)?;
        let row = dims * element.bytes();
        let whole = bytes.len() / row * row;
        if whole != bytes.len() {
            let (what, found) = ("bytes of rows", bytes.len());
            return Err(VectorError::OutOfRange { what, min: whole, max: whole, found });
        }
        let (max, found) = (u32::MAX as usize, bytes.len() / row);
        if found > max {
            return Err(VectorError::OutOfRange { what: "rows", min: 0, max, found });
        }
        Ok(Self { bytes, element, dims })
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() / (self.dims * self.element.bytes())
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How elements are kept.
    #[must_use]
    pub fn element(&self) -> Element {
        self.element
    }

    /// Elements of a row.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// The bytes of a row.
    #[must_use]
    pub fn row(&self, number: usize) -> &'a [u8] {
        let bytes = self.dims * self.element.bytes();
        &self.bytes[number * bytes..(number + 1) * bytes]
    }
}

/// What a source has of a cluster.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// Its posting list.
    List(&'a List),
    /// The list is damaged: these are its rows, with their raw vectors one after the other.
    Raw {
        /// Their numbers.
        numbers: &'a [u32],
        /// Their vectors.
        rows: Rows<'a>,
    },
}

/// Where lists and rows come from. A call may be one round trip to a store far away, so that the
/// searcher asks for many things at once.
pub(crate) trait Source {
    /// Whether each call takes long however little it asks for, so that it is better to ask for too
    /// much once than twice for what is needed.
    fn is_far(&self) -> bool;

    /// The cluster of each row, where that is known: of a file whose row map is damaged it is not.
    fn row_map(&self) -> Result<Option<&[u32]>, VectorError>;

    /// Hands the lists of `clusters` to `visit`, in this order, until it says `false`.
    fn lists(
        &self,
        clusters: &[u32],
        visit: &mut dyn FnMut(usize, Found<'_>) -> bool,
    ) -> Result<(), VectorError>;

    /// Hands raw vectors of `rows` to `visit`, in this order, until it says `false`.
    fn rows(
        &self,
        rows: &[u32],
        visit: &mut dyn FnMut(usize, &[u8]) -> bool,
    ) -> Result<(), VectorError>;
}

/// Rows ahead of the one being read whose memory is fetched already.
const AHEAD: usize = 4;

/// Lists ahead of the one being scanned whose front is fetched already; the rest of a list follows in
/// order, which the processor sees by itself.
const LISTS_AHEAD: usize = 2;

/// Lists and rows in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory<'a> {
    pub(crate) kernels: Kernels,
    pub(crate) lists: &'a [List],
    pub(crate) rows: Rows<'a>,
    /// The cluster of each row, once a search with a filter wanted to know.
    pub(crate) map: &'a OnceLock<Vec<u32>>,
}

/// The cluster of each row.
pub(crate) fn row_map(rows: usize, lists: &[List]) -> Vec<u32> {
    let mut map = vec![0; rows];
    for (cluster, list) in (0..).zip(lists) {
        for row in list.numbers() {
            map[row as usize] = cluster;
        }
    }
    map
}

impl Source for Memory<'_> {
    fn is_far(&self) -> bool {
        false
    }

    fn row_map(&self) -> Result<Option<&[u32]>, VectorError> {
        Ok(Some(self.map.get_or_init(|| row_map(self.rows.len(), self.lists))))
    }

    fn lists(
        &self,
        clusters: &[u32],
        visit: &mut dyn FnMut(usize, Found<'_>) -> bool,
    ) -> Result<(), VectorError> {
        for (index, &cluster) in clusters.iter().enumerate() {
            if let Some(&next) = clusters.get(index + LISTS_AHEAD) {
                self.kernels.prefetch(self.lists[next as usize].front());
            }
            if !visit(index, Found::List(&self.lists[cluster as usize])) {
                break;
            }
        }
        Ok(())
    }

    fn rows(
        &self,
        rows: &[u32],
        visit: &mut dyn FnMut(usize, &[u8]) -> bool,
    ) -> Result<(), VectorError> {
        for &row in rows.iter().take(AHEAD) {
            self.kernels.prefetch(self.rows.row(row as usize));
        }
        for (index, &row) in rows.iter().enumerate() {
            if let Some(&next) = rows.get(index + AHEAD) {
                self.kernels.prefetch(self.rows.row(next as usize));
            }
            if !visit(index, self.rows.row(row as usize)) {
                break;
            }
        }
        Ok(())
    }
}
