//! The header, and where it says that everything is.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::ops::Range;

use super::{Part, checksum};
use crate::vector::code::EXTRA_BITS_MAX;
use crate::vector::error::VectorError;
use crate::vector::kernel::{Element, GROUP};
use crate::vector::list::Shape;
use crate::vector::metric::Metric;
use crate::vector::rotation::padded;

/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 128;
/// What a file begins with.
const MAGIC: &[u8; 8] = b"DOCDBVEC";
const VERSION: u32 = 2;
/// Points of a calibration, at most.
pub(super) const POINTS_MAX: usize = 64;
/// Bytes of a point, and of what the head has of a cluster beside its codes.
pub(super) const POINT_BYTES: usize = 12;
pub(super) const CLUSTER_BYTES: usize = 20;
/// Rows in a part of the row map.
pub(super) const MAP_ROWS: usize = 4096;
/// Bytes of a checksum.
pub(super) const SUM_BYTES: usize = 4;

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) identity: [u8; 16],
    pub(super) dims: usize,
    pub(super) rows: usize,
    pub(super) clusters: usize,
    pub(super) points: usize,
    pub(super) metric: Metric,
    pub(super) element: Element,
    pub(super) extra_bits: u8,
    pub(super) seed: u64,
    /// Bytes of the whole file.
    pub(super) len: u64,
    /// Rows that came or went since the recall was measured.
    pub(super) uncalibrated: u32,
}

fn damaged(what: &'static str) -> VectorError {
    VectorError::Damaged { what }
}

/// Takes what stands at the front of bytes.
#[derive(Debug)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], VectorError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(damaged("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], VectorError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(damaged("it ends too early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u32(&mut self) -> Result<u32, VectorError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, VectorError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn size(&mut self) -> Result<usize, VectorError> {
        usize::try_from(self.u32()?).map_err(|_| damaged("a number is too great"))
    }

    /// A float that is a number.
    pub(super) fn finite(&mut self) -> Result<f32, VectorError> {
        let x = f32::from_le_bytes(self.array()?);
        if x.is_finite() { Ok(x) } else { Err(damaged("a float is no number")) }
    }
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let number = |size: usize| u32::try_from(size).expect("checked when built").to_le_bytes();
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&number(self.dims));
        bytes.extend_from_slice(&self.identity);
        bytes.extend_from_slice(&number(self.rows));
        bytes.extend_from_slice(&number(self.clusters));
        bytes.extend_from_slice(&number(self.points));
        let metric = match self.metric {
            Metric::Cosine => 0,
            Metric::EuclideanSquared => 1,
            Metric::Dot => 2,
        };
        let element = match self.element {
            Element::F32 => 0,
            Element::F16 => 1,
            Element::I8 => 2,
        };
        bytes.extend_from_slice(&[metric, element, self.extra_bits, 0]);
        bytes.extend_from_slice(&self.seed.to_le_bytes());
        bytes.extend_from_slice(&self.len.to_le_bytes());
        bytes.extend_from_slice(&self.uncalibrated.to_le_bytes());
        bytes.resize(HEADER_BYTES.saturating_sub(SUM_BYTES), 0);
        let sum = checksum(&self.identity, Part::Header, 0, &bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Decodes the header of the file of this identity and length.
    pub(super) fn decode(
        bytes: &[u8],
        identity: &[u8; 16],
        file_len: u64,
    ) -> Result<Self, VectorError> {
        let (summed, sum) = bytes.split_last_chunk::<SUM_BYTES>().ok_or(damaged("no header"))?;
        if bytes.len() != HEADER_BYTES
            || u32::from_le_bytes(*sum) != checksum(identity, Part::Header, 0, summed)
        {
            return Err(damaged("the header's checksum does not fit"));
        }
        let mut cursor = Cursor(summed);
        if cursor.take(8)? != MAGIC || cursor.u32()? != VERSION {
            return Err(damaged("it is of another kind or version"));
        }
        let dims = cursor.size()?;
        if cursor.array()? != *identity {
            return Err(damaged("it is another file"));
        }
        let (rows, clusters, points) = (cursor.size()?, cursor.size()?, cursor.size()?);
        let [metric, element, extra_bits, zero] = cursor.array()?;
        let metric = match metric {
            0 => Metric::Cosine,
            1 => Metric::EuclideanSquared,
            2 => Metric::Dot,
            _ => return Err(damaged("an unknown metric")),
        };
        let element = match element {
            0 => Element::F32,
            1 => Element::F16,
            2 => Element::I8,
            _ => return Err(damaged("an unknown element")),
        };
        let (seed, len, uncalibrated) = (cursor.u64()?, cursor.u64()?, cursor.u32()?);
        let fits = crate::vector::check_dims(dims).is_ok()
            && (1..=rows.max(1)).contains(&clusters)
            && points <= POINTS_MAX
            && extra_bits <= EXTRA_BITS_MAX
            && zero == 0
            && len == file_len
            && cursor.0.iter().all(|byte| *byte == 0);
        if !fits {
            return Err(damaged("the header contradicts itself"));
        }
        Ok(Self {
            identity: *identity,
            dims,
            rows,
            clusters,
            points,
            metric,
            element,
            extra_bits,
            seed,
            len,
            uncalibrated,
        })
    }

    /// What the lists have in common.
    pub(super) fn shape(&self) -> Shape {
        Shape { dims: padded(self.dims), extra_bits: self.extra_bits }
    }

    /// Bytes of a raw row.
    pub(super) fn row_bytes(&self) -> u64 {
        // At most 10,752 elements of four bytes.
        (self.dims as u64).saturating_mul(self.element.bytes() as u64)
    }
}

