//! From JSON to a value of a type: nothing is converted, rounded or dropped on the way.
//!
//! The reason of a refusal is a text without the path, which the caller knows.

use uuid::Uuid;

use super::{DateTime, Scalar, Value, ValueType};
use crate::json::{Json, Kind};

/// Reads a value of a type. `null` and an array without elements are missing: none.
///
/// # Errors
/// A text that says what does not fit and what would.
pub fn decode(json: Json<'_>, kind: ValueType) -> Result<Option<Value>, String> {
    if json.kind() == Kind::Null {
        return Ok(None);
    }
    if !kind.is_array {
        return decode_scalar(json, kind.scalar).map(Some);
    }
    let Some(elements) = json.elements() else {
        return Err(format!("expected an array for {kind}, found {}", json.kind().name()));
    };
    let values: Vec<Value> = elements
        .enumerate()
        .map(|(index, element)| {
            decode_scalar(element, kind.scalar)
                .map_err(|reason| format!("element {index}: {reason}"))
        })
        .collect::<Result<_, _>>()?;
    Ok(if values.is_empty() { None } else { Some(Value::Array(values.into())) })
}

fn decode_scalar(json: Json<'_>, scalar: Scalar) -> Result<Value, String> {
    let refuse = || {
        let (name, kind) = (scalar.name(), json.kind());
        let fits = match scalar {
            Scalar::String => "a string",
            Scalar::Int | Scalar::Uint | Scalar::Float => "a number",
            Scalar::Bool => "true or false",
            Scalar::Uuid => "a string as 00112233-4455-6677-8899-aabbccddeeff",
            Scalar::DateTime => "a string as 2024-01-31T23:59:59.5Z, from 1678 to 2261",
        };
        format!("expected {name}, {fits}; found {}: {}", kind.name(), json.excerpt())
    };
    match scalar {
        Scalar::String => json.string().map(|text| Value::String(text.into())).ok_or_else(refuse),
        Scalar::Bool => match json.kind() {
            Kind::Bool(bool) => Ok(Value::Bool(bool)),
            Kind::Null | Kind::Number | Kind::String | Kind::Array | Kind::Object => Err(refuse()),
        },
        Scalar::Uuid => json
            .string()
            .filter(|text| text.len() == uuid::fmt::Hyphenated::LENGTH)
            .and_then(|text| Uuid::try_parse(&text).ok())
            .map(Value::Uuid)
            .ok_or_else(refuse),
        Scalar::DateTime => json
            .string()
            .and_then(|text| DateTime::parse(&text))
            .map(Value::DateTime)
            .ok_or_else(refuse),
        Scalar::Int => int(json.number().ok_or_else(refuse)?),
        Scalar::Uint => uint(json.number().ok_or_else(refuse)?),
        Scalar::Float => float(json.number().ok_or_else(refuse)?),
    }
}

fn int(text: &str) -> Result<Value, String> {
    let refuse = |_| format!("expected an integer from -2^63 to 2^63 - 1, found {text}");
    text.parse().map(Value::Int).map_err(refuse)
}

fn uint(text: &str) -> Result<Value, String> {
    let refuse = |_| format!("expected an integer from 0 to 2^64 - 1, found {text}");
    // The one negative number that is none.
    if text == "-0" { Ok(Value::Uint(0)) } else { text.parse().map(Value::Uint).map_err(refuse) }
}

fn float(text: &str) -> Result<Value, String> {
    let finite = text.parse().ok().filter(|float: &f64| float.is_finite());
    let Some(float) = finite else { return Err(format!("{text} is beyond what a float holds")) };
    if is_integer(text) && !is_exactly(text, float) {
        let advice = "declare the attribute as int, uint or string";
        return Err(format!("a float holds the integer {text} only rounded; {advice}"));
    }
    Ok(Value::Float(float))
}

