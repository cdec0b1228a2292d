//! Fusion: several ranked lists as one.
//!
//! By *reciprocal rank* (Cormack, Clarke and Büttcher, SIGIR 2009) a row scores the sum of `weight / (k + rank)` over
//! the lists that have it, ranks counted from 1. By *linear combination* it scores the sum of `weight × score`, with the
//! scores of each list brought to 0..1 first: the best of the list is 1, its last 0, and where all are alike
//! all are 1. A row that a list does not have scores nothing by it. The greatest score is first; of equal ones the lesser id.

use std::collections::BTreeMap;

use crate::error::{Result, SearchError};
use crate::exhaustive::Found;
use crate::json::{Json, Kind};
use crate::order::Direction;
use crate::place::Place;
use crate::value::Value;

/// The rank constant unless another is given.
pub const RANK_CONSTANT_DEFAULT: f64 = 60.0;
/// Most lists that are fused.
pub const LISTS_MAX: usize = 16;

/// How lists are fused. Without weights all are 1.
#[derive(Debug, Clone, PartialEq)]
pub enum Fusion {
    /// By reciprocal ranks.
    ReciprocalRank {
        /// `k`: how little the first ranks count for more than the others.
        rank_constant: f64,
        /// One for each list, or none at all.
        weights: Vec<f64>,
    },
    /// By scores.
    Linear {
        /// One for each list, or none at all.
        weights: Vec<f64>,
    },
}

/// A ranked list, the best first.
#[derive(Debug, Clone, Copy)]
pub struct List<'a> {
    /// Its rows.
    pub rows: &'a [Found],
    /// Which way their numbers go; none when they have none.
    pub direction: Option<Direction>,
}

impl Fusion {
    /// Reads `["RRF"]`, `["RRF",{"rank_constant":60,"weights":[…]}]` or `["Linear",{"weights":[…]}]`.
    ///
    /// # Errors
    /// [`SearchError::Query`] with the place.
    pub fn parse(json: Json<'_>) -> Result<Self> {
        let place = Place::Member("rerank_by");
        let parts: Vec<Json<'_>> = json.elements().into_iter().flatten().take(3).collect();
        let name = parts.first().and_then(|name| name.string());
        let options = match parts.as_slice() {
            [_] => None,
            [_, options] if options.kind() == Kind::Object => Some(*options),
            _ => {
                return Err(SearchError::query(place, "expected [\"RRF\"] or [\"RRF\",{options}]"));
            }
        };
        let is_known = |member: &str| match name.as_deref() {
            Some("RRF") => matches!(member, "rank_constant" | "weights"),
            _ => member == "weights",
        };
        let members = options.and_then(Json::members).into_iter().flatten();
        for (member, _) in members {
            if !is_known(&member) {
                return Err(SearchError::query(
                    place.at(1),
                    format!("there is no option `{member}`"),
                ));
            }
        }
        let weights = weights(options.and_then(|options| options.get("weights")), &place)?;
        match name.as_deref() {
            Some("RRF") => {
                let rank_constant = match options.and_then(|options| options.get("rank_constant")) {
                    None => RANK_CONSTANT_DEFAULT,
                    Some(json) => positive(json).ok_or_else(|| {
                        SearchError::query(place.at(1), "rank_constant is a number of 0 or more")
                    })?,
                };
                Ok(Self::ReciprocalRank { rank_constant, weights })
            }
            Some("Linear") => Ok(Self::Linear { weights }),
            _ => Err(SearchError::query(place.at(0), "there are RRF and Linear")),
        }
    }

    /// The rows of all lists in one order, with their fused scores.
    ///
    /// # Errors
    /// [`SearchError::Query`] for more lists than [`LISTS_MAX`], for another number of weights than of lists, and when
    /// scores are combined of lists that have none.
    pub fn fuse(&self, lists: &[List<'_>]) -> Result<Vec<Found>> {
        let (Self::ReciprocalRank { weights, .. } | Self::Linear { weights }) = self;
        if lists.len() > LISTS_MAX {
            let reason = format!("at most {LISTS_MAX} queries are fused");
            return Err(SearchError::query("queries", reason));
        }
        if !weights.is_empty() && weights.len() != lists.len() {
            let reason = format!("there are {} weights for {} queries", weights.len(), lists.len());
            return Err(SearchError::query("rerank_by[1]", reason));
        }
        let mut scores: BTreeMap<&Value, (f64, &Found)> = BTreeMap::new();
        for (index, list) in lists.iter().enumerate() {
            let weight = weights.get(index).copied().unwrap_or(1.0);
            let each = match self {
                Self::ReciprocalRank { rank_constant, .. } => ranks(list, *rank_constant),
                Self::Linear { .. } => normalised(list, index)?,
            };
            for (found, score) in list.rows.iter().zip(each) {
                let entry = scores.entry(&found.id).or_insert((0.0, found));
                entry.0 += weight * score;
            }
        }
        let mut fused: Vec<Found> = scores
            .into_values()
            .map(|(score, found)| Found { dist: Some(score), ..found.clone() })
            .collect();
        // Stable: of equal scores the lesser id stays first.
        fused.sort_by(|a, b| b.dist.unwrap_or(0.0).total_cmp(&a.dist.unwrap_or(0.0)));
        Ok(fused)
    }
}

fn positive(json: Json<'_>) -> Option<f64> {
    let number: f64 = json.number()?.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number)
}

