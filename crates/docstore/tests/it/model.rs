//! Random operations on a database and on a model of it; every answer is compared.
//!
//! A run takes its weights from its seed (*swarm testing*): some kinds of operation are left out,
//! others crowd, so that runs differ in more than the order of the same mix. `model/reference.rs` has
//! the rules of writes, `model/transactions.rs` interactive transactions, `model/around.rs` what
//! happens around documents: collections, time, flushes, reopening; this file the rest.

mod around;
mod reference;
mod transactions;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use base::clock::WallMs;
use base::document::Document;
use base::error::{Code, Coded as _};
use base::memory::Budget;
use base::rng::Rng;
use base::words::{CollectionId, DocId, Lsn, Name};
use docstore::data::Parity;
use docstore::{
    DEFAULT_COLLECTION, Database, Expiry, Options, ScanRequest, SnapshotId, Stored, default_name,
};
use sim::VirtualClock;
use sim::disk::FaultDisk;
use sim::seed::Seeds;

use crate::world::{DIR, clock, env, small};
use reference::{Collection, Demand, Intent, Kind, Known, Model, SNAPSHOT_TTL, numbered};
use transactions::Tx;

/// How many operations a run makes.
const STEPS: usize = 250;
/// Numbers of documents; schemas allow some of them.
const NUMBERS: u64 = 600;

#[test]
fn every_answer_is_the_one_of_the_model() {
    Seeds::from_env(1, 300).each(|seed| Run::new(seed, small()).all());
}

#[test]
fn planted_defects_make_the_answers_differ_from_the_model() {
    for bug in [docstore::planted::Bug::StaleRead, docstore::planted::Bug::NumberReused] {
        let noticed = (1..40).any(|seed| {
            let options = Options { planted: Some(bug), ..small() };
            let run = move || Run::new(seed, options).all();
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err()
        });
        assert!(noticed, "{bug:?}");
    }
}

/// A snapshot that the run holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    id: SnapshotId,
    position: Lsn,
    used: Duration,
}

/// A scan of several pages that is under way.
#[derive(Debug)]
struct Scanning {
    request: ScanRequest,
    /// The last document of the last page.
    after: Option<DocId>,
    position: Lsn,
    used: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Write,
    Batch,
    Get,
    Scan,
    Snapshot,
    GetAt,
    Release,
    Transaction,
    Commit,
    Collection,
    Schema,
    Advance,
    Checkpoint,
    Compact,
    Reclaim,
    Maintain,
    Reopen,
}

const OPS: [Op; 17] = [
    Op::Write,
    Op::Batch,
    Op::Get,
    Op::Scan,
    Op::Snapshot,
    Op::GetAt,
    Op::Release,
    Op::Transaction,
    Op::Commit,
    Op::Collection,
    Op::Schema,
    Op::Advance,
    Op::Checkpoint,
    Op::Compact,
    Op::Reclaim,
    Op::Maintain,
    Op::Reopen,
];

struct Run {
    rng: Rng,
    weights: [u64; OPS.len()],
    disk: FaultDisk,
    clock: VirtualClock,
    /// How far the clock was moved.
    elapsed: Duration,
    options: Options,
    /// None only while it is being reopened.
    db: Option<Database>,
    model: Model,
    ids: Vec<DocId>,
    numbers: BTreeSet<CollectionId>,
    snapshots: Vec<Held>,
    scans: Vec<Scanning>,
    transactions: Vec<Tx>,
}

