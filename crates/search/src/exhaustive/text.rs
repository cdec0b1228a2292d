//! Rows ranked by their text: first counted, then scored.
//!
//! Every row counts for the statistics, also one that the filter does not let through: how common a word is
//! does not depend on what else is asked.

use super::keep::Kind;
use crate::error::Result;
use crate::rank::Scorer;
use crate::schema::Row;
use crate::text::{Features, Statistics, Weights};
use crate::value::Value;

/// Rows that wait for their scores.
#[derive(Debug)]
pub(super) struct TextRanking {
    scorer: Scorer,
    /// Of each text.
    statistics: Vec<Statistics>,
    waiting: Vec<Waiting>,
}

/// What the score of a row is made of.
#[derive(Debug)]
struct Waiting {
    id: Value,
    kind: Kind,
    inputs: Vec<Option<f64>>,
    features: Vec<Features>,
}

impl TextRanking {
    pub(super) fn new(scorer: Scorer) -> Self {
        let statistics = scorer.texts().iter().map(Statistics::none).collect();
        Self { scorer, statistics, waiting: Vec::new() }
    }

    /// The expression.
    pub(super) const fn scorer(&self) -> &Scorer {
        &self.scorer
    }

    /// Counts a row: what each text finds in it.
    pub(super) fn count(&mut self, row: &Row) -> Vec<Features> {
        let texts = self.scorer.texts().iter().zip(&mut self.statistics);
        let count = texts.map(|(text, statistics)| {
            let features = text.features(row.value(text.field()));
            features.count(statistics);
            features
        });
        count.collect()
    }

    /// Whether any of the texts matches.
    pub(super) fn finds(&self, features: &[Features]) -> bool {
        self.scorer.texts().iter().zip(features).any(|(text, features)| text.matches(features))
    }

    /// Keeps what the score of a row will be made of.
    pub(super) fn keep(&mut self, row: &Row, features: Vec<Features>, kind: Kind) {
        let inputs = self.scorer.inputs(row);
        self.waiting.push(Waiting { id: row.id().clone(), kind, inputs, features });
    }

    /// Takes the rows of another of the same texts; `reserve` makes room for each.
    pub(super) fn merge(
        &mut self,
        other: Self,
        mut reserve: impl FnMut(&Kind) -> Result<()>,
    ) -> Result<()> {
        for (statistics, more) in self.statistics.iter_mut().zip(&other.statistics) {
            statistics.add(more);
        }
        for row in other.waiting {
            reserve(&row.kind)?;
            self.waiting.push(row);
        }
        Ok(())
    }

    /// Hands over every row that was kept with its score.
    pub(super) fn rank(&mut self, mut visit: impl FnMut(Value, f64, &Kind)) {
        let texts = self.scorer.texts();
        let weights: Vec<Weights> =
            texts.iter().zip(&self.statistics).map(|(text, found)| text.weigh(found)).collect();
        for row in self.waiting.drain(..) {
            let scores: Vec<Option<f32>> = texts
                .iter()
                .zip(&weights)
                .zip(&row.features)
                .map(|((text, weights), features)| text.score(weights, features))
                .collect();
            visit(row.id, self.scorer.score_of(&row.inputs, &scores), &row.kind);
        }
    }
}
