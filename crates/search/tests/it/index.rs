//! An index beside the documents that it is of: whatever is written, flushed, merged and opened again, every answer
//! is that of looking at all documents.

use std::sync::Arc;
use std::time::Duration;

use base::document::Document;
use base::io::MemDisk;
use base::words::{DocId, Lsn};
use search::fusion::{Fusion, List};
use search::index::{Index, IndexError, Prepared, Rebuild, Step};
use search::storage::list_all;

use crate::world::{
    Logged, PLACE, TestClock, World, backing, environment, open, options, parse, preparer, schema,
    settle, store,
};

/// Runs one world for so many turns.
fn run(seed: u64, ids: u64, turns: usize) {
    let mut world = World::new(seed, ids);
    let store = store(MemDisk::shared());
    let mut index = open(&store, &world.clock, seed, &[]).expect("an index");
    let (mut flushes, mut merges) = (0, 0);
    for turn in 0..turns {
        match world.rng.below(12) {
            0..6 => {
                let changes = world.write();
                index.apply(world.prepared(&changes), Lsn::ZERO);
            }
            6 => world.clock.advance(Duration::from_secs(world.rng.below(90))),
            7 => {
                flushes += usize::from(index.flush_step().expect("a flush") == Step::Done);
            }
            8 => {
                merges += usize::from(index.compact_step().expect("a merge") == Step::Done);
            }
            9 => index.flush_all().expect("a flush"),
            10 => {
                index.sweep_step().expect("a sweep");
            }
            _ => {
                let again = open(&store, &world.clock, turn as u64, &world.log);
                index = again.expect("an index");
            }
        }
        assert_eq!(index.position(), world.position());
        assert_eq!(index.status().rows, world.documents.len() as u64);
        world.check(&index, 3);
    }
    settle(&index).expect("all that is due");
    world.check(&index, 10);
    assert!(turns < 100 || (flushes > 0 && merges > 0), "{flushes} flushes, {merges} merges");
}

#[test]
fn every_answer_is_that_of_looking_at_all_documents() {
    for seed in 1..=6 {
        run(seed, 40, 120);
    }
    run(7, 400, 150);
}

#[test]
fn a_snapshot_stays_as_it_was_whatever_happens() {
    let mut world = World::new(11, 60);
    let store = store(MemDisk::shared());
    let index = open(&store, &world.clock, 1, &[]).expect("an index");
    let mut kept = Vec::new();
    for turn in 0..40 {
        let changes = world.write();
        index.apply(world.prepared(&changes), Lsn::ZERO);
        if turn % 3 == 0 {
            index.flush_all().expect("a flush");
            index.compact_step().expect("a merge");
        }
        let query = parse(&world.query());
        kept.push((index.snapshot(), world.expect(&query), query, world.now()));
    }
    for (snapshot, expect, query, now) in kept {
        let found = snapshot.query(&query, now).expect("an answer").answer;
        assert_eq!((found.rows, found.groups), (expect.rows, expect.groups), "{query:?}");
    }
}

#[test]
fn a_durable_state_is_one_at_exactly_its_position() {
    let mut world = World::new(12, 30);
    let store = store(MemDisk::shared());
    let index = open(&store, &world.clock, 1, &[]).expect("an index");
    let mut past: Vec<(Lsn, World)> = Vec::new();
    let mut checked = 0;
    for turn in 0..60 {
        let changes = world.write();
        index.apply(world.prepared(&changes), Lsn::ZERO);
        let mut copy = World::new(turn, 30);
        copy.documents = world.documents.clone();
        past.push((world.position(), copy));
        if turn % 4 == 1 {
            // More is applied between the freeze and the publication than is flushed.
            let changes = world.write();
            index.flush_step().expect("nothing or a flush");
            index.apply(world.prepared(&changes), Lsn::ZERO);
            index.compact_step().expect("a merge");
        }
        let opened =
            Index::open(backing(&store), PLACE, schema(), options(), environment(&world.clock, 5));
        let opened = opened.expect("an index").expect("one that was created");
        assert_eq!(opened.applied(), index.applied());
        if let Some((_, then)) = past.iter_mut().find(|(lsn, _)| *lsn == opened.applied()) {
            then.clock = Arc::clone(&world.clock);
            then.check(&opened, 5);
            checked += 1;
        }
    }
    assert!(checked > 10, "{checked} states");
}

