//! An index beside the documents that it is of, under random schemas: whatever is written, flushed, merged, made again
//! and opened again, on a store of which changes fail, every answer is that of looking at all documents.

use std::sync::Arc;
use std::time::Duration;

use base::clock::WallMs;
use base::error::Coded;
use base::io::MemDisk;
use base::rng::Rng;
use base::words::Lsn;
use search::exhaustive::Answer;
use search::index::{Index, IndexError, Options, Prepared, Rebuild, Result, Snapshot, Step};
use search::query::Query;
use search::schema::Schema;
use search::storage::StoreRef;
use sim::seed::Seeds;

use crate::shapes::Shape;
use crate::stores::Unsteady;
use crate::world::{World, environment, is_same, open_with, options, parse, settle, store};

/// A rebuild, and what it is to be fed with.
struct Making {
    rebuild: Rebuild,
    documents: Vec<Prepared>,
    /// The position of the documents.
    at: Lsn,
    is_fed: bool,
    /// Changes of the log that it has.
    changes: usize,
}

/// A snapshot and what it must answer for ever.
struct Kept {
    snapshot: Snapshot,
    query: Query,
    now: WallMs,
    expect: Answer,
}

/// What happened.
#[derive(Debug, Default)]
struct Counts {
    flushes: u64,
    merges: u64,
    opened: u64,
    adopted: u64,
    sweeps: u64,
    failed: u64,
    answers: u64,
}

pub(crate) struct Life {
    world: World,
    unsteady: Arc<Unsteady>,
    store: StoreRef,
    options: Options,
    index: Index,
    making: Option<Making>,
    kept: Vec<Kept>,
    counts: Counts,
}

impl Life {
    pub(crate) fn new(shape: Shape, mut rng: Rng, ids: u64, options: Options) -> Self {
        let unsteady = Arc::new(Unsteady::new(store(MemDisk::shared()), rng.next_u64()));
        let world = World::of(shape, rng, ids);
        let store = Arc::clone(&unsteady) as StoreRef;
        let index = opened(&world, &store, &options, (0, 0)).expect("a new index");
        let (making, kept, counts) = (None, Vec::new(), Counts::default());
        Self { world, unsteady, store, options, index, making, kept, counts }
    }

    /// Counts what was done, and what failed because the store did.
    fn note(&mut self, done: Result<Step>, count: fn(&mut Counts) -> &mut u64) {
        match done {
            Ok(Step::Done) => *count(&mut self.counts) += 1,
            Ok(Step::Idle) => {}
            Err(error) => {
                assert!(error.retryable(), "{error}");
                self.counts.failed += 1;
            }
        }
    }

    fn write(&mut self) {
        let changes = self.world.write();
        self.index.apply(self.world.prepared(&changes), Lsn::ZERO);
    }

    fn turn(&mut self) {
        let per_mille = if self.world.rng.chance(300) { 250 } else { 0 };
        self.unsteady.fail(per_mille);
        match self.world.rng.below(18) {
            0..7 => self.write(),
            7 | 8 => {
                self.world.clock.advance(Duration::from_secs(self.world.rng.below(20)));
            }
            9 => {
                let done = self.index.flush_step();
                self.note(done, |counts| &mut counts.flushes);
            }
            10 | 11 => {
                let done = self.index.compact_step();
                self.note(done, |counts| &mut counts.merges);
            }
            12 => {
                let done = self.index.flush_all().map(|()| Step::Done);
                self.note(done, |counts| &mut counts.flushes);
            }
            13 | 14 => {
                let done = self.index.sweep_step();
                self.note(done, |counts| &mut counts.sweeps);
            }
            15 => self.open_again(),
            _ => self.make_again(),
        }
    }

    /// The process ends, and another begins; its replay begins where it must or earlier.
    fn open_again(&mut self) {
        self.unsteady.fail(0);
        let durable = self.index.applied();
        let early = self.world.rng.index(20);
        self.making = None;
        let seed = self.world.rng.next_u64();
        let opened = opened(&self.world, &self.store, &self.options, (early, seed));
        self.index = opened.expect("an index");
        assert!(self.index.applied() >= durable, "what was durable is");
        self.counts.opened += 1;
    }

