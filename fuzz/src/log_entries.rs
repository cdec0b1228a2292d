//! What must hold for every entry that a decoder of logs makes, whatever it was made of: the log
//! store takes it as it is. Not a target; those of logs share it.

use docdb::ingest::decoded::{BYTES_MAX, ENTRIES_MAX, Entries, Undecoded};
use logstore::{Entry, STRUCTURED_BYTES_MAX, UnixNanos};

/// The time at which every input comes: 2026-01-31T23:59:59Z.
pub(crate) const NOW: UnixNanos = UnixNanos(1_769_903_999_000_000_000);

/// An entry that no store refuses.
pub(crate) fn is_entry(entry: &Entry) {
    assert!(entry.facility <= 23, "{entry:?}");
    let data = &entry.structured_data;
    assert!(data.len() <= STRUCTURED_BYTES_MAX, "{} bytes", data.len());
    if !data.is_empty() {
        let object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(data);
        assert!(object.is_ok(), "{object:?}: {data}");
    }
}

/// As many entries as a request may have, each in order.
pub(crate) fn are_entries(entries: Entries) -> Vec<Entry> {
    assert!(entries.len() <= ENTRIES_MAX && entries.bytes() <= BYTES_MAX);
    let list = entries.into_list();
    list.iter().for_each(is_entry);
    list
}

/// A refusal that says why.
pub(crate) fn is_refusal(refused: &Undecoded) {
    assert!(!refused.to_string().is_empty(), "{refused:?}");
}
