//! What an index promises, one by one. That its answers are right whatever happens is in `differential.rs`.

use std::sync::Arc;
use std::time::Duration;

use base::document::Document;
use base::io::MemDisk;
use base::words::{DocId, Lsn};
use search::fusion::{Fusion, List};
use search::index::{Index, IndexError, Options, Prepared, Rebuild, Step};
use search::storage::list_all;

use crate::world::{
    Logged, PLACE, TestClock, World, backing, environment, is_same, open, open_with, options,
    parse, preparer, schema, settle, store,
};

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

/// Sweeps while a snapshot has what was merged away, and while a rebuild is under way.
pub(crate) fn sweeps_of_what_is_in_use(options: &Options) {
    let mut world = World::new(17, 60);
    let store = store(MemDisk::shared());
    let clock = Arc::clone(&world.clock);
    let schema = world.shape.schema.clone();
    let opened = |seed, log: &[Logged]| {
        let environment = || environment(&clock, seed);
        open_with(&store, (schema.clone(), options.clone()), environment, (log, 0))
    };
    let index = opened(1, &[]).expect("an index");
    for _ in 0..5 {
        let changes = world.write();
        index.apply(world.prepared(&changes), Lsn::ZERO);
        index.flush_all().expect("a flush");
    }
    drop(index);
    // Nothing is in its cache.
    let index = opened(2, &world.log).expect("an index");
    clock.advance(options.grace * 2);
    let snapshot = index.snapshot();
    assert_eq!(index.compact_step().expect("a merge"), Step::Done);
    index.sweep_step().expect("a sweep");
    for _ in 0..10 {
        let query = parse(&world.query());
        let found = snapshot.query(&query, world.now()).expect("the grace is not over");
        is_same(&found, &world.expect(&query), "of the snapshot");
    }
    let mut rebuild = index.rebuild(schema.clone());
    rebuild.add(world.prepared_documents()).expect("in order");
    rebuild.documents_end(world.position());
    while rebuild.background_step().expect("a flush") == Step::Done {}
    assert!(rebuild.status().segments > 0);
    clock.advance(options.grace * 2);
    index.sweep_step().expect("a sweep");
    index.adopt(&mut rebuild).expect("it has all changes");
    index.verify().expect("all files are there");
    world.check(&index, 5);
}

#[test]
fn what_is_in_use_is_not_swept() {
    sweeps_of_what_is_in_use(&options());
}

/// Opens the durable state after every step beside the index, without a replay.
pub(crate) fn durable_states(options: &Options) {
    let mut world = World::new(12, 30);
    let store = store(MemDisk::shared());
    let with = || (world.shape.schema.clone(), options.clone());
    let environment = || environment(&world.clock, 5);
    let index = open_with(&store, with(), environment, (&[], 0)).expect("an index");
    let mut past: Vec<(Lsn, World)> = Vec::new();
    let (schema, options) = with();
    let clock = Arc::clone(&world.clock);
    let environment = || crate::world::environment(&clock, 5);
    let mut checked = 0;
    for turn in 0..60 {
        let changes = world.write();
        index.apply(world.prepared(&changes), Lsn::ZERO);
        past.push((world.position(), world.at(world.log.len())));
        if turn % 4 == 1 {
            // More is applied between the freeze and the publication than is flushed.
            index.flush_step().expect("nothing or a flush");
            let changes = world.write();
            index.apply(world.prepared(&changes), Lsn::ZERO);
            index.compact_step().expect("a merge");
        }
        let opened =
            Index::open(backing(&store), PLACE, schema.clone(), options.clone(), environment());
        let opened = opened.expect("an index").expect("one that was created");
        assert_eq!(opened.applied(), index.applied());
        if let Some((_, then)) = past.iter_mut().find(|(lsn, _)| *lsn == opened.applied()) {
            assert_eq!(opened.status().rows, then.documents.len() as u64);
            then.check(&opened, 5);
            checked += 1;
        }
    }
    assert!(checked > 10, "{checked} states");
}

#[test]
fn a_durable_state_is_one_at_exactly_its_position() {
    durable_states(&options());
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
    let (at, mut documents) = (world.position(), world.prepared_documents());
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
    let documents = world.prepared_documents();
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
