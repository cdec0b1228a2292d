//! BM25: statistics of all live documents, and the weights that scores are made with.
//!
//! `score = weight · tf / (tf + k1 · (1 − b + b · length / average length))` with
//! `weight = idf · (k1 + 1)` and `idf = ln(1 + (N − df + ½) / (df + ½))`: Robertson's formula as Lucene and
//! tantivy have it, calculated in f32 in their order. `length` is rounded to one of 256 values (exact up to
//! 40), the average is not.

use tantivy::fieldnorm::FieldNormReader;

use super::query::TextQuery;

/// What is known of the live documents of a namespace, as far as one query needs it. Those of parts add up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Live documents, whether they have the attribute or not.
    pub docs: u64,
    /// Tokens of the attribute in them.
    pub tokens: u64,
    /// For each word of the query the live documents that have it.
    pub df: Vec<u64>,
}

impl Statistics {
    /// Those of no document.
    #[must_use]
    pub fn none(query: &TextQuery) -> Self {
        Self { docs: 0, tokens: 0, df: vec![0; query.slots().len()] }
    }

    /// Adds those of other documents, for the same query.
    pub fn add(&mut self, other: &Self) {
        self.docs += other.docs;
        self.tokens += other.tokens;
        self.df.resize(self.df.len().max(other.df.len()), 0);
        for (df, other) in self.df.iter_mut().zip(&other.df) {
            *df += other;
        }
    }
}

/// How much each clause of a query weighs in a text of each length.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    clauses: Vec<f32>,
    /// What is added to the frequency below the line, by the code of the length.
    lengths: Box<[f32; 256]>,
}

impl Weights {
    pub(super) fn new(query: &TextQuery, statistics: &Statistics) -> Self {
        let (k1, b) = query.parameters();
        let docs = statistics.docs;
        let average = if statistics.tokens == 0 || docs == 0 {
            1.0
        } else {
            float(statistics.tokens) / float(docs)
        };
        let mut lengths = Box::new([0.0; 256]);
        for (code, length) in (0..=u8::MAX).zip(lengths.iter_mut()) {
            let tokens = FieldNormReader::id_to_fieldnorm(code) as f32;
            *length = k1 * (1.0 - b + b * tokens / average);
        }
        let idf = |slot: usize| idf(statistics.df.get(slot).copied().unwrap_or_default(), docs);
        let clauses = query.clauses().iter().map(|clause| {
            let idf: f32 = clause.words.iter().map(|(slot, _)| idf(*slot)).sum();
            idf * (1.0 + k1) * clause.times
        });
        Self { clauses: clauses.collect(), lengths }
    }

    /// More than a clause adds to any score.
    pub(super) fn bound(&self, clause: usize) -> f32 {
        self.clauses[clause]
    }

    /// What a clause that is found `tf` times adds to the score of a text of this length.
    #[inline]
    pub(super) fn score(&self, clause: usize, tf: u32, length: u8) -> f32 {
        let tf = tf as f32;
        self.clauses[clause] * (tf / (tf + self.lengths[usize::from(length)]))
    }
}

/// The code of a length.
pub(super) fn length_code(tokens: u32) -> u8 {
    FieldNormReader::fieldnorm_to_id(tokens)
}

fn float(count: u64) -> f32 {
    count as f32
}

fn idf(df: u64, docs: u64) -> f32 {
    let others = float(docs.saturating_sub(df));
    (1.0 + (others + 0.5) / (float(df) + 0.5)).ln()
}
