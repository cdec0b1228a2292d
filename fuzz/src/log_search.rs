//! Text that a user types as a search of logs, and as conditions on structured data: never an error of
//! syntax, never a panic, and found is what the filter itself says, in rows, in blocks and through the
//! full-text index of SQLite, whose language none of it reaches.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use docdb::log_search::conditions;
use logstore::{
    Background, BatchedSqliteStorage, Entry, Environment, Filter, FullText, LogStorage as _,
    Options, PAGE_MAX, Query, Seal, StoredEntry, TERMS_MAX, TextQuery, UnixNanos,
};

/// Messages that searches look through. Together they have every word of the seeds.
const MESSAGES: [&str; 12] = [
    "disk full on /dev/sda1",
    "Disk is FULL: 10.0.0.1:80 refused",
    "connection refused by peer AND retried",
    "OR NOT NEAR(x, y) ^start* col:umn",
    "größe überschritten, КАБЕЛЬ оборван",
    "K \u{212a} \u{130} i",
    "rock-n-roll; DROP TABLE entry; --",
    "\"quoted\" 'single' `back` (group)",
    "a a a b",
    "私は docdb です",
    "tape robot, disk array",
    "",
];

/// Stores that hold the messages, each in its own way.
struct Bed {
    dir: PathBuf,
    stores: Vec<BatchedSqliteStorage>,
    entries: Vec<StoredEntry>,
}

thread_local! {
    /// Made once: an input is searched for, and changes nothing.
    static BED: RefCell<Option<Bed>> = const { RefCell::new(None) };
}

impl Bed {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("docdb-fuzz-logs-{}", std::process::id()));
        make(&dir);
        let with = |full_text, seal| Options {
            full_text,
            seal,
            background: Background::Manual,
            ..Options::default()
        };
        let options = [with(FullText::Off, Seal::Off), with(FullText::All, Seal::On)];
        let stores: Vec<_> = options
            .into_iter()
            .enumerate()
            .map(|(n, options)| filled(&dir.join(n.to_string()), options))
            .collect();
        let everything = Query { limit: PAGE_MAX, ..Query::default() };
        let page = stores[0].search(&everything).expect("it was filled");
        Self { dir, stores, entries: page.entries }
    }
}

#[expect(clippy::disallowed_methods, reason = "a directory of the target's own")]
fn make(dir: &std::path::Path) {
    _ = std::fs::remove_dir_all(dir);
    std::fs::create_dir_all(dir).expect("there is room for temporary files");
}

impl Drop for Bed {
    #[expect(clippy::disallowed_methods, reason = "a directory of the target's own")]
    fn drop(&mut self) {
        self.stores.clear();
        _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn filled(dir: &std::path::Path, options: Options) -> BatchedSqliteStorage {
    let store = BatchedSqliteStorage::open(dir, options, Environment::system());
    let store = store.expect("there is room for temporary files");
    let entry = |(n, message): (i64, &&str)| Entry::new(UnixNanos(1_000 + n), *message);
    let entries: Vec<_> = (0..).zip(&MESSAGES).map(entry).collect();
    let group = store.store_all_durable(entries).expect("they fit");
    store.turn();
    group.wait_for(Duration::ZERO).expect("they were written");
    store
}

/// One input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let query = TextQuery::parse(text);
    assert!(text.len() > TERMS_MAX || !query.is_cut(), "a short query is whole");
    if text.trim().is_empty() {
        assert!(query.is_empty());
    }
    if let Ok(conditions) = conditions(text) {
        let filter = Filter { json: conditions, ..Filter::default() };
        let entry = Entry::new(UnixNanos(1), "m");
        let stored = StoredEntry { id: logstore::EntryId(1), entry };
        _ = filter.matches(&stored.view());
    }
    BED.with_borrow_mut(|bed| {
        let bed = bed.get_or_insert_with(Bed::new);
        let filter = Filter::default().text(text);
        let expect: Vec<_> = bed
            .entries
            .iter()
            .filter(|stored| filter.matches(&stored.view()))
            .map(|s| s.id)
            .collect();
        for store in &bed.stores {
            let query = Query { limit: PAGE_MAX, ..Query::new(filter.clone()) };
            let page = store.search(&query).expect("nothing that is typed is an error");
            assert!(page.unreadable.is_empty());
            let found: Vec<_> = page.entries.iter().map(|stored| stored.id).collect();
            assert_eq!(found, expect, "{text:?}");
        }
    });
}

/// What people type, and what they paste.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "disk full",
        "\"disk full\" OR tape -robot",
        "NOT full AND (disk OR tape) con*",
        "10.0.0.1:80",
        "\"",
        "AND OR NOT NEAR ( ) * ^ : - + \" '",
        "NEAR(x y, 5) OR col:umn ^start*",
        "'; DROP TABLE entry; --",
        "größe КАБЕЛЬ* \u{212a} \u{130}",
        "((((a",
        "user.name=ann;code!=200,\"a;b\\\"c\";tags[0]",
        "\u{0}\u{fffd} 私は",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
