//! A compiled filter asked of all rows of a file at once.
//!
//! First every test becomes a set of codes, which the dictionary tells together with the number of rows that
//! have them; that is the [`Plan`], and the estimates of the planner are read off it. Then the rows are
//! found: in a conjunction the most selective test first, and the others only among the rows that are left,
//! by their postings or by looking at what each row has, whichever is less work.

use roaring::RoaringBitmap;

use super::column::ColumnReader;
use super::dictionary::Codes;
use super::error::Result;
use super::layout::Slot;
use super::read::Reader;
use crate::error::SearchError;
use crate::filter::{Compiled, Node, Probe, Source};
use crate::text::TextQuery;
use crate::value::Value;

/// Up to so many different values a pattern is tried on all of them only to estimate.
const VALUES_TRIED: u32 = 4096;
/// Among so many times fewer rows than a test has, it is asked of each row.
const FEWER: u64 = 8;

/// How many rows a filter lets through, dead rows included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Never fewer.
    pub least: u64,
    /// What is to be expected, as if tests of different attributes had nothing to do with one another.
    pub likely: u64,
    /// Never more.
    pub most: u64,
}

impl Estimate {
    const fn exactly(rows: u64) -> Self {
        Self { least: rows, likely: rows, most: rows }
    }

    /// Nothing is known but that there are no more.
    const fn up_to(rows: u64) -> Self {
        Self { least: 0, likely: rows.div_ceil(10), most: rows }
    }

    /// Of the rows that are not among these.
    const fn complement(self, all: u64) -> Self {
        Self {
            least: all.saturating_sub(self.most),
            likely: all.saturating_sub(self.likely),
            most: all.saturating_sub(self.least),
        }
    }

    fn and(self, other: Self, all: u64) -> Self {
        let most = self.most.min(other.most);
        let least = (self.least + other.least).saturating_sub(all);
        let likely = u128::from(self.likely) * u128::from(other.likely) / u128::from(all.max(1));
        let likely = u64::try_from(likely).unwrap_or(most).clamp(least, most);
        Self { least, likely, most }
    }

    fn or(self, other: Self, all: u64) -> Self {
        let neither = self.complement(all).and(other.complement(all), all);
        let found = neither.complement(all);
        Self { least: self.least.max(other.least), ..found }
    }
}

