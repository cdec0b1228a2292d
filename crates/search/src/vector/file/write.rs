//! Writes an index and its raw vectors, from front to back.

use std::io::{self, Write};
use std::sync::Arc;

use super::layout::{Header, Layout, MAP_ROWS};
use super::{Part, checksum};
use crate::vector::error::VectorError;
use crate::vector::list::{HEADER_BYTES, List, Shape};
use crate::vector::source::{Rows, row_map};
use crate::vector::{Index, VectorIndex};

/// What was written, which whoever opens the file has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the file.
    pub len: u64,
    /// Bytes at its front that opening it reads.
    pub head_bytes: u64,
}

fn failed(error: io::Error) -> VectorError {
    VectorError::Write(Arc::new(error))
}

/// Writes `index` with its raw rows.
pub(crate) fn write(
    built: &VectorIndex,
    rows: Rows<'_>,
    identity: &[u8; 16],
    out: &mut dyn Write,
) -> Result<Written, VectorError> {
    let index = &built.index;
    let mut header = Header {
        identity: *identity,
        dims: index.rotation.dims(),
        rows: index.rows,
        clusters: index.centroids.len(),
        points: index.calibration.points.len(),
        metric: index.metric,
        element: rows.element(),
        extra_bits: index.shape.extra_bits,
        seed: index.seed,
        len: 0,
        uncalibrated: index.uncalibrated,
    };
    let layout = Layout::new(&header);
    header.len =
        layout.lists + built.lists.iter().map(|list| list.bytes().len() as u64).sum::<u64>();
    let mut out = Sealed { identity, out };
    out.plain(&header.encode())?;
    out.part(Part::Head, 0, &head(index))?;
    for (number, centroid) in (0..).zip(built.centroids.chunks_exact(index.shape.dims)) {
        let bytes: Vec<u8> = centroid.iter().flat_map(|x| x.to_le_bytes()).collect();
        out.part(Part::Centroid, number, &bytes)?;
    }
    for (number, part) in (0..).zip(row_map(index.rows, &built.lists).chunks(MAP_ROWS)) {
        let bytes: Vec<u8> = part.iter().flat_map(|cluster| cluster.to_le_bytes()).collect();
        out.part(Part::RowMap, number, &bytes)?;
    }
    for (number, row) in (0..).zip(0..rows.len()) {
        out.part(Part::Row, number, rows.row(row))?;
    }
    for (number, list) in (0..).zip(&built.lists) {
        out.plain(&list_header(identity, number, list, index.shape))?;
        out.plain(&list.bytes()[HEADER_BYTES..])?;
    }
    Ok(Written { len: header.len, head_bytes: layout.centroids })
}

/// Writes parts with their checksums.
struct Sealed<'a> {
    identity: &'a [u8; 16],
    out: &'a mut dyn Write,
}

impl Sealed<'_> {
    fn plain(&mut self, bytes: &[u8]) -> Result<(), VectorError> {
        self.out.write_all(bytes).map_err(failed)
    }

    fn part(&mut self, part: Part, number: u32, bytes: &[u8]) -> Result<(), VectorError> {
        self.plain(bytes)?;
        self.plain(&checksum(self.identity, part, number, bytes).to_le_bytes())
    }
}

/// The head: calibration, clusters, codes of the centroids.
fn head(index: &Index) -> Vec<u8> {
    let mut bytes = Vec::new();
    for point in &index.calibration.points {
        for x in [point.reach, point.recall, point.clusters] {
            bytes.extend_from_slice(&x.to_le_bytes());
        }
    }
    for (cluster, (norm, step)) in index.centroids.clusters().iter().zip(index.centroids.scales()) {
        bytes.extend_from_slice(&cluster.rows.to_le_bytes());
        for x in [cluster.mean_squared, cluster.mean_correction, *norm, *step] {
            bytes.extend_from_slice(&x.to_le_bytes());
        }
    }
    bytes.extend_from_slice(index.centroids.codes());
    bytes
}

fn list_header(identity: &[u8; 16], number: u32, list: &List, shape: Shape) -> Vec<u8> {
    let front_end = shape.parts(list.rows()).front;
    let summary = list.summary();
    let rows = u32::try_from(list.rows()).expect("rows are numbered in 32 bits");
    let mut rest = Vec::with_capacity(HEADER_BYTES);
    rest.extend_from_slice(&number.to_le_bytes());
    rest.extend_from_slice(&rows.to_le_bytes());
    for x in
        [summary.coarse_spread, summary.fine_spread, summary.mean_squared, summary.mean_correction]
    {
        rest.extend_from_slice(&x.to_le_bytes());
    }
    rest.resize(HEADER_BYTES - 8, 0);
    let (front, back) = list.bytes().split_at(front_end);
    // The checksum of the front covers the header behind it too.
    let front = [&rest[..], &front[HEADER_BYTES..]].concat();
    let front = checksum(identity, Part::ListFront, number, &front);
    let back = checksum(identity, Part::ListBack, number, back);
    [&front.to_le_bytes()[..], &back.to_le_bytes(), &rest].concat()
}
