//! Reports of the server, which are JSON, as lines of `key=value`: names of members joined by dots,
//! numbers of elements from 0. One fact on a line can be searched and compared.

use serde_json::Value;

use super::json::string;

/// The lines of a report, in its order. Empty lists and objects are lines too: that there is
/// nothing is a fact.
pub(super) fn lines(report: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    add("", report, &mut lines);
    lines
}

/// Reports come from the server and are a few levels deep; serde_json refuses more than 128.
fn add(key: &str, value: &Value, lines: &mut Vec<String>) {
    let inner = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                add(&inner(name), member, lines);
            }
        }
        Value::Array(elements) if !elements.is_empty() => {
            for (number, element) in elements.iter().enumerate() {
                add(&inner(&number.to_string()), element, lines);
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {
            let text = scalar(value);
            lines.push(if key.is_empty() { text } else { format!("{key}={text}") });
        }
    }
}

/// A text without quotes unless it needs them to be told from the rest of its line.
fn scalar(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let is_plain = !text.is_empty() && !text.contains(|c: char| c.is_control() || c == '"');
    if is_plain { text.clone() } else { string(text) }
}

/// The member of a report, by the names on the way to it.
pub(super) fn part<'a>(report: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(report, |value, name| value.get(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_fact_is_a_line() {
        let report = json!({
            "documents": 3,
            "log": {"mode": "group", "bytes": 65536, "poisoned": null},
            "problems": [{"id": "a", "what": "lost"}, "x y", ""],
            "files": [],
        });
        let mut found = lines(&report);
        found.sort();
        let mut expect = [
            "documents=3",
            "log.mode=group",
            "log.bytes=65536",
            "log.poisoned=null",
            "problems.0.id=a",
            "problems.0.what=lost",
            "problems.1=x y",
            "problems.2=\"\"",
            "files=[]",
        ];
        expect.sort_unstable();
        assert_eq!(found, expect);
        assert_eq!(lines(&json!(true)), ["true"]);
        assert_eq!(lines(&json!({})), ["{}"]);
    }

    #[test]
    fn a_part_is_found_by_its_names() {
        let report = json!({"a": {"b": 1}});
        assert_eq!(part(&report, &["a", "b"]), Some(&json!(1)));
        assert_eq!(part(&report, &["a", "c"]), None);
        assert_eq!(part(&report, &["a", "b", "c"]), None);
    }
}
