//! An index on a store that fails in every way: nothing is lost, nothing is there twice, no answer is wrong, no orphan
//! stays for ever, and of two writers one goes on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::error::Coded;
use base::io::{DiskRef, MemDisk, Open, read_exact_at, write_all_at};
use base::words::Lsn;
use search::index::{Environment, Index, IndexError, Options, Rebuild, Result, Step, inspect};
use search::manifest::{ManifestError, Record};
use search::storage::{StoreRef, Ulid, list_all};
use sim::objects::{FaultStore, Weather};
use sim::seed::Seeds;

use crate::stores::{Faulty, Objects, Unsteady};
use crate::world::{Logged, PLACE, World, environment, open, open_with, options, settle};

/// Where the record of the index is.
const RECORD: &str = "/record";

pub(crate) struct Life {
    pub(crate) world: World,
    pub(crate) inner: FaultStore,
    pub(crate) store: StoreRef,
    pub(crate) options: Options,
    disk: DiskRef,
    /// None while a new process has not been able to open it.
    pub(crate) index: Option<Index>,
    /// The greatest position that was known to be durable.
    durable: Lsn,
    fenced: u64,
}

fn is_fenced(error: &IndexError) -> bool {
    matches!(error, IndexError::Manifest(ManifestError::Fenced { .. }))
}

/// What an index on this data directory is opened with.
fn on_disk(world: &World, disk: &DiskRef, seed: u64) -> Environment {
    let record = Record::open(disk, Path::new(RECORD)).expect("a disk without faults");
    Environment { record: Some(record), ..environment(&world.clock, seed) }
}

impl Life {
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        let world = World::new(seed, 60);
        let inner = FaultStore::new(seed, (*world.clock).clone());
        let faulty = Faulty::new(inner.clone(), (*world.clock).clone(), 2);
        let mut life = Self {
            world,
            inner,
            store: Arc::new(faulty),
            options,
            disk: MemDisk::shared(),
            index: None,
            durable: Lsn::ZERO,
            fenced: 0,
        };
        life.open_again();
        assert!(life.index.is_some(), "in good weather");
        life
    }

    /// The process ends, and another begins on the same data directory, if it can.
    fn open_again(&mut self) {
        self.index = None;
        let seed = self.world.rng.next_u64();
        let with = (self.world.shape.schema.clone(), self.options.clone());
        let (world, disk) = (&self.world, &self.disk);
        let opened = open_with(&self.store, with, || on_disk(world, disk, seed), (&world.log, 0));
        match opened {
            Ok(index) => {
                assert!(index.applied() >= self.durable, "what was durable is");
                self.index = Some(index);
            }
            Err(error) => self.excuse(&error),
        }
    }

    /// An error that the weather explains.
    fn excuse(&mut self, error: &IndexError) {
        if is_fenced(error) {
            // What the process before tried to publish came to be after this one had looked.
            self.fenced += 1;
            self.index = None;
            return;
        }
        assert!(error.retryable(), "{error}");
    }

    fn step(&mut self) -> Result<()> {
        let Some(index) = &self.index else {
            self.open_again();
            return Ok(());
        };
        match self.world.rng.below(14) {
            0..5 => {
                if index.admits(2048) {
                    let changes = self.world.write();
                    index.apply(self.world.prepared(&changes), Lsn::ZERO);
                }
                Ok(())
            }
            5 => index.flush_all(),
            6 => index.flush_step().map(|_| ()),
            7 | 8 => index.compact_step().map(|_| ()),
            9 => index.sweep_step().map(|_| ()),
            10 => settle(index),
            11 => {
                self.world.clock.advance(Duration::from_secs(self.world.rng.below(400)));
                Ok(())
            }
            12 => self.make_again(),
            _ => {
                self.open_again();
                Ok(())
            }
        }
    }

    /// Makes the index again, in one go.
    fn make_again(&mut self) -> Result<()> {
        let Some(index) = &self.index else { return Ok(()) };
        let mut rebuild = index.rebuild(self.world.shape.schema.clone());
        let documents = self.world.prepared_documents();
        let at = self.world.position();
        for document in documents {
            rebuild.add(vec![document]).expect("in order");
            if !rebuild.admits(4096) {
                rebuild.background_step()?;
            }
        }
        rebuild.documents_end(at);
        let changes = self.world.write();
        index.apply(self.world.prepared(&changes), Lsn::ZERO);
        rebuild.apply(self.world.prepared(&changes), Lsn::ZERO);
        index.adopt(&mut rebuild)
    }

    pub(crate) fn live(&mut self, steps: usize) {
        for _ in 0..steps {
            if let Err(error) = self.step() {
                self.excuse(&error);
            }
            let Some(index) = &self.index else { continue };
            self.durable = self.durable.max(index.applied());
            assert_eq!(index.position(), self.world.position());
            assert_eq!(index.status().rows, self.world.documents.len() as u64);
            if let Err(error) = self.world.ask(index, 1) {
                assert!(error.retryable(), "{error}");
            }
        }
    }

    /// Every file that the newest manifest in the store names is there, and whole; how many objects it names.
    pub(crate) fn is_whole(&self) -> usize {
        let objects: StoreRef = Arc::new(Objects::of(self.inner.peek()));
        let found = inspect(&objects, PLACE).expect("a manifest").expect("there is one");
        for verdict in &found.verdicts {
            verdict.as_ref().unwrap_or_else(|error| panic!("{error}"));
        }
        let segments = found.manifest.contents.segments.iter();
        segments.map(|segment| segment.files.len() + usize::from(segment.dead.is_some())).sum()
    }

    /// In good weather everything comes right.
    pub(crate) fn end(mut self) {
        self.inner.set_weather(Weather::default());
        self.inner.settle();
        for _ in 0..3 {
            if self.index.as_ref().is_none_or(|index| index.flush_all().is_err()) {
                self.open_again();
            }
        }
        let index = self.index.as_ref().expect("in good weather it opens");
        for _ in 0..4 {
            settle(index).expect("all that is due");
            self.world.clock.advance(self.options.grace);
        }
        self.world.check(index, 10);
        let named = self.is_whole();
        let objects = self.inner.peek();
        assert_eq!(objects.len(), named + 1, "orphans: {:?}", objects.keys());
        // Also for a process that writes nothing.
        self.open_again();
        let index = self.index.as_ref().expect("an index");
        self.world.check(index, 5);
    }
}

