//! A database at work on a simulated disk, step by step, beside a model of what it must hold.
//!
//! Everything is predicted before it is tried: which LSN a write will get and what the database
//! holds then. The notes of a life are those predictions and what was promised about them;
//! `survival.rs` compares them with what a crash left. Start with [`Step`] and [`Life::step`].

mod model;
mod step;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::clock::WallMs;
use base::document::Document;
use base::error::{Code, Coded as _};
use base::io::DiskRef;
use base::memory::Budget;
use base::rng::Rng;
use base::words::{CollectionId, DatabaseId, DocId, Lsn, Name};
use docstore::patch::Patch;
use docstore::planted::Bug;
use docstore::{
    CheckpointReport, DEFAULT_COLLECTION, Database, DropMode, Expiry, Options, Result, StoreError,
    Write, Written, default_name,
};
use sim::VirtualClock;
use sim::crash::Recorder;
use sim::disk::{FaultDisk, Rot};
use wal::FsyncMode;

pub(crate) use model::{Holding, Model};
pub(crate) use step::{STEPS, Step};

use crate::world::{DIR, clock, env, small};

/// The four modes.
pub(crate) const MODES: [FsyncMode; 4] = [
    FsyncMode::Always,
    FsyncMode::Group,
    FsyncMode::Interval(Duration::from_millis(5)),
    FsyncMode::Never,
];

/// Settings so small that a few steps fill segments and data files.
pub(crate) fn tiny(mode: FsyncMode, bug: Option<Bug>) -> Options {
    let mut options = small();
    options.log.fsync = mode;
    options.log.segment_bytes_first = 2048;
    options.log.segment_bytes_max = 4096;
    options.data_file_bytes_max = 4096;
    options.planted = bug;
    options
}

/// What a life has tried, or told its users.
#[derive(Debug, Clone)]
pub(crate) enum Note {
    /// The database exists.
    Created,
    /// A change is on its way that makes this of it.
    Tried(Arc<Model>),
    /// What was tried last was refused: it must not be there.
    Refused,
    /// Everything up to here was acknowledged.
    Acknowledged(Lsn),
    /// Everything up to here was reported durable.
    Durable(Lsn),
    /// A data file was damaged.
    Damaged,
}

/// How writes are handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Via {
    Batch,
    Transaction,
}

/// A running workload.
pub(crate) struct Life {
    pub(crate) disk: FaultDisk,
    pub(crate) clock: VirtualClock,
    pub(crate) options: Options,
    pub(crate) db: Option<Database>,
    pub(crate) model: Arc<Model>,
    pub(crate) notes: Vec<Note>,
    recorder: Option<Recorder<Note>>,
    next: u64,
    /// How often reading found damage behind the complete stripes of a data file, and in them.
    pub(crate) rot_found: (u64, u64),
    /// Numbers that collections had, by the LSN of their creation.
    used: BTreeMap<Lsn, CollectionId>,
}

