//! Documents as the values that the validator works on, without losing a number on the way.
//!
//! The validator knows integers of 64 bits and doubles. A number of JSON may be neither, and its
//! nearest double may be on the other side of a limit. So a number is *exact* if it is a 64-bit
//! integer, or if it is the shortest text of its double or the same number written otherwise:
//! two exact numbers are equal, less or greater as their doubles are. Everything that a program
//! with doubles writes is exact. Others are refused, unless the schema has no keyword that looks
//! at a number's value: then they only have to be numbers.

use base::document::Decoded;
use serde_json::{Map, Number, Value};

use crate::patch::equal::numbers;
use crate::patch::text::{Key, Kind, Span, Text};
use base::document::Document;

/// Whether the values of numbers matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    /// They do: each must be exact.
    Judged,
    /// They do not: one that is not exact is replaced by some other number.
    Unjudged,
}

/// The value of a document, or the path of the first number that is not exact although it must be.
pub(super) fn value_of(document: &Document, numbers: Numbers) -> Result<Value, Box<str>> {
    let text = Text::new(document.as_bytes());
    let (_, span, _) = text.parts();
    convert(span, numbers).map_err(|mut path| {
        path.reverse();
        path.concat().into()
    })
}

/// Recursion is as deep as documents nest. An error is the steps to the number, innermost first.
fn convert(span: Span<'_>, numbers: Numbers) -> Result<Value, Vec<String>> {
    let bytes = span.bytes();
    match (span.kind(), bytes.first()) {
        (Some(Kind::Array), _) => {
            let elements = span.entries().into_iter().flatten().enumerate();
            let element = |(at, entry): (usize, crate::patch::text::Entry<'_>)| {
                convert(entry.value, numbers).map_err(|path| step(path, &at.to_string()))
            };
            elements.map(element).collect::<Result<_, _>>().map(Value::Array)
        }
        (Some(Kind::Object), _) => {
            let mut members = Map::new();
            for entry in span.entries().into_iter().flatten() {
                let key = key_text(entry.key);
                let value = convert(entry.value, numbers);
                let value = value.map_err(|path| step(path, &key))?;
                members.insert(key, value);
            }
            Ok(Value::Object(members))
        }
        (None, Some(b'"')) => {
            let content = bytes.get(1..bytes.len().saturating_sub(1)).unwrap_or_default();
            Ok(Value::String(decoded(content)))
        }
        (None, Some(b't')) => Ok(Value::Bool(true)),
        (None, Some(b'f')) => Ok(Value::Bool(false)),
        (None, Some(b'n') | None) => Ok(Value::Null),
        (None, Some(_)) => match (number(bytes), numbers) {
            (Some(exact), _) => Ok(Value::Number(exact)),
            (None, Numbers::Unjudged) => Ok(Value::from(0.5)),
            (None, Numbers::Judged) => Err(Vec::new()),
        },
    }
}

fn step(mut path: Vec<String>, token: &str) -> Vec<String> {
    path.push(format!("/{}", token.replace('~', "~0").replace('/', "~1")));
    path
}

fn key_text(key: Key<'_>) -> String {
    match key {
        Key::Written { raw, .. } => decoded(raw),
        Key::Added(name) => name.to_owned(),
        Key::None => String::new(),
    }
}

/// Documents are UTF-8, so nothing is lost.
fn decoded(content: &[u8]) -> String {
    String::from_utf8_lossy(&Decoded::new(content).collect::<Vec<u8>>()).into_owned()
}

/// The number that this text is, if that is exact.
fn number(text: &[u8]) -> Option<Number> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(integer) = text.parse::<u64>() {
        return Some(integer.into());
    }
    if let Ok(integer) = text.parse::<i64>() {
        return Some(integer.into());
    }
    let double: f64 = text.parse().ok()?;
    // Infinite ones are no JSON numbers, and so have no exact text.
    let number = Number::from_f64(double)?;
    numbers(text.as_bytes(), format!("{double:e}").as_bytes()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn numbers_are_exact_or_refused() {
        for text in [
            "0",
            "-0",
            "1.0",
            "0.1",
            "-1.5e3",
            "18446744073709551615",
            "-9223372036854775808",
            "9007199254740993",
            "0.30000000000000004",
            "1.7976931348623157e308",
            "5e-324",
            "100000000000000000000",
            "1e22",
            "1.10",
            "123456789012345000000000000000",
        ] {
            assert!(number(text.as_bytes()).is_some(), "{text}");
        }
        for text in [
            "1e400",
            "-1e400",
            "1e-400",
            "9007199254740993.0",
            "1.00000000000000000000000001",
            "18446744073709551617",
            "0.1000000000000000055511151231257827",
            "123456789012345678901234567890.5",
        ] {
            assert!(number(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn the_path_of_a_number_that_is_not_exact_is_named() {
        let path = |text| value_of(&document(text), Numbers::Judged).unwrap_err();
        assert_eq!(&*path("1e400"), "");
        assert_eq!(&*path(r#"{"a":[1,{"b/~":1e400}]}"#), "/a/1/b~1~0");
        let unjudged = value_of(&document(r#"{"a":[1,{"b":1e400}]}"#), Numbers::Unjudged);
        assert!(unjudged.is_ok_and(|value| value["a"][1]["b"].is_f64()));
    }

    #[test]
    fn values_are_those_of_the_text() {
        let text = r#" {"\u0061":["é\n",true , false,null,-7,2.5,{ }], "":[]} "#;
        let expect: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value_of(&document(text), Numbers::Judged), Ok(expect));
        let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
        assert!(value_of(&document(&deep), Numbers::Judged).is_ok());
    }
}
