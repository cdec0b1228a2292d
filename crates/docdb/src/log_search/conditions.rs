//! Conditions on structured data, as a user types them into one line.
//!
//! | typed | asks for |
//! |---|---|
//! | `user.name=ann` | the value there is `ann` |
//! | `code=500,502` | one of several |
//! | `code!=200` | it is none of them, or there is none |
//! | `trace_id` | there is a value |
//! | `a=1;b=2` | both |
//! | `note="a;b,c"` | a value in quotes is taken as it is, with the escapes of JSON |

use logstore::{JsonIs, JsonPath, Polarity};

use super::wrong;
use crate::engine::Result;

/// Reads conditions.
///
/// # Errors
/// `InvalidQuery` when a path or a quoted value is none.
pub fn conditions(text: &str) -> Result<Vec<JsonIs>> {
    let parts = split(text, ';')?;
    parts.into_iter().filter(|part| !part.trim().is_empty()).map(condition).collect()
}

fn condition(text: &str) -> Result<JsonIs> {
    let text = text.trim();
    let halves = split(text, '=')?;
    let (path, values) = match halves.first() {
        // Only the first one counts; values may have more.
        Some(path) if path.len() < text.len() => {
            (*path, Some(text.get(path.len() + 1..).unwrap_or_default()))
        }
        _ => (text, None),
    };
    let (path, polarity) = match path.strip_suffix('!') {
        Some(path) if values.is_some() => (path, Polarity::IsNot),
        _ => (path, Polarity::Is),
    };
    let values = values.map_or(Ok(Vec::new()), |values| {
        split(values, ',')?.into_iter().map(value).collect::<Result<_>>()
    })?;
    Ok(JsonIs { path: JsonPath::parse(path)?, values, polarity })
}

fn value(text: &str) -> Result<String> {
    if !text.starts_with('"') {
        return Ok(text.to_owned());
    }
    let quoted = serde_json::from_str(text);
    quoted.map_err(|_| wrong("a value of sd that begins with a quote is a string of JSON"))
}

/// The parts between `at`s that do not stand in quotes or brackets.
fn split(text: &str, at: char) -> Result<Vec<&str>> {
    let (mut parts, mut begins, mut depth) = (Vec::new(), 0, 0_u32);
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((index, char)) = chars.next() {
        match (quote, char) {
            (Some(_), '\\') => drop(chars.next()),
            (Some(open), _) if open == char => quote = None,
            (None, '"') => quote = Some(char),
            (None, '[') => depth = depth.saturating_add(1),
            (None, ']') => depth = depth.saturating_sub(1),
            (None, char) if char == at && depth == 0 => {
                parts.push(text.get(begins..index).unwrap_or_default());
                begins = index + char.len_utf8();
            }
            _ => {}
        }
    }
    if quote.is_some() {
        return Err(wrong("a quote in sd is not closed"));
    }
    parts.push(text.get(begins..).unwrap_or_default());
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<Vec<String>> {
        let show = |is: &JsonIs| {
            let sign = if is.polarity == Polarity::Is { "=" } else { "!=" };
            format!("{sign}{}", is.values.join("|"))
        };
        Ok(conditions(text)?.iter().map(show).collect())
    }

    #[test]
    fn conditions_are_read_as_they_are_typed() {
        for (text, expected) in [
            ("a=1", &["=1"][..]),
            ("a.b=x,y", &["=x|y"]),
            ("a!=1; b", &["!=1", "="]),
            ("a=b=c", &["=b=c"]),
            (r#"a="x;y,z\"";b=2"#, &["=x;y,z\"", "=2"]),
            (r#"["k=;]"].b=1"#, &["=1"]),
            ("a=", &["="]),
            ("", &[]),
            (";;", &[]),
        ] {
            assert_eq!(shown(text).unwrap(), expected, "{text}");
        }
        let read = conditions("tags[0].name=é").unwrap();
        assert_eq!(read[0].path, JsonPath::parse("tags[0].name").unwrap());
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in ["=1", "a..b=1", "a=\"x", "a=\"x\"y", "a[=1"] {
            assert!(conditions(text).is_err(), "{text}");
        }
    }
}
