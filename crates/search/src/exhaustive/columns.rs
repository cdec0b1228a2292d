//! The rows of a segment, looked at by the columns of its attributes and not one by one.
//!
//! What is found is what [`Exhaustive::add`] of every row would have found: the same filters, totals and order,
//! answered from codes. It joins what was added before and after it.

use roaring::RoaringBitmap;

use super::keep::{POSITIONS_MAX, too_many_kinds};
use super::{Exhaustive, Ranking};
use crate::aggregate::GROUPS_MAX;
use crate::attributes::{Order, Reader, Result, Wanted, no_words};
use crate::text::{self, Part, TextQuery};

impl Exhaustive {
    /// Looks at the `live` rows of a segment, and says which the filter lets through.
    ///
    /// Where a query is ranked by nearness, rows are counted and not ranked: that is for
    /// [`Exhaustive::add_distances`].
    ///
    /// # Errors
    /// As [`Exhaustive::add`], and [`crate::attributes::AttributesError`] when the file is damaged or cannot
    /// be read. Some of the rows may have been counted then: what was made is good for nothing any more.
    pub fn add_segment(&mut self, reader: &Reader, live: &RoaringBitmap) -> Result<RoaringBitmap> {
        self.add_rows(reader, live, None)
    }

    /// As [`Exhaustive::add_segment`], of a segment with a text index: filters may ask for words.
    ///
    /// # Errors
    /// As [`Exhaustive::add_segment`], of the text index too.
    pub fn add_segment_with_text(
        &mut self,
        reader: &Reader,
        text: &text::Reader,
        live: &RoaringBitmap,
    ) -> Result<RoaringBitmap> {
        self.add_rows(reader, live, Some(text))
    }

    fn add_rows(
        &mut self,
        reader: &Reader,
        live: &RoaringBitmap,
        text: Option<&text::Reader>,
    ) -> Result<RoaringBitmap> {
        let mut live = live.clone();
        live.remove_range(reader.rows()..);
        self.work.scanned += live.len();
        let words =
            |query: &TextQuery| text.map_or_else(|| no_words(query), |text| words(text, query));
        let rows = match &self.filter {
            Some(filter) => reader.matching_with(filter, Some(&live), &words)?,
            None => live,
        };
        self.work.matched += rows.len();
        reader.count_totals(&rows, &mut self.totals)?;
        self.facets.iter_mut().try_for_each(|facet| reader.count_facet(&rows, facet))?;
        let Some(keeper) = &mut self.keeper else { return Ok(rows) };
        let scores;
        let order = match &self.ranking {
            Ranking::Id => Order::Columns(&[]),
            Ranking::Columns(columns) => Order::Columns(columns),
            Ranking::Score(scorer) => {
                scores = reader.scores_of(scorer, &rows, &words)?;
                Order::Score(&scores)
            }
            Ranking::Nearness { .. } | Ranking::Text(_) => return Ok(rows),
        };
        let (after, limit) = keeper.bounds();
        let wanted = Wanted {
            after,
            limit,
            kinds: keeper.kinds(),
            kinds_max: GROUPS_MAX,
            too_many: too_many_kinds,
        };
        debug_assert!(limit <= POSITIONS_MAX, "what is kept is bounded");
        for (position, kind) in reader.first_rows(&rows, order, &wanted)? {
            keeper.add_of_kind(position, kind)?;
        }
        Ok(rows)
    }

    /// Takes the distances of rows that [`Exhaustive::add_segment`] let through, of a query that is ranked by
    /// nearness. Each row may be given once.
    ///
    /// # Errors
    /// As [`Exhaustive::add_segment`].
    pub fn add_distances(&mut self, reader: &Reader, distances: &[(u32, f64)]) -> Result<()> {
        let (Some(keeper), Ranking::Nearness { distance, .. }) = (&mut self.keeper, &self.ranking)
        else {
            return Ok(());
        };
        let kinds = keeper.kinds().map_or(&[][..], |(columns, _)| columns);
        let found = reader.scored_rows(distances, distance.direction(), kinds)?;
        for (position, kind) in found {
            keeper.add_of_kind(position, kind)?;
        }
        Ok(())
    }
}

/// The rows of a segment whose text matches, dead ones too.
pub(crate) fn words(text: &text::Reader, query: &TextQuery) -> Result<RoaringBitmap> {
    Ok(Part::File(text).prepare(query)?.matches())
}
