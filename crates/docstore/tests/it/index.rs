//! The index of where documents are.
//!
//! Start with `model.rs`: random operations on an index and on a plain map.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod file;
mod model;
mod rules;

use std::ops::Bound;

use base::clock::WallMs;
use base::words::{CollectionId, DocId, Lsn};
use docstore::index::{Counts, Entry, Found, Index, Merge, Step, Target};
use docstore::{FileNumber, Location};

const BOOKS: CollectionId = CollectionId(1);
const PEOPLE: CollectionId = CollectionId(2);

fn entry(lsn: u64) -> Entry {
    let location = Location { file: FileNumber(3), offset: u32::try_from(lsn).unwrap() };
    Entry { lsn: Lsn(lsn), location, expires_at: None }
}

fn expiring(lsn: u64, at: u64) -> Entry {
    Entry { expires_at: Some(WallMs(at)), ..entry(lsn) }
}

fn filled(ids: impl Iterator<Item = u64>) -> Index {
    let mut index = Index::new();
    for id in ids {
        index.put(BOOKS, &DocId::U64(id), entry(id + 1));
    }
    index
}

fn settle(index: &mut Index, target: Target) {
    index.freeze();
    if let Some(merge) = index.merge(target) {
        index.install(merge.run()).unwrap();
    }
}

fn ids(index: &Index, collection: CollectionId) -> Vec<DocId> {
    index.range(collection, Bound::Unbounded, Bound::Unbounded).map(|(id, _)| id).collect()
}

#[test]
fn a_change_answers_what_it_replaces_wherever_that_is() {
    let mut index = Index::new();
    let id = DocId::U64(7);
    assert_eq!(index.put(BOOKS, &id, entry(1)), None);
    for lsn in 2..6 {
        assert_eq!(index.put(BOOKS, &id, entry(lsn)), Some(entry(lsn - 1)));
        index.freeze();
        if lsn == 4 {
            settle(&mut index, Target::Base);
        }
    }
    assert_eq!(index.delete(BOOKS, &id, Lsn(6)), Some(entry(5)));
    assert_eq!(index.delete(BOOKS, &id, Lsn(7)), None);
    assert_eq!(index.get(BOOKS, &id), Some(Found::Deleted(Lsn(6))));
    assert_eq!(index.put(BOOKS, &id, entry(8)), None);
    assert_eq!(index.get(BOOKS, &id), Some(Found::Live(entry(8))));
    assert_eq!(index.get(PEOPLE, &id), None);
}

#[test]
fn ids_come_in_their_own_order_whatever_they_are() {
    let mut index = Index::new();
    let text = |s: &str| DocId::string(s).unwrap();
    let uuid = |n| DocId::Uuid(uuid::Uuid::from_u128(n));
    let sorted = [
        DocId::U64(0),
        DocId::U64(256),
        uuid(0),
        uuid(u128::MAX),
        text("1"),
        text("a"),
        text("aa"),
    ];
    for (lsn, id) in (1..).zip(sorted.iter().rev()) {
        index.put(BOOKS, id, entry(lsn));
        if lsn % 3 == 0 {
            index.freeze();
        }
    }
    assert_eq!(ids(&index, BOOKS), sorted);
    settle(&mut index, Target::Base);
    assert_eq!(ids(&index, BOOKS), sorted);
    for (low, from) in sorted.iter().enumerate() {
        for (high, to) in sorted.iter().enumerate().skip(low) {
            let within = |from, to| -> Vec<DocId> {
                index.range(BOOKS, from, to).map(|(id, _)| id).collect()
            };
            let (i, e) = (Bound::Included(from), Bound::Excluded(to));
            assert_eq!(within(i, e), sorted[low..high]);
            assert_eq!(within(i, Bound::Included(to)), sorted[low..=high]);
            assert_eq!(within(Bound::Excluded(from), Bound::Included(to)), sorted[low + 1..=high]);
        }
    }
}

#[test]
fn a_document_that_came_and_went_between_two_freezes_leaves_nothing() {
    let mut index = Index::new();
    index.put(BOOKS, &DocId::U64(1), entry(1));
    index.delete(BOOKS, &DocId::U64(1), Lsn(2));
    assert_eq!(index.get(BOOKS, &DocId::U64(1)), None);
    assert_eq!(index.counts(BOOKS), Counts::default());
    // Over a document below, the tombstone stays until it reaches the base.
    index.put(BOOKS, &DocId::U64(1), entry(3));
    index.freeze();
    index.put(BOOKS, &DocId::U64(1), entry(4));
    index.delete(BOOKS, &DocId::U64(1), Lsn(5));
    assert_eq!(index.counts(BOOKS), Counts { live: 0, tombstones: 1 });
    settle(&mut index, Target::Layer);
    assert_eq!(index.counts(BOOKS), Counts { live: 0, tombstones: 0 });
    assert_eq!(index.get(BOOKS, &DocId::U64(1)), None);
}