/// A filter with the codes of its values in one file.
#[derive(Debug)]
enum Plan<'a> {
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    /// Rows without a value of an attribute, if the file has that.
    Missing(Option<ColumnReader<'a>>),
    /// Rows with one of some values.
    Has(ColumnReader<'a>, Codes),
    /// Rows with this array: its elements as symbols, and the least frequent of them.
    Is(ColumnReader<'a>, Vec<u32>, Codes),
    /// Rows whose values pass a test that was not tried on them.
    Untried(ColumnReader<'a>),
    /// Rows whose text has words; none when they were not looked for.
    Words(Option<RoaringBitmap>),
    /// No row.
    Never,
}

/// Finds the rows whose text matches, dead rows included.
pub type Words<'w> = dyn Fn(&TextQuery) -> Result<RoaringBitmap> + 'w;

/// What finds no words, because there is no text index.
pub(crate) fn no_words(_: &TextQuery) -> Result<RoaringBitmap> {
    let what = "words are found by the text index of the same rows, and it was not given";
    Err(SearchError::unsupported("filters", what).into())
}

/// Whether patterns are tried on all values, or only on few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Estimate,
    Find,
}

impl Reader {
    /// The rows that a filter lets through, dead rows included; among `within`, if that is given.
    ///
    /// Attributes that the file does not have are missing in every row.
    ///
    /// # Errors
    /// As for every read; [`SearchError::Unsupported`] for a filter that asks for words.
    pub fn matching(
        &self,
        filter: &Compiled,
        within: Option<&RoaringBitmap>,
    ) -> Result<RoaringBitmap> {
        self.matching_with(filter, within, &no_words)
    }

    /// As [`Reader::matching`], with what finds the words of texts.
    ///
    /// # Errors
    /// As for every read, and those of `words`.
    pub fn matching_with(
        &self,
        filter: &Compiled,
        within: Option<&RoaringBitmap>,
        words: &Words<'_>,
    ) -> Result<RoaringBitmap> {
        let plan = self.plan(&filter.node, Purpose::Find, words)?;
        self.find(&plan, within)
    }

    /// How many rows a filter will let through. Reads dictionaries alone.
    ///
    /// # Errors
    /// As for every read.
    pub fn estimate(&self, filter: &Compiled) -> Result<Estimate> {
        let plan = self.plan(&filter.node, Purpose::Estimate, &|_| Ok(RoaringBitmap::new()))?;
        Ok(self.estimated(&plan))
    }

    /// Every row.
    pub(super) fn all(&self) -> RoaringBitmap {
        let mut rows = RoaringBitmap::new();
        rows.insert_range(0..self.rows());
        rows
    }

    fn plan(&self, node: &Node, purpose: Purpose, words: &Words<'_>) -> Result<Plan<'_>> {
        let list = |nodes: &[Node]| {
            nodes.iter().map(|node| self.plan(node, purpose, words)).collect::<Result<Vec<_>>>()
        };
        Ok(match node {
            Node::And(nodes) => Plan::And(list(nodes)?),
            Node::Or(nodes) => Plan::Or(list(nodes)?),
            Node::Not(node) => Plan::Not(self.plan(node, purpose, words)?.into()),
            Node::Words(_) if purpose == Purpose::Estimate => Plan::Words(None),
            Node::Words(query) => Plan::Words(Some(words(query)?)),
            Node::Missing(source) => Plan::Missing(self.source(*source)?),
            Node::Probe(source, probe) => match self.source(*source)? {
                Some(column) => plan_probe(column, probe, purpose)?,
                None => Plan::Never,
            },
        })
    }

    fn source(&self, source: Source) -> Result<Option<ColumnReader<'_>>> {
        self.slot(match source {
            Source::Id => Slot::ID,
            Source::Field(field) => Slot::of(field),
        })
    }

    fn estimated(&self, plan: &Plan<'_>) -> Estimate {
        let all = u64::from(self.rows());
        match plan {
            Plan::And(plans) => plans
                .iter()
                .map(|plan| self.estimated(plan))
                .fold(Estimate::exactly(all), |sum, one| sum.and(one, all)),
            Plan::Or(plans) => plans
                .iter()
                .map(|plan| self.estimated(plan))
                .fold(Estimate::exactly(0), |sum, one| sum.or(one, all)),
            Plan::Not(plan) => self.estimated(plan).complement(all),
            Plan::Missing(column) => {
                let present = column.map_or(0, |column| u64::from(column.entry.present));
                Estimate::exactly(all.saturating_sub(present))
            }
            Plan::Has(column, codes) if !column.entry.is_array => Estimate::exactly(codes.pairs),
            Plan::Has(column, codes) => {
                // A row may have several of them, so there are fewer rows than pairs.
                let most = codes.pairs.min(column.entry.present.into());
                let least = codes.pairs.div_ceil(codes.len().max(1));
                Estimate { least: least.min(most), likely: most, most }
            }
            Plan::Is(_, _, codes) => Estimate::up_to(codes.pairs),
            Plan::Untried(column) => Estimate::up_to(column.entry.present.into()),
            Plan::Words(Some(rows)) => Estimate::exactly(rows.len()),
            Plan::Words(None) => Estimate::up_to(all),
            Plan::Never => Estimate::exactly(0),
        }
    }

    /// The rows of a plan; among `within`, if that is given.
    fn find(&self, plan: &Plan<'_>, within: Option<&RoaringBitmap>) -> Result<RoaringBitmap> {
        Ok(match plan {
            Plan::And(plans) => return self.find_all(plans, within),
            Plan::Or(plans) => {
                let mut rows = RoaringBitmap::new();
                for plan in plans {
                    rows |= self.find(plan, within)?;
                }
                rows
            }
            Plan::Not(plan) => self.among(within) - self.find(plan, within)?,
            Plan::Missing(None) => self.among(within),
            Plan::Missing(Some(column)) => match &column.index.present {
                Some(present) => self.among(within) - present,
                None => RoaringBitmap::new(),
            },
            Plan::Has(column, codes) => find_values(column, codes, within)?,
            Plan::Is(column, symbols, codes) => {
                let candidates = find_values(column, codes, within)?;
                let mut found = RoaringBitmap::new();
                column.each(Some(&candidates), |row, of_row| {
                    if of_row.each().eq(symbols.iter().copied()) {
                        found.insert(row);
                    }
                    Ok(())
                })?;
                found
            }
            Plan::Words(Some(rows)) => self.among(within) & rows,
            Plan::Untried(_) | Plan::Words(None) | Plan::Never => RoaringBitmap::new(),
        })
    }

    /// The rows that all of some plans let through: the fewest first.
    fn find_all(
        &self,
        plans: &[Plan<'_>],
        within: Option<&RoaringBitmap>,
    ) -> Result<RoaringBitmap> {
        let mut ordered: Vec<&Plan<'_>> = plans.iter().collect();
        ordered.sort_by_cached_key(|plan| self.estimated(plan).likely);
        let mut rows: Option<RoaringBitmap> = None;
        for plan in ordered {
            let among = rows.as_ref().or(within);
            if among.is_some_and(RoaringBitmap::is_empty) {
                return Ok(RoaringBitmap::new());
            }
            let found = self.find(plan, among)?;
            rows = Some(found);
        }
        Ok(rows.unwrap_or_else(|| self.among(within)))
    }

    fn among(&self, within: Option<&RoaringBitmap>) -> RoaringBitmap {
        match within {
            None => self.all(),
            Some(rows) => {
                let mut rows = rows.clone();
                rows.remove_range(self.rows()..);
                rows
            }
        }
    }
}

/// The rows that have one of some values; among `within`, if that is given.
fn find_values(
    column: &ColumnReader<'_>,
    codes: &Codes,
    within: Option<&RoaringBitmap>,
) -> Result<RoaringBitmap> {
    if codes.is_empty() {
        return Ok(RoaringBitmap::new());
    }
    match within {
        Some(rows) if rows.len().saturating_mul(FEWER) < codes.pairs => {
            column.rows_within(codes, Some(rows))
        }
        Some(rows) => Ok(column.rows_of(codes)? & rows),
        None => column.rows_of(codes),
    }
}

fn plan_probe<'a>(column: ColumnReader<'a>, probe: &Probe, purpose: Purpose) -> Result<Plan<'a>> {
    let is_tried = purpose == Purpose::Find
        || column.entry.distinct <= VALUES_TRIED
        || !probe.beginning().is_empty();
    Ok(match probe {
        Probe::Within(range) => Plan::Has(column, column.codes_within(range)?),
        Probe::OneOf(values) => Plan::Has(column, column.codes_of(values)?),
        Probe::Whole(array) => plan_array(column, array.elements())?,
        Probe::Matches(..) | Probe::Near(..) if !is_tried => Plan::Untried(column),
        Probe::Matches(..) | Probe::Near(..) => {
            let test = |text: &str| probe.passes_text(text);
            Plan::Has(column, column.codes_where(probe.beginning(), &test)?)
        }
    })
}

/// Equality with a whole array: rows that have its rarest element are looked at.
fn plan_array<'a>(column: ColumnReader<'a>, elements: &[Value]) -> Result<Plan<'a>> {
    let mut symbols = Vec::with_capacity(elements.len());
    let mut rarest: Option<Codes> = None;
    for element in elements {
        let codes = column.codes_of(std::slice::from_ref(element))?;
        let Some(range) = codes.ranges.first() else { return Ok(Plan::Never) };
        symbols.push(range.start + 1);
        if rarest.as_ref().is_none_or(|rarest| codes.pairs < rarest.pairs) {
            rarest = Some(codes);
        }
    }
    Ok(rarest.map_or(Plan::Never, |codes| Plan::Is(column, symbols, codes)))
}
