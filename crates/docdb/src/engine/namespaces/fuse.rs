//! Several answers made into one by their ranks alone: reciprocal rank fusion (Cormack, Clarke and
//! Büttcher, SIGIR 2009). A row's score is the sum over the answers of `weight / (constant + rank)`,
//! with ranks from 1.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use search::exhaustive::{Answer, Found};
use search::value::Value;

/// How answers are fused.
#[derive(Debug, Clone, PartialEq)]
pub struct Fusion {
    /// How little the first ranks stand out; 60 is usual.
    pub constant: f64,
    /// What each answer counts; all the same when there are none.
    pub weights: Vec<f64>,
    /// Rows to pass over.
    pub offset: usize,
    /// Rows to answer.
    pub limit: usize,
}

/// One answer of several; its rows have their fused scores, the greatest first, and by id where those
/// are equal.
pub(super) fn fuse(answers: Vec<Answer>, fusion: &Fusion) -> Answer {
    let mut scores: BTreeMap<Value, f64> = BTreeMap::new();
    let mut work = answers.first().map(|answer| answer.work).unwrap_or_default();
    for (index, answer) in answers.into_iter().enumerate() {
        let weight = fusion.weights.get(index).copied().unwrap_or(1.0);
        work.is_cut |= answer.work.is_cut;
        let mut rank = 0.0;
        for found in answer.rows {
            rank += 1.0;
            *scores.entry(found.id).or_default() += weight / (fusion.constant + rank);
        }
    }
    let mut rows: Vec<(Value, f64)> = scores.into_iter().collect();
    rows.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal));
    let rows = rows.into_iter().skip(fusion.offset).take(fusion.limit);
    let rows = rows.map(|(id, score)| Found { id, dist: Some(score) }).collect();
    Answer { rows, groups: Vec::new(), facets: Vec::new(), cursor: None, work }
}

#[cfg(test)]
mod tests {
    use search::exhaustive::Work;

    use super::*;

    fn answer(ids: &[u64]) -> Answer {
        let rows = ids.iter().map(|id| Found { id: Value::Uint(*id), dist: None }).collect();
        let (groups, facets) = (Vec::new(), Vec::new());
        Answer { rows, groups, facets, cursor: None, work: Work::default() }
    }

    fn fused(answers: &[&[u64]], fusion: &Fusion) -> Vec<(u64, f64)> {
        let answers = answers.iter().map(|ids| answer(ids)).collect();
        let row = |found: Found| {
            let Value::Uint(id) = found.id else { panic!("{found:?}") };
            (id, found.dist.unwrap())
        };
        fuse(answers, fusion).rows.into_iter().map(row).collect()
    }

    #[test]
    fn rows_that_several_answers_have_come_first() {
        let fusion = Fusion { constant: 60.0, weights: vec![], offset: 0, limit: 10 };
        let rows = fused(&[&[1, 2, 3], &[3, 4]], &fusion);
        let ids: Vec<u64> = rows.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [3, 1, 2, 4]);
        assert!((rows[0].1 - (1.0 / 63.0 + 1.0 / 61.0)).abs() < 1e-15);
    }

    #[test]
    fn weights_count_and_a_page_is_cut_out_of_the_whole() {
        let fusion = Fusion { constant: 1.0, weights: vec![1.0, 3.0], offset: 1, limit: 1 };
        assert_eq!(fused(&[&[1], &[2]], &fusion), [(1, 0.5)]);
    }
}
