//! Makes the files of a segment from other segments: their rows one after the other, without those that are dead.
//!
//! Attributes are merged block by block, and postings of words list by list. The open copy is read and written again,
//! a batch of rows at a time. Vectors are gathered; of the index of the input that has most of them, centroids and
//! codes are kept (see [`VectorIndex::merge`](crate::vector::VectorIndex::merge)).

use std::sync::Arc;

use base::words::Lsn;
use roaring::RoaringBitmap;

use super::write::{Build, NewFile, RawVectors, documents, finish, text, vector_fields, vectors};
use super::{ATTRIBUTES_FILE, Segment};
use crate::attributes::{Input as AttributesInput, merge as merge_attributes};
use crate::documents::StoredRow;
use crate::index::error::Result;
use crate::index::files::NewSegment;
use crate::index::rows::RowTable;
use crate::schema::{FieldNo, Row};
use crate::text::{DROPPED, Input as TextInput, Part as TextPart};
use crate::vector::{GONE, Kept, VectorIndex};

/// The files of a segment with these rows of others, whose positions are behind each other.
///
/// # Errors
/// When an input is damaged or cannot be read.
pub(in crate::index) fn merge(
    build: &Build<'_>,
    inputs: &[(Arc<Segment>, RoaringBitmap)],
) -> Result<NewSegment> {
    let mut files = Vec::new();
    let mut sets = Vec::new();
    for (number, field) in vector_fields(build.schema) {
        let raw = gather(number, inputs)?;
        let largest = largest(number, inputs)?;
        let kept = largest.as_ref().map(|(index, numbers)| Kept { index, numbers });
        files.extend(vectors(build, (number, field), &raw, kept)?);
        if !raw.rows.is_empty() {
            sets.push((number, raw.rows));
        }
    }
    let attributes: Vec<AttributesInput<'_>> = inputs
        .iter()
        .map(|(segment, live)| AttributesInput { reader: &segment.attributes, live })
        .collect();
    let mut bytes = Vec::new();
    let written = merge_attributes(build.schema, &attributes, build.identity, &mut bytes)?;
    files.push(NewFile::new(ATTRIBUTES_FILE, bytes, written.tail_bytes));
    files.push(merged_text(build, inputs)?);
    files.push(documents(build, |add| {
        inputs.iter().try_for_each(|(segment, live)| copy(segment, live, add))
    })?);
    let rows = inputs.iter().flat_map(|(segment, live)| segment.rows.rows(live));
    Ok(finish(build, &RowTable::new(rows, sets), files))
}

/// The words of all inputs: nothing is made of texts again.
fn merged_text(build: &Build<'_>, inputs: &[(Arc<Segment>, RoaringBitmap)]) -> Result<NewFile> {
    let mut next = 0;
    let mut numbered = Vec::with_capacity(inputs.len());
    for (segment, live) in inputs {
        let numbers: Vec<u32> = (0..segment.len())
            .map(|row| {
                let number = if live.contains(row) { next } else { DROPPED };
                next += u32::from(number != DROPPED);
                number
            })
            .collect();
        numbered.push((segment.text(), numbers));
    }
    let inputs: Vec<TextInput<'_>> =
        numbered.iter().map(|(text, to)| TextInput { part: TextPart::File(text), to }).collect();
    text(build, &inputs, next)
}

/// Hands over the rows of an input that stay, with all of their values.
fn copy(
    segment: &Segment,
    live: &RoaringBitmap,
    add: &mut dyn FnMut(Row, Lsn) -> Result<()>,
) -> Result<()> {
    let documents = segment.documents()?;
    for (number, found) in (0..).zip(documents.rows()?) {
        let StoredRow { lsn, row } = found?;
        if live.contains(number) {
            add(row, lsn)?;
        }
    }
    Ok(())
}

/// The index of the input that most of the vectors of a field come from, and what the merged one calls each of its
/// rows; none when no input has a vector that stays, and when the index is damaged: then another is built of the vectors,
/// which are read apart from it.
fn largest(
    number: FieldNo,
    inputs: &[(Arc<Segment>, RoaringBitmap)],
) -> Result<Option<(VectorIndex, Vec<u32>)>> {
    let (mut first, mut found) = (0, None);
    for (segment, live) in inputs {
        let Some(vectors) = segment.vectors(number) else { continue };
        let stay = vectors.rows().intersection_len(live);
        if stay > found.map_or(0, |(_, most, _, _)| most) {
            found = Some((first, stay, vectors, live));
        }
        first += u32::try_from(stay).unwrap_or(u32::MAX);
    }
    let Some((first, _, vectors, live)) = found else { return Ok(None) };
    let Some(index) = vectors.index()? else { return Ok(None) };
    let mut next = first;
    let numbers = vectors.rows().iter().map(|row| {
        let number = if live.contains(row) { next } else { GONE };
        next += u32::from(number != GONE);
        number
    });
    Ok(Some((index, numbers.collect())))
}

/// The vectors of a field in all inputs.
fn gather(number: FieldNo, inputs: &[(Arc<Segment>, RoaringBitmap)]) -> Result<RawVectors> {
    let mut raw = RawVectors::default();
    let mut first = 0;
    for (segment, live) in inputs {
        if let Some(vectors) = segment.vectors(number) {
            vectors.raw(live, &mut |row, bytes| {
                // Its rank among those that stay is its place behind those of the inputs before.
                let rank = u32::try_from(live.rank(row).saturating_sub(1)).unwrap_or(u32::MAX);
                raw.rows.insert(first + rank);
                raw.bytes.extend_from_slice(&bytes);
                Ok(())
            })?;
        }
        first += u32::try_from(live.len()).unwrap_or(u32::MAX);
    }
    Ok(raw)
}
