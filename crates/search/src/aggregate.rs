//! Numbers about all rows that a filter lets through: counts, sums, extremes, means, by groups and by facets.
//!
//! Integers are added exactly, beyond 64 bits too. Floats are added with the compensation of Neumaier
//! (1974), so that the result depends on the order of rows in its last bits at most; a sum beyond the
//! greatest float is that float. What is missing is left out, and a group by an attribute that is missing is
//! a group of its own.

mod accumulate;

use crate::error::{Result, SearchError};
use crate::json::{Json, Kind};
use crate::path::Path;
use crate::place::Place;
use crate::value::Value;

pub(crate) use accumulate::{
    Accumulator, FacetCounter, Kind as AggregateKind, Totals, too_many_groups, too_many_values,
};

/// Most aggregates of one query.
pub const AGGREGATES_MAX: usize = 32;
/// Most attributes that one query may group by.
pub const GROUP_KEYS_MAX: usize = 8;
/// Most groups, and most different values of a facet.
pub const GROUPS_MAX: usize = 10_000;
/// Most facets of one query.
pub const FACETS_MAX: usize = 16;
/// Most values that a facet may answer.
pub const FACET_VALUES_MAX: usize = 1_000;
/// Values that a facet answers unless asked for another number.
const FACET_VALUES_DEFAULT: usize = 10;

/// A number about rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aggregate {
    /// How many rows there are.
    Count,
    /// How many rows have the attribute.
    CountOf(Path),
    /// The sum of a number; 0 of no rows.
    Sum(Path),
    /// The least value.
    Min(Path),
    /// The greatest value.
    Max(Path),
    /// The mean of a number.
    Avg(Path),
}

impl Aggregate {
    /// Reads `["Count"]`, `["Count",attribute]`, `["Sum",attribute]` and so on.
    pub(crate) fn parse(json: Json<'_>, place: &Place<'_>) -> Result<Self> {
        let parts: Vec<_> = json.elements().into_iter().flatten().take(3).collect();
        let texts: Vec<_> = parts.iter().filter_map(|part| part.string()).collect();
        let shape = "expected [\"Count\"] or one of Count, Sum, Min, Max, Avg with an attribute";
        let (name, path) = match texts.as_slice() {
            [name] if parts.len() == 1 && name == "Count" => return Ok(Self::Count),
            [name, path] if parts.len() == 2 => (name, path),
            _ => return Err(SearchError::query(place, shape)),
        };
        let path = Path::parse(path)
            .map_err(|error| SearchError::query(place.at(1), error.to_string()))?;
        match &**name {
            "Count" => Ok(Self::CountOf(path)),
            "Sum" => Ok(Self::Sum(path)),
            "Min" => Ok(Self::Min(path)),
            "Max" => Ok(Self::Max(path)),
            "Avg" => Ok(Self::Avg(path)),
            _ => Err(SearchError::query(place.at(0), shape)),
        }
    }

    /// The attribute that it is about.
    #[must_use]
    pub const fn path(&self) -> Option<&Path> {
        match self {
            Self::Count => None,
            Self::CountOf(path)
            | Self::Sum(path)
            | Self::Min(path)
            | Self::Max(path)
            | Self::Avg(path) => Some(path),
        }
    }
}

/// The commonest values of an attribute; of an array each element counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facet {
    /// Which attribute.
    pub path: Path,
    /// How many values to answer.
    pub limit: usize,
}

impl Facet {
    /// Reads `"attribute"` or `{"attribute":"a","limit":10}`.
    pub(crate) fn parse(json: Json<'_>, place: &Place<'_>) -> Result<Self> {
        let is_known = |name: &str| matches!(name, "attribute" | "limit");
        let shape = "expected the name of an attribute, or an object of attribute and limit";
        let has_unknown =
            |json: Json<'_>| json.members().into_iter().flatten().any(|(name, _)| !is_known(&name));
        let name = match json.kind() {
            Kind::Object if has_unknown(json) => None,
            Kind::Object => json.get("attribute"),
            Kind::Null | Kind::Bool(_) | Kind::Number | Kind::String | Kind::Array => Some(json),
        };
        let Some(name) = name.and_then(Json::string) else {
            return Err(SearchError::query(place, shape));
        };
        let path =
            Path::parse(&name).map_err(|error| SearchError::query(place, error.to_string()))?;
        let limit = match json.get("limit") {
            None => Some(FACET_VALUES_DEFAULT),
            Some(limit) => limit.number().and_then(|text| text.parse().ok()),
        };
        match limit.filter(|limit| (1..=FACET_VALUES_MAX).contains(limit)) {
            Some(limit) => Ok(Self { path, limit }),
            None => {
                let reason = format!("the limit of a facet is 1 to {FACET_VALUES_MAX}");
                Err(SearchError::query(place, reason))
            }
        }
    }
}

/// The result of an aggregate.
#[derive(Debug, Clone, PartialEq)]
pub enum Total {
    /// A count, or a sum of integers.
    Integer(i128),
    /// A sum or a mean.
    Float(f64),
    /// The least or the greatest value.
    Value(Value),
    /// There was no value.
    Missing,
}

impl Total {
    /// Writes it as JSON: an integer with all its digits, what is missing as null.
    pub fn write_json(&self, out: &mut String) {
        use std::fmt::Write as _;
        let _ = match self {
            Self::Integer(integer) => write!(out, "{integer}"),
            Self::Float(float) => write!(out, "{float:?}"),
            Self::Value(value) => {
                value.write_json(out);
                Ok(())
            }
            Self::Missing => write!(out, "null"),
        };
    }
}

/// A group of rows and its totals, in the order of the query's aggregates.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The values that its rows share, in the order of `group_by`; none is missing.
    pub key: Vec<Option<Value>>,
    /// The totals.
    pub totals: Vec<Total>,
}
