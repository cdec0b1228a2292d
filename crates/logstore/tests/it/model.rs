//! Search against a model: what a page, a histogram or a list of values holds must be what looking
//! at every entry one by one gives, however the entries lie: in rows, in blocks, in several files,
//! with and without an index.

use std::collections::BTreeMap;
use std::time::Duration;

use base::rng::Rng;
use logstore::*;

use crate::support::{Bed, DAY};

const WORDS: [&str; 14] = [
    "disk",
    "full",
    "DISK",
    "timeout",
    "connection",
    "refused",
    "user_7",
    "größe",
    "GRÖSSE",
    "x1",
    "\u{212a}elvin",
    "retry",
    "10",
    "ok",
];

fn entry(rng: &mut Rng, now: UnixNanos, n: u64) -> Entry {
    let words = 1 + rng.index(8);
    let mut message = String::new();
    for _ in 0..words {
        let separator = [" ", "-", ": ", "."][rng.index(4)];
        message.push_str(WORDS[rng.index(WORDS.len())]);
        message.push_str(separator);
    }
    if rng.chance(20) {
        message.push_str(&format!("rare{n}"));
    }
    // Times jump about, and many are equal.
    let jitter = i64::try_from(rng.below(60)).unwrap() * 1_000_000_000;
    let mut entry = Entry::new(UnixNanos(now.0 - jitter), message);
    entry.severity = Severity::ALL[rng.index(8)];
    entry.facility = u8::try_from(rng.below(24)).unwrap();
    entry.hostname = format!("host{}", rng.below(5));
    entry.app_name = ["nginx", "postgres", "cron"][rng.index(3)].to_owned();
    entry.proc_id = rng.below(200).to_string();
    if rng.chance(300) {
        let (user, code) = (rng.below(4), rng.below(3));
        entry.structured_data = format!("{{\"user\":{{\"id\":{user}}},\"code\":\"c{code}\"}}");
    }
    entry
}

fn filter(rng: &mut Rng, span: (i64, i64)) -> Filter {
    let mut filter = Filter::default();
    if rng.chance(600) {
        let mut typed = String::new();
        for _ in 0..=rng.index(3) {
            let word = WORDS[rng.index(WORDS.len())];
            let part = match rng.index(9) {
                0 => format!("-{word}"),
                1 => format!("\"{word} {}\"", WORDS[rng.index(WORDS.len())]),
                2 => format!("{}*", word.chars().take(1 + rng.index(3)).collect::<String>()),
                3 => format!("OR {word}"),
                4 => format!("rare{}", rng.below(9000)),
                5 => format!("({word} OR rare{}*)", rng.below(9)),
                _ => word.to_owned(),
            };
            typed.push_str(&part);
            typed.push(' ');
        }
        filter = filter.text(&typed);
    }
    if rng.chance(300) {
        filter = filter.at_least(Severity::ALL[rng.index(8)]);
    }
    if rng.chance(400) {
        let width = span.1.abs_diff(span.0);
        let from = span.0 + i64::try_from(rng.below(width)).unwrap();
        let to = from.saturating_add(i64::try_from(rng.below(width)).unwrap());
        filter = filter.between(UnixNanos(from), UnixNanos(to));
    }
    if rng.chance(300) {
        let hosts = [format!("host{}", rng.below(6)), format!("host{}", rng.below(6))];
        filter = filter.field(Field::Hostname, &[&hosts[0], &hosts[1]]);
        if rng.chance(300) {
            filter.fields[0].polarity = Polarity::IsNot;
        }
    }
    if rng.chance(300) {
        filter = filter.field(Field::AppName, &["nginx"]);
    }
    if rng.chance(100) {
        filter = filter.field(Field::Facility, &["3", "4"]);
    }
    if rng.chance(150) {
        let (path, value) = [("user.id", "2"), ("code", "c1"), ("code", "")][rng.index(3)];
        let values = if value.is_empty() { vec![] } else { vec![value.to_owned()] };
        let polarity = if rng.chance(300) { Polarity::IsNot } else { Polarity::Is };
        filter.json.push(JsonIs { path: JsonPath::parse(path).unwrap(), values, polarity });
    }
    filter
}