/// Where the parts of a file begin. Saturating: what would not fit is longer than any file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) centroids: u64,
    pub(super) map: u64,
    pub(super) rows: u64,
    pub(super) lists: u64,
    header: Header,
}

impl Layout {
    /// Where the parts are; only the lists need to be told their lengths.
    pub(super) fn new(header: &Header) -> Self {
        let dims = header.shape().dims as u64;
        let clusters = header.clusters as u64;
        let padded = clusters.div_ceil(GROUP as u64).saturating_mul(GROUP as u64);
        let head = (header.points as u64)
            .saturating_mul(POINT_BYTES as u64)
            .saturating_add(clusters.saturating_mul(CLUSTER_BYTES as u64))
            .saturating_add(padded.saturating_mul(dims))
            .saturating_add(SUM_BYTES as u64);
        let centroids = (HEADER_BYTES as u64).saturating_add(head);
        let centroid = dims.saturating_mul(4).saturating_add(SUM_BYTES as u64);
        let map = centroids.saturating_add(clusters.saturating_mul(centroid));
        let maps = (header.rows as u64).div_ceil(MAP_ROWS as u64);
        let map_bytes = (header.rows as u64)
            .saturating_mul(4)
            .saturating_add(maps.saturating_mul(SUM_BYTES as u64));
        let rows = map.saturating_add(map_bytes);
        let row = header.row_bytes().saturating_add(SUM_BYTES as u64);
        let lists = rows.saturating_add((header.rows as u64).saturating_mul(row));
        Self { centroids, map, rows, lists, header: *header }
    }

    /// The head, behind the header.
    pub(super) fn head(&self) -> Range<u64> {
        HEADER_BYTES as u64..self.centroids
    }

    /// A raw row with its checksum.
    pub(super) fn row(&self, row: u32) -> Range<u64> {
        let bytes = self.header.row_bytes().saturating_add(SUM_BYTES as u64);
        let from = self.rows.saturating_add(u64::from(row).saturating_mul(bytes));
        from..from.saturating_add(bytes)
    }

    /// Where each list begins, and the end of the file behind the last, which is checked.
    pub(super) fn list_offsets(
        &self,
        rows: impl Iterator<Item = u32>,
    ) -> Result<Vec<u64>, VectorError> {
        let shape = self.header.shape();
        let mut offsets = vec![self.lists];
        let mut at = self.lists;
        let mut sum = 0_u64;
        for rows in rows {
            sum = sum.saturating_add(u64::from(rows));
            if sum > self.header.rows as u64 {
                return Err(damaged("clusters have more rows than there are"));
            }
            // No overflow: rows are fewer than 2^32, and a row takes less than 2^14 bytes.
            let len = shape.parts(usize::try_from(rows).map_err(|_| damaged("too many rows"))?).end;
            at = at.saturating_add(len as u64);
            offsets.push(at);
        }
        if sum != self.header.rows as u64 || at != self.header.len {
            return Err(damaged("its parts do not add up to its length"));
        }
        Ok(offsets)
    }
}