#[test]
fn in_any_weather_every_answer_is_right_and_in_good_weather_nothing_is_left_over() {
    let seeds = Seeds::from_env(1, 14);
    seeds.each(|seed| {
        let mut life = Life::new(seed, options());
        let rng = &mut life.world.rng;
        let mut often = |most: u64| if rng.chance(600) { rng.below(most) } else { 0 };
        let weather = Weather {
            unavailable: often(200),
            lost_answer: often(200),
            late: often(100),
            torn: often(100),
            stale: often(400),
            slow: often(100),
        };
        life.live(10);
        life.inner.set_weather(weather);
        life.live(60);
        life.is_whole();
        life.end();
    });
}

#[test]
fn a_store_that_is_away_for_an_hour_stops_no_writes_before_the_bound_and_no_answers() {
    let options = Options { unindexed_bytes_max: 16 * 1024, ..options() };
    let mut life = Life::new(3, options);
    life.live(20);
    let index = life.index.as_ref().expect("in good weather");
    index.flush_all().expect("in good weather");
    life.inner.down_for(Duration::from_secs(3600));
    let mut written = 0;
    for _ in 0..40 {
        let index = life.index.as_ref().expect("it stays open");
        if index.admits(1024) {
            let changes = life.world.write();
            written += changes.len();
            index.apply(life.world.prepared(&changes), Lsn::ZERO);
        }
        let error = index.flush_all().expect_err("the store is away");
        assert!(error.retryable(), "{error}");
        // What the cache has is answered from there, and what it has not fails and says so.
        if let Err(error) = life.world.ask(index, 1) {
            assert!(error.retryable(), "{error}");
        }
    }
    assert!(written > 0);
    let index = life.index.as_ref().expect("it stays open");
    assert!(!index.admits(16 * 1024), "the bound is reached: {:?}", index.status());
    life.world.clock.advance(Duration::from_secs(3600));
    let index = life.index.as_ref().expect("it stays open");
    settle(index).expect("the store is back");
    index.flush_all().expect("the store is back");
    assert_eq!(index.applied(), life.world.position());
    assert!(index.admits(16 * 1024));
    life.world.check(index, 10);
    life.end();
}