/// Entries over three days, some sealed as they came, some later, some not at all.
fn fill(bed: &Bed, store: &BatchedSqliteStorage, rng: &mut Rng) -> Vec<StoredEntry> {
    let mut all = Vec::new();
    let mut n = 0;
    for _day in 0..3 {
        for count in [1, 300, 2500, 40, 1800] {
            let entries: Vec<Entry> = (0..count)
                .map(|_| {
                    n += 1;
                    let now = bed.entry("").time;
                    entry(rng, now, n)
                })
                .collect();
            let group = store.store_all(entries.clone()).unwrap();
            bed.flush(store);
            let receipt = group.wait_for(Duration::ZERO).unwrap();
            assert_eq!(receipt.refused, []);
            let ids = (receipt.first.0..).map(EntryId);
            all.extend(ids.zip(entries).map(|(id, entry)| StoredEntry { id, entry }));
            bed.clock.advance(Duration::from_secs(1 + rng.below(90)));
        }
        bed.clock.advance(DAY);
    }
    all
}

fn brute<'a>(all: &'a [StoredEntry], filter: &Filter, order: Order) -> Vec<&'a StoredEntry> {
    let mut found: Vec<_> = all.iter().filter(|stored| filter.matches(&stored.view())).collect();
    found.sort_by_key(|stored| Cursor::of(stored));
    if order == Order::NewestFirst {
        found.reverse();
    }
    found
}

/// The stored entry but for the time of arrival, which the model does not know.
fn known(stored: &StoredEntry) -> (EntryId, Entry) {
    (stored.id, Entry { received: UnixNanos(0), ..stored.entry.clone() })
}

fn check_pages(store: &BatchedSqliteStorage, all: &[StoredEntry], filter: &Filter, rng: &mut Rng) {
    let order = if rng.chance(500) { Order::NewestFirst } else { Order::OldestFirst };
    let expect = brute(all, filter, order);
    let limit = 1 + rng.index(200);
    let mut query = Query { filter: filter.clone(), order, limit, after: None };
    // Two pages from the beginning, then one from somewhere, then back.
    let mut at = 0;
    for _ in 0..2 {
        let page = store.search(&query).unwrap();
        let wanted = &expect[at..expect.len().min(at + limit)];
        assert_eq!(
            page.entries.iter().map(known).collect::<Vec<_>>(),
            wanted.iter().map(|stored| known(stored)).collect::<Vec<_>>(),
            "{query:?}"
        );
        at += page.entries.len();
        assert_eq!(page.next.is_some(), at < expect.len(), "{query:?}");
        if page.next.is_none() {
            break;
        }
        query.after = page.next;
    }
    if expect.is_empty() {
        return;
    }
    let from = rng.index(expect.len());
    query.after = Some(Cursor::of(expect[from]));
    let ids = |page: &Page| page.entries.iter().map(|stored| stored.id).collect::<Vec<_>>();
    let forward = ids(&store.search(&query).unwrap());
    assert!(forward.iter().eq(expect[from + 1..].iter().take(limit).map(|s| &s.id)), "{query:?}");
    query.order = order.reversed();
    let back = ids(&store.search(&query).unwrap());
    assert!(back.iter().eq(expect[..from].iter().rev().take(limit).map(|s| &s.id)), "{query:?}");
}

fn check_counts(store: &BatchedSqliteStorage, all: &[StoredEntry], filter: &Filter, rng: &mut Rng) {
    let found = brute(all, filter, Order::OldestFirst);
    let width = Duration::from_secs([60, 3600, 86_400][rng.index(3)]);
    let nanos = i64::try_from(width.as_nanos()).unwrap();
    let mut bars: BTreeMap<i64, [u64; 8]> = BTreeMap::new();
    for stored in &found {
        let bar = bars.entry(stored.entry.time.0.div_euclid(nanos) * nanos).or_default();
        bar[usize::from(stored.entry.severity.number())] += 1;
    }
    let histogram = store.histogram(filter, width).unwrap();
    let counted: Vec<_> = histogram.bars.iter().map(|bar| (bar.start.0, bar.severities)).collect();
    assert_eq!(counted, bars.into_iter().collect::<Vec<_>>(), "{filter:?}");

    let field = Field::ALL[rng.index(Field::ALL.len())];
    let mut values: BTreeMap<&str, u64> = BTreeMap::new();
    for stored in &found {
        *values.entry(stored.view().field(field)).or_default() += 1;
    }
    let mut values: Vec<_> = values.into_iter().map(|(v, count)| (v.to_owned(), count)).collect();
    values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    values.truncate(7);
    let top = store.top_values(filter, field, 7).unwrap();
    assert_eq!((top.values, top.total), (values, found.len() as u64), "{filter:?} {field:?}");
}

