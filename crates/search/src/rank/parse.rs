//! Expressions as clients write them.

use super::{Curve, RANK_DEPTH_MAX, RANK_NODES_MAX, Rank};
use crate::error::{Result, SearchError};
use crate::filter::{Filter, Size};
use crate::json::{Json, Kind};
use crate::path::Path;
use crate::place::Place;
use crate::text::TextMatch;
use crate::value::{Value, natural};

const SHAPE: &str = "expected a number, a filter, [\"attribute\",\"BM25\",\"words\"], or one of Attribute, Sum, Max, Product, Dist, \
     Saturate, Decay";

impl Rank {
    /// Reads an expression.
    ///
    /// # Errors
    /// [`SearchError::Query`] with the place and what belongs there; [`SearchError::Unsupported`] for
    /// sparse vectors and distances of vectors in an expression.
    pub fn parse(json: Json<'_>) -> Result<Self> {
        Self::parse_at(json, &Place::Member("rank_by"))
    }

    pub(crate) fn parse_at(json: Json<'_>, place: &Place<'_>) -> Result<Self> {
        parse(json, place, 0, &mut Budget::default())
    }
}

/// How large an expression is so far.
#[derive(Debug, Default)]
struct Budget {
    nodes: usize,
    /// Of all its filters together.
    filters: Size,
}

fn parse(json: Json<'_>, place: &Place<'_>, depth: usize, budget: &mut Budget) -> Result<Rank> {
    budget.nodes += 1;
    if budget.nodes > RANK_NODES_MAX || depth > RANK_DEPTH_MAX {
        let reason =
            format!("an expression has at most {RANK_NODES_MAX} parts, {RANK_DEPTH_MAX} deep");
        return Err(SearchError::query(place, reason));
    }
    if json.kind() == Kind::Number {
        return number(json, place).map(Rank::Constant);
    }
    if TextMatch::is_one(json) {
        return TextMatch::parse_at(json, place).map(Rank::Text);
    }
    if Filter::is_one(json) {
        return budget.filters.parse(json, place).map(Rank::Filter);
    }
    let parts: Vec<Json<'_>> = json.elements().into_iter().flatten().take(4).collect();
    let name = parts.first().and_then(|part| part.string()).unwrap_or_default();
    let mut inner = |index: usize, json: Json<'_>| parse(json, &place.at(index), depth + 1, budget);
    match (&*name, parts.as_slice()) {
        ("Attribute", [_, path]) => attribute(*path, &place.at(1)).map(Rank::Attribute),
        ("Product", [_, a, b]) => Ok(Rank::Product(vec![inner(1, *a)?, inner(2, *b)?])),
        ("Sum" | "Max" | "Product", [_, list]) if list.kind() == Kind::Array => {
            let at = place.at(1);
            let ranks = list.elements().into_iter().flatten().enumerate();
            let ranks: Vec<Rank> = ranks
                .map(|(index, rank)| parse(rank, &at.at(index), depth + 1, budget))
                .collect::<Result<_>>()?;
            Ok(match &*name {
                "Sum" => Rank::Sum(ranks),
                "Max" => Rank::Max(ranks),
                _ => Rank::Product(ranks),
            })
        }
        ("Dist", [_, of, origin]) => {
            let of = inner(1, *of)?.into();
            Ok(Rank::Dist(of, dist_origin(*origin, &place.at(2))?))
        }
        ("Saturate", [_, of, options]) => {
            Ok(Rank::Saturate(inner(1, *of)?.into(), curve(*options, &place.at(2))?))
        }
        ("Decay", [_, of, options]) => {
            Ok(Rank::Decay(inner(1, *of)?.into(), curve(*options, &place.at(2))?))
        }
        (_, [_, op, ..]) => Err(unknown(*op, place)),
        _ => Err(SearchError::query(place, SHAPE)),
    }
}

/// What is not an expression, and why.
fn unknown(op: Json<'_>, place: &Place<'_>) -> SearchError {
    match op.string().as_deref() {
        Some("SparseKNN") => {
            SearchError::unsupported(place.at(1), "sparse vectors are not supported")
        }
        Some("ANN" | "kNN") => {
            let what = "a distance of vectors cannot be part of an expression; fuse two queries";
            SearchError::unsupported(place.at(1), what)
        }
        _ => SearchError::query(place, SHAPE),
    }
}

fn attribute(json: Json<'_>, place: &Place<'_>) -> Result<Path> {
    let Some(name) = json.string() else {
        return Err(SearchError::query(place, "expected the name of an attribute"));
    };
    Path::parse(&name).map_err(|error| SearchError::query(place, error.to_string()))
}

fn number(json: Json<'_>, place: &Place<'_>) -> Result<f64> {
    let number = json.number().and_then(|text| text.parse().ok()).filter(|n: &f64| n.is_finite());
    number.ok_or_else(|| SearchError::query(place, "expected a number"))
}

fn dist_origin(json: Json<'_>, place: &Place<'_>) -> Result<Value> {
    match natural(json) {
        Ok(value @ (Value::Int(_) | Value::Uint(_) | Value::Float(_) | Value::String(_))) => {
            Ok(value)
        }
        _ => Err(SearchError::query(place, "expected a number, or a datetime as a string")),
    }
}

fn curve(json: Json<'_>, place: &Place<'_>) -> Result<Curve> {
    let is_known = |name: &str| matches!(name, "midpoint" | "exponent");
    let unknown = json.members().map(|mut members| members.any(|(name, _)| !is_known(&name)));
    if unknown != Some(false) {
        return Err(SearchError::query(place, "expected an object of midpoint and exponent"));
    }
    let positive = |number: Option<f64>, name: &str| {
        number
            .filter(|number| number.is_finite() && *number > 0.0)
            .ok_or_else(|| SearchError::query(place, format!("{name} is a number more than 0")))
    };
    let midpoint = json.get("midpoint").and_then(|value| {
        value.string().map_or_else(|| value.number()?.parse().ok(), |text| duration(&text))
    });
    let exponent = json.get("exponent").map(|value| value.number()?.parse().ok());
    Ok(Curve {
        midpoint: positive(midpoint, "midpoint (or a duration as \"7d\")")?,
        exponent: positive(exponent.unwrap_or(Some(1.0)), "exponent")?,
    })
}

/// Seconds of a duration: a number and s, m, h, d or w.
fn duration(text: &str) -> Option<f64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * seconds)
}
