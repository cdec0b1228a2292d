//! What is asked in names and values.

use logstore::{EntryId, Page, StoredEntry};

use super::*;

fn asked<'t>(text: &'t str) -> impl Fn(&str) -> Option<&'t str> {
    let pairs: Vec<_> = text.split('&').filter_map(|pair| pair.split_once('=')).collect();
    move |name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

fn entry(time: i64) -> logstore::Entry {
    let mut entry = logstore::Entry::new(UnixNanos(time), "disk full").from_app("web1", "nginx");
    entry.severity = Severity::Error;
    entry.structured_data = "{\"code\":507}".to_owned();
    entry
}

#[track_caller]
fn finds(text: &str, expected: bool) {
    let asked = asked(text);
    let filter = filter(&|name| asked(name)).unwrap();
    let stored = StoredEntry { id: EntryId(1), entry: entry(5) };
    assert_eq!(filter.matches(&stored.view()), expected, "{text}");
}

#[test]
fn each_name_narrows_what_is_found() {
    finds("", true);
    finds("text=full disk", true);
    finds("text=\"full disk\"", false);
    finds("severity_max=3", true);
    finds("severity_max=crit", false);
    finds("severity=err", true);
    finds("severity=4,ERROR", true);
    finds("hostname=web2,web1", true);
    finds("hostname=!web1", false);
    finds("app_name=caddy", false);
    finds("facility=1", true);
    finds("sd=code=507", true);
    finds("sd=code!=507", false);
    finds("from=5&to=5", true);
    finds("from=6", false);
    finds("from=1970-01-01T00:00:00Z&to=1970-01-01T00:00:00.000000004Z", false);
}

#[test]
fn what_makes_no_sense_is_refused_by_its_name() {
    for (text, name) in [
        ("severity_max=8", "severity_max"),
        ("severity=loud", "severity"),
        ("from=yesterday", "from"),
        ("to=", "to"),
        ("sd==1", "path"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("cursor=x", "cursor"),
        ("back=true", "back"),
        ("back=1", "back"),
        ("order=up", "order"),
    ] {
        let asked = asked(text);
        let error = Search::parse(&|name| asked(name)).unwrap_err();
        assert_eq!(error.code, Code::InvalidQuery, "{text}");
        assert!(error.message.contains(name), "{text}: {error}");
    }
}

#[test]
fn a_page_is_one_object() {
    let stored = StoredEntry { id: EntryId(7), entry: entry(1) };
    let cursor = Cursor::of(&stored);
    let found = Page { entries: vec![stored; 2], ..Page::default() };
    let shown = page(&found, Some(cursor), None, false);
    let shown: serde_json::Value = serde_json::from_slice(&shown).unwrap();
    assert_eq!(shown["entries"].as_array().unwrap().len(), 2);
    assert_eq!(shown["entries"][0]["hostname"], "web1");
    assert_eq!(shown["next"], cursor.to_string());
    assert!(shown["previous"].is_null() && shown["unreadable"] == serde_json::json!([]));
}

#[test]
fn bars_are_as_wide_as_people_count() {
    let second = 1_000_000_000;
    for (span, width) in [(0, 1), (3600, 60), (86_400, 3600), (30 * 86_400, 43_200)] {
        assert_eq!(width_of(span * second), Duration::from_secs(width), "{span}");
    }
    assert!(width_of(u64::MAX) >= Duration::from_secs(86_400 * 30));
}
