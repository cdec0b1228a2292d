//! Opens a file, searches it by ranges, or loads all of it.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::layout::{Cursor, HEADER_BYTES, Header, Layout, MAP_ROWS, SUM_BYTES};
use super::source::FileSource;
use super::{Part, Written, checksum};
use crate::storage::ReadRanges;
use crate::vector::calibrate::{Calibration, Point};
use crate::vector::error::VectorError;
use crate::vector::index::{Centroids, Cluster, Index};
use crate::vector::kernel::{AlignedBytes, GROUP, Kernels};
use crate::vector::list::{self, List, Summary};
use crate::vector::metric::Metric;
use crate::vector::rotation::Rotation;
use crate::vector::search::{Scratch, Searcher};
use crate::vector::{Hit, Request, Space, VectorIndex, hits};

/// A file that is open: what a search needs to begin with is in memory, the rest is read when it is
/// needed.
#[derive(Debug)]
pub struct VectorFile<R> {
    pub(super) reader: R,
    pub(super) index: Index,
    pub(super) header: Header,
    pub(super) layout: Layout,
    /// Where each list begins, and the end.
    pub(super) offsets: Vec<u64>,
    /// The cluster of each row, once a search with a filter read it: four bytes a row.
    pub(super) map: OnceLock<Option<Vec<u32>>>,
}

pub(super) fn damaged(what: &'static str) -> VectorError {
    VectorError::Damaged { what }
}

/// Reads ranges and checks that all of them came in full.
pub(super) fn read(
    reader: &impl ReadRanges,
    ranges: &[Range<u64>],
) -> Result<Vec<Vec<u8>>, VectorError> {
    let parts = reader.read(ranges).map_err(|error| VectorError::Read(Arc::new(error)))?;
    let fits = parts.len() == ranges.len()
        && parts
            .iter()
            .zip(ranges)
            .all(|(part, range)| part.len() as u64 == range.end.saturating_sub(range.start));
    if fits { Ok(parts) } else { Err(damaged("a range was not read in full")) }
}

/// What is before the checksum at the end of `bytes`, if that fits.
pub(super) fn sealed<'a>(
    identity: &[u8; 16],
    part: Part,
    number: u32,
    bytes: &'a [u8],
) -> Option<&'a [u8]> {
    let (summed, sum) = bytes.split_last_chunk::<SUM_BYTES>()?;
    (u32::from_le_bytes(*sum) == checksum(identity, part, number, summed)).then_some(summed)
}

impl<R: ReadRanges> VectorFile<R> {
    /// Opens the file of this identity. One round trip, when `written` is what writing it said.
    ///
    /// # Errors
    /// [`VectorError::Damaged`] when the front is not what was written, [`VectorError::Read`] when it
    /// cannot be read.
    pub fn open(
        reader: R,
        identity: &[u8; 16],
        written: Written,
        kernels: Kernels,
    ) -> Result<Self, VectorError> {
        let known =
            written.head_bytes.clamp(HEADER_BYTES as u64, written.len.max(HEADER_BYTES as u64));
        let mut front = read(&reader, std::slice::from_ref(&(0..known)))?.concat();
        let first = front.get(..HEADER_BYTES).ok_or(damaged("there is no header"))?;
        let header = Header::decode(first, identity, written.len)?;
        let layout = Layout::new(&header);
        if layout.lists > header.len {
            return Err(damaged("its parts do not add up to its length"));
        }
        let head = layout.head();
        if head.end > known {
            front.extend(read(&reader, std::slice::from_ref(&(known..head.end)))?.concat());
        }
        let end = usize::try_from(head.end).map_err(|_| damaged("the head is too long"))?;
        let head = front.get(HEADER_BYTES..end).ok_or(damaged("the head is cut"))?;
        let head = sealed(identity, Part::Head, 0, head)
            .ok_or(damaged("the checksum of the head does not fit"))?;
        let index = decode_head(&header, head, kernels)?;
        let rows = index.centroids.clusters().iter().map(|cluster| cluster.rows);
        let offsets = layout.list_offsets(rows)?;
        Ok(Self { reader, index, header, layout, offsets, map: OnceLock::new() })
    }