#[test]
fn a_dropped_collection_is_gone_from_every_layer_and_the_others_stay() {
    let mut index = filled(0..10_000);
    settle(&mut index, Target::Base);
    index.put(BOOKS, &DocId::U64(3), entry(20_000));
    index.put(PEOPLE, &DocId::U64(3), entry(20_001));
    index.freeze();
    let before = index.merge(Target::Base).unwrap();
    index.drop_collection(BOOKS);
    let check = |index: &Index| {
        assert_eq!(index.get(BOOKS, &DocId::U64(3)), None);
        assert_eq!(ids(index, BOOKS), []);
        assert_eq!(index.counts(BOOKS), Counts::default());
        assert_eq!(index.live_at(BOOKS, WallMs(0)), 0);
        assert_eq!(index.collections(), [PEOPLE]);
        assert_eq!(index.get(PEOPLE, &DocId::U64(3)), Some(Found::Live(entry(20_001))));
    };
    check(&index);
    // A merge that began before does not bring it back.
    index.install(before.run()).unwrap();
    check(&index);
    settle(&mut index, Target::Layer);
    check(&index);
    settle(&mut index, Target::Base);
    check(&index);
    assert_eq!(index.base().len(), 1);
    assert!(index.memory().base < 1024, "{:?}", index.memory());
}

#[test]
fn a_merge_in_pieces_makes_what_a_merge_in_one_makes() {
    let mut index = filled((0..30_000).map(|n| n * 3));
    settle(&mut index, Target::Base);
    for n in 0..9_000 {
        index.put(BOOKS, &DocId::U64(n * 7), entry(100_000 + n));
        index.put(BOOKS, &DocId::string(&format!("{n:050}")).unwrap(), entry(200_000 + n));
        index.delete(BOOKS, &DocId::U64(n * 30), Lsn(300_000 + n));
    }
    index.freeze();
    let whole = index.merge(Target::Base).unwrap().run();
    let mut merge: Merge = index.merge(Target::Base).unwrap();
    let mut steps = 0;
    let pieces = loop {
        match merge.step(777) {
            Step::More(more) => merge = more,
            Step::Done(merged) => break merged,
        }
        steps += 1;
    };
    assert!(steps > 20, "{steps}");
    assert_eq!(whole.table().len(), pieces.table().len());
    let before: Vec<_> = index.range(BOOKS, Bound::Unbounded, Bound::Unbounded).collect();
    index.install(pieces).unwrap();
    assert_eq!(index.install(whole), Err(docstore::index::Stale));
    let after: Vec<_> = index.range(BOOKS, Bound::Unbounded, Bound::Unbounded).collect();
    assert!(before == after, "a merge changes nothing that is read");
}

#[test]
fn a_merge_shares_what_nothing_changed() {
    let mut index = filled(0..100_000);
    settle(&mut index, Target::Base);
    let old = std::sync::Arc::clone(index.base());
    index.put(BOOKS, &DocId::U64(50_000), entry(200_000));
    index.put(BOOKS, &DocId::U64(100_000), entry(200_001));
    settle(&mut index, Target::Base);
    let shared = index.base().blocks_shared_with(&old);
    assert!(shared.shared >= shared.total - 5, "{shared:?}");
    assert!(shared.total > 30, "{shared:?}");
}

#[test]
fn blocks_stay_full_however_documents_come() {
    let spread = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for order in [|n| n, |n: u64| n * 5, |n: u64| 1_000_000 - n] as [fn(u64) -> u64; 3] {
        let mut index = Index::new();
        let mut lsn = 0;
        for n in 0..60_000 {
            for id in [order(n), spread(n)] {
                lsn += 1;
                index.put(BOOKS, &DocId::U64(id), entry(lsn));
            }
            if n % 9_000 == 0 || n % 7_001 == 0 {
                settle(&mut index, Target::Base);
            }
        }
        settle(&mut index, Target::Base);
        let documents = usize::try_from(index.counts(BOOKS).live).unwrap();
        let memory = index.memory();
        assert_eq!((memory.trees, memory.layers), (0, 0));
        assert!(memory.base <= 32 * documents + 64 * 1024, "{memory:?} for {documents}");
    }
}

#[test]
fn blocks_stay_full_when_one_document_comes_to_each_or_most_of_each_go() {
    let mut index = filled((0..100_000).map(|n| n * 4));
    settle(&mut index, Target::Base);
    let check = |index: &Index| {
        let documents = usize::try_from(index.counts(BOOKS).live).unwrap();
        let blocks = index.base().blocks_shared_with(index.base()).total;
        // A full block has 2,728 numbers. The last three may be emptier than three quarters.
        let most = documents / (2_728 * 3 / 4) + 3;
        assert!(blocks <= most, "{blocks} blocks for {documents} documents");
    };
    // A full block that takes one more would be two halves, if it were packed alone.
    for n in (0..100_000).step_by(1_500) {
        index.put(BOOKS, &DocId::U64(n * 4 + 1), entry(500_000 + n));
        settle(&mut index, Target::Base);
    }
    check(&index);
    // Of every second stretch nearly all are deleted.
    for n in (0..100_000).filter(|n| n / 3_000 % 2 == 0 && n % 3_000 != 0) {
        index.delete(BOOKS, &DocId::U64(n * 4), Lsn(1_000_000 + n));
    }
    settle(&mut index, Target::Base);
    check(&index);
}