fn weights(json: Option<Json<'_>>, place: &Place<'_>) -> Result<Vec<f64>> {
    let Some(json) = json else { return Ok(Vec::new()) };
    let weights: Option<Vec<f64>> =
        json.elements().and_then(|weights| weights.take(LISTS_MAX + 1).map(positive).collect());
    weights.ok_or_else(|| {
        SearchError::query(place.at(1), "weights are an array of numbers of 0 or more")
    })
}

fn ranks(list: &List<'_>, rank_constant: f64) -> Vec<f64> {
    let ranks = (1..=u32::try_from(list.rows.len()).unwrap_or(u32::MAX)).map(f64::from);
    ranks.map(|rank| 1.0 / (rank_constant + rank)).collect()
}

fn normalised(list: &List<'_>, index: usize) -> Result<Vec<f64>> {
    let sign = match list.direction {
        Some(Direction::Ascending) => -1.0,
        Some(Direction::Descending) => 1.0,
        None if list.rows.is_empty() => return Ok(Vec::new()),
        None => {
            let reason = "the rows of this query have no scores to combine; fuse by RRF";
            return Err(SearchError::query(Place::Member("queries").at(index), reason));
        }
    };
    let scores: Vec<f64> = list.rows.iter().map(|row| sign * row.dist.unwrap_or(0.0)).collect();
    let least = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let range = greatest - least;
    let normal = |score: f64| if range > 0.0 { (score - least) / range } else { 1.0 };
    Ok(scores.into_iter().map(normal).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(rows: &[(u64, f64)]) -> Vec<Found> {
        let found = |(id, dist): &(u64, f64)| Found { id: Value::Uint(*id), dist: Some(*dist) };
        rows.iter().map(found).collect()
    }

    fn check(fusion: &str, expect: &[(u64, f64)]) {
        let near = list(&[(1, 0.0), (2, 1.0), (3, 4.0)]);
        let text = list(&[(3, 9.0), (1, 3.0), (4, 3.0)]);
        let lists = [
            List { rows: &near, direction: Some(Direction::Ascending) },
            List { rows: &text, direction: Some(Direction::Descending) },
        ];
        let fusion = Fusion::parse(Json::parse(fusion.as_bytes()).unwrap()).unwrap();
        let fused = fusion.fuse(&lists).unwrap();
        assert_eq!(fused.len(), expect.len());
        for (found, (id, score)) in fused.iter().zip(expect) {
            assert_eq!(found.id, Value::Uint(*id), "{fused:?}");
            assert!((found.dist.unwrap() - score).abs() < 1e-12, "{fused:?}");
        }
    }

    #[test]
    fn rows_are_ordered_by_the_sum_of_what_each_list_gives_them() {
        let (first, second, third) = (1.0 / 61.0, 1.0 / 62.0, 1.0 / 63.0);
        let expect = [(1, first + second), (3, first + third), (2, second), (4, third)];
        check(r#"["RRF"]"#, &expect);
        check(r#"["RRF",{"rank_constant":60,"weights":[1,1]}]"#, &expect);
        check(
            r#"["RRF",{"rank_constant":0,"weights":[0,6]}]"#,
            &[(3, 6.0), (1, 3.0), (4, 2.0), (2, 0.0)],
        );
        check(r#"["Linear"]"#, &[(1, 1.0), (3, 1.0), (2, 0.75), (4, 0.0)]);
        check(r#"["Linear",{"weights":[1,2]}]"#, &[(3, 2.0), (1, 1.0), (2, 0.75), (4, 0.0)]);
    }

    #[test]
    fn what_cannot_be_fused_is_refused_with_its_place() {
        for (text, place) in [
            ("{}", "rerank_by"),
            (r#"["Sum"]"#, "rerank_by[0]"),
            (r#"["RRF",{"k":1}]"#, "rerank_by[1]"),
            (r#"["Linear",{"rank_constant":1}]"#, "rerank_by[1]"),
            (r#"["RRF",{"rank_constant":-1}]"#, "rerank_by[1]"),
            (r#"["RRF",{"weights":[-1]}]"#, "rerank_by[1]"),
            (r#"["RRF",{"weights":3}]"#, "rerank_by[1]"),
        ] {
            let error = Fusion::parse(Json::parse(text.as_bytes()).unwrap()).unwrap_err();
            assert!(matches!(&error, SearchError::Query { place: found, .. } if &**found == place));
        }
        let rows = [Found { id: Value::Uint(1), dist: None }];
        let list = List { rows: &rows, direction: None };
        assert!(Fusion::Linear { weights: vec![] }.fuse(&[list]).is_err());
        assert!(Fusion::Linear { weights: vec![1.0, 2.0] }.fuse(&[list]).is_err());
        let rrf = Fusion::ReciprocalRank { rank_constant: 60.0, weights: vec![] };
        assert_eq!(rrf.fuse(&[list]).unwrap().len(), 1);
        assert!(rrf.fuse(&[list; LISTS_MAX + 1]).is_err());
    }
}
