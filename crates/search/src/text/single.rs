//! A text query asked of one row without any index: what the exhaustive search and the tests believe.

use std::collections::BTreeMap;

use super::bm25::{self, Statistics, Weights};
use super::phrase;
use super::query::{Clause, Occur, TextQuery};
use crate::value::Value;

/// What a query finds in one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// For each clause how often.
    frequencies: Box<[u32]>,
    /// For each slot whether it is there.
    slots: Box<[bool]>,
    tokens: u32,
}

impl TextQuery {
    /// What the query finds in a value of its attribute.
    #[must_use]
    pub fn features(&self, value: Option<&Value>) -> Features {
        let (terms, tokens) = match value {
            Some(value) => self.analyzer().value(value),
            None => (BTreeMap::new(), 0),
        };
        let positions: Vec<Vec<u32>> = self
            .slots()
            .iter()
            .map(|slot| {
                let found = terms.iter().filter(|(term, _)| slot.has(term));
                let mut positions: Vec<u32> =
                    found.flat_map(|(_, at)| at.iter().copied()).collect();
                positions.sort_unstable();
                positions
            })
            .collect();
        let frequency = |clause: &Clause| match clause.words.as_slice() {
            [(slot, _)] => count(positions[*slot].len()),
            words => {
                let words: Vec<(&[u32], u32)> =
                    words.iter().map(|(slot, offset)| (&*positions[*slot], *offset)).collect();
                phrase::occurrences(&words)
            }
        };
        Features {
            frequencies: self.clauses().iter().map(frequency).collect(),
            slots: positions.iter().map(|positions| !positions.is_empty()).collect(),
            tokens,
        }
    }

    /// Whether the row of these features matches.
    #[must_use]
    pub fn matches(&self, features: &Features) -> bool {
        self.is_matched(|clause| features.frequencies[clause] > 0)
    }

    /// The score of the row of these features; none when it does not match.
    #[must_use]
    pub fn score(&self, weights: &Weights, features: &Features) -> Option<f32> {
        let length = bm25::length_code(features.tokens);
        let scores = self.clauses().iter().enumerate().filter_map(|(index, clause)| {
            let tf = features.frequencies[index];
            (tf > 0 && clause.occur != Occur::MustNot).then(|| weights.score(index, tf, length))
        });
        self.matches(features).then(|| scores.fold(0.0, |sum, score| sum + score))
    }
}

impl Features {
    /// Adds the row to statistics.
    pub fn count(&self, statistics: &mut Statistics) {
        statistics.docs += 1;
        statistics.tokens += u64::from(self.tokens);
        for (df, is_there) in statistics.df.iter_mut().zip(&self.slots) {
            *df += u64::from(*is_there);
        }
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