#[test]
fn expired_documents_are_counted_and_found_in_every_layer() {
    let mut index = Index::new();
    for n in 0..9_000 {
        index.put(BOOKS, &DocId::U64(n), expiring(n + 1, 10 * n));
    }
    settle(&mut index, Target::Base);
    // Of the first hundred, some no longer expire, some expire later, some are gone.
    for n in 0..100 {
        let id = DocId::U64(n);
        match n % 4 {
            0 => drop(index.put(BOOKS, &id, entry(10_000 + n))),
            1 => drop(index.put(BOOKS, &id, expiring(10_000 + n, 5_000))),
            2 => drop(index.delete(BOOKS, &id, Lsn(10_000 + n))),
            _ => {}
        }
        if n == 50 {
            index.freeze();
        }
    }
    let live = 9_000 - 25;
    let check = |index: &Index| {
        assert_eq!(index.counts(BOOKS).live, live);
        // Until 990 only those with n % 4 == 3 expire, at 30, 70, …
        for (now, expired) in [(0, 0), (30, 1), (990, 25), (999, 25), (1_000, 26), (4_990, 425)] {
            assert_eq!(index.live_at(BOOKS, WallMs(now)), live - expired, "at {now}");
            let page = index.expired(BOOKS, WallMs(now), None, usize::MAX);
            assert_eq!(page.documents.len() as u64, expired, "at {now}");
            assert_eq!(page.next, None);
        }
        assert_eq!(index.live_at(BOOKS, WallMs(5_000)), live - 425 - 26);
        assert_eq!(index.live_at(BOOKS, WallMs(u64::MAX)), 25);
    };
    check(&index);
    settle(&mut index, Target::Layer);
    check(&index);
    settle(&mut index, Target::Base);
    check(&index);
    assert_eq!(index.earliest_expiry(BOOKS), Some(WallMs(30)));
}

#[test]
fn expired_documents_are_found_page_by_page() {
    let mut index = Index::new();
    for n in 0..5_000 {
        let id = if n % 2 == 0 { DocId::U64(n) } else { DocId::string(&n.to_string()).unwrap() };
        index.put(BOOKS, &id, expiring(n + 1, n % 10));
        if n == 4_000 {
            settle(&mut index, Target::Base);
        }
    }
    let whole = index.expired(BOOKS, WallMs(4), None, usize::MAX);
    assert_eq!(whole.documents.len(), 2_500);
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = index.expired(BOOKS, WallMs(4), after.as_ref(), 300);
        assert!(page.documents.len() <= 300);
        pages.extend(page.documents);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(pages, whole.documents);
}

#[test]
fn a_moved_record_is_noted_unless_the_document_was_written_meanwhile() {
    let mut index = filled(0..3);
    settle(&mut index, Target::Base);
    let id = DocId::U64(1);
    let to = Location { file: FileNumber(9), offset: 9 };
    assert!(!index.relocate(BOOKS, &id, Lsn(1), entry(2).location, to), "another revision");
    assert!(!index.relocate(BOOKS, &id, Lsn(2), entry(1).location, to), "another place");
    assert!(index.relocate(BOOKS, &id, Lsn(2), entry(2).location, to));
    assert_eq!(index.get(BOOKS, &id), Some(Found::Live(Entry { location: to, ..entry(2) })));
    assert_eq!(index.counts(BOOKS).live, 3);
    assert!(!index.relocate(BOOKS, &DocId::U64(77), Lsn(2), entry(2).location, to));
}

#[test]
fn merges_fall_due_as_layers_gather() {
    let mut index = filled(0..40);
    assert_eq!(index.due(), None);
    assert!(index.merge(Target::Base).is_none());
    index.freeze();
    assert_eq!(index.due(), Some(Target::Base));
    settle(&mut index, Target::Base);
    assert_eq!(index.due(), None);
    index.put(BOOKS, &DocId::U64(3), entry(100));
    index.freeze();
    assert_eq!(index.due(), Some(Target::Layer), "to be packed");
    settle(&mut index, Target::Layer);
    assert_eq!(index.due(), None);
    assert!(index.merge(Target::Layer).is_none(), "there is one, and it is packed");
    for n in 0..10 {
        index.put(BOOKS, &DocId::U64(n), entry(200 + n));
    }
    index.freeze();
    assert_eq!(index.due(), Some(Target::Base), "more than a quarter of the base");
}
