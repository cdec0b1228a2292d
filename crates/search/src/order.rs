//! The order of answers: by attributes, or by a number that was calculated.
//!
//! A value that is missing comes last, whichever way the order goes: who sorts by price, falling or rising,
//! wants to see prices. What is equal in everything is ordered by id, so the order is total and a cursor
//! has exactly one place in it.

use std::cmp::Ordering;

use crate::error::{Result, SearchError};
use crate::json::{Json, write_list, write_string};
use crate::path::Path;
use crate::place::Place;
use crate::value::Value;

/// Most attributes that one query may be ordered by.
pub const ORDER_KEYS_MAX: usize = 8;

/// Which way an order goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The least first.
    Ascending,
    /// The greatest first.
    Descending,
}

/// One attribute to order by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderKey {
    /// Which.
    pub path: Path,
    /// Which way.
    pub direction: Direction,
}

impl OrderKey {
    /// Whether a JSON value looks like one: `["attribute","asc"]`.
    pub(crate) fn is_one(json: Json<'_>) -> bool {
        let direction = json.elements().and_then(|mut parts| parts.nth(1)).and_then(Json::string);
        matches!(direction.as_deref(), Some("asc" | "desc"))
    }

    /// Reads one, or an array of them.
    pub(crate) fn parse_all(json: Json<'_>, place: &Place<'_>) -> Result<Vec<Self>> {
        if Self::is_one(json) {
            return Ok(vec![Self::parse(json, place)?]);
        }
        let keys: Vec<Json<'_>> =
            json.elements().into_iter().flatten().take(ORDER_KEYS_MAX + 1).collect();
        if keys.is_empty() || keys.len() > ORDER_KEYS_MAX {
            let reason = format!("an order has 1 to {ORDER_KEYS_MAX} attributes");
            return Err(SearchError::query(place, reason));
        }
        keys.iter().enumerate().map(|(at, key)| Self::parse(*key, &place.at(at))).collect()
    }

    fn parse(json: Json<'_>, place: &Place<'_>) -> Result<Self> {
        let parts: Vec<_> = json.elements().into_iter().flatten().take(3).collect();
        let texts: Vec<_> = parts.iter().filter_map(|part| part.string()).collect();
        let (path, direction) = match texts.as_slice() {
            [path, direction] if parts.len() == 2 => (path, direction),
            _ => return Err(SearchError::query(place, "expected [\"attribute\",\"asc\"]")),
        };
        let direction = match &**direction {
            "asc" => Direction::Ascending,
            "desc" => Direction::Descending,
            _ => return Err(SearchError::query(place.at(1), "expected \"asc\" or \"desc\"")),
        };
        let path = Path::parse(path)
            .map_err(|error| SearchError::query(place.at(0), error.to_string()))?;
        Ok(Self { path, direction })
    }

    pub(crate) fn write_all(keys: &[Self], out: &mut String) {
        write_list(('[', ']'), keys, out, |key, out| {
            out.push('[');
            write_string(&key.path.to_string(), out);
            out.push_str(match key.direction {
                Direction::Ascending => ",\"asc\"]",
                Direction::Descending => ",\"desc\"]",
            });
        });
    }
}

/// Where a row stands by one attribute or one number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Which way the order goes.
    pub direction: Direction,
    /// The value; none is missing.
    pub value: Option<Value>,
}

impl Ord for Part {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.value, &other.value) {
            (Some(a), Some(b)) if self.direction == Direction::Ascending => a.cmp(b),
            (Some(a), Some(b)) => b.cmp(a),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        }
    }
}

impl PartialOrd for Part {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where a row stands among the answers of one query: less is earlier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// By what the query is ordered by.
    pub parts: Vec<Part>,
    /// The id, as a value: ids sort as their values do.
    pub id: Value,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::tests::any_scalar;

    fn part(direction: Direction, value: Option<i64>) -> Part {
        Part { direction, value: value.map(Value::Int) }
    }

    #[test]
    fn what_is_missing_comes_last_either_way() {
        for (direction, expect) in [
            (Direction::Ascending, [Some(1), Some(2), None]),
            (Direction::Descending, [Some(2), Some(1), None]),
        ] {
            let mut parts = [None, Some(2), Some(1)].map(|value| part(direction, value));
            parts.sort();
            assert_eq!(parts, expect.map(|value| part(direction, value)));
        }
    }

    #[test]
    fn orders_are_read_and_what_is_none_is_refused() {
        let parse = |text: &str| {
            let json = Json::parse(text.as_bytes()).unwrap();
            OrderKey::parse_all(json, &Place::Member("rank_by"))
        };
        for (text, written) in [
            (r#"["a.b","desc"]"#, r#"[["a.b","desc"]]"#),
            (r#"[["/a/b","asc"],["id","desc"]]"#, r#"[["a.b","asc"],["id","desc"]]"#),
        ] {
            let mut out = String::new();
            OrderKey::write_all(&parse(text).unwrap(), &mut out);
            assert_eq!(out, written);
        }
        let nine = format!("[{}]", [r#"["a","asc"]"#; ORDER_KEYS_MAX + 1].join(","));
        for text in ["[]", "[1]", r#"[["a"]]"#, r#"[["a","up"]]"#, r#"[["a","asc",1]]"#, &nine] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn positions_have_a_total_order(
            parts in prop::collection::vec((prop::option::of(any_scalar()), any::<bool>()), 3),
        ) {
            let part = |(value, up): &(Option<Value>, bool)| {
                let direction = if *up { Direction::Ascending } else { Direction::Descending };
                Part { direction, value: value.clone() }
            };
            // Positions of one query go the same way.
            let way = parts[0].1;
            let [a, b, c] = [0, 1, 2].map(|at| part(&(parts[at].0.clone(), way)));
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
        }
    }
}