impl Run {
    fn new(seed: u64, options: Options) -> Self {
        let mut rng = Rng::new(seed);
        let mut weights = [0; OPS.len()];
        for weight in &mut weights {
            *weight = if rng.chance(300) { 0 } else { 1 + rng.below(8) };
        }
        weights[0] += 6;
        weights[1] += 2;
        // Reopening forgets all that is under way, so it is rare.
        *weights.last_mut().expect("there are kinds") /= 4;
        let options = Options {
            parity: if rng.chance(700) { Parity::On } else { Parity::Off },
            checkpoint_auto: rng.chance(500),
            checkpoint_interval_bytes: 4096 << rng.below(4),
            memtable_bytes_max: 8192 << rng.below(6),
            compaction_min_file_bytes: 8192,
            compaction_garbage_ratio: 0.2,
            checkpoints_max: 2 + rng.index(3),
            ..options
        };
        let (disk, clock) = (FaultDisk::new(), clock());
        let budget = Budget::new("test", 1 << 30);
        let at = Path::new(DIR);
        let store = env(&disk.shared(), &clock);
        let db = Database::create(&store, at, &default_name(), options.clone(), &budget);
        let mut model = Model::default();
        let default = Collection {
            name: Name::new("default").expect("a name"),
            created: Lsn::ZERO,
            revision: Lsn::ZERO,
            largest: None,
            documents: Default::default(),
        };
        model.collections.insert(DEFAULT_COLLECTION, default);
        Self {
            weights,
            disk,
            clock,
            elapsed: Duration::ZERO,
            options,
            db: Some(db.expect("no faults")),
            model,
            ids: ids(&mut rng),
            numbers: BTreeSet::from([DEFAULT_COLLECTION]),
            snapshots: Vec::new(),
            scans: Vec::new(),
            transactions: Vec::new(),
            rng,
        }
    }

    fn db(&self) -> Database {
        self.db.clone().expect("it is open between steps")
    }

    fn now(&self) -> WallMs {
        base::clock::Clock::wall(&self.clock)
    }

    fn all(mut self) {
        for step in 0..STEPS {
            let op = self.choose();
            self.step(op);
            if step % 50 == 49 {
                self.compare_everything();
            }
        }
        self.reopen();
        self.compare_everything();
    }

