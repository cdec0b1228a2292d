//! Rows ranked by their texts, over all parts of an index.
//!
//! How common a word is, every part says for itself, of the rows that are alive in it, whatever the filter lets
//! through; the sums make the weights, and with these each part scores its rows. So a score depends neither on
//! which part a row is in nor on what has died.

use base::clock::WallMs;
use roaring::RoaringBitmap;

use super::error::{IndexError, Result};
use super::nearest::Best;
use super::plan::{PartPlan, Plan};
use super::segment::Segment;
use super::view::{SegmentView, TableView, View};
use crate::attributes::{self, Reader};
use crate::error::SearchError;
use crate::exhaustive::Exhaustive;
use crate::order::Direction;
use crate::query::Query;
use crate::rank::Scorer;
use crate::schema::{FieldNo, Row};
use crate::text::{Part, Prepared, Statistics, TextQuery, Weights};
use crate::value::Value;
use crate::vector::Work;

/// The texts of a query in one part: what was found of each.
#[derive(Debug)]
struct Found(Vec<Prepared>);

/// The texts of a query, and what is known of them so far.
#[derive(Debug)]
pub(super) struct Texts {
    scorer: Scorer,
    statistics: Vec<Statistics>,
}

impl Texts {
    /// Those that a query is ranked by; none when it is ranked by something else.
    ///
    /// # Errors
    /// [`SearchError::Unsupported`] for a filter of words in the expression: files do not have the texts that it
    /// would be asked of.
    pub(super) fn of(answer: &Exhaustive) -> Result<Option<Self>> {
        if answer.ranks_by_filters_of_words() {
            let what = "a filter of words cannot be part of an expression here; use BM25";
            return Err(SearchError::unsupported("rank_by", what).into());
        }
        Ok(answer.text_scorer().cloned().map(|scorer| {
            let statistics = scorer.texts().iter().map(Statistics::none).collect();
            Self { scorer, statistics }
        }))
    }

    fn queries(&self) -> &[TextQuery] {
        self.scorer.texts()
    }

    /// Finds the words in a part, and counts the rows that are alive in it.
    fn find(&mut self, part: Part<'_>, live: &RoaringBitmap) -> Result<Found> {
        let prepared = self
            .queries()
            .iter()
            .map(|query| part.prepare(query))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        for (statistics, found) in self.statistics.iter_mut().zip(&prepared) {
            statistics.add(&found.statistics(Some(live)));
        }
        Ok(Found(prepared))
    }

    /// The weights of words, when all parts have been counted.
    fn weights(&self) -> Vec<Weights> {
        let queries = self.queries().iter().zip(&self.statistics);
        queries.map(|(query, statistics)| query.weigh(statistics)).collect()
    }
}

impl Found {
    /// The rows that any of the texts matches, dead ones too.
    fn matches(&self) -> RoaringBitmap {
        self.0.iter().fold(RoaringBitmap::new(), |rows, found| rows | found.matches())
    }

    /// Of each of some rows the score of each text.
    fn scores(&self, weights: &[Weights], rows: &RoaringBitmap) -> Vec<Vec<Option<f32>>> {
        let by_text: Vec<Vec<Option<f32>>> = self
            .0
            .iter()
            .zip(weights)
            .map(|(found, weights)| found.scores(weights, rows.iter()))
            .collect();
        let score = |at: usize| by_text.iter().map(|of| of.get(at).copied().flatten()).collect();
        (0..usize::try_from(rows.len()).unwrap_or(0)).map(score).collect()
    }
}

/// Looks at all parts for a query that is ranked by its texts.
///
/// # Errors
/// As for every query.
pub(super) fn execute(
    view: &View,
    query: &Query,
    now: WallMs,
    mut answer: Exhaustive,
    mut texts: Texts,
) -> Result<(Exhaustive, Vec<PartPlan>)> {
    let mut tables = Vec::with_capacity(view.tables.len());
    for part in &view.tables {
        let live = part.live(now);
        let found = texts.find(Part::Memory(&part.words), &live)?;
        tables.push((part, live, found));
    }
    let mut segments = Vec::with_capacity(view.segments.len());
    for part in &view.segments {
        let live = part.segment.live(&part.dead, now);
        let found = texts.find(Part::File(part.segment.text()), &live);
        let found = found.map_err(|error| error.of_segment(part.segment.files().id()))?;
        segments.push((part, live, found));
    }
    let weighed = Weighed { query, weights: texts.weights(), scorer: texts.scorer };
    let mut plans = Vec::with_capacity(tables.len() + segments.len());
    for (part, live, found) in &tables {
        plans.push(weighed.table(&mut answer, part, live, found)?);
    }
    for (part, live, found) in &segments {
        plans.push(weighed.segment(&mut answer, part, live, found)?);
    }
    Ok((answer, plans))
}