/// A copy of the data directory.
fn copied(disk: &DiskRef) -> DiskRef {
    let copy = MemDisk::shared();
    for slot in 0..3 {
        let path = format!("{RECORD}.{slot}");
        let from = disk.open(Path::new(&path), Open::Read).expect("a slot");
        let mut bytes = vec![0; usize::try_from(from.len().expect("a length")).expect("short")];
        read_exact_at(&*from, &mut bytes, 0).expect("a disk without faults");
        let to = copy.open(Path::new(&path), Open::CreateNew).expect("a new name");
        write_all_at(&*to, &bytes, 0).expect("a disk without faults");
    }
    copy
}

/// Two processes with the same data directory on one place: which of them was told that the other has the index.
pub(crate) fn two_writers(options: &Options) -> (Life, bool) {
    let mut first = Life::new(5, options.clone());
    first.live(10);
    let index = first.index.as_ref().expect("in good weather");
    index.flush_all().expect("in good weather");
    let copy = copied(&first.disk);
    let with = (first.world.shape.schema.clone(), options.clone());
    let world = &first.world;
    let second = open_with(&first.store, with, || on_disk(world, &copy, 9), (&world.log, 0));
    let second = second.expect("the copy is as good");
    let log: Vec<Logged> = first.world.log.clone();
    // Both go on, each with what it takes for the log.
    let theirs = first.world.write();
    second.apply(first.world.prepared(&theirs), Lsn::ZERO);
    second.flush_all().expect("it was opened last");
    let mut other = first.world.at(log.len());
    let ours = other.write();
    index.apply(other.prepared(&ours), Lsn::ZERO);
    let is_stopped = index.flush_all().is_err_and(|error| is_fenced(&error));
    let sweep = index.sweep_step();
    let is_stopped = is_stopped && sweep.is_err_and(|error| is_fenced(&error));
    // What the first one cannot publish it still answers.
    other.check(index, 3);
    second.flush_all().expect("it goes on");
    first.world.check(&second, 5);
    first.disk = copy;
    first.index = None;
    drop(second);
    first.open_again();
    (first, is_stopped)
}

#[test]
fn of_two_processes_on_one_place_the_one_that_came_later_goes_on_and_the_other_is_fenced() {
    let (mut life, is_stopped) = two_writers(&options());
    assert!(is_stopped, "the first one is told");
    let index = life.index.as_ref().expect("the data directory that published last");
    assert_eq!(index.applied(), life.world.position());
    life.world.check(index, 5);
    // A data directory that never published there is refused.
    let with = (life.world.shape.schema.clone(), options());
    let (world, new) = (&life.world, MemDisk::shared());
    let refused = open_with(&life.store, with, || on_disk(world, &new, 1), (&world.log, 0));
    assert!(refused.is_err_and(|error| is_fenced(&error)));
    life.live(20);
    life.end();
}

#[test]
fn what_a_merge_made_that_was_not_published_is_deleted_while_the_index_goes_on() {
    let mut world = World::new(7, 40);
    let objects: StoreRef = Arc::new(Objects::default());
    let unsteady = Arc::new(Unsteady::new(Arc::clone(&objects), 7));
    let store = Arc::clone(&unsteady) as StoreRef;
    let index = open(&store, &world.clock, 7, &[]).expect("an index");
    let of_segments = || {
        let listed = list_all(&*objects, &PLACE.segments().expect("a name"), 100);
        listed.expect("a list").len()
    };
    let mut unpublished = 0;
    for _ in 0..30 {
        let changes = world.write();
        index.apply(world.prepared(&changes), Lsn::ZERO);
        index.flush_all().expect("a flush");
        // All files are put and the manifest is not.
        let before = of_segments();
        unsteady.fail_below("/manifest/");
        let failed = index.compact_step().is_err();
        unpublished += usize::from(failed && of_segments() > before);
        unsteady.fail(0);
    }
    assert!(unpublished > 2, "{unpublished} merges that were not published");
    for _ in 0..4 {
        settle(&index).expect("a store that does as it is told");
        world.clock.advance(options().grace);
    }
    let found = inspect(&objects, PLACE).expect("a manifest").expect("there is one");
    let segments = found.manifest.contents.segments.iter();
    let named: usize =
        segments.map(|segment| segment.files.len() + usize::from(segment.dead.is_some())).sum();
    assert_eq!(of_segments(), named, "nobody names the others");
    world.check(&index, 5);
}

