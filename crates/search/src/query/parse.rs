//! Queries as clients write them.

use super::{LIMIT_DEFAULT, LIMIT_MAX, LimitPer, Nearest, OFFSET_MAX, Query, RankBy, Search};
use crate::aggregate::{AGGREGATES_MAX, Aggregate, FACETS_MAX, Facet, GROUP_KEYS_MAX};
use crate::error::{Result, SearchError};
use crate::filter::Filter;
use crate::json::{Json, Kind};
use crate::order::OrderKey;
use crate::path::Path;
use crate::place::Place;
use crate::rank::Rank;
use crate::schema::read_vector;

impl Query {
    /// Reads a query: an object of `rank_by`, `filters`, `limit` or `top_k`, `offset`, `cursor`,
    /// `aggregate_by`, `group_by` and `facets`. A member that is null is not there.
    ///
    /// # Errors
    /// [`SearchError::Query`] with the place and what belongs there, also for any other member.
    /// [`SearchError::Unsupported`] for sparse vectors.
    pub fn parse(json: Json<'_>) -> Result<Self> {
        let Some(members) = json.members() else {
            return Err(SearchError::query("query", "a query is a JSON object"));
        };
        let mut query = Self {
            rank_by: None,
            filter: None,
            limit: LIMIT_DEFAULT,
            limit_per: None,
            offset: 0,
            cursor: None,
            aggregates: Vec::new(),
            group_by: Vec::new(),
            facets: Vec::new(),
        };
        for (name, value) in members.filter(|(_, value)| value.kind() != Kind::Null) {
            query.set(&name, value)?;
        }
        if json.get("limit").is_some() && json.get("top_k").is_some() {
            return Err(SearchError::query("top_k", "give limit or top_k, not both"));
        }
        if !query.group_by.is_empty() && query.aggregates.is_empty() {
            return Err(SearchError::query("group_by", "group_by needs aggregate_by"));
        }
        if query.cursor.is_some() && query.offset > 0 {
            return Err(SearchError::query(
                "offset",
                "a cursor has its own place; leave out offset",
            ));
        }
        Ok(query)
    }

    fn set(&mut self, name: &str, value: Json<'_>) -> Result<()> {
        let place = Place::Member(name);
        match name {
            "rank_by" => self.rank_by = Some(rank_by(value, &place)?),
            "filters" => self.filter = Some(Filter::parse_at(value, &place)?),
            "limit" | "top_k" => (self.limit, self.limit_per) = limit(value, &place)?,
            "offset" => self.offset = count(value, 0, OFFSET_MAX, &place)?,
            "cursor" => match value.string() {
                Some(text) => self.cursor = Some(text.into_owned()),
                None => return Err(SearchError::query(place, "a cursor is a string")),
            },
            "aggregate_by" => self.aggregates = aggregates(value, &place)?,
            "group_by" => self.group_by = paths(value, GROUP_KEYS_MAX, &place)?,
            "facets" => {
                self.facets = list(value, FACETS_MAX, &place)?
                    .iter()
                    .enumerate()
                    .map(|(index, facet)| Facet::parse(*facet, &place.at(index)))
                    .collect::<Result<_>>()?;
            }
            _ => return Err(SearchError::query(place, "a query has no such member")),
        }
        Ok(())
    }
}

fn rank_by(json: Json<'_>, place: &Place<'_>) -> Result<RankBy> {
    let parts: Vec<Json<'_>> = json.elements().into_iter().flatten().take(4).collect();
    let op = parts.get(1).and_then(|part| part.string());
    match (op.as_deref(), parts.as_slice()) {
        (Some("ANN" | "kNN"), [name, _, vector]) => {
            let is_exact = op.as_deref() == Some("kNN");
            let search = if is_exact { Search::Exact } else { Search::Approximate };
            let Some(name) = name.string() else {
                return Err(SearchError::query(place.at(0), "expected the name of a vector field"));
            };
            let path = Path::parse(&name)
                .map_err(|error| SearchError::query(place.at(0), error.to_string()))?;
            let vector =
                read_vector(*vector).map_err(|reason| SearchError::query(place.at(2), reason))?;
            Ok(RankBy::Nearest(Nearest { path, vector, search }))
        }
        (Some("ANN" | "kNN"), _) => {
            Err(SearchError::query(place, "expected [\"field\",\"ANN\",vector]"))
        }
        _ if OrderKey::is_one(json)
            || parts.first().is_some_and(|part| OrderKey::is_one(*part)) =>
        {
            OrderKey::parse_all(json, place).map(RankBy::Order)
        }
        _ => Rank::parse_at(json, place).map(RankBy::Score),
    }
}