/// A query whose words have their weights.
struct Weighed<'a> {
    query: &'a Query,
    scorer: Scorer,
    weights: Vec<Weights>,
}

impl Weighed<'_> {
    fn table(
        &self,
        answer: &mut Exhaustive,
        part: &TableView,
        live: &RoaringBitmap,
        found: &Found,
    ) -> Result<PartPlan> {
        let before = answer.matched();
        let wanted = found.matches() & live;
        let scores = found.scores(&self.weights, &wanted);
        let mut scores = wanted.iter().zip(scores).peekable();
        for row in live {
            let scores = scores.next_if(|(wanted, _)| *wanted == row);
            let Some(version) = part.table.get(row) else { continue };
            if answer.count(&version.row)?
                && let Some((_, scores)) = scores
            {
                let score = self.scorer.score_with(&version.row, &scores);
                answer.add_scored(&version.row, score)?;
            }
        }
        let matching = answer.matched() - before;
        Ok(PartPlan::of_memtable(part.table.len(), matching))
    }

    fn segment(
        &self,
        answer: &mut Exhaustive,
        part: &SegmentView,
        live: &RoaringBitmap,
        found: &Found,
    ) -> Result<PartPlan> {
        let segment = &*part.segment;
        let name = segment.files().id();
        let matching = self
            .rank(answer, segment, live, found)
            .map_err(|error| IndexError::from(error).of_part(name))?;
        let has_filter = self.query.filter.is_some();
        Ok(PartPlan {
            part: name.to_string(),
            plan: if has_filter { Plan::FilteredText } else { Plan::FullTextOnly },
            rows: u64::from(segment.len()),
            matching,
            vectors: Work::default(),
        })
    }

    /// Counts the rows of a segment and puts the best in their places; how many match the filter.
    fn rank(
        &self,
        answer: &mut Exhaustive,
        segment: &Segment,
        live: &RoaringBitmap,
        found: &Found,
    ) -> attributes::Result<u64> {
        let reader = segment.attributes();
        let matching = answer.add_segment_with_text(reader, segment.text(), live)?;
        if !answer.has_rows() {
            return Ok(matching.len());
        }
        let wanted = found.matches() & &matching;
        let scores = found.scores(&self.weights, &wanted);
        let rows: Vec<u32> = wanted.iter().collect();
        let totals = self.totals(reader, &rows, &scores)?;
        let k = self.query.limit + self.query.offset + 1;
        let mut best = Best::new(Direction::Descending, answer.is_plain().then_some(k));
        for (row, score) in rows.iter().zip(totals) {
            best.add(score, *row);
        }
        let best: Vec<(u32, f64)> =
            best.finish().into_iter().map(|(score, row)| (row, score)).collect();
        answer.add_scores(reader, &best)?;
        Ok(matching.len())
    }

    /// The scores of rows of a segment, given those of their texts.
    fn totals(
        &self,
        reader: &Reader,
        rows: &[u32],
        scores: &[Vec<Option<f32>>],
    ) -> attributes::Result<Vec<f64>> {
        let mut fields = Vec::new();
        self.scorer.attributes(&mut fields);
        if fields.is_empty() {
            // Nothing of a row is looked at but its texts.
            let any = Row::of_values(Value::Uint(0), Vec::new());
            return Ok(scores.iter().map(|scores| self.scorer.score_with(&any, scores)).collect());
        }
        let mut fields: Vec<FieldNo> = fields.into_iter().flatten().collect();
        fields.sort_unstable();
        fields.dedup();
        let values = reader.rows_with(rows, &fields)?;
        let rows = values.iter().zip(scores);
        Ok(rows.map(|(row, scores)| self.scorer.score_with(row, scores)).collect())
    }
}
