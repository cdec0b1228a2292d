//! Which codes values have, and which rows have these.

use std::ops::Bound;

use roaring::RoaringBitmap;

use super::column::{ColumnReader, TRIP_BLOCKS};
use super::dictionary::{Codes, Mark};
use super::error::Result;
use super::key;
use super::postings::{Posting, run_with, visit};
use crate::value::Value;

/// Up to so many values their postings are read, however many rows they have.
const VALUES_BY_POSTINGS: u64 = 64;

/// A place among the values: before those that are like something, or behind them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge<'v> {
    like: Like<'v>,
    is_behind: bool,
}

/// What some values are like.
#[derive(Debug, Clone, Copy)]
enum Like<'v> {
    /// Equal to one.
    Value(&'v Value),
    /// Of one's kind.
    Kind(&'v Value),
    /// Strings that begin with a text.
    Beginning(&'v str),
}

impl<'v> Edge<'v> {
    const fn before(like: Like<'v>) -> Self {
        Self { like, is_behind: false }
    }

    const fn behind(like: Like<'v>) -> Self {
        Self { like, is_behind: true }
    }

    /// Whether a key is before the place.
    fn is_after(&self, key: &[u8]) -> bool {
        let order = match self.like {
            Like::Value(value) => key::compare(key, value),
            Like::Kind(value) => key::compare_kinds(key, value),
            Like::Beginning(text) => key::compare_beginnings(key, text),
        };
        if self.is_behind { order.is_le() } else { order.is_lt() }
    }
}

impl ColumnReader<'_> {
    /// For each of these values the first row that has it, in whatever order they are given.
    pub(super) fn first_rows(&self, values: &[Value]) -> Result<Vec<Option<u32>>> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut found = Vec::new();
        let mut codes = Codes::default();
        for (value, pair) in sorted.iter().zip(self.edges_of(&sorted)?.chunks_exact(2)) {
            if pair[0].code < pair[1].code {
                found.push((value, pair[0].code));
                codes.push(pair[0], pair[1]);
            }
        }
        let mut rows = Vec::with_capacity(found.len());
        if self.entry.is_ordinal {
            rows.extend(found.iter().map(|(_, code)| *code));
        } else {
            self.each_posting(&codes, |_, posting| {
                rows.push(posting.first());
                Ok(())
            })?;
        }
        let row_of = |value: &Value| {
            let at = found.binary_search_by_key(&value, |(value, _)| *value).ok()?;
            rows.get(at).copied()
        };
        Ok(values.iter().map(row_of).collect())
    }

    /// Where edges that ascend are among the values.
    fn marks(&self, edges: &[Edge<'_>]) -> Result<Vec<Mark>> {
        let dictionary = &self.index.dictionary;
        let block_of = |edge: &Edge<'_>| dictionary.block_of(&|key| edge.is_after(key));
        let Some(blocks) = edges.iter().map(block_of).collect::<Option<Vec<usize>>>() else {
            return Ok(vec![Mark::default(); edges.len()]);
        };
        let mut marks = Vec::with_capacity(edges.len());
        while let Some(rest) = blocks.get(marks.len()..).filter(|rest| !rest.is_empty()) {
            let mut trip: Vec<usize> = Vec::new();
            for block in rest {
                if trip.last() != Some(block) {
                    if trip.len() == TRIP_BLOCKS {
                        break;
                    }
                    trip.push(*block);
                }
            }
            let read = self.dictionary_blocks(&trip)?;
            let first = marks.len();
            let of_trip = blocks[first..].iter().zip(&edges[first..]);
            for (block, edge) in of_trip {
                let Some(at) = trip.iter().rposition(|number| number == block) else { break };
                let place = read[at].partition(&|key| edge.is_after(key));
                marks.push(read[at].mark(place));
            }
        }
        Ok(marks)
    }

    /// The codes of the values in a range, which are of the kind of its bounds.
    pub(super) fn codes_within(&self, range: &(Bound<Value>, Bound<Value>)) -> Result<Codes> {
        let any = match range {
            (Bound::Included(value) | Bound::Excluded(value), _)
            | (_, Bound::Included(value) | Bound::Excluded(value)) => value,
            (Bound::Unbounded, Bound::Unbounded) => return Ok(self.all_codes()),
        };
        let lower = match &range.0 {
            Bound::Included(value) => Edge::before(Like::Value(value)),
            Bound::Excluded(value) => Edge::behind(Like::Value(value)),
            Bound::Unbounded => Edge::before(Like::Kind(any)),
        };
        let upper = match &range.1 {
            Bound::Included(value) => Edge::behind(Like::Value(value)),
            Bound::Excluded(value) => Edge::before(Like::Value(value)),
            Bound::Unbounded => Edge::behind(Like::Kind(any)),
        };
        let mut codes = Codes::default();
        if let [from, to] = *self.marks(&[lower, upper])? {
            codes.push(from, to);
        }
        Ok(codes)
    }

    /// The codes of values that ascend; those which are not there are left out.
    pub(super) fn codes_of(&self, values: &[Value]) -> Result<Codes> {
        let mut codes = Codes::default();
        for pair in self.edges_of(values)?.chunks_exact(2) {
            codes.push(pair[0], pair[1]);
        }
        Ok(codes)
    }

    /// For each of values that ascend the places before and behind it.
    pub(super) fn edges_of(&self, values: &[Value]) -> Result<Vec<Mark>> {
        let edges = values.iter().map(Like::Value);
        let edges = edges.flat_map(|like| [Edge::before(like), Edge::behind(like)]);
        self.marks(&edges.collect::<Vec<_>>())
    }

    /// The codes of the strings that pass a test, which only those do that begin with a text.
    pub(super) fn codes_where(
        &self,
        beginning: &str,
        test: &dyn Fn(&str) -> bool,
    ) -> Result<Codes> {
        let mut codes = Codes::default();
        let dictionary = &self.index.dictionary;
        let mut blocks = 0..dictionary.blocks.len();
        if !beginning.is_empty() {
            let like = Like::Beginning(beginning);
            let block_of = |edge: Edge<'_>| dictionary.block_of(&|key| edge.is_after(key));
            let first = block_of(Edge::before(like)).unwrap_or(0);
            let last = block_of(Edge::behind(like)).unwrap_or(0);
            blocks = first..blocks.end.min(last + 1);
        }
        self.scan_blocks(blocks, |block| {
            for at in 0..block.len() {
                if key::text(block.key(at)).is_some_and(test) {
                    codes.push(block.mark(at), block.mark(at + 1));
                }
            }
            Ok(())
        })?;
        Ok(codes)
    }

    /// Every code.
    pub(super) fn all_codes(&self) -> Codes {
        let mut codes = Codes::default();
        let end = Mark { code: self.entry.distinct, pairs: self.entry.pairs };
        codes.push(Mark::default(), end);
        codes
    }

    /// The rows that have one of some values.
    pub(super) fn rows_of(&self, codes: &Codes) -> Result<RoaringBitmap> {
        if self.entry.is_ordinal {
            let mut rows = RoaringBitmap::new();
            for range in &codes.ranges {
                rows.insert_range(range.clone());
            }
            return Ok(rows);
        }
        if codes.len() == u64::from(self.entry.distinct) {
            return Ok(self.present());
        }
        // Of most rows it is less work to find the others.
        if !self.entry.is_array && codes.pairs > u64::from(self.entry.present) / 2 {
            let others = codes.complement(self.entry.distinct, self.entry.pairs);
            return Ok(self.present() - self.rows_of(&others)?);
        }
        // A row takes longer to sort in than to be looked at in passing.
        let is_many = codes.pairs.saturating_mul(4) > u64::from(self.reader.rows());
        if codes.len() > VALUES_BY_POSTINGS && is_many {
            return self.rows_within(codes, None);
        }
        let (mut rows, mut few) = (RoaringBitmap::new(), Vec::new());
        self.each_posting(codes, |_, posting| {
            match posting {
                Posting::Few(rows) => few.extend_from_slice(&rows),
                Posting::Many(many) => rows |= many,
            }
            Ok(())
        })?;
        few.sort_unstable();
        few.dedup();
        rows.extend(few);
        Ok(rows)
    }

    /// The rows that have one of some values, found by looking at what each row has; only among `rows`, if
    /// some are given.
    pub(super) fn rows_within(
        &self,
        codes: &Codes,
        rows: Option<&RoaringBitmap>,
    ) -> Result<RoaringBitmap> {
        let mut found = Vec::new();
        let mut out = RoaringBitmap::new();
        let mut keep = |row, passes| {
            if passes {
                found.push(row);
                if found.len() >= 64 * 1024 {
                    append(&mut out, &mut found);
                }
            }
            Ok(())
        };
        match (codes.ranges.as_slice(), self.entry.is_array) {
            ([range], false) => {
                let symbols = range.start + 1..range.end.saturating_add(1);
                self.each(rows, |row, of_row| keep(row, symbols.contains(&of_row.one())))?;
            }
            _ => {
                let mut marked = RoaringBitmap::new();
                for range in &codes.ranges {
                    marked.insert_range(range.clone());
                }
                let is_marked = |symbol: u32| symbol > 0 && marked.contains(symbol - 1);
                self.each(rows, |row, of_row| keep(row, of_row.each().any(is_marked)))?;
            }
        }
        append(&mut out, &mut found);
        Ok(out)
    }

    /// The rows of each of some values, in the order of codes.
    pub(super) fn each_posting(
        &self,
        codes: &Codes,
        mut give: impl FnMut(u32, Posting) -> Result<()>,
    ) -> Result<()> {
        let runs = &self.index.postings;
        let mut blocks: Vec<usize> = Vec::new();
        for range in &codes.ranges {
            let (first, last) = (run_with(runs, range.start), run_with(runs, range.end - 1));
            let from = blocks.last().map_or(first, |last| first.max(*last + 1));
            blocks.extend(from..=last);
        }
        for trip in blocks.chunks(TRIP_BLOCKS) {
            for (run, bytes) in self.posting_blocks(trip)? {
                let wanted = |code| codes.contains(code);
                visit(&bytes, &run, self.reader.rows(), wanted, &mut give)?;
            }
        }
        Ok(())
    }
}

/// Appends rows that ascend and are greater than those which are in.
fn append(rows: &mut RoaringBitmap, more: &mut Vec<u32>) {
    rows.append(more.drain(..)).expect("rows are looked at in their order");
}