fn count(json: Json<'_>, min: usize, max: usize, place: &Place<'_>) -> Result<usize> {
    let number = json.number().and_then(|text| text.parse().ok());
    number.filter(|number| (min..=max).contains(number)).ok_or_else(|| {
        SearchError::query(place, format!("expected an integer from {min} to {max}"))
    })
}

/// A number, or an object of `total` and `per`.
fn limit(json: Json<'_>, place: &Place<'_>) -> Result<(usize, Option<LimitPer>)> {
    let Some(mut members) = json.members() else {
        return Ok((count(json, 0, LIMIT_MAX, place)?, None));
    };
    if members.any(|(name, _)| !matches!(&*name, "total" | "per")) {
        return Err(SearchError::query(place, "expected a number, or an object of total and per"));
    }
    let total = match json.get("total") {
        Some(total) => count(total, 0, LIMIT_MAX, place)?,
        None => LIMIT_DEFAULT,
    };
    let Some(per) = json.get("per") else { return Ok((total, None)) };
    let parts = (per.get("attributes"), per.get("limit"), per.members().map(Iterator::count));
    let (Some(attributes), Some(limit), Some(2)) = parts else {
        return Err(SearchError::query(place, "expected per as an object of attributes and limit"));
    };
    let attributes = paths(attributes, GROUP_KEYS_MAX, place)?;
    let limit = count(limit, 1, LIMIT_MAX, place)?;
    Ok((total, Some(LimitPer { attributes, limit })))
}

fn aggregates(json: Json<'_>, place: &Place<'_>) -> Result<Vec<(String, Aggregate)>> {
    let Some(members) = json.members() else {
        return Err(SearchError::query(place, "expected an object of labels and aggregates"));
    };
    let aggregates: Vec<(String, Aggregate)> = members
        .take(AGGREGATES_MAX + 1)
        .enumerate()
        .map(|(index, (label, value))| {
            Aggregate::parse(value, &place.at(index)).map(|found| (label.into_owned(), found))
        })
        .collect::<Result<_>>()?;
    if aggregates.len() > AGGREGATES_MAX {
        let reason = format!("a query has at most {AGGREGATES_MAX} aggregates");
        return Err(SearchError::query(place, reason));
    }
    Ok(aggregates)
}

/// The elements of an array of 1 to `max`.
fn list<'a>(json: Json<'a>, max: usize, place: &Place<'_>) -> Result<Vec<Json<'a>>> {
    let elements: Vec<Json<'a>> = json.elements().into_iter().flatten().take(max + 1).collect();
    if elements.is_empty() || elements.len() > max {
        return Err(SearchError::query(place, format!("expected an array of 1 to {max} elements")));
    }
    Ok(elements)
}

