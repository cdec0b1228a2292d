//! Cursors: where an answer ended, so that the next one goes on after it.
//!
//! A cursor is the position of the last row, with its values, and the sum of the query that it belongs to:
//! a cursor of another query is refused. Rows that are written or deleted in between neither repeat nor hide
//! others. It is text for clients to hand back (base64 of JSON), not to read; it is no secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::{Result, SearchError};
use crate::json::{Json, Kind, write_list};
use crate::order::{Direction, Part, Position};
use crate::value::{Scalar, Value, ValueType, decode};

impl Position {
    /// The cursor of a position in the answers of the query with this sum.
    #[must_use]
    pub fn to_cursor(&self, query: u32) -> String {
        let mut out = format!("{{\"q\":{query},\"k\":");
        write_list(('[', ']'), &self.parts, &mut out, |part, out| {
            write_tagged(part.value.as_ref(), out);
        });
        out.push_str(",\"id\":");
        write_tagged(Some(&self.id), &mut out);
        out.push('}');
        URL_SAFE_NO_PAD.encode(out)
    }

    /// Reads a cursor of the query with this sum, whose answers are ordered in these directions.
    ///
    /// # Errors
    /// [`SearchError::Query`] for what is no cursor, or one of another query.
    pub fn from_cursor(text: &str, query: u32, directions: &[Direction]) -> Result<Self> {
        let refuse = |reason: &'static str| SearchError::query("cursor", reason);
        let malformed = || refuse("this is no cursor; give one as it was answered");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed())?;
        let json = Json::parse(&bytes).map_err(|_| malformed())?;
        let sum = json.get("q").and_then(Json::number).and_then(|text| text.parse::<u32>().ok());
        if sum.ok_or_else(malformed)? != query {
            return Err(refuse("the cursor is one of another query; begin again without one"));
        }
        let id = json.get("id").and_then(read_tagged).flatten().ok_or_else(malformed)?;
        let values: Option<Vec<Option<Value>>> =
            json.get("k").and_then(Json::elements).and_then(|keys| keys.map(read_tagged).collect());
        let values = values.filter(|values| values.len() == directions.len());
        let parts = values.ok_or_else(malformed)?.into_iter().zip(directions);
        let parts = parts.map(|(value, direction)| Part { direction: *direction, value });
        Ok(Self { parts: parts.collect(), id })
    }
}

/// `["type",value]`, or null for what is missing.
fn write_tagged(value: Option<&Value>, out: &mut String) {
    let (Some(value), Some(scalar)) = (value, value.and_then(scalar_of)) else {
        out.push_str("null");
        return;
    };
    out.push_str("[\"");
    out.push_str(scalar.name());
    out.push_str("\",");
    value.write_json(out);
    out.push(']');
}

/// None of what is malformed, and a missing value of null.
fn read_tagged(json: Json<'_>) -> Option<Option<Value>> {
    if json.kind() == Kind::Null {
        return Some(None);
    }
    let mut parts = json.elements()?;
    let kind = ValueType::parse(&parts.next()?.string()?).filter(|kind| !kind.is_array)?;
    decode(parts.next()?, kind).ok()?.map(Some)
}

/// The type of one value; none of an array, by which nothing is ordered.
const fn scalar_of(value: &Value) -> Option<Scalar> {
    Some(match value {
        Value::Bool(_) => Scalar::Bool,
        Value::Int(_) => Scalar::Int,
        Value::Uint(_) => Scalar::Uint,
        Value::Float(_) => Scalar::Float,
        Value::DateTime(_) => Scalar::DateTime,
        Value::Uuid(_) => Scalar::Uuid,
        Value::String(_) => Scalar::String,
        Value::Array(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::tests::any_scalar;

    #[test]
    fn what_is_no_cursor_of_this_query_is_refused() {
        let part = Part { direction: Direction::Ascending, value: Some(Value::Int(1)) };
        let cursor = Position { parts: vec![part], id: Value::Uint(7) }.to_cursor(5);
        let up = [Direction::Ascending];
        assert!(Position::from_cursor(&cursor, 5, &up).is_ok());
        let error = Position::from_cursor(&cursor, 6, &up).unwrap_err();
        assert!(error.to_string().contains("another query"), "{error}");
        assert!(Position::from_cursor(&cursor, 5, &[]).is_err());
        for json in [
            "",
            "{}",
            "[]",
            r#"{"q":5}"#,
            r#"{"q":5,"k":[null],"id":null}"#,
            r#"{"q":5,"k":[["int","x"]],"id":["uint",1]}"#,
            r#"{"q":5,"k":[["[]int",[1]]],"id":["uint",1]}"#,
        ] {
            assert!(
                Position::from_cursor(&URL_SAFE_NO_PAD.encode(json), 5, &up).is_err(),
                "{json}"
            );
        }
        assert!(Position::from_cursor("?", 5, &up).is_err());
    }

    proptest! {
        #[test]
        fn positions_read_back_from_their_cursors(
            values in prop::collection::vec(prop::option::of(any_scalar()), 0..4),
            id in any_scalar(),
            query in any::<u32>(),
        ) {
            let direction = Direction::Descending;
            let directions = vec![direction; values.len()];
            let parts = values.into_iter().map(|value| Part { direction, value }).collect();
            let position = Position { parts, id };
            let cursor = position.to_cursor(query);
            prop_assert_eq!(Position::from_cursor(&cursor, query, &directions), Ok(position));
        }
    }
}
