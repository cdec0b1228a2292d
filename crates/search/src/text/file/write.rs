//! Writes a file of the rows of other parts: a memory that is flushed, or segments that become one.
//!
//! Nothing is made of texts again: terms, frequencies and positions are taken as they are, rows get their new
//! numbers, and those that are dropped leave nothing behind, neither in lists nor in lengths.

use std::sync::Arc;

use tantivy::index::InvertedIndexReader;
use tantivy::postings::FieldSerializer;

use super::layout::{FieldHead, Stream, encode_front};
use super::read::FileTerms;
use super::{Written, bundle, pages};
use crate::schema::FieldNo;
use crate::text::ROWS_MAX;
use crate::text::error::TextError;
use crate::text::memory::MemoryTerms;
use crate::text::part::Part;

/// The new number of a row that is left out.
pub const DROPPED: u32 = u32::MAX;

/// Rows that go into a file.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Where they are.
    pub part: Part<'a>,
    /// For each of its rows the number in the file, or [`DROPPED`].
    pub to: &'a [u32],
}

/// Writes a file of `rows` rows from parts: bytes, and what opening them needs. Rows that no part gives have
/// no text. Memory: the parts' postings of one attribute, and the file.
///
/// # Errors
/// [`TextError::Read`] and [`TextError::Damaged`] of a part, [`TextError::TooManyRows`], and [`TextError::Write`].
///
/// # Panics
/// When `to` has another length than its part, or a row gets a number that is not below `rows` or that another
/// row has.
pub fn merge(
    identity: &[u8; 16],
    inputs: &[Input<'_>],
    rows: u32,
) -> Result<(Vec<u8>, Written), TextError> {
    if rows > ROWS_MAX {
        return Err(TextError::TooManyRows { rows: u64::from(rows) });
    }
    check(inputs, rows);
    let mut numbers: Vec<FieldNo> = inputs.iter().flat_map(|input| fields(input.part)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let (mut heads, mut payload) = (Vec::new(), Vec::new());
    for number in numbers {
        let mut counts = counts(number, inputs, rows);
        if counts.iter().all(|count| *count == 0) {
            continue;
        }
        let files = field(number, inputs, &counts)?;
        while counts.pop_if(|count| *count == 0).is_some() {}
        let postings = Stream::of_postings(payload.len() as u64, &files.postings);
        payload.extend_from_slice(&files.postings);
        let positions = Stream::of_positions(payload.len() as u64, &files.positions);
        payload.extend_from_slice(&files.positions);
        heads.push(FieldHead { number, counts, terms: files.terms, postings, positions });
    }
    let mut out = encode_front(identity, rows, &heads, payload.len() as u64);
    let head_bytes = out.len() as u64;
    pages::write(identity, &payload, &mut out);
    let written = Written { len: out.len() as u64, head_bytes };
    Ok((out, written))
}

fn check(inputs: &[Input<'_>], rows: u32) {
    let mut taken = vec![false; rows as usize];
    for input in inputs {
        assert_eq!(input.to.len(), input.part.rows() as usize, "a number for every row of a part");
        for to in input.to.iter().filter(|to| **to != DROPPED) {
            let taken = taken.get_mut(*to as usize).expect("a number below that of rows");
            assert!(!std::mem::replace(taken, true), "one number for one row");
        }
    }
}

fn fields(part: Part<'_>) -> Vec<FieldNo> {
    match part {
        Part::Memory(snapshot) => snapshot.fields(),
        Part::File(reader) => reader.fields(),
    }
}

/// Tokens of each new row.
fn counts(number: FieldNo, inputs: &[Input<'_>], rows: u32) -> Vec<u32> {
    let mut all = vec![0; rows as usize];
    for input in inputs {
        let counts = match input.part {
            Part::Memory(snapshot) => snapshot.counts(number),
            Part::File(reader) => reader.counts(number),
        };
        for (count, to) in counts.into_iter().zip(input.to) {
            if let Some(place) = all.get_mut(*to as usize) {
                *place = count;
            }
        }
    }
    all
}

/// The terms of an input, and whether one is at hand.
struct Source<'a> {
    terms: Terms<'a>,
    to: &'a [u32],
    is_at_term: bool,
}

enum Terms<'a> {
    Memory(MemoryTerms),
    File(FileTerms<'a>),
}

impl Source<'_> {
    fn advance(&mut self) {
        self.is_at_term = match &mut self.terms {
            Terms::Memory(terms) => terms.advance(),
            Terms::File(terms) => terms.advance(),
        };
    }

    fn term(&self) -> Option<&[u8]> {
        self.is_at_term.then(|| match &self.terms {
            Terms::Memory(terms) => terms.term(),
            Terms::File(terms) => terms.term(),
        })
    }

    fn each(&self, visit: &mut dyn FnMut(u32, &[u32])) -> Result<(), TextError> {
        let mut visit = |row: u32, positions: &[u32]| {
            let to = self.to.get(row as usize).copied().unwrap_or(DROPPED);
            if to != DROPPED {
                visit(to, positions);
            }
        };
        match &self.terms {
            Terms::Memory(terms) => {
                terms.each(&mut visit);
                Ok(())
            }
            Terms::File(terms) => terms.each(&mut visit),
        }
    }
}

fn field(
    number: FieldNo,
    inputs: &[Input<'_>],
    counts: &[u32],
) -> Result<bundle::Files, TextError> {
    let mut wholes: Vec<Option<Arc<InvertedIndexReader>>> = Vec::with_capacity(inputs.len());
    for input in inputs {
        wholes.push(match input.part {
            Part::Memory(_) => None,
            Part::File(reader) => reader.whole(number)?,
        });
    }
    let mut sources = Vec::with_capacity(inputs.len());
    for (input, whole) in inputs.iter().zip(&wholes) {
        let terms = match (input.part, whole) {
            (Part::Memory(snapshot), _) => Terms::Memory(snapshot.terms(number)),
            (Part::File(_), Some(whole)) => Terms::File(FileTerms::new(whole)?),
            (Part::File(_), None) => continue,
        };
        let mut source = Source { terms, to: input.to, is_at_term: false };
        source.advance();
        sources.push(source);
    }
    bundle::write(counts, |out| merge_terms(&mut sources, out))
}

/// The rows of one term.
#[derive(Default)]
struct Gathered {
    /// Each with where its positions begin and how many there are.
    rows: Vec<(u32, usize, usize)>,
    positions: Vec<u32>,
}

fn merge_terms(sources: &mut [Source<'_>], out: &mut FieldSerializer<'_>) -> Result<(), TextError> {
    let (mut term, mut gathered) = (Vec::new(), Gathered::default());
    while let Some(first) = sources.iter().filter_map(Source::term).min() {
        term.clear();
        term.extend_from_slice(first);
        gathered.rows.clear();
        gathered.positions.clear();
        for source in sources.iter_mut().filter(|source| source.term() == Some(&*term)) {
            source.each(&mut |row, positions| {
                gathered.rows.push((row, gathered.positions.len(), positions.len()));
                gathered.positions.extend_from_slice(positions);
            })?;
            source.advance();
        }
        write_term(&term, &mut gathered, out)?;
    }
    Ok(())
}

fn write_term(
    term: &[u8],
    gathered: &mut Gathered,
    out: &mut FieldSerializer<'_>,
) -> Result<(), TextError> {
    if gathered.rows.is_empty() {
        return Ok(());
    }
    gathered.rows.sort_unstable();
    let df = u32::try_from(gathered.rows.len()).unwrap_or(u32::MAX);
    out.new_term(term, df, true).map_err(TextError::write)?;
    for (row, from, len) in &gathered.rows {
        let positions = gathered.positions.get_mut(*from..from + len).unwrap_or_default();
        let mut last = 0;
        for position in positions.iter_mut() {
            let distance = *position - last;
            last = std::mem::replace(position, distance);
        }
        out.write_doc(*row, u32::try_from(*len).unwrap_or(u32::MAX), positions);
    }
    out.close_term().map_err(TextError::write)
}
