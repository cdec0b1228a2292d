//! How much a schema grows when its references are followed.
//!
//! A few hundred bytes of references to references stand for millions of subschemas, each of which
//! would be tried on every document; and a long chain of them would use up the stack. Both are
//! refused here, before the schema is compiled. Over-estimates are possible, because keywords are
//! not told from properties of the same name and names are matched by their last part.

use std::collections::HashMap;
use std::ptr;

use serde_json::Value;

use super::values::Numbers;
use super::{SCHEMA_DEPTH_MAX, SUBSCHEMAS_MAX};

/// Keywords whose outcome depends on the value of a number.
const JUDGING: &[&str] = &[
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "const",
    "enum",
    "uniqueItems",
];
/// Keywords that refer to another schema.
const REFERRING: &[&str] = &["$ref", "$dynamicRef", "$recursiveRef"];
/// Keywords that name a schema, so that it can be referred to.
const NAMING: &[&str] = &["$id", "id", "$anchor", "$dynamicAnchor"];

/// What a schema that is not too complex asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Complexity {
    pub(super) numbers: Numbers,
    /// Subschemas, each counted as often as it is referred to.
    pub(super) subschemas: usize,
}

/// Looks through a schema; none when it is too complex. When in doubt, numbers are judged.
pub(super) fn of_schema(schema: &Value) -> Option<Complexity> {
    let mut survey = Survey {
        root: schema,
        named: HashMap::new(),
        measured: HashMap::new(),
        numbers: Numbers::Unjudged,
    };
    survey.collect_names();
    let size = survey.measure(schema, 0)?;
    Some(Complexity { numbers: survey.numbers, subschemas: size.subschemas })
}

/// What is below a value, references followed.
#[derive(Debug, Clone, Copy)]
struct Size {
    subschemas: usize,
    height: usize,
}

/// A value by where it is: equal values in different places are different.
type Place = *const Value;

struct Survey<'v> {
    root: &'v Value,
    /// Schemas by the last part of the names that they give themselves.
    named: HashMap<&'v str, Vec<&'v Value>>,
    /// None while the value is being measured: a reference back to it ends there.
    measured: HashMap<Place, Option<Size>>,
    numbers: Numbers,
}