    fn choose(&mut self) -> Op {
        let mut at = self.rng.below(self.weights.iter().sum());
        for (op, weight) in OPS.iter().zip(self.weights) {
            if at < weight {
                return *op;
            }
            at -= weight;
        }
        Op::Write
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Write => self.write(),
            Op::Batch => self.batch(),
            Op::Get => self.get(),
            Op::Scan => self.scan(),
            Op::Snapshot => self.snapshot(),
            Op::GetAt => self.get_at(),
            Op::Release => self.release(),
            Op::Transaction => self.in_transaction(),
            Op::Commit => self.commit(),
            Op::Collection => self.collection(),
            Op::Schema => self.schema(),
            Op::Advance => {
                let most = if self.rng.chance(100) { 70_000 } else { 4_000 };
                let by = Duration::from_millis(self.rng.below(most));
                self.clock.advance(by);
                self.elapsed += by;
            }
            Op::Checkpoint => drop(self.db().checkpoint().expect("no faults")),
            Op::Compact => self.compact(),
            Op::Reclaim => self.reclaim(),
            Op::Maintain => {
                self.reclaimed();
                self.db().maintain().expect("no faults");
                self.note_position();
            }
            Op::Reopen => self.reopen(),
        }
    }

    /// A collection: usually one that exists.
    fn some_collection(&mut self) -> CollectionId {
        let all: Vec<CollectionId> = match self.rng.chance(950) {
            true => self.model.collections.keys().copied().collect(),
            false => self.numbers.iter().copied().collect(),
        };
        all[self.rng.index(all.len())]
    }

    fn some_id(&mut self) -> DocId {
        self.ids[self.rng.index(self.ids.len())].clone()
    }

    fn some_document(&mut self) -> Document {
        let len = match self.rng.below(10) {
            0 => self.rng.below(2000),
            1..4 => 0,
            _ => self.rng.below(200),
        };
        let compressible = self.rng.chance(500);
        let letter = |rng: &mut Rng| char::from(b'a' + u8::try_from(rng.below(26)).expect("small"));
        let pad = (0..len).map(|_| if compressible { 'x' } else { letter(&mut self.rng) });
        let pad: String = pad.collect();
        numbered(self.rng.below(NUMBERS), &pad)
    }

    fn some_demand(&mut self, collection: CollectionId, id: &DocId) -> Demand {
        match self.rng.below(5) {
            0 => Demand::Absent,
            1 => Demand::Exists,
            2 => Demand::Fits,
            3 => Demand::Revision(Lsn(self.rng.below(self.model.last.0 + 1))),
            _ => Demand::Revision(self.model.revision(collection, id, self.model.last)),
        }
    }

    fn some_intent(&mut self, collection: CollectionId) -> Intent {
        let id = self.some_id();
        let kind = match self.rng.below(12) {
            0 | 1 => Kind::Create(self.some_document()),
            2 | 3 => Kind::Update(self.some_document()),
            4..8 => Kind::Upsert(self.some_document()),
            8 => Kind::Patch(self.rng.below(NUMBERS)),
            9 if self.rng.chance(300) => Kind::PatchInVain,
            _ => Kind::Delete,
        };
        let expiry = match self.rng.below(6) {
            0 => Expiry::After(Duration::from_millis(self.rng.below(10_000))),
            1 if self.rng.chance(300) => Expiry::At(WallMs(self.now().0 + self.rng.below(5_000))),
            _ => Expiry::Never,
        };
        let mut demands = Vec::new();
        while self.rng.chance(250) {
            demands.push(self.some_demand(collection, &id));
        }
        Intent { collection, id, kind, expiry, demands }
    }

    fn write(&mut self) {
        let collection = self.some_collection();
        let intent = self.some_intent(collection);
        let expected = self.model.batch(std::slice::from_ref(&intent), self.now());
        let answer = self.db().write(intent.write());
        match (expected, answer) {
            (Ok(expected), Ok(written)) => {
                let (effect, next) = expected.into_iter().next().expect("one for one");
                assert_eq!(written.effect, effect, "{intent:?}");
                assert!(written.revision > self.model.last, "{intent:?}");
                self.model.put(collection, &intent.id, written.revision, next);
            }
            (Err((_, expected)), Err(error)) => assert_eq!(error.code(), expected, "{intent:?}"),
            (expected, answer) => panic!("{intent:?}: {expected:?} != {answer:?}"),
        }
    }

    fn batch(&mut self) {
        let count = 1 + self.rng.index(8);
        let mut intents = Vec::new();
        for _ in 0..count {
            let collection = self.some_collection();
            intents.push(self.some_intent(collection));
        }
        if self.rng.chance(500) {
            // Conditions make most batches fail.
            for intent in &mut intents {
                intent.demands.clear();
                if let Kind::Create(new) | Kind::Update(new) = &intent.kind {
                    intent.kind = Kind::Upsert(new.clone());
                }
            }
        }
        let expected = self.model.batch(&intents, self.now());
        let answer = self.db().batch(intents.iter().map(Intent::write).collect());
        match (expected, answer) {
            (Ok(expected), Ok(written)) => {
                assert_eq!(written.len(), intents.len());
                let first = written[0].revision;
                assert!(first > self.model.last);
                for ((written, at), (intent, (effect, next))) in
                    written.iter().zip(first.0..).zip(intents.iter().zip(expected))
                {
                    assert_eq!((written.effect, written.revision), (effect, Lsn(at)), "{intent:?}");
                    self.model.put(intent.collection, &intent.id, written.revision, next);
                }
            }
            (Err((operation, code)), Err(refused)) => {
                let answer = (refused.operation, refused.error.code());
                assert_eq!(answer, (Some(operation), code), "{intents:?}");
            }
            (expected, answer) => panic!("{intents:?}: {expected:?} != {answer:?}"),
        }
    }

    fn get(&mut self) {
        let (collection, id) = (self.some_collection(), self.some_id());
        self.compare_one(collection, &id);
    }

    fn compare_one(&self, collection: CollectionId, id: &DocId) {
        let answer = self.db().get(collection, id);
        if !self.model.collections.contains_key(&collection) {
            let code = answer.expect_err("it was dropped").code();
            return assert_eq!(code, Code::CollectionNotFound);
        }
        let expected = self.model.get(collection, id, self.model.last, self.now());
        same(answer.expect("no faults"), expected);
    }

    fn snapshot(&mut self) {
        let id = self.db().snapshot().expect("it is open");
        self.snapshots.push(Held { id, position: self.model.last, used: self.elapsed });
    }

    fn get_at(&mut self) {
        if self.snapshots.is_empty() {
            return;
        }
        let which = self.rng.index(self.snapshots.len());
        let (collection, id) = (self.some_collection(), self.some_id());
        let held = self.snapshots[which];
        let answer = self.db().get_at(held.id, collection, &id);
        if self.elapsed - held.used > SNAPSHOT_TTL {
            assert_eq!(answer.expect_err("it has expired").code(), Code::SnapshotExpired);
            self.snapshots.swap_remove(which);
            return;
        }
        self.snapshots[which].used = self.elapsed;
        if !self.model.collections.contains_key(&collection) {
            let code = answer.expect_err("it was dropped").code();
            return assert_eq!(code, Code::CollectionNotFound);
        }
        let expected = self.model.get(collection, &id, held.position, self.now());
        same(answer.expect("no faults"), expected);
    }

    fn release(&mut self) {
        if !self.snapshots.is_empty() {
            let held = self.snapshots.swap_remove(self.rng.index(self.snapshots.len()));
            self.db().release(held.id);
        }
    }

    /// Reads the next page of a scan that is under way, or the first of another.
    fn scan(&mut self) {
        if self.scans.is_empty() || (self.scans.len() < 3 && self.rng.chance(400)) {
            let limit = 1 + self.rng.index(6);
            let mut request = ScanRequest::all(self.some_collection(), limit);
            if self.rng.chance(300) {
                // A snapshot of the caller's, for this scan alone.
                request = request.at(self.db().snapshot().expect("it is open"));
            }
            let (position, used) = (self.model.last, self.elapsed);
            self.scans.push(Scanning { request, after: None, position, used });
        }
        let scanning = self.scans.swap_remove(self.rng.index(self.scans.len()));
        self.scans.extend(self.next_page(scanning));
    }

    /// Compares a page; answers what remains of the scan.
    fn next_page(&self, scanning: Scanning) -> Option<Scanning> {
        let Scanning { request, after, mut position, mut used } = scanning;
        if request.snapshot().is_none() {
            // It begins now.
            (position, used) = (self.model.last, self.elapsed);
        }
        let (collection, limit) = (request.collection, request.limit);
        let answer = self.db().scan(&request);
        if request.snapshot().is_some() && self.elapsed - used > SNAPSHOT_TTL {
            assert_eq!(answer.expect_err("it expired").code(), Code::SnapshotExpired);
            return None;
        }
        if !self.model.collections.contains_key(&collection) {
            let code = answer.expect_err("it was dropped").code();
            assert_eq!(code, Code::CollectionNotFound);
            return None;
        }
        let page = answer.expect("no faults");
        assert_eq!(page.position, position);
        let expected = self.model.scan(collection, after.as_ref(), position, self.now());
        assert_eq!(page.next.is_some(), expected.len() > limit, "{page:?} {expected:?}");
        let ids = expected.iter().take(limit).map(|(id, _)| id);
        assert!(page.documents.iter().map(|(id, _)| id).eq(ids), "{page:?} {expected:?}");
        let after = page.documents.last().map(|(id, _)| id.clone());
        for ((_, stored), (_, known)) in page.documents.into_iter().zip(expected) {
            same(Some(stored), Some(known));
        }
        let request = page.next?;
        Some(Scanning { request, after, position, used: self.elapsed })
    }
}

/// Compares a document with what the model knows of it.
#[track_caller]
fn same(stored: Option<Stored>, known: Option<Known>) {
    let stored = stored.map(|stored| (Some(stored.revision), stored.expires_at, stored.document));
    let known = known.map(|known| (known.revision, known.expires_at, known.document));
    assert_eq!(stored, known);
}

/// Ids of every kind, close together and far apart.
fn ids(rng: &mut Rng) -> Vec<DocId> {
    let mut ids: Vec<DocId> = (0..8).map(DocId::U64).collect();
    ids.extend([DocId::U64(u64::MAX), DocId::U64(1 << 40)]);
    ids.extend((0..6).map(|_| {
        let (high, low) = (rng.next_u64(), rng.next_u64());
        DocId::Uuid(uuid::Uuid::from_u64_pair(high, low))
    }));
    for text in ["a", "ab", "b", "ö", "a longer name of a document, up to 64 bytes of it in all"] {
        ids.push(DocId::string(text).expect("it is an id"));
    }
    ids
}