fn check(options: Options, seed: u64) {
    let mut rng = Rng::new(seed);
    let bed = Bed::new(options);
    let mut store = bed.open();
    let all = fill(&bed, &store, &mut rng);
    let times = || all.iter().map(|stored| stored.entry.time.0);
    let span = (times().min().unwrap(), times().max().unwrap() + 1);
    // More of them by `TESTS_LOGS_ROUNDS`.
    let rounds = std::env::var("TESTS_LOGS_ROUNDS").map_or(60, |text| text.parse().unwrap());
    for round in 0..rounds {
        let filter = filter(&mut rng, span);
        check_pages(&store, &all, &filter, &mut rng);
        check_counts(&store, &all, &filter, &mut rng);
        if round == rounds / 2 {
            drop(store);
            store = bed.open();
        }
    }
}

#[test]
fn rows_and_blocks_are_searched_as_one() {
    check(Options { queue_size: 5000, ..Options::default() }, 1);
}

#[test]
fn rows_without_blocks_are_searched_the_same() {
    check(Options { queue_size: 5000, seal: Seal::Off, ..Options::default() }, 2);
}

#[test]
fn an_index_of_all_streams_changes_nothing_but_time() {
    check(Options { queue_size: 5000, full_text: FullText::All, ..Options::default() }, 3);
    let seal = Seal::Off;
    check(Options { queue_size: 5000, seal, full_text: FullText::All, ..Options::default() }, 4);
}

#[test]
fn an_index_of_one_stream_changes_nothing_but_time() {
    let full_text = FullText::Streams(["nginx".to_owned()].into());
    check(Options { queue_size: 5000, full_text, ..Options::default() }, 5);
}

#[test]
fn small_files_and_no_write_ahead_log_change_nothing() {
    let journal = Journal::Rollback;
    check(Options { queue_size: 5000, journal, partition_bytes: 1 << 20, ..Options::default() }, 6);
}

#[test]
fn a_term_that_is_indexed_is_found_by_the_index() {
    let full_text = FullText::Streams(["nginx".to_owned()].into());
    let bed = Bed::new(Options { queue_size: 5000, full_text, ..Options::default() });
    let store = bed.open();
    fill(&bed, &store, &mut Rng::new(7));
    let text = Filter::default().text("rare*");
    let page = store.search(&Query::new(text.clone().field(Field::AppName, &["nginx"]))).unwrap();
    assert!(page.work.used_full_text && !page.entries.is_empty());
    let page = store.search(&Query::new(text)).unwrap();
    assert!(!page.work.used_full_text && !page.entries.is_empty());
}

#[test]
fn filters_spare_unpacking_blocks() {
    let bed = Bed::new(Options { queue_size: 5000, ..Options::default() });
    let store = bed.open();
    fill(&bed, &store, &mut Rng::new(8));
    let work = |filter: Filter| store.search(&Query::new(filter)).unwrap().work;
    let nowhere = work(Filter::default().text("nowhere_at_all"));
    assert!(nowhere.blocks >= 3 && nowhere.blocks_unpacked == 0, "{nowhere:?}");
    let nobody = work(Filter::default().field(Field::Hostname, &["nobody"]));
    assert_eq!((nobody.blocks >= 3, nobody.blocks_unpacked), (true, 0), "{nobody:?}");
    let newest = store.search(&Query { limit: 1, ..Query::default() }).unwrap().work;
    assert_eq!(newest.partitions, 1, "the newest entry is in the newest file");
    let all_days = store.histogram(&Filter::default(), DAY).unwrap();
    assert_eq!(all_days.work.blocks_unpacked, 0, "whole blocks are counted by their heads");
}