impl<'v> Survey<'v> {
    fn collect_names(&mut self) {
        let mut left = vec![self.root];
        while let Some(value) = left.pop() {
            match value {
                Value::Array(elements) => left.extend(elements),
                Value::Object(members) => {
                    let names = NAMING.iter().filter_map(|keyword| members.get(*keyword)?.as_str());
                    for name in names {
                        self.named.entry(last_part(name)).or_default().push(value);
                    }
                    left.extend(members.values());
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
    }

    /// The size of `value`; none when it is beyond the limits. Recursion ends at
    /// [`SCHEMA_DEPTH_MAX`].
    fn measure(&mut self, value: &'v Value, depth: usize) -> Option<Size> {
        let place = ptr::from_ref(value);
        let size = match self.measured.get(&place) {
            Some(Some(size)) => *size,
            Some(None) => Size { subschemas: 1, height: 0 },
            None => {
                self.measured.insert(place, None);
                let size = self.measure_parts(value, depth)?;
                self.measured.insert(place, Some(size));
                size
            }
        };
        let fits = size.subschemas <= SUBSCHEMAS_MAX && depth + size.height <= SCHEMA_DEPTH_MAX;
        fits.then_some(size)
    }

    fn measure_parts(&mut self, value: &'v Value, depth: usize) -> Option<Size> {
        let (parts, own): (Vec<&Value>, usize) = match value {
            Value::Array(elements) => (elements.iter().collect(), 0),
            Value::Object(members) => {
                let mut parts: Vec<&Value> = members.values().collect();
                for (key, value) in members {
                    self.note_numbers(key, value);
                    if REFERRING.contains(&key.as_str())
                        && let Some(to) = value.as_str()
                    {
                        parts.extend(self.targets(to));
                    }
                }
                (parts, 1)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Some(Size { subschemas: 0, height: 0 });
            }
        };
        let mut size = Size { subschemas: own, height: 1 };
        for part in parts {
            let below = self.measure(part, depth + 1)?;
            size.subschemas += below.subschemas;
            size.height = size.height.max(below.height + 1);
        }
        Some(size)
    }

    /// The schemas that a reference may lead to.
    fn targets(&self, to: &str) -> Vec<&'v Value> {
        let (document, fragment) = to.split_once('#').unwrap_or((to, ""));
        let by_path = || self.root.pointer(fragment).into_iter().collect();
        let by_name = |name| self.named.get(last_part(name)).cloned().unwrap_or_default();
        match (document, fragment) {
            ("", "") => vec![self.root],
            ("", path) if path.starts_with('/') => by_path(),
            ("", anchor) => by_name(anchor),
            (document, _) => by_name(document),
        }
    }

    fn note_numbers(&mut self, key: &str, value: &Value) {
        let is_integer = |kind: &Value| kind.as_str() == Some("integer");
        let names_integer =
            || is_integer(value) || value.as_array().is_some_and(|all| all.iter().any(is_integer));
        // The drafts' own schemas, which a reference may lead to, look at numbers.
        let leads_out = || !value.as_str().is_some_and(|to| to.starts_with('#'));
        if JUDGING.contains(&key)
            || (REFERRING.contains(&key) && leads_out())
            || (key == "type" && names_integer())
        {
            self.numbers = Numbers::Judged;
        }
    }
}

/// What follows the last slash or hash of a name, however it is written relative to others.
fn last_part(name: &str) -> &str {
    let name = name.trim_end_matches(['#', '/']);
    name.rsplit(['/', '#']).next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complexity(text: &str) -> Option<Complexity> {
        of_schema(&serde_json::from_str(text).expect(text))
    }

    #[test]
    fn numbers_are_judged_if_any_keyword_might_look_at_one() {
        let numbers = |text: &str| complexity(text).map(|complexity| complexity.numbers);
        for text in [
            r#"{"type":"number"}"#,
            r##"{"properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"type":"object"}}}"##,
            r#"{"items":{"minLength":3,"maxItems":2}}"#,
        ] {
            assert_eq!(numbers(text), Some(Numbers::Unjudged), "{text}");
        }
        for text in [
            r#"{"type":"integer"}"#,
            r#"{"items":[{"type":["string","integer"]}]}"#,
            r#"{"properties":{"a":{"minimum":1}}}"#,
            r#"{"not":{"enum":[1]}}"#,
            r#"{"uniqueItems":true}"#,
            r#"{"$ref":"https://json-schema.org/draft/2020-12/schema"}"#,
        ] {
            assert_eq!(numbers(text), Some(Numbers::Judged), "{text}");
        }
    }

    /// Each of `levels` schemas refers twice to the next, by the name that `refer` gives it.
    fn doubling(levels: usize, name: &str, refer: &str) -> String {
        let def = |n: usize| {
            let (own, next) = (name.replace('N', &n.to_string()), n + 1);
            let to = refer.replace('N', &next.to_string());
            format!(r#""d{n}":{{{own}"anyOf":[{{"$ref":"{to}"}},{{"$ref":"{to}"}}]}}"#)
        };
        let defs: Vec<String> = (0..levels).map(def).collect();
        let end = name.replace('N', &levels.to_string());
        let first = refer.replace('N', "0");
        format!(
            r#"{{"$ref":"{first}","$defs":{{{},"d{levels}":{{{end}"type":"string"}}}}}}"#,
            defs.join(",")
        )
    }

    #[test]
    fn references_that_double_are_counted_however_they_are_written() {
        for (name, refer) in [
            ("", "#/$defs/dN"),
            (r#""$anchor":"aN","#, "#aN"),
            (r#""$id":"https://example.org/sN","#, "https://example.org/sN"),
            (r#""$id":"/deep/sN","#, "sN"),
        ] {
            assert!(complexity(&doubling(5, name, refer)).is_some(), "{refer}");
            assert_eq!(complexity(&doubling(20, name, refer)), None, "{refer}");
        }
    }

    #[test]
    fn recursion_is_counted_once_and_long_chains_are_refused() {
        let tree = r##"{"type":"object","properties":{"left":{"$ref":"#"},"right":{"$ref":"#"}}}"##;
        assert!(complexity(tree).is_some_and(|complexity| complexity.subschemas < 10));
        let chain = |links: usize| {
            let link = |n: usize| format!(r##""d{n}":{{"$ref":"#/$defs/d{}"}}"##, n + 1);
            let links: Vec<String> = (0..links).map(link).collect();
            format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{}}}}}"##, links.join(","))
        };
        assert!(complexity(&chain(100)).is_some());
        assert_eq!(complexity(&chain(1000)), None);
    }
}
