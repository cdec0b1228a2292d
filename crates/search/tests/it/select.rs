//! What a snapshot answers besides queries: rows by a filter, vectors of some rows, and nothing once nobody waits.

use std::cell::Cell;

use base::io::MemDisk;
use base::rng::Rng;
use base::words::Lsn;
use search::exhaustive::{Answer, scan};
use search::filter::Filter;
use search::index::{Backing, Index};
use search::json::Json;
use search::query::Query;
use search::storage::StoreRef;
use search::storage::cache::{Blocks, MemoryCache};

use crate::world::{PLACE, World, environment, open, options, parse, schema, settle, store};

/// A world with documents in memtables and in segments.
fn world(seed: u64) -> (World, Index) {
    world_in(&store(MemDisk::shared()), seed)
}

fn world_in(store: &StoreRef, seed: u64) -> (World, Index) {
    let mut world = World::new(seed, 80);
    let index = open(store, &world.clock, seed, &[]).expect("an index");
    for turn in 0..30 {
        let changes = world.write();
        index.apply(world.prepared(&changes), Lsn::ZERO);
        if turn % 10 == 0 {
            settle(&index).expect("all that is due");
            index.flush_all().expect("a flush");
        }
    }
    (world, index)
}

fn all(world: &World, filter: &str) -> Answer {
    let query: Query = parse(&format!("{{\"filters\":{filter},\"limit\":10000}}"));
    let now = world.now();
    let visible = |at: Option<base::clock::WallMs>| at.is_none_or(|at| now < at);
    let documents = world.documents.iter().filter(|(_, stored)| visible(stored.expires_at));
    let documents = documents.map(|(id, stored)| (id.clone(), &stored.document));
    scan(&schema(), &query, documents, u64::MAX).expect("an answer")
}

#[test]
fn a_filter_selects_the_first_rows_that_it_finds_by_their_ids() {
    for seed in 1..=4 {
        let (world, index) = world(seed);
        let snapshot = index.snapshot();
        for text in [
            r#"["n","Gte",0]"#,
            r#"["t","ContainsAnyToken","fox dog"]"#,
            r#"["Or",[]]"#,
            r#"["And",[]]"#,
        ] {
            let filter = Filter::parse(Json::parse(text.as_bytes()).expect("JSON")).expect(text);
            let expect: Vec<_> = all(&world, text).rows.into_iter().map(|row| row.id).collect();
            for most in [0, 1, 5, expect.len(), 1000] {
                let selected = snapshot.select(&filter, most, world.now()).expect("rows");
                let cut = &expect[..most.min(expect.len())];
                assert_eq!(selected.ids, cut, "{text} at most {most}");
                assert_eq!(selected.has_more, expect.len() > most, "{text} at most {most}");
            }
        }
    }
}

#[test]
fn vectors_are_drawn_from_all_parts_and_none_of_them_twice() {
    let (world, index) = world(9);
    let (snapshot, schema) = (index.snapshot(), schema());
    let (_, field) = schema.fields().find(|(path, _)| path.to_string() == "v").expect("a field");
    let number = field.number;
    let now = world.now();
    let have_one = world.documents.iter().filter(|(id, stored)| {
        stored.expires_at.is_none_or(|at| now < at)
            && schema.row(id, &stored.document).expect("it fits").vector(number).is_some()
    });
    let have_one = have_one.count();
    let mut rng = Rng::new(1);
    for (count, expect) in [(0, 0), (5, 5), (have_one, have_one), (10_000, have_one)] {
        let drawn = snapshot.sample_vectors(number, count, (&mut rng, now)).expect("vectors");
        assert_eq!(drawn.len(), expect);
    }
    // All of them are, if as many are asked for: the same however they are drawn.
    let mut drawn = |seed| {
        rng = Rng::new(seed);
        let drawn = snapshot.sample_vectors(number, have_one, (&mut rng, now)).expect("vectors");
        let mut bytes: Vec<Vec<u8>> = drawn.iter().map(|one| one.as_bytes().to_vec()).collect();
        bytes.sort();
        bytes
    };
    assert_eq!(drawn(1), drawn(2));
}

#[test]
fn a_query_ends_between_two_parts_when_nobody_waits() {
    let (world, index) = world(3);
    let snapshot = index.snapshot();
    assert!(index.status().segments > 0 && index.status().unindexed_rows > 0);
    for text in [r#"{"limit":5}"#, r#"{"rank_by":["t","BM25","fox"],"limit":5}"#] {
        let query = parse(text);
        let asked = Cell::new(0);
        let count = |go_on: bool| {
            asked.set(asked.get() + 1);
            go_on
        };
        let whole = snapshot.query_while(&query, world.now(), &|| count(true)).expect("an answer");
        assert!(whole.is_some() && asked.get() > 0, "{text}");
        let times = asked.replace(0);
        let ended = snapshot.query_while(&query, world.now(), &|| count(asked.get() + 1 < times));
        assert!(ended.expect("no error").is_none() && asked.get() == times, "{text}");
    }
}

#[test]
fn what_was_fetched_beforehand_is_in_the_cache_when_it_is_asked_for() {
    let store = store(MemDisk::shared());
    let (world, index) = world_in(&store, 5);
    index.flush_all().expect("a flush");
    drop(index);
    // A cache in which everything has room.
    let blocks = Blocks::new(Box::new(MemoryCache::new(64 << 20)), 0);
    let backing = Backing { store, blocks };
    let of = environment(&world.clock, 5);
    let index = Index::open(backing, PLACE, schema(), options(), of).expect("an index");
    let snapshot = index.expect("it was flushed").snapshot();
    snapshot.warm(u64::MAX).expect("all of it");
    assert_eq!(snapshot.warm(u64::MAX).expect("nothing more"), 0);
    let query = parse(r#"{"rank_by":["v","kNN",[0,1]],"filters":["n","Gte",0],"limit":5}"#);
    let cache = snapshot.query(&query, world.now()).expect("an answer").performance.cache;
    assert!(cache.hits > 0 && cache.misses == 0, "{cache:?}");
}