    /// The next step of making the index again.
    fn make_again(&mut self) {
        let schema = self.world.shape.schema.clone();
        let (world, index) = (&mut self.world, &self.index);
        let making = self.making.get_or_insert_with(|| Making {
            rebuild: index.rebuild(schema),
            documents: world.prepared_documents(),
            at: world.position(),
            is_fed: false,
            changes: world.log.len(),
        });
        if !making.is_fed {
            let some = 1 + world.rng.index(60);
            let rest = making.documents.split_off(making.documents.len().min(some));
            let some = std::mem::replace(&mut making.documents, rest);
            making.rebuild.add(some).expect("in order");
            if making.documents.is_empty() {
                making.rebuild.documents_end(making.at);
                making.is_fed = true;
            }
        } else {
            let since = world.log.len() - making.changes;
            let some = world.rng.index(since + 1);
            let end = making.changes + some;
            making.rebuild.apply(world.prepared(&world.log[making.changes..end]), Lsn::ZERO);
            making.changes = end;
        }
        let stepped = making.rebuild.background_step();
        let is_behind = !making.is_fed || making.changes < world.log.len();
        let adopted = index.adopt(&mut making.rebuild);
        self.note(stepped, |counts| &mut counts.flushes);
        match adopted {
            Ok(()) => {
                assert!(!is_behind, "it has not all changes");
                self.making = None;
                self.counts.adopted += 1;
            }
            Err(IndexError::Behind { .. }) => assert!(is_behind, "it has all changes"),
            Err(error) => self.note(Err(error), |counts| &mut counts.failed),
        }
    }

    fn check(&mut self, queries: usize) {
        assert_eq!(self.index.position(), self.world.position());
        assert_eq!(self.index.status().rows, self.world.documents.len() as u64);
        self.world.check(&self.index, queries);
        self.counts.answers += queries as u64;
    }

    /// Keeps a snapshot, and asks those that were kept before what they were asked then.
    fn look_back(&mut self) {
        for Kept { snapshot, query, now, expect } in &self.kept {
            let found = snapshot.query(query, *now).expect("an answer");
            is_same(&found, expect, &format!("{query:?} later"));
        }
        let query = parse(&self.world.query());
        let (now, expect) = (self.world.now(), self.world.expect(&query));
        self.kept.push(Kept { snapshot: self.index.snapshot(), query, now, expect });
        // A snapshot is not for longer than a grace, which is longer than three turns.
        if self.kept.len() > 3 {
            self.kept.remove(0);
        }
    }

    pub(crate) fn live(&mut self, turns: usize) {
        for _ in 0..turns {
            self.turn();
            self.check(3);
            self.look_back();
        }
        self.unsteady.fail(0);
        settle(&self.index).expect("all that is due");
        self.check(10);
        self.open_again();
        self.check(10);
    }
}

/// An index that does in a minute what others do in an hour.
pub(crate) fn hasty() -> Options {
    Options {
        grace: Duration::from_secs(60),
        compact_every: Duration::from_secs(30),
        flush_after: Duration::from_secs(20),
        ..options()
    }
}

/// The index that is there or a new one, which a replay that begins so many changes too early has brought up to date.
fn opened(
    world: &World,
    store: &StoreRef,
    options: &Options,
    (early, seed): (usize, u64),
) -> Result<Index> {
    let with = (world.shape.schema.clone(), options.clone());
    open_with(store, with, || environment(&world.clock, seed), (&world.log, early))
}

#[test]
fn every_answer_is_that_of_looking_at_all_documents() {
    Seeds::from_env(1, 10).each(|seed| {
        let mut rng = Rng::new(seed);
        let shape = if seed == 1 { Shape::usual() } else { Shape::of(&mut rng) };
        let ids = if rng.chance(300) { 400 } else { 20 + rng.below(60) };
        // Of a memtable that is never full, one that is full after each batch, and one between.
        let memtable_bytes = [1 << 20, 1024, 16 * 1024][rng.index(3)];
        let segments_max = 1 + rng.index(4);
        let options = Options { memtable_bytes, segments_max, ..hasty() };
        let mut life = Life::new(shape, rng, ids, options);
        life.live(80);
        println!("seed {seed}: {:?}", life.counts);
    });
}

