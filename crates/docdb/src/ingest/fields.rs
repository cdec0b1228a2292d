//! Fields of an entry that come one by one from a sender's document: which of its names mean what,
//! and where everything else goes.

use logstore::{Entry, Marks, STRUCTURED_BYTES_MAX, Severity};
use serde_json::{Map, Value};

/// The severity that a word or a number means, as loggers write it; none for what is none.
///
/// Words are those of syslog and of the common logging libraries, in any case. A number is one of
/// syslog, 0 to 7, or one of the tens of Python and of pino (10 to 60 with 60 as the worst).
#[must_use]
pub fn severity(text: &str) -> Option<Severity> {
    let known = match text.trim().to_ascii_lowercase().as_str() {
        "emerg" | "emergency" | "panic" => Severity::Emergency,
        "alert" => Severity::Alert,
        "crit" | "critical" | "fatal" => Severity::Critical,
        "err" | "error" | "severe" => Severity::Error,
        "warning" | "warn" => Severity::Warning,
        "notice" => Severity::Notice,
        "info" | "informational" | "information" => Severity::Info,
        "debug" | "trace" | "verbose" | "fine" | "finer" | "finest" => Severity::Debug,
        number => return severity_of_number(number.parse().ok()?),
    };
    Some(known)
}

fn severity_of_number(number: u8) -> Option<Severity> {
    match number {
        0..=7 => Severity::from_number(number),
        10 => Some(Severity::Debug),
        20 | 30 => Some(Severity::Info),
        40 => Some(Severity::Warning),
        50 => Some(Severity::Error),
        60 => Some(Severity::Critical),
        _ => None,
    }
}

/// The text of a value: of a string what it says, of anything else its JSON.
#[must_use]
pub fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// Gives an entry its further fields. Those of which the JSON is longer than an entry may have are
/// left out, and the entry is marked as cut.
pub fn set_structured(entry: &mut Entry, fields: &Map<String, Value>) {
    if fields.is_empty() {
        return;
    }
    let whole = Value::Object(fields.clone()).to_string();
    if whole.len() <= STRUCTURED_BYTES_MAX {
        entry.structured_data = whole;
        return;
    }
    entry.marks = entry.marks.with(Marks::CUT);
    // The object without its braces must leave room for them.
    let mut kept = String::from("{");
    for (name, value) in fields {
        let name = Value::from(name.as_str()).to_string();
        let value = value.to_string();
        let comma = usize::from(kept.len() > 1);
        if kept.len() + comma + name.len() + 1 + value.len() + 1 > STRUCTURED_BYTES_MAX {
            continue;
        }
        if comma == 1 {
            kept.push(',');
        }
        kept.push_str(&name);
        kept.push(':');
        kept.push_str(&value);
    }
    kept.push('}');
    entry.structured_data = kept;
}

#[cfg(test)]
mod tests {
    use super::*;
    use logstore::UnixNanos;
    use serde_json::json;

    #[test]
    fn severities_are_read_in_the_words_of_many() {
        for (text, expected) in [
            ("ERROR", Some(Severity::Error)),
            (" Warn ", Some(Severity::Warning)),
            ("fatal", Some(Severity::Critical)),
            ("0", Some(Severity::Emergency)),
            ("7", Some(Severity::Debug)),
            ("50", Some(Severity::Error)),
            ("8", None),
            ("", None),
            ("loud", None),
            ("-1", None),
        ] {
            assert_eq!(severity(text), expected, "{text}");
        }
    }

    #[test]
    fn fields_that_are_too_long_are_left_out_one_by_one_and_the_entry_is_marked() {
        let mut entry = Entry::new(UnixNanos(1), "m");
        let long = "x".repeat(STRUCTURED_BYTES_MAX);
        let Value::Object(fields) = json!({ "a": 1, "b": long, "c": [true] }) else { panic!() };
        set_structured(&mut entry, &fields);
        assert_eq!(entry.marks, Marks::CUT);
        let kept: Value = serde_json::from_str(&entry.structured_data).unwrap();
        assert_eq!(kept, json!({ "a": 1, "c": [true] }));
        let mut entry = Entry::new(UnixNanos(1), "m");
        set_structured(&mut entry, &Map::new());
        assert_eq!((entry.structured_data.as_str(), entry.marks), ("", Marks::NONE));
    }

    #[test]
    fn whatever_is_kept_fits() {
        for len in STRUCTURED_BYTES_MAX - 12..STRUCTURED_BYTES_MAX {
            let mut entry = Entry::new(UnixNanos(1), "m");
            let Value::Object(fields) = json!({ "a": "y".repeat(len), "b": 1 }) else { panic!() };
            set_structured(&mut entry, &fields);
            assert!(entry.structured_data.len() <= STRUCTURED_BYTES_MAX, "{len}");
            assert!(serde_json::from_str::<Value>(&entry.structured_data).is_ok());
        }
    }
}
