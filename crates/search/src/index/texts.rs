//! Rows ranked by their texts, over all parts of an index.
//!
//! How common a word is, every part says for itself, of the rows that are alive in it, whatever the filter lets
//! through; the sums make the weights, and with these each part scores its rows. So a score depends neither on
//! which part a row is in nor on what has died.
//!
//! Where rows are ordered by one text alone, a segment looks only for its best; otherwise it scores every row that
//! one of the texts matches.

use roaring::RoaringBitmap;

use super::error::{IndexError, Result};
use super::execute::Asked;
use super::nearest::Best;
use super::plan::{self, PartPlan, Plan, Way};
use super::segment::Segment;
use super::view::{SegmentView, TableView, View};
use crate::attributes;
use crate::exhaustive::{Exhaustive, First, words};
use crate::order::Direction;
use crate::query::Query;
use crate::rank::Scorer;
use crate::text::{self, Lead, Leaf, Part, Prepared, Statistics, TextQuery, Weights};
use crate::vector::Work;

/// Rows that are scored at a time.
const ROWS_AT_ONCE: usize = 64 * 1024;

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
    pub(super) fn of(answer: &Exhaustive) -> Option<Self> {
        answer.text_scorer().cloned().map(|scorer| {
            let statistics = scorer.texts().iter().map(Statistics::none).collect();
            Self { scorer, statistics }
        })
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

    /// For each text the score of each of some rows, which ascend.
    fn scores(&self, weights: &[Weights], rows: &[u32]) -> Vec<Vec<Option<f32>>> {
        let found = self.0.iter().zip(weights);
        found.map(|(found, weights)| found.scores(weights, rows.iter().copied())).collect()
    }
}

/// Looks at all parts for a query that is ranked by its texts; none when it was not to go on.
///
/// # Errors
/// As for every query.
pub(super) fn execute(
    view: &View,
    Asked { query, now, go_on, way, .. }: Asked<'_>,
    mut answer: Exhaustive,
    mut texts: Texts,
) -> Result<Option<(Exhaustive, Vec<PartPlan>)>> {
    let mut tables = Vec::with_capacity(view.tables.len());
    for part in &view.tables {
        let live = part.live(now);
        let found = texts.find(Part::Memory(&part.words), &live)?;
        tables.push((part, live, found));
    }
    let mut segments = Vec::with_capacity(view.segments.len());
    for part in &view.segments {
        if !go_on() {
            return Ok(None);
        }
        let live = part.segment.live(&part.dead, now);
        let found = texts.find(Part::File(part.segment.text()), &live);
        let found = found.map_err(|error| error.of_segment(part.segment.files().id()))?;
        segments.push((part, live, found));
    }
    let weighed = Weighed { query, way, weights: texts.weights(), scorer: texts.scorer };
    let mut plans = Vec::with_capacity(tables.len() + segments.len());
    for (part, live, found) in &tables {
        plans.push(weighed.table(&mut answer, part, live, found)?);
    }
    for (part, live, found) in &segments {
        if !go_on() {
            return Ok(None);
        }
        plans.push(weighed.segment(&mut answer, part, live, found)?);
    }
    Ok(Some((answer, plans)))
}

/// A query whose words have their weights.
struct Weighed<'a> {
    query: &'a Query,
    way: Way,
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
        let wanted: Vec<u32> = (found.matches() & live).into_iter().collect();
        let scores = found.scores(&self.weights, &wanted);
        let mut wanted = wanted.into_iter().enumerate().peekable();
        for row in live {
            let found = wanted.next_if(|(_, wanted)| *wanted == row);
            let Some(version) = part.table.get(row) else { continue };
            if answer.count(&version.row)?
                && let Some((at, _)) = found
            {
                let scores: Vec<Option<f32>> =
                    scores.iter().map(|of| of.get(at).copied().flatten()).collect();
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
        let (matching, lead) = self
            .rank(answer, segment, live, found)
            .map_err(|error| IndexError::from(error).of_part(name))?;
        let plan = match self.query.filter {
            _ if matching == 0 || !answer.has_rows() => Plan::Nothing,
            Some(_) if lead == Some(Lead::Rows) => Plan::FilterFirst,
            Some(_) => Plan::FilteredText,
            None => Plan::FullTextOnly,
        };
        Ok(PartPlan {
            part: name.to_string(),
            plan,
            rows: u64::from(segment.len()),
            matching,
            vectors: Work::default(),
        })
    }

    /// Counts the rows of a segment and puts the best in their places; how many match the filter, and what their search
    /// went along, if it looked only for the best of them.
    fn rank(
        &self,
        answer: &mut Exhaustive,
        segment: &Segment,
        live: &RoaringBitmap,
        found: &Found,
    ) -> attributes::Result<(u64, Option<Lead>)> {
        let (reader, text) = (segment.attributes(), segment.text());
        let matching = answer.add_segment_with_text(reader, text, live)?;
        if !answer.has_rows() || matching.is_empty() {
            return Ok((matching.len(), None));
        }
        let first = answer.first();
        let best = match first {
            Some(First { count, after: None }) => self.best(found, count, &matching, segment),
            Some(First { after: Some(_), .. }) | None => None,
        };
        let (rows, lead) = best.unwrap_or_else(|| (found.matches() & &matching, None));
        let inputs = reader.scores_of(&self.scorer, &rows, &|query| words(text, query))?;
        let mut best = Best::new(Direction::Descending, first);
        let rows: Vec<u32> = rows.into_iter().collect();
        for rows in rows.chunks(ROWS_AT_ONCE) {
            let scores = inputs.of(rows, &found.scores(&self.weights, rows))?;
            rows.iter().zip(scores).for_each(|(row, score)| best.add(score, *row));
        }
        let best: Vec<(u32, f64)> =
            best.finish().into_iter().map(|(score, row)| (row, score)).collect();
        answer.add_scores(reader, &best)?;
        Ok((matching.len(), lead))
    }

    /// The best rows among those that match, and those that are as good as the last of them, where one text says which
    /// these are; none where they have to be scored to know it.
    fn best(
        &self,
        found: &Found,
        wanted: usize,
        matching: &RoaringBitmap,
        segment: &Segment,
    ) -> Option<(RoaringBitmap, Option<Lead>)> {
        let ([prepared], [weights]) = (found.0.as_slice(), self.weights.as_slice()) else {
            return None;
        };
        if !self.scorer.orders_as_text() {
            return None;
        }
        let is_every = matching.len() == u64::from(segment.len());
        let leaf = Leaf { prepared, weights, boost: 1.0 };
        let leaves = [leaf];
        let lead = plan::of_texts(Lead::cheaper(&leaves, matching), self.way);
        let allowed = (!is_every).then_some((matching, lead));
        let hits = text::search_along(&leaves, wanted, allowed);
        Some((hits.into_iter().map(|hit| hit.row).collect(), allowed.map(|(_, lead)| lead)))
    }
}