#[test]
fn queries_of_one_snapshot_are_fused() {
    let mut world = World::new(13, 50);
    let store = store(MemDisk::shared());
    let index = open(&store, &world.clock, 1, &[]).expect("an index");
    for _ in 0..10 {
        let changes = world.write();
        index.apply(world.prepared(&changes), Lsn::ZERO);
    }
    index.flush_all().expect("a flush");
    let queries = [
        parse(r#"{"rank_by":["v","ANN",[0,0]],"limit":20}"#),
        parse(r#"{"rank_by":["Attribute","f"],"limit":20}"#),
    ];
    let fusion = Fusion::ReciprocalRank { rank_constant: 60.0, weights: vec![2.0, 1.0] };
    let snapshot = index.snapshot();
    let (fused, results) =
        snapshot.fused(&queries, &fusion, (5, 1), world.now()).expect("an answer");
    let answers: Vec<_> = queries.iter().map(|query| world.expect(query)).collect();
    let lists: Vec<List<'_>> = answers
        .iter()
        .zip(&results)
        .map(|(answer, results)| List { rows: &answer.rows, direction: results.direction })
        .collect();
    assert_eq!(fused, fusion.fuse(&lists).expect("a list")[1..6]);
}

#[test]
fn an_index_is_made_again_from_documents_while_it_answers() {
    let mut world = World::new(14, 80);
    let store = store(MemDisk::shared());
    let index = open(&store, &world.clock, 1, &[]).expect("an index");
    for _ in 0..20 {
        let changes = world.write();
        index.apply(world.prepared(&changes), Lsn::ZERO);
        settle(&index).expect("all that is due");
    }
    let mut rebuild = index.rebuild(schema());
    let (at, mut documents) = (world.position(), documents_of(&world));
    let error = index.adopt(&mut rebuild).expect_err("it has nothing yet");
    assert!(matches!(error, IndexError::Behind { .. }), "{error}");
    while !documents.is_empty() {
        let rest = documents.split_off(documents.len().min(7));
        rebuild.add(std::mem::replace(&mut documents, rest)).expect("in order");
        let changes = world.write();
        index.apply(world.prepared(&changes), Lsn::ZERO);
        world.clock.advance(Duration::from_secs(1000));
        rebuild.background_step().expect("a step");
        settle(&index).expect("all that is due");
        world.check(&index, 3);
    }
    rebuild.documents_end(at);
    let error = index.adopt(&mut rebuild).expect_err("it has not caught up");
    assert!(matches!(error, IndexError::Behind { .. }), "{error}");
    let since: Vec<Logged> = world.log.iter().filter(|change| change.lsn() > at).cloned().collect();
    rebuild.apply(world.prepared(&since), Lsn::ZERO);
    index.adopt(&mut rebuild).expect("it has");
    world.check(&index, 20);
    drop(index);
    let index = open(&store, &world.clock, 2, &world.log).expect("an index");
    world.check(&index, 20);
}

#[test]
fn an_index_that_is_lost_is_made_from_documents() {
    let mut world = World::new(15, 80);
    for _ in 0..30 {
        world.write();
    }
    let store = store(MemDisk::shared());
    let mut rebuild =
        Rebuild::new(backing(&store), PLACE, schema(), options(), environment(&world.clock, 1));
    let documents = documents_of(&world);
    rebuild.add(documents.clone()).expect("in order");
    let error = rebuild.add(documents).expect_err("a second time");
    assert!(matches!(error, IndexError::Disorder { .. }), "{error}");
    rebuild.documents_end(world.position());
    let index = rebuild.finish().expect("an index");
    assert_eq!(index.applied(), world.position());
    world.check(&index, 20);
    drop(index);
    let index = open(&store, &world.clock, 2, &[]).expect("an index");
    world.check(&index, 20);
}

/// The documents as a rebuild is fed with them.
fn documents_of(world: &World) -> Vec<Prepared> {
    let mut documents: Vec<_> = world.documents.iter().collect();
    documents.sort_by_key(|(_, stored)| stored.lsn);
    let preparer = preparer();
    documents
        .into_iter()
        .map(|(id, stored)| {
            let lsns = (stored.lsn, Lsn::ZERO);
            Prepared::put(&preparer, id, lsns, stored.expires_at, &stored.document)
                .expect("it fits")
        })
        .collect()
}

#[test]
fn what_no_manifest_names_is_deleted_after_its_grace() {
    let mut world = World::new(16, 40);
    let store = store(MemDisk::shared());
    let index = open(&store, &world.clock, 1, &[]).expect("an index");
    for _ in 0..60 {
        let changes = world.write();
        index.apply(world.prepared(&changes), Lsn::ZERO);
        index.flush_all().expect("a flush");
        index.compact_step().expect("a merge");
    }
    let objects = || list_all(&*store, &PLACE.segments().expect("a name"), 100).expect("a list");
    let many = objects().len();
    settle(&index).expect("all that is due");
    world.clock.advance(options().grace * 2);
    settle(&index).expect("all that is due");
    let segments = usize::try_from(index.status().segments).expect("few");
    // Rows, attributes, words, the open copy, two vector fields, and perhaps dead rows.
    assert!(objects().len() <= segments * 7, "{} of {many}", objects().len());
    assert!(objects().len() < many / 2, "{} of {many}", objects().len());
    world.check(&index, 20);
}

#[test]
fn writes_are_held_back_when_too_much_waits() {
    let clock: Arc<TestClock> = Arc::default();
    let store = store(MemDisk::shared());
    let index = open(&store, &clock, 1, &[]).expect("an index");
    let bound = options().unindexed_bytes_max;
    assert!(index.admits(bound * 10), "a batch beyond the bound, when nothing waits");
    let mut lsn = Lsn::ZERO;
    let preparer = preparer();
    while index.admits(1000) {
        lsn = lsn.next();
        let document = Document::parse(br#"{"s":"some text","v":[1,2]}"#).expect("a document");
        let put = Prepared::put(&preparer, &DocId::U64(lsn.0), (lsn, Lsn::ZERO), None, &document);
        index.apply(vec![put.expect("it fits")], Lsn::ZERO);
        assert!(index.unindexed_bytes() <= bound);
    }
    assert_eq!(index.flush_step().expect("a flush"), Step::Done);
    assert!(index.admits(1000));
    settle(&index).expect("all that is due");
    assert_eq!(index.status().rows, lsn.0);
}