fn paths(json: Json<'_>, max: usize, place: &Place<'_>) -> Result<Vec<Path>> {
    let elements = list(json, max, place)?;
    let read = |(index, element): (usize, &Json<'_>)| {
        let at = place.at(index);
        let Some(name) = element.string() else {
            return Err(SearchError::query(at, "expected the name of an attribute"));
        };
        Path::parse(&name).map_err(|error| SearchError::query(at, error.to_string()))
    };
    elements.iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use base::error::{Code, Coded};

    use super::*;

    fn parse(text: &str) -> Result<Query> {
        Query::parse(Json::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn queries_of_the_wire_language_are_read() {
        let query = parse(
            r#"{"filters":["And",[["t","Eq","a"],["n","Gte",3]]],"rank_by":["vector","ANN",[0.5,0.25]],
                "top_k":7,"offset":null}"#,
        )
        .unwrap();
        let Some(RankBy::Nearest(nearest)) = &query.rank_by else { panic!("{query:?}") };
        assert_eq!((&*nearest.vector, nearest.search), (&[0.5, 0.25][..], Search::Approximate));
        assert_eq!((query.limit, query.has_rows()), (7, true));
        let base64 = parse(r#"{"rank_by":["v","kNN","zczMPc3MTD4="]}"#).unwrap().rank_by;
        let Some(RankBy::Nearest(nearest)) = base64 else { panic!() };
        assert_eq!((&*nearest.vector, nearest.search), (&[0.1, 0.2][..], Search::Exact));
        let query = parse(
            r#"{"limit":{"total":5,"per":{"attributes":["a","b.c"],"limit":2}},"rank_by":[["a","asc"],["b","desc"]],
                "facets":["a",{"attribute":"b","limit":3}]}"#,
        )
        .unwrap();
        assert_eq!(
            query.limit_per.as_ref().map(|per| (per.attributes.len(), per.limit)),
            Some((2, 2))
        );
        assert!(matches!(&query.rank_by, Some(RankBy::Order(keys)) if keys.len() == 2));
        assert_eq!(query.facets.iter().map(|facet| facet.limit).collect::<Vec<_>>(), [10, 3]);
        let query =
            parse(r#"{"aggregate_by":{"n":["Count"],"s":["Sum","a"]},"group_by":["b"]}"#).unwrap();
        assert!(!query.has_rows() && query.aggregates.len() == 2);
        for text in [r#"["Sum",[1]]"#, r#"["t","BM25","quick fox",{"last_as_prefix":true}]"#] {
            let rank_by = parse(&format!("{{\"rank_by\":{text}}}")).unwrap().rank_by;
            assert!(matches!(rank_by, Some(RankBy::Score(_))), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, place) in [
            ("[]", "query"),
            (r#"{"colour":1}"#, "colour"),
            (r#"{"limit":1,"top_k":1}"#, "top_k"),
            (r#"{"limit":10001}"#, "limit"),
            (r#"{"limit":-1}"#, "limit"),
            (r#"{"limit":{"total":1,"each":1}}"#, "limit"),
            (r#"{"limit":{"per":{"attributes":["a"]}}}"#, "limit"),
            (r#"{"limit":{"per":{"attributes":[],"limit":1}}}"#, "limit"),
            (r#"{"limit":{"per":{"attributes":["a"],"limit":0}}}"#, "limit"),
            (r#"{"offset":10001}"#, "offset"),
            (r#"{"offset":1,"cursor":"x"}"#, "offset"),
            (r#"{"cursor":1}"#, "cursor"),
            (r#"{"group_by":["a"]}"#, "group_by"),
            (r#"{"group_by":[1]}"#, "group_by[0]"),
            (r#"{"aggregate_by":[]}"#, "aggregate_by"),
            (r#"{"aggregate_by":{"a":["Sum"]}}"#, "aggregate_by[0]"),
            (r#"{"aggregate_by":{"a":["Median","b"]}}"#, "aggregate_by[0][0]"),
            (r#"{"facets":[{"limit":1}]}"#, "facets[0]"),
            (r#"{"facets":[{"attribute":"a","limit":0}]}"#, "facets[0]"),
            (r#"{"rank_by":["v","ANN"]}"#, "rank_by"),
            (r#"{"rank_by":["v","ANN",[]]}"#, "rank_by[2]"),
            (r#"{"rank_by":["v","ANN",[1,"x"]]}"#, "rank_by[2]"),
            (r#"{"rank_by":["v","ANN","x"]}"#, "rank_by[2]"),
            (r#"{"rank_by":[["a","asc"],["b","up"]]}"#, "rank_by[1][1]"),
            (r#"{"filters":[1]}"#, "filters"),
        ] {
            let error = parse(text).unwrap_err();
            let SearchError::Query { place: found, .. } = &error else { panic!("{text}: {error}") };
            assert_eq!(&**found, place, "{text}: {error}");
        }
        let sparse = parse(r#"{"rank_by":["s","SparseKNN",{"a":1}]}"#);
        assert_eq!(sparse.unwrap_err().code(), Code::Unsupported);
    }
}