/// The value of a number, string or bool by its own text, for a document whose schema is not known yet and
/// for a number in a query: an integer that fits is an int, else a uint.
///
/// # Errors
/// For an integer beyond 64 bits, a number beyond a float, null, an array and an object.
pub fn natural(json: Json<'_>) -> Result<Value, String> {
    match json.kind() {
        Kind::Bool(bool) => Ok(Value::Bool(bool)),
        Kind::String => decode_scalar(json, Scalar::String),
        Kind::Number => {
            let text = json.number().unwrap_or_default();
            if !is_integer(text) {
                return float(text);
            }
            let refuse = |_| format!("the integer {text} is beyond 64 bits; send it as a string");
            int(text).or_else(|_| uint(text)).map_err(refuse)
        }
        Kind::Null | Kind::Array | Kind::Object => {
            Err(format!("expected one value, found {}: {}", json.kind().name(), json.excerpt()))
        }
    }
}

fn is_integer(text: &str) -> bool {
    !text.contains(['.', 'e', 'E'])
}

/// Whether the digits of an integer are those of the float. Display writes all digits of a float that is
/// integral, whatever its size.
fn is_exactly(text: &str, float: f64) -> bool {
    text.trim_start_matches('-') == format!("{}", float.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, kind: &str) -> Result<Option<Value>, String> {
        decode(Json::parse(text.as_bytes()).unwrap(), ValueType::parse(kind).unwrap())
    }

    #[test]
    fn values_are_read_as_their_type_says() {
        let array = |values: Vec<Value>| Value::Array(values.into());
        for (text, kind, expect) in [
            ("9223372036854775807", "int", Value::Int(i64::MAX)),
            ("-0", "int", Value::Int(0)),
            ("18446744073709551615", "uint", Value::Uint(u64::MAX)),
            ("-0", "uint", Value::Uint(0)),
            ("9007199254740992", "float", Value::Float(9_007_199_254_740_992.0)),
            ("-3", "float", Value::Float(-3.0)),
            ("1e2", "float", Value::Float(100.0)),
            ("\"\\u0061\"", "string", Value::String("a".into())),
            ("[1,2]", "[]int", array(vec![Value::Int(1), Value::Int(2)])),
            ("[true]", "[]bool", array(vec![Value::Bool(true)])),
        ] {
            assert_eq!(read(text, kind), Ok(Some(expect)), "{text} as {kind}");
        }
        for (text, kind) in [("null", "int"), ("null", "[]int"), ("[]", "[]string")] {
            assert_eq!(read(text, kind), Ok(None), "{text} as {kind}");
        }
    }

    #[test]
    fn no_value_is_rounded_or_converted() {
        for (text, kind, reason) in [
            ("9223372036854775808", "int", "2^63 - 1"),
            ("1.0", "int", "an integer"),
            ("-1", "uint", "from 0"),
            ("1e999", "float", "beyond what a float holds"),
            ("9007199254740993", "float", "only rounded"),
            ("\"1\"", "int", "found a string"),
            ("1", "string", "found a number"),
            ("1", "bool", "true or false"),
            ("\"x\"", "uuid", "00112233"),
            ("\"urn:uuid:00112233-4455-6677-8899-aabbccddeeff\"", "uuid", "00112233"),
            ("\"yesterday\"", "datetime", "2024-01-31"),
            ("[1,null]", "[]int", "element 1"),
            ("[[1]]", "[]int", "element 0"),
            ("1", "[]int", "expected an array"),
            ("[1]", "int", "found an array"),
        ] {
            let error = read(text, kind).unwrap_err();
            assert!(error.contains(reason), "{text} as {kind}: {error}");
        }
    }

    #[test]
    fn numbers_without_a_type_are_the_smallest_that_holds_them() {
        for (text, debug) in [
            ("1", "Int(1)"),
            ("9223372036854775808", "Uint(9223372036854775808)"),
            ("1.0", "Float(1.0)"),
            ("\"a\"", "String(\"a\")"),
            ("true", "Bool(true)"),
        ] {
            let value = natural(Json::parse(text.as_bytes()).unwrap()).unwrap();
            assert_eq!(format!("{value:?}"), debug);
        }
        for text in ["18446744073709551616", "-9223372036854775809", "null", "[]", "{}"] {
            assert!(natural(Json::parse(text.as_bytes()).unwrap()).is_err(), "{text}");
        }
    }
}