    /// Space for searches.
    #[must_use]
    pub fn space(&self) -> Space {
        Space { scratch: Scratch::new(&self.index) }
    }

    /// The rows nearest to `query`, as [`VectorIndex::search`] finds them, in two round trips: one for
    /// posting lists, of which it reads one bit a dimension, and one for raw rows. There are more when fewer than `k`
    /// rows were found and when a list is damaged. With a filter, the first search reads the row map before, which is kept;
    /// and lists are read as often as they promise rows that pass, usually twice.
    ///
    /// # Errors
    /// As [`VectorIndex::search`]; [`VectorError::Read`] and, for a raw row that is damaged,
    /// [`VectorError::Damaged`].
    pub fn search(
        &self,
        query: &[f32],
        request: &Request<'_>,
        space: &mut Space,
    ) -> Result<Vec<Hit>, VectorError> {
        crate::vector::check_request(&self.index, query, request.k)?;
        let source = FileSource { file: self };
        let searcher = Searcher {
            index: &self.index,
            source: &source,
            element: self.header.element,
            k: request.k,
            effort: request.effort,
            filter: request.filter,
        };
        let near = searcher.run(query, &mut space.scratch)?;
        Ok(hits(self.index.metric, near))
    }

    /// How distance is measured.
    #[must_use]
    pub fn metric(&self) -> Metric {
        self.index.metric
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

    /// Reads all of the file: the index, and the bytes of the raw rows for
    /// [`Rows`](crate::vector::Rows).
    ///
    /// # Errors
    /// [`VectorError::Damaged`] when any part is, [`VectorError::Read`] when one cannot be read.
    pub fn load(&self) -> Result<(VectorIndex, Vec<u8>), VectorError> {
        let layout = &self.layout;
        let index = self.load_index()?;
        let rows = read(&self.reader, std::slice::from_ref(&(layout.rows..layout.lists)))?.concat();
        let row_bytes = self.header.row_bytes();
        let row_bytes = usize::try_from(row_bytes).map_err(|_| damaged("a row is too long"))?;
        Ok((index, self.parts(Part::Row, &rows, row_bytes)?))
    }

    /// Reads the index without the raw rows, in one round trip.
    ///
    /// # Errors
    /// As [`VectorFile::load`].
    pub fn load_index(&self) -> Result<VectorIndex, VectorError> {
        let layout = &self.layout;
        let ranges = [layout.centroids..layout.map, layout.lists..self.header.len];
        let parts = read(&self.reader, &ranges)?;
        let [centroids, lists] = parts.as_slice() else {
            return Err(damaged("a range was not read in full"));
        };
        let centroids =
            self.parts(Part::Centroid, centroids, self.index.shape.dims.saturating_mul(4))?;
        let mut rest = lists.as_slice();
        let mut lists = Vec::with_capacity(self.index.centroids.len());
        for (number, pair) in (0..).zip(self.offsets.windows(2)) {
            let len = match pair {
                [from, to] => to.saturating_sub(*from),
                _ => 0,
            };
            let len = usize::try_from(len).map_err(|_| damaged("a list is too long"))?;
            let (bytes, after) = rest.split_at_checked(len).ok_or(damaged("a list is cut"))?;
            rest = after;
            let list = self.list(number, bytes).ok_or(damaged("a list's checksum does not fit"))?;
            lists.push(list);
        }
        let centroids = floats(Cursor(&centroids))?;
        Ok(VectorIndex::new(self.index.clone(), centroids, lists))
    }

    /// Reads all of the file and compares every part with its checksum.
    ///
    /// # Errors
    /// As [`VectorFile::load`].
    pub fn verify(&self) -> Result<(), VectorError> {
        let map = read(&self.reader, std::slice::from_ref(&(self.layout.map..self.layout.rows)))?;
        let len = MAP_ROWS.saturating_mul(4);
        self.parts(Part::RowMap, &map.concat(), len)?;
        self.load().map(|_| ())
    }

    /// Parts of one length with their checksums, without them.
    fn parts(&self, part: Part, bytes: &[u8], len: usize) -> Result<Vec<u8>, VectorError> {
        let mut out = Vec::with_capacity(bytes.len());
        for (number, bytes) in (0..).zip(bytes.chunks(len.saturating_add(SUM_BYTES))) {
            let part = sealed(&self.header.identity, part, number, bytes);
            out.extend_from_slice(part.ok_or(damaged("a checksum does not fit"))?);
        }
        Ok(out)
    }

    /// The list, or the front of it, that `bytes` are; `None` when they are not.
    pub(super) fn list(&self, number: u32, bytes: &[u8]) -> Option<List> {
        let cluster = self.index.centroids.get(number)?;
        let rows = usize::try_from(cluster.rows).ok()?;
        let parts = self.index.shape.parts(rows);
        let identity = &self.header.identity;
        let (front, back) = bytes.split_at_checked(parts.front)?;
        let (sums, front) = front.split_at_checked(8)?;
        let mut sums = Cursor(sums);
        let (front_sum, back_sum) = (sums.u32().ok()?, sums.u32().ok()?);
        let back_fits = back.is_empty()
            || (bytes.len() == parts.end
                && checksum(identity, Part::ListBack, number, back) == back_sum);
        if checksum(identity, Part::ListFront, number, front) != front_sum || !back_fits {
            return None;
        }
        let mut cursor = Cursor(front);
        if cursor.u32().ok()? != number || cursor.u32().ok()? != cluster.rows {
            return None;
        }
        let summary = Summary {
            coarse_spread: cursor.finite().ok()?,
            fine_spread: cursor.finite().ok()?,
            mean_squared: cursor.finite().ok()?,
            mean_correction: cursor.finite().ok()?,
        };
        cursor.take(list::HEADER_BYTES.saturating_sub(32)).ok()?;
        let mut last = None;
        for _ in 0..rows {
            let row = cursor.u32().ok()?;
            // Ascending, and rows that exist: what comes later relies on it.
            if last.is_some_and(|last| row <= last) || row as usize >= self.header.rows {
                return None;
            }
            last = Some(row);
        }
        Some(List::from_checked(AlignedBytes::copy_of(bytes), rows, self.index.shape, summary))
    }
}

fn floats(mut cursor: Cursor<'_>) -> Result<Vec<f32>, VectorError> {
    let mut floats = Vec::with_capacity(cursor.0.len().div_ceil(4));
    while !cursor.0.is_empty() {
        floats.push(cursor.finite()?);
    }
    Ok(floats)
}

/// Decodes the head; its checksum fits.
fn decode_head(header: &Header, head: &[u8], kernels: Kernels) -> Result<Index, VectorError> {
    let mut cursor = Cursor(head);
    let mut points = Vec::with_capacity(header.points);
    for _ in 0..header.points {
        let (reach, recall, clusters) = (cursor.finite()?, cursor.finite()?, cursor.finite()?);
        points.push(Point { reach, recall, clusters });
    }
    let mut clusters = Vec::with_capacity(header.clusters);
    let mut scales = Vec::with_capacity(header.clusters);
    for _ in 0..header.clusters {
        let rows = cursor.u32()?;
        let (mean_squared, mean_correction) = (cursor.finite()?, cursor.finite()?);
        clusters.push(Cluster { rows, mean_squared, mean_correction });
        scales.push((cursor.finite()?, cursor.finite()?));
    }
    let shape = header.shape();
    let codes = header.clusters.next_multiple_of(GROUP).checked_mul(shape.dims);
    if codes != Some(cursor.0.len()) {
        return Err(damaged("the head has another length than its parts"));
    }
    Ok(Index {
        kernels,
        metric: header.metric,
        shape,
        rows: header.rows,
        seed: header.seed,
        rotation: Rotation::new(header.dims, header.seed),
        centroids: Centroids::from_parts(shape.dims, cursor.0, scales, clusters),
        calibration: Calibration { points },
        uncalibrated: header.uncalibrated,
    })
}
