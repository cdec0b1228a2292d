//! What was found, as JSON.

use std::time::Duration;

use logstore::{
    Cursor, Field, Filter, Histogram, Page, Severity, TopValues, Unreadable, json_line,
};
use serde_json::{Map, Value, json};

use crate::reports::millis;

fn cursor(cursor: Option<Cursor>) -> Value {
    cursor.map_or(Value::Null, |cursor| cursor.to_string().into())
}

/// Parts that could not be read, and so are missing.
fn unreadable(parts: &[Unreadable]) -> Value {
    let one = |part: &Unreadable| {
        json!({
            "partition": part.partition,
            "first_id": part.entries.map(|(first, _)| first.0),
            "last_id": part.entries.map(|(_, last)| last.0),
            "error": part.what,
        })
    };
    parts.iter().map(one).collect()
}

/// A page. The entries are in it as every other place writes them.
pub(super) fn page(
    found: &Page,
    next: Option<Cursor>,
    previous: Option<Cursor>,
    text_is_cut: bool,
) -> Vec<u8> {
    let mut out = b"{\"entries\":[".to_vec();
    for (at, stored) in found.entries.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(json_line(&stored.view()).as_bytes());
    }
    let rest = json!({
        "next": cursor(next),
        "previous": cursor(previous),
        "text_is_cut": text_is_cut,
        "unreadable": unreadable(&found.unreadable),
    });
    out.push(b']');
    // The rest is an object: without its opening brace it goes on where the entries end.
    let rest = rest.to_string();
    out.push(b',');
    out.extend_from_slice(rest.trim_start_matches('{').as_bytes());
    out
}

/// Counts over time.
pub(super) fn histogram(found: &Histogram, filter: &Filter, width: Duration) -> Vec<u8> {
    let bars = found.bars.iter().map(|bar| {
        let counted = Severity::ALL.into_iter().zip(bar.severities).filter(|(_, n)| *n > 0);
        let severities: Map<_, _> =
            counted.map(|(severity, n)| (severity.name().to_owned(), n.into())).collect();
        json!({ "start": bar.start.rfc3339(), "count": bar.total(), "severities": severities })
    });
    let shape = json!({
        "from": filter.time.from.rfc3339(),
        "to": filter.time.to.rfc3339(),
        "width_ms": millis(width),
        "bars": bars.collect::<Vec<_>>(),
        "unreadable": unreadable(&found.unreadable),
    });
    shape.to_string().into_bytes()
}

/// The most frequent values of a field.
pub(super) fn top(found: &TopValues, field: Field) -> Vec<u8> {
    let values =
        found.values.iter().map(|(value, count)| json!({ "value": value, "count": count }));
    let shape = json!({
        "field": field.name(),
        "values": values.collect::<Vec<_>>(),
        "total": found.total,
        "uncounted": found.uncounted,
        "unreadable": unreadable(&found.unreadable),
    });
    shape.to_string().into_bytes()
}
