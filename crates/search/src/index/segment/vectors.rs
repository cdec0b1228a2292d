//! The vectors of one field in a segment: a file that numbers the rows which have one.

use roaring::RoaringBitmap;

use crate::index::error::{IndexError, Result};
use crate::index::files::Reader;
use crate::schema::{FieldNo, VectorField};
use crate::vector::{
    Effort, Kernels, Request, RowSet, VectorError, VectorFile, VectorIndex, Work, Written,
};

/// Raw vectors that are read in one round trip.
const RAW_AT_ONCE: usize = 1024;

/// The vectors of a field.
#[derive(Debug)]
pub(in crate::index) struct VectorRows {
    number: FieldNo,
    file: VectorFile<Reader>,
    /// Which rows have one; the file numbers them in this order.
    rows: RoaringBitmap,
    /// Whether every row has one, so that both numbers are the same.
    is_every: bool,
}

impl VectorRows {
    /// Opens the file: the rows that have a vector, and whether these are all rows of the segment.
    pub(in crate::index) fn open(
        reader: Reader,
        identity: &[u8; 16],
        number: FieldNo,
        written: Written,
        (rows, is_every): (RoaringBitmap, bool),
    ) -> Result<Self> {
        let file = VectorFile::open(reader, identity, written, Kernels::best())?;
        if file.len() as u64 != rows.len() {
            let what = "there are more or fewer vectors than rows that have one";
            return Err(IndexError::Damaged { what: what.into() });
        }
        Ok(Self { number, file, rows, is_every })
    }

    /// The field.
    pub(in crate::index) fn number(&self) -> FieldNo {
        self.number
    }

    /// Whether the file is one of this field.
    pub(in crate::index) fn is_of(&self, field: &VectorField) -> bool {
        self.file.metric() == field.metric
    }

    /// Which rows have a vector.
    pub(in crate::index) fn rows(&self) -> &RoaringBitmap {
        &self.rows
    }

    /// About the nearest `k` of some rows, in no order; and what was done to find them.
    ///
    /// # Errors
    /// When the file cannot be read or the vector does not fit.
    pub(in crate::index) fn nearest(
        &self,
        vector: &[f32],
        (k, recall): (usize, f32),
        rows: Option<&RoaringBitmap>,
    ) -> Result<(RoaringBitmap, Work)> {
        let filter = rows.map(|rows| RowSet::new(self.numbers(rows)));
        let request = Request { k, effort: Effort::Recall(recall), filter: filter.as_ref() };
        let mut space = self.file.space();
        let hits = self.file.search(vector, &request, &mut space)?;
        let rows = hits.iter().filter_map(|hit| self.row_of(hit.row)).collect();
        Ok((rows, space.work()))
    }

    /// Hands the raw vectors of these rows to `visit`, in their order; rows without one are passed over.
    ///
    /// # Errors
    /// When the file cannot be read, and what `visit` says.
    pub(in crate::index) fn raw(
        &self,
        rows: &RoaringBitmap,
        visit: &mut dyn FnMut(u32, Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let rows: Vec<u32> = (rows & &self.rows).into_iter().collect();
        for rows in rows.chunks(RAW_AT_ONCE) {
            let numbers: Vec<u32> = rows.iter().map(|row| self.number_of(*row)).collect();
            for (row, bytes) in rows.iter().zip(self.file.raw(&numbers)?) {
                visit(*row, bytes)?;
            }
        }
        Ok(())
    }

    /// The index of the file, without the raw vectors; none when it is damaged.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn index(&self) -> Result<Option<VectorIndex>> {
        match self.file.load_index() {
            Ok(index) => Ok(Some(index)),
            Err(VectorError::Damaged { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads all of the file and compares it with its checksums.
    pub(super) fn verify(&self) -> Result<()> {
        Ok(self.file.verify()?)
    }

    /// The numbers that the file has for those of some rows that have a vector.
    fn numbers(&self, rows: &RoaringBitmap) -> Vec<u32> {
        if self.is_every {
            return rows.iter().collect();
        }
        (rows & &self.rows).into_iter().map(|row| self.number_of(row)).collect()
    }

    fn number_of(&self, row: u32) -> u32 {
        if self.is_every {
            return row;
        }
        u32::try_from(self.rows.rank(row).saturating_sub(1)).unwrap_or(u32::MAX)
    }

    fn row_of(&self, number: u32) -> Option<u32> {
        if self.is_every { Some(number) } else { self.rows.select(number) }
    }
}