/// An id of the workload.
pub(crate) fn id(n: u64) -> DocId {
    DocId::U64(n)
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn books() -> Name {
    name("books")
}

/// The budget of a test.
pub(crate) fn budget() -> Budget {
    Budget::new("test", 1 << 30)
}

/// Opens the database of `disk`.
pub(crate) fn open(disk: &DiskRef, clock: &VirtualClock, options: &Options) -> Result<Database> {
    let env = env(disk, clock);
    Database::open(&env, Path::new(DIR), options.clone(), &budget()).map(|(db, _)| db)
}

impl Life {
    /// A life without a database yet.
    pub(crate) fn unborn(disk: &FaultDisk, options: Options) -> Self {
        Self {
            disk: disk.clone(),
            clock: clock(),
            options,
            db: None,
            model: Arc::new(Model::empty()),
            notes: Vec::new(),
            recorder: None,
            next: 0,
            rot_found: (0, 0),
            used: BTreeMap::from([(Lsn::ZERO, DEFAULT_COLLECTION)]),
        }
    }

    /// A life with a database of several documents, some in data files, some garbage there.
    pub(crate) fn new(disk: &FaultDisk, options: Options) -> Self {
        let mut life = Self::unborn(disk, options);
        life.create().expect("a fault-free disk");
        life.furnish().expect("a fault-free disk");
        life
    }

    /// Another life of the database that a crash left, which holds `model`.
    pub(crate) fn again(&self, disk: &FaultDisk, db: Database, model: Arc<Model>) -> Self {
        // Two states may look the same of which only the newer has used a number.
        let upto = db.stats().expect("just opened").log.visible;
        let used = self.used.range(..=upto).map(|(lsn, number)| (*lsn, *number)).collect();
        Self {
            disk: disk.clone(),
            clock: self.clock.clone(),
            options: self.options.clone(),
            db: Some(db),
            notes: self.inherited(&model),
            recorder: None,
            next: self.next + 1000,
            rot_found: (0, 0),
            used,
            model,
        }
    }

    /// What is known at the beginning of another life.
    fn inherited(&self, model: &Arc<Model>) -> Vec<Note> {
        let damage = self.notes.iter().find(|note| matches!(note, Note::Damaged));
        let mut notes = vec![Note::Created, Note::Tried(Arc::clone(model))];
        notes.extend(damage.cloned());
        notes
    }

    /// Makes the database.
    pub(crate) fn create(&mut self) -> Result<()> {
        let env = env(&self.disk.shared(), &self.clock);
        let id = DatabaseId::from_bytes([9; 16]);
        let (dir, options) = (Path::new(DIR), self.options.clone());
        let made = Database::create_as(&env, dir, &default_name(), id, options, &budget())?;
        self.db = Some(made);
        self.note(Note::Created);
        self.note(Note::Tried(Arc::clone(&self.model)));
        Ok(())
    }

    /// Writes what later steps work on.
    pub(crate) fn furnish(&mut self) -> Result<()> {
        self.make_books()?;
        let put = |life: &mut Self, n| life.upsert(DEFAULT_COLLECTION, id(n), 40);
        let first = (1..=5).map(|n| put(self, n)).collect();
        self.write(first, Via::Batch)?;
        self.checkpoint()?;
        let second = [1, 2, 7].map(|n| put(self, n)).to_vec();
        self.write(second, Via::Batch)?;
        self.checkpoint().map(drop)
    }

    /// Notes go to `recorder` from now on, those made before at once.
    pub(crate) fn record(&mut self, recorder: &Recorder<Note>) {
        for note in &self.notes {
            recorder.acknowledge(note.clone());
        }
        self.recorder = Some(recorder.clone());
    }

    pub(crate) fn note(&mut self, note: Note) {
        if let Some(recorder) = &self.recorder {
            recorder.acknowledge(note.clone());
        }
        self.notes.push(note);
    }

    fn note_durable(&mut self) {
        if let Ok(stats) = self.db().stats() {
            self.note(Note::Durable(stats.log.durable));
        }
    }

    /// The open database.
    pub(crate) fn db(&self) -> &Database {
        self.db.as_ref().expect("the database is open")
    }

    fn document(&mut self, bytes: usize) -> Document {
        self.next += 1;
        // Letters of chance, so that compression takes nothing away: stripes are filled.
        let letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
        let mut rng = Rng::new(self.next);
        let pad: String = (0..bytes).map(|_| char::from(letters[rng.index(64)])).collect();
        let text = format!("{{\"n\":{},\"pad\":\"{pad}\"}}", self.next);
        Document::parse(text.as_bytes()).expect("it is JSON")
    }

    pub(crate) fn upsert(&mut self, collection: CollectionId, id: DocId, bytes: usize) -> Write {
        Write::upsert(collection, id, self.document(bytes))
    }

    /// What makes a tried change stand, or takes it back.
    fn settle<T>(&mut self, next: Arc<Model>, result: Result<T>) -> Result<T> {
        match result {
            Ok(done) => {
                self.note(Note::Acknowledged(next.last));
                self.model = next;
                self.note_durable();
                Ok(done)
            }
            Err(error) => {
                if error.code() != Code::DurabilityUnknown {
                    self.note(Note::Refused);
                }
                Err(error)
            }
        }
    }

    fn next_lsn(&self) -> Result<Lsn> {
        Ok(self.db().stats()?.log.visible.next())
    }

    fn write(&mut self, writes: Vec<Write>, via: Via) -> Result<()> {
        let first = self.next_lsn()?;
        let next = Arc::new(self.model.after(&writes, first));
        self.note(Note::Tried(Arc::clone(&next)));
        let db = self.db().clone();
        let done = match via {
            Via::Batch => db.batch(writes).map_err(|refused| refused.error),
            Via::Transaction => commit(&db, &writes),
        };
        let done = self.settle(next, done)?;
        let expected: Vec<Lsn> = (first.0..).take(done.len()).map(Lsn).collect();
        let given: Vec<Lsn> = done.iter().map(|written| written.revision).collect();
        assert_eq!(given, expected, "one LSN after the other");
        Ok(())
    }

    fn make_books(&mut self) -> Result<()> {
        if self.model.collections.contains_key(&books()) {
            return Ok(());
        }
        let lsn = self.next_lsn()?;
        let mut next = Model { last: lsn, ..(*self.model).clone() };
        next.collections.insert(books(), Holding { number: None, documents: BTreeMap::new() });
        let tried = Arc::new(next.clone());
        self.note(Note::Tried(Arc::clone(&tried)));
        let made = self.db().create_collection(&books());
        let number = self.settle(tried, made)?;
        assert!(!self.used.values().any(|used| *used == number), "{number} is used twice");
        self.used.insert(lsn, number);
        next.collections.entry(books()).and_modify(|made| made.number = Some(number));
        self.model = Arc::new(next);
        Ok(())
    }

    fn drop_books(&mut self) -> Result<()> {
        if !self.model.collections.contains_key(&books()) {
            return Ok(());
        }
        let mut next = Model { last: self.next_lsn()?, ..(*self.model).clone() };
        next.collections.remove(&books());
        let next = Arc::new(next);
        self.note(Note::Tried(Arc::clone(&next)));
        let dropped = self.db().drop_collection(&books(), DropMode::Force);
        self.settle(next, dropped)
    }

    fn recreate(&mut self) -> Result<()> {
        self.drop_books()?;
        self.make_books()?;
        let number = self.model.number(&books()).expect("just made");
        let put = self.upsert(number, id(1), 30);
        self.write(vec![put], Via::Batch)
    }

    /// Checkpoints, and what they made durable.
    pub(crate) fn checkpoint(&mut self) -> Result<CheckpointReport> {
        let done = self.db().checkpoint();
        self.note_durable();
        done
    }

    /// Runs one step on the documents that short sequences work on.
    pub(crate) fn step(&mut self, step: Step) -> Result<()> {
        self.step_on(step, [1, 2, 3, 6])
    }

    /// Runs one step; `n` names the documents that it works on.
    pub(crate) fn step_on(&mut self, step: Step, n: [u64; 4]) -> Result<()> {
        match step {
            Step::Put => {
                let put = self.upsert(DEFAULT_COLLECTION, id(n[0]), 30);
                self.write(vec![put], Via::Batch)
            }
            Step::Patch => {
                let write = self.patch_or_put(id(n[1]));
                self.write(vec![write], Via::Batch)
            }
            Step::Delete => {
                let write = self.delete_or_put(id(n[2]));
                self.write(vec![write], Via::Batch)
            }
            Step::Batch => self.batch(n),
            Step::Transaction => {
                let first = self.upsert(DEFAULT_COLLECTION, id(n[0] + 1), 100);
                let second = self.delete_or_put(id(n[2] + 1));
                self.write(vec![first, second], Via::Transaction)
            }
            Step::Rotate => {
                let put = self.upsert(DEFAULT_COLLECTION, id(n[3] + 3), 1500);
                self.write(vec![put], Via::Batch)
            }
            Step::Checkpoint => self.checkpoint().map(drop),
            Step::Compact => {
                let done = self.db().compact();
                self.note_durable();
                done.map(drop)
            }
            Step::Trim => {
                for step in [Step::Rotate, Step::Rotate, Step::Checkpoint, Step::Put] {
                    self.step_on(step, n)?;
                }
                self.step_on(Step::Checkpoint, n)
            }
            Step::Recreate => self.recreate(),
            Step::Expire => self.expire(id(n[3])),
            Step::Rot => {
                self.rot();
                Ok(())
            }
            Step::Heal => self.rot_and_heal(),
            Step::Idle => {
                self.clock.advance(Duration::from_millis(150));
                self.reclaim()?;
                let done = self.db().maintain();
                self.note_durable();
                done
            }
            Step::Reopen => self.reopen(),
        }
    }

    fn is_live(&self, id: &DocId) -> bool {
        let now = self.db().now();
        let found = self.model.get(DEFAULT_COLLECTION, id);
        found.is_some_and(|found| found.expires_at.is_none_or(|at| at > now))
    }

    fn patch_or_put(&mut self, id: DocId) -> Write {
        if !self.is_live(&id) {
            return self.upsert(DEFAULT_COLLECTION, id, 40);
        }
        self.next += 1;
        let text = format!("[{{\"op\":\"replace\",\"path\":\"/n\",\"value\":{}}}]", self.next);
        let patch = Patch::parse(text.as_bytes()).expect("a patch");
        Write::patch(DEFAULT_COLLECTION, id, patch)
    }

    fn delete_or_put(&mut self, id: DocId) -> Write {
        match self.is_live(&id) {
            true => Write::delete(DEFAULT_COLLECTION, id),
            false => self.upsert(DEFAULT_COLLECTION, id, 20),
        }
    }

    fn batch(&mut self, n: [u64; 4]) -> Result<()> {
        let word = DocId::string("b").expect("an id");
        let mut writes = vec![
            self.upsert(DEFAULT_COLLECTION, id(n[0]), 200),
            self.delete_or_put(id(n[1])),
            self.upsert(DEFAULT_COLLECTION, id(n[0]), 10),
            self.upsert(DEFAULT_COLLECTION, word, 300),
        ];
        if let Some(number) = self.model.number(&books()) {
            writes.push(self.upsert(number, id(2), 50));
        }
        self.write(writes, Via::Batch)
    }

    fn expire(&mut self, id: DocId) -> Result<()> {
        let at = WallMs(self.db().now().0 + 1000);
        let put = self.upsert(DEFAULT_COLLECTION, id, 30).expires(Expiry::At(at));
        self.write(vec![put], Via::Batch)?;
        self.clock.advance(Duration::from_secs(2));
        self.reclaim()
    }

    /// Deletes what has expired.
    fn reclaim(&mut self) -> Result<()> {
        let now = self.db().now();
        let over: Vec<DocId> = self.model.collections[&name("default")]
            .documents
            .iter()
            .filter(|(_, stored)| stored.expires_at.is_some_and(|at| at <= now))
            .map(|(id, _)| id.clone())
            .collect();
        let deletes: Vec<Write> =
            over.into_iter().map(|id| Write::delete(DEFAULT_COLLECTION, id)).collect();
        let next = Arc::new(self.model.after(&deletes, self.next_lsn()?));
        self.note(Note::Tried(Arc::clone(&next)));
        let done = self.db().reclaim_expired();
        let done = self.settle(next, done)?;
        assert_eq!(done, deletes.len() as u64, "all that had expired");
        Ok(())
    }

    fn reopen(&mut self) -> Result<()> {
        if let Some(db) = self.db.take() {
            db.close()?;
        }
        self.db = Some(open(&self.disk.shared(), &self.clock, &self.options)?);
        self.note_durable();
        Ok(())
    }

    /// Damages a byte and reads everything, which heals it: what parity does not cover from the log.
    fn rot_and_heal(&mut self) -> Result<()> {
        self.rot();
        let before = self.db().stats()?.healing;
        crate::survival::observe(self.db())?;
        let after = self.db().stats()?.healing;
        assert_eq!(after.unrecoverable, before.unrecoverable, "nothing is lost");
        let healed = after.healed - before.healed;
        match after.blocks_healed > before.blocks_healed {
            true => self.rot_found.1 += healed,
            false => self.rot_found.0 += healed,
        }
        Ok(())
    }

    /// Damages a byte of the oldest data file, where a document is that later steps leave alone.
    pub(crate) fn rot(&mut self) {
        if let Some(path) = data_files(&self.disk).first() {
            rot_data(&self.disk, path, 120);
            self.note(Note::Damaged);
        }
    }
}

fn commit(db: &Database, writes: &[Write]) -> Result<Vec<Written>> {
    let mut tx = db.begin()?;
    for write in writes {
        tx.get(write.collection, &write.id)?;
        tx.write(write)?;
    }
    tx.commit()
}

/// Damages a byte of a data file, `at` so many bytes behind its header, if it is as long as that.
pub(crate) fn rot_data(disk: &FaultDisk, path: &Path, at: u64) {
    let offset = 1024 + 60 + at;
    let len = disk.shared().stat(path).ok().flatten().map_or(0, |stat| stat.len);
    if len <= offset {
        return;
    }
    let flipped = disk.rot(&Rot::Flip { path: path.to_path_buf(), offset, mask: 0x5A });
    flipped.expect("the file is longer than that");
}

/// The data files there are, the oldest first.
pub(crate) fn data_files(disk: &FaultDisk) -> Vec<PathBuf> {
    files(disk, |name| docstore::FileNumber::parse(name).is_some())
}

/// The index files there are, the oldest first.
pub(crate) fn index_files(disk: &FaultDisk) -> Vec<PathBuf> {
    files(disk, |name| docstore::index::file::parse_name(name).is_some())
}

fn files(disk: &FaultDisk, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    // Not a call of the workload: it is made on a copy.
    let entries = disk.fork().shared().list(Path::new(DIR)).expect("a fault-free disk");
    let names = entries.into_iter().map(|entry| entry.name).filter(|name| wanted(name));
    let mut paths: Vec<PathBuf> = names.map(|name| Path::new(DIR).join(name)).collect();
    paths.sort();
    paths
}

/// The code of an error, for messages.
pub(crate) fn told(error: &StoreError) -> String {
    format!("{}: {error}", error.code())
}
