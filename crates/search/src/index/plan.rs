//! Which way a part of an index is asked, and what was expected of it.
//!
//! The filter is evaluated before the way is chosen, so how many rows match is not estimated but known. What is
//! left to choose is how vectors are searched: few matching rows are compared one by one, which is exact;
//! of many the index is asked, and told which rows may be found.

use std::fmt;

use crate::text::Lead;
use crate::vector::{K_MAX, Work};

/// Rows up to which comparing all of them is cheaper than asking the index: it would compare as many.
const COMPARED_MAX: u64 = 512;

/// The way a part is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plan {
    /// Every row of a memtable is looked at.
    Memtable,
    /// Every row that matches is looked at.
    Scan,
    /// No row matches, or none is asked for: nothing is read.
    Nothing,
    /// The rows that match are looked at one by one.
    FilterFirst,
    /// The index of vectors is asked.
    VectorOnly,
    /// The index of vectors is asked for those that match.
    FilteredVector,
    /// The index of words is asked.
    FullTextOnly,
    /// The index of words is asked for those that match.
    FilteredText,
}

impl Plan {
    /// Whether an index of vectors is asked.
    #[must_use]
    pub const fn asks_vectors(self) -> bool {
        matches!(self, Self::VectorOnly | Self::FilteredVector)
    }

    /// Its name in explanations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memtable => "Memtable",
            Self::Scan => "Scan",
            Self::Nothing => "Nothing",
            Self::FilterFirst => "FilterFirst",
            Self::VectorOnly => "VectorOnly",
            Self::FilteredVector => "FilteredVector",
            Self::FullTextOnly => "FullTextOnly",
            Self::FilteredText => "FilteredText",
        }
    }
}

/// Which of the ways to the same rows a query takes: the one that is planned, or, where there is a choice, always the
/// same. What a planner chose is judged by what the others would have cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Way {
    /// The one that is planned.
    #[default]
    Planned,
    /// [`Plan::FilterFirst`]: each row that matches is looked at.
    Rows,
    /// The index of vectors or of words is asked, however few rows match.
    Index,
}

/// What is known when a search of vectors is planned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Rows that have a vector.
    pub(super) rows: u64,
    /// Those of them that match.
    pub(super) matching: u64,
    /// How many are wanted.
    pub(super) k: usize,
    /// Whether every row has to be compared: exactness is asked for, or a place in an order that the index
    /// does not know.
    pub(super) compares_all: bool,
    /// Which way is asked for.
    pub(super) way: Way,
}

/// The way to search vectors.
pub(super) fn of_vectors(known: &Known) -> Plan {
    let Known { rows, matching, k, compares_all, way } = *known;
    let is_few = match way {
        Way::Planned => matching <= COMPARED_MAX.max(k as u64),
        Way::Rows => true,
        Way::Index => false,
    };
    if matching == 0 || k == 0 {
        Plan::Nothing
    } else if compares_all || k > K_MAX || is_few {
        Plan::FilterFirst
    } else if matching == rows {
        Plan::VectorOnly
    } else {
        Plan::FilteredVector
    }
}

/// The way to search words among the rows that match: `cheaper` is what of both is less work.
pub(super) fn of_texts(cheaper: Lead, way: Way) -> Lead {
    match way {
        Way::Planned => cheaper,
        Way::Rows => Lead::Rows,
        Way::Index => Lead::Lists,
    }
}

/// How one part was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartPlan {
    /// The part: `memtable`, or the identity of a segment.
    pub part: String,
    /// The way.
    pub plan: Plan,
    /// Rows that it has.
    pub rows: u64,
    /// Rows of them that are alive and match the filter.
    pub matching: u64,
    /// What the index of vectors did.
    pub vectors: Work,
}

impl PartPlan {
    /// Of a memtable.
    pub(super) fn of_memtable(rows: u32, matching: u64) -> Self {
        Self {
            part: "memtable".to_owned(),
            plan: Plan::Memtable,
            rows: u64::from(rows),
            matching,
            vectors: Work::default(),
        }
    }
}

impl fmt::Display for PartPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, plan, rows, matching, vectors } = self;
        write!(f, "{} part={part} rows={rows} matching={matching}", plan.name())?;
        if plan.asks_vectors() {
            let Work { clusters, scanned, refined, compared, .. } = vectors;
            write!(
                f,
                " clusters={clusters} scanned={scanned} refined={refined} compared={compared}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_asked_when_many_rows_match_and_some_may_be_left_out() {
        let check = |(rows, matching, k, compares_all), expect| {
            let known = Known { rows, matching, k, compares_all, way: Way::Planned };
            assert_eq!(of_vectors(&known), expect, "{known:?}");
        };
        check((1000, 0, 10, false), Plan::Nothing);
        check((1000, 1000, 0, true), Plan::Nothing);
        check((1000, 512, 10, false), Plan::FilterFirst);
        check((1000, 513, 10, false), Plan::FilteredVector);
        check((1000, 900, 900, false), Plan::FilterFirst);
        check((1000, 1000, 10, false), Plan::VectorOnly);
        check((1000, 1000, 10, true), Plan::FilterFirst);
        check((100_000, 100_000, K_MAX + 1, false), Plan::FilterFirst);
    }

    #[test]
    fn a_way_is_forced_only_where_there_is_a_choice() {
        let check = |way, (matching, compares_all), expect| {
            let known = Known { rows: 1000, matching, k: 10, compares_all, way };
            assert_eq!(of_vectors(&known), expect, "{known:?}");
        };
        check(Way::Rows, (900, false), Plan::FilterFirst);
        check(Way::Index, (20, false), Plan::FilteredVector);
        check(Way::Index, (1000, false), Plan::VectorOnly);
        check(Way::Index, (20, true), Plan::FilterFirst);
        check(Way::Index, (0, false), Plan::Nothing);
        check(Way::Rows, (0, false), Plan::Nothing);
        assert_eq!(of_texts(Lead::Lists, Way::Rows), Lead::Rows);
        assert_eq!(of_texts(Lead::Rows, Way::Index), Lead::Lists);
        assert_eq!(of_texts(Lead::Rows, Way::Planned), Lead::Rows);
    }
}
