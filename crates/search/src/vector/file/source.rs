//! A file as the source of a search.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::ops::Range;

use super::Part;
use super::layout::{Cursor, MAP_ROWS, SUM_BYTES};
use super::read::{VectorFile, damaged, read, sealed};
use crate::storage::ReadRanges;
use crate::vector::error::VectorError;
use crate::vector::source::{Found, Rows, Source};

/// Searches read what they need from a file.
#[derive(Debug)]
pub(super) struct FileSource<'a, R> {
    pub(super) file: &'a VectorFile<R>,
}

impl<R: ReadRanges> Source for FileSource<'_, R> {
    fn is_far(&self) -> bool {
        true
    }

    fn row_map(&self) -> Result<Option<&[u32]>, VectorError> {
        if let Some(map) = self.file.map.get() {
            return Ok(map.as_deref());
        }
        let map = match self.read_map() {
            Ok(map) => Some(map),
            // A search finds what it is to find without it.
            Err(VectorError::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(self.file.map.get_or_init(|| map).as_deref())
    }

    fn lists(
        &self,
        clusters: &[u32],
        visit: &mut dyn FnMut(usize, Found<'_>) -> bool,
    ) -> Result<(), VectorError> {
        let file = self.file;
        let fronts: Vec<Range<u64>> = clusters.iter().map(|cluster| self.front(*cluster)).collect();
        let parts = read(&file.reader, &fronts)?;
        for (index, (&cluster, bytes)) in clusters.iter().zip(parts).enumerate() {
            let goes_on = match file.list(cluster, &bytes) {
                Some(list) => visit(index, Found::List(&list)),
                None => {
                    let numbers = self.rows_of(cluster)?;
                    let bytes = self.raw(&numbers)?.concat();
                    let rows = Rows::new(file.header.element, file.header.dims, &bytes)?;
                    visit(index, Found::Raw { numbers: &numbers, rows })
                }
            };
            if !goes_on {
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
        for (index, row) in self.raw(rows)?.iter().enumerate() {
            if !visit(index, row) {
                break;
            }
        }
        Ok(())
    }
}

impl<R: ReadRanges> VectorFile<R> {
    /// The raw vectors of these rows, in their order, as the file keeps them. One round trip.
    ///
    /// # Errors
    /// [`VectorError::Damaged`] when one is, or when there is no such row; [`VectorError::Read`].
    pub fn raw(&self, rows: &[u32]) -> Result<Vec<Vec<u8>>, VectorError> {
        FileSource { file: self }.raw(rows)
    }
}

impl<R: ReadRanges> FileSource<'_, R> {
    /// Where the front of a list is.
    fn front(&self, cluster: u32) -> Range<u64> {
        let at = cluster as usize;
        let from = self.file.offsets.get(at).copied().unwrap_or(0);
        let rows =
            self.file.index.centroids.get(cluster).map_or(0, |cluster| cluster.rows as usize);
        from..from.saturating_add(self.file.index.shape.parts(rows).front as u64)
    }

    /// Raw rows, checked.
    fn raw(&self, rows: &[u32]) -> Result<Vec<Vec<u8>>, VectorError> {
        let file = self.file;
        let ranges: Vec<Range<u64>> = rows.iter().map(|row| file.layout.row(*row)).collect();
        let mut parts = read(&file.reader, &ranges)?;
        for (&row, bytes) in rows.iter().zip(&mut parts) {
            if sealed(&file.header.identity, Part::Row, row, bytes).is_none() {
                return Err(damaged("the checksum of a raw row does not fit"));
            }
            bytes.truncate(bytes.len().saturating_sub(SUM_BYTES));
        }
        Ok(parts)
    }

    /// The rows of a cluster by the row map, for when the list cannot say.
    fn rows_of(&self, cluster: u32) -> Result<Vec<u32>, VectorError> {
        let map = self.row_map()?.ok_or(damaged("the checksum of the row map does not fit"))?;
        let rows = (0_u32..).zip(map).filter(|(_, of_row)| **of_row == cluster);
        Ok(rows.map(|(row, _)| row).collect())
    }

    /// Reads the row map in one round trip, and checks it.
    fn read_map(&self) -> Result<Vec<u32>, VectorError> {
        let file = self.file;
        let bytes = read(&file.reader, std::slice::from_ref(&(file.layout.map..file.layout.rows)))?;
        let mut map = Vec::with_capacity(file.header.rows);
        let part_bytes = MAP_ROWS.saturating_mul(4).saturating_add(SUM_BYTES);
        for (number, part) in (0..).zip(bytes.concat().chunks(part_bytes)) {
            let part = sealed(&file.header.identity, Part::RowMap, number, part)
                .ok_or(damaged("the checksum of the row map does not fit"))?;
            let mut cursor = Cursor(part);
            while !cursor.0.is_empty() {
                map.push(cursor.u32()?);
            }
        }
        Ok(map)
    }
}