/// The segments that the newest manifest names.
fn named(life: &Life) -> Vec<Ulid> {
    let objects: StoreRef = Arc::new(Objects::of(life.inner.peek()));
    let found = inspect(&objects, PLACE).expect("a manifest").expect("there is one");
    let mut ids: Vec<Ulid> = found.manifest.contents.segments.iter().map(|s| s.id).collect();
    ids.sort_unstable();
    ids
}

/// The segments of which there is a file.
fn segments(life: &Life) -> Vec<Ulid> {
    let folder = PLACE.segments().expect("a name");
    let objects = life.inner.peek();
    let below = objects.keys().filter_map(|name| name.strip_prefix(folder.as_str()));
    let id = |name: &str| Ulid::parse(name.trim_start_matches('/').split('/').next()?);
    let mut ids: Vec<Ulid> = below.filter_map(id).collect();
    ids.dedup();
    ids
}

#[test]
fn an_index_that_nobody_writes_to_asks_its_store_for_nothing() {
    let mut life = Life::new(8, options());
    life.live(30);
    let index = life.index.as_ref().expect("open");
    for _ in 0..4 {
        settle(index).expect("in good weather");
        life.world.clock.advance(options().compact_every);
    }
    settle(index).expect("in good weather");
    let calls = life.inner.calls();
    for _ in 0..100 {
        life.world.clock.advance(Duration::from_secs(60));
        assert_eq!(index.background_step().expect("nothing"), Step::Idle);
    }
    assert_eq!(life.inner.calls(), calls);
    // A process that opens it looks once for what the one before may have left.
    life.open_again();
    let index = life.index.as_ref().expect("open");
    for _ in 0..100 {
        life.world.clock.advance(Duration::from_secs(60));
        settle(index).expect("in good weather");
    }
    let lists = life.inner.calls().lists - calls.lists;
    assert!(lists <= 8, "{lists} lists");
}

#[test]
fn a_process_that_writes_nothing_deletes_what_the_one_before_left() {
    let mut life = Life::new(9, options());
    life.live(30);
    let index = life.index.as_ref().expect("open");
    settle(index).expect("in good weather");
    assert!(life.inner.peek().len() > life.is_whole() + 1, "the grace is not over");
    life.open_again();
    let index = life.index.as_ref().expect("open");
    let applied = index.applied();
    for _ in 0..4 {
        life.world.clock.advance(options().grace);
        while index.sweep_step().expect("in good weather") == Step::Done {}
    }
    assert_eq!(index.applied(), applied);
    assert_eq!(life.inner.peek().len(), life.is_whole() + 1, "{:?}", life.inner.peek().keys());
}

#[test]
fn an_index_whose_rebuild_was_given_up_keeps_nothing_of_it() {
    let mut life = Life::new(10, options());
    life.live(30);
    let index = life.index.as_ref().expect("open");
    let mut rebuild: Rebuild = index.rebuild(life.world.shape.schema.clone());
    rebuild.add(life.world.prepared_documents()).expect("in order");
    rebuild.documents_end(life.world.position());
    settle_rebuild(&rebuild);
    life.world.clock.advance(options().grace * 3);
    settle(index).expect("in good weather");
    let status = rebuild.status();
    assert!(status.segments > 0 && segments(&life).len() as u64 >= status.segments);
    drop(rebuild);
    for _ in 0..4 {
        life.world.clock.advance(options().grace);
        while index.sweep_step().expect("in good weather") == Step::Done {}
    }
    assert_eq!(segments(&life), named(&life));
    life.world.check(index, 3);
}

fn settle_rebuild(rebuild: &Rebuild) {
    while rebuild.background_step().expect("in good weather") == Step::Done {}
}
