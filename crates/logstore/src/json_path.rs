//! A way to one value of a JSON document: `user.name`, `tags[0]`, `$["a key.with dots"]`.
//!
//! The part of JSONPath (RFC 9535) that names a single value: no wildcards, slices or filters.

use serde_json::Value;

use crate::error::{LogError, Result};

/// Steps of a path; more are refused.
const STEPS_MAX: usize = 32;

/// A way to one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl JsonPath {
    /// Reads a path. A leading `$` is optional.
    ///
    /// # Errors
    /// [`LogError::Query`] when it is none.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| LogError::query(format!("JSON path `{text}`: {what}"));
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if steps.len() == STEPS_MAX {
                return Err(wrong("it has more than 32 steps"));
            }
            if let Some(bracket) = rest.strip_prefix('[') {
                let (step, after) = bracketed(bracket).ok_or_else(|| {
                    wrong("brackets hold a number or a name in quotes, and are closed")
                })?;
                steps.push(step);
                rest = after;
                continue;
            }
            rest = match rest.strip_prefix('.') {
                Some(after) => after,
                None if steps.is_empty() && !text.starts_with('$') => rest,
                None => return Err(wrong("a step begins with a dot or a bracket")),
            };
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if end == 0 {
                return Err(wrong("a name is empty"));
            }
            steps.push(Step::Key(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        if steps.is_empty() {
            return Err(wrong("it has no steps"));
        }
        Ok(Self { steps })
    }

    /// The value at the end of the way.
    pub(crate) fn find<'v>(&self, data: &'v Value) -> Option<&'v Value> {
        self.steps.iter().try_fold(data, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        })
    }
}

/// The step that a bracket holds, and what comes after it.
fn bracketed(text: &str) -> Option<(Step, &str)> {
    let quote = text.chars().next()?;
    if quote == '"' || quote == '\'' {
        let (key, after) = text[1..].split_once(quote)?;
        return Some((Step::Key(key.to_owned()), after.strip_prefix(']')?));
    }
    let (digits, after) = text.split_once(']')?;
    Some((Step::Index(digits.parse().ok()?), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_values() {
        let data = serde_json::json!({"a": {"b": [10, {"c.d": 1, "e]": 2}]}, "": 3});
        for (path, expect) in [
            ("a.b[0]", Some("10")),
            ("$.a.b[0]", Some("10")),
            ("$[\"a\"]['b'][1][\"c.d\"]", Some("1")),
            ("a.b[1]['e]']", Some("2")),
            ("a.b[2]", None),
            ("a.x.y", None),
            ("a.b.c", None),
            ("['']", Some("3")),
        ] {
            let found = JsonPath::parse(path).unwrap().find(&data).map(Value::to_string);
            assert_eq!(found.as_deref(), expect, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        let long = "a.".repeat(40) + "a";
        for path in
            ["", "$", ".", "a.", "a..b", "$a", "a[", "a[x]", "a[-1]", "a['b]", "[0]b", &long]
        {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }
}