#[test]
fn adopting_flushing_merging_and_failing_all_happen() {
    let mut all = Counts::default();
    for seed in 100..103 {
        let mut life = Life::new(Shape::usual(), Rng::new(seed), 40, hasty());
        life.live(80);
        let Counts { flushes, merges, opened, adopted, sweeps, failed, answers } = life.counts;
        all.sweeps += sweeps;
        all.flushes += flushes;
        all.merges += merges;
        all.opened += opened;
        all.adopted += adopted;
        all.failed += failed;
        all.answers += answers;
    }
    let Counts { flushes, merges, opened, adopted, sweeps, failed, .. } = all;
    let least = [flushes, merges, opened, adopted, sweeps, failed].into_iter().min();
    assert!(least >= Some(3), "{all:?}");
}

/// Documents with an attribute that a schema with it filterable finds them by.
fn grown(world: &World) -> Schema {
    let request = br#"{"t":{"type":"string","filterable":true,"full_text_search":{"k1":2}}}"#;
    let request = search::json::Json::parse(request).expect("JSON");
    let change = world.shape.schema.declare(request, None).expect("a change");
    assert_eq!(change.builds.len(), 2, "{:?}", change.builds);
    change.schema
}

#[test]
fn an_index_of_another_schema_is_not_opened_but_made_again() {
    let mut world = World::new(21, 60);
    let store = store(MemDisk::shared());
    let index = opened(&world, &store, &options(), (0, 0)).expect("an index");
    while world.documents.len() < 30 {
        let changes = world.write();
        index.apply(world.prepared(&changes), Lsn::ZERO);
    }
    index.flush_all().expect("a flush");
    let schema = grown(&world);
    let open = |schema: &Schema| {
        let with = (schema.clone(), options());
        open_with(&store, with, || environment(&world.clock, 1), (&world.log, 0))
    };
    // The process ended before what the schema needs was built.
    let error = open(&schema).expect_err("made for another schema");
    assert!(matches!(error, IndexError::Outdated), "{error}");
    let index = open(&world.shape.schema).expect("the schema that it was made for");
    let mut rebuild = index.rebuild(schema.clone());
    let preparer = rebuild.preparer();
    let mut documents: Vec<_> = world.documents.iter().collect();
    documents.sort_by_key(|(_, stored)| stored.lsn);
    let documents = documents.into_iter().map(|(id, stored)| {
        let lsns = (stored.lsn, Lsn::ZERO);
        Prepared::put(&preparer, id, lsns, stored.expires_at, &stored.document).expect("it fits")
    });
    rebuild.add(documents.collect()).expect("in order");
    rebuild.documents_end(world.position());
    index.adopt(&mut rebuild).expect("it has all changes");
    drop(index);
    let index = open(&schema).expect("the schema that it is made for now");
    let query = parse(r#"{"filters":["t","Glob","*fox*"],"limit":100}"#);
    let expect = search::exhaustive::scan(
        &schema,
        &query,
        world.documents.iter().map(|(id, stored)| (id.clone(), &stored.document)),
        u64::MAX,
    );
    let found = index.snapshot().query(&query, WallMs(0)).expect("an answer").answer;
    assert_eq!(found.rows, expect.expect("an answer").rows);
    assert!(!found.rows.is_empty());
}

#[test]
fn approximate_search_finds_what_is_near_with_any_filter() {
    let options = Options { memtable_bytes: 1 << 30, unindexed_bytes_max: 1 << 30, ..options() };
    let mut life = Life::new(Shape::usual(), Rng::new(31), 5_000, options);
    while life.world.documents.len() < 1_500 {
        life.write();
    }
    life.index.flush_all().expect("a flush");
    let (mut wanted, mut near) = (0, 0);
    for at in 0..60_i32 {
        let filter = ["", r#""filters":["n","Gte",0],"#, r#""filters":["s","NotEq","red"],"#];
        let filter = filter[at.unsigned_abs() as usize % 3];
        let text = format!(
            r#"{{{filter}"rank_by":["v","ANN",[{},{}]],"limit":20}}"#,
            at % 7 - 3,
            at % 5 - 2
        );
        let query = parse(&text);
        let found = life.index.snapshot().query(&query, life.world.now()).expect("an answer");
        let expect = life.world.expect(&query);
        assert_eq!(found.answer.work.matched, expect.work.matched, "{text}");
        assert_eq!(found.performance.damaged().count(), 0);
        // Many are as near as each other: what counts is how near they are.
        let farthest = expect.rows.last().and_then(|row| row.dist).expect("twenty rows");
        wanted += expect.rows.len();
        near += found.answer.rows.iter().filter(|row| row.dist <= Some(farthest)).count();
    }
    assert!(near * 100 >= wanted * 95, "{near} of {wanted}");
}
