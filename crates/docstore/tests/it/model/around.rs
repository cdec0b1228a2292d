//! What happens around documents: collections and schemas, expiry, checkpoints and compactions,
//! closing, crashes and reopening; and the comparison of everything.

use std::path::Path;

use base::document::Document;
use base::error::{Code, Coded as _};
use base::memory::Budget;
use base::words::{CollectionId, DocId, Name};
use docstore::{DEFAULT_COLLECTION, Database, DropMode};
use sim::disk::{Crash, Loss};

use super::Run;
use super::reference::Collection;
use crate::world::{DIR, env};

/// How often compaction may be asked again before it is taken to never end.
const COMPACTIONS_MAX: usize = 200;

impl Run {
    /// Makes or drops a collection.
    pub(super) fn collection(&mut self) {
        let names = ["books", "films", "maps"];
        let name = Name::new(names[self.rng.index(names.len())]).expect("it is a name");
        let known = self.model.collections.iter().find(|(_, known)| known.name == name);
        let known = known.map(|(number, _)| *number);
        let db = self.db();
        match (known, self.rng.chance(500)) {
            (None, true) => {
                let number = db.create_collection(&name).expect("no faults");
                assert!(self.numbers.insert(number), "a number is used once");
                let position = db.position();
                assert!(position > self.model.last);
                self.model.last = position;
                let documents = Default::default();
                let (created, revision) = (position, position);
                let made = Collection { name, created, revision, largest: None, documents };
                self.model.collections.insert(number, made);
            }
            (Some(_), true) => {
                let code = db.create_collection(&name).expect_err("it exists").code();
                assert_eq!(code, Code::CollectionExists);
            }
            (None, false) => {
                let dropped = db.drop_collection(&name, DropMode::Force);
                assert_eq!(dropped.expect_err("there is none").code(), Code::CollectionNotFound);
            }
            (Some(number), false) => self.drop_collection(number, &name),
        }
        let of_default =
            db.drop_collection(&Name::new("default").expect("a name"), DropMode::Force);
        assert_eq!(of_default.expect_err("it stays").code(), Code::Unsupported);
    }

    fn drop_collection(&mut self, number: CollectionId, name: &Name) {
        let db = self.db();
        let live = self.model.scan(number, None, self.model.last, self.now()).len();
        let mode = if self.rng.chance(500) { DropMode::Force } else { DropMode::IfEmpty };
        let dropped = db.drop_collection(name, mode);
        if mode == DropMode::IfEmpty && live > 0 {
            assert_eq!(dropped.expect_err("it is not empty").code(), Code::CollectionNotEmpty);
            return;
        }
        dropped.expect("no faults");
        self.model.collections.remove(&number);
        self.model.last = db.position();
    }

    /// Sets or takes away a schema.
    pub(super) fn schema(&mut self) {
        let collection = self.some_collection();
        let largest = self.rng.chance(600).then(|| self.rng.below(super::NUMBERS));
        let schema = largest.map(|largest| {
            let text = format!("{{\"properties\":{{\"n\":{{\"maximum\":{largest}}}}}}}");
            Document::parse(text.as_bytes()).expect("it is JSON")
        });
        let db = self.db();
        let set = db.set_validation(collection, schema.clone());
        match self.model.collections.get_mut(&collection) {
            Some(known) => {
                set.expect("no faults");
                assert_eq!(db.validation(collection).expect("it exists"), schema);
                self.model.last = db.position();
                known.largest = largest;
                known.revision = self.model.last;
            }
            None => {
                assert_eq!(set.expect_err("it was dropped").code(), Code::CollectionNotFound);
            }
        }
    }

    pub(super) fn compact(&mut self) {
        let db = self.db();
        let mut times = 0;
        while !db.compact().expect("no faults").compacted.is_empty() {
            times += 1;
            assert!(times < COMPACTIONS_MAX, "compaction does not end: {:?}", db.stats());
        }
    }

    /// Deletes what has expired, in the model; says how many documents that were.
    pub(super) fn reclaimed(&mut self) -> u64 {
        let (now, last) = (self.now(), self.model.last);
        let mut gone: Vec<(CollectionId, DocId)> = Vec::new();
        for (number, collection) in &self.model.collections {
            for id in collection.documents.keys() {
                let is_there = self.model.revision(*number, id, last) > base::words::Lsn::ZERO;
                if is_there && self.model.get(*number, id, last, now).is_none() {
                    gone.push((*number, id.clone()));
                }
            }
        }
        for (number, id) in &gone {
            // Nobody can look between these deletions, so that all may bear one LSN.
            self.model.put(*number, id, last.next(), None);
        }
        self.model.last = last;
        gone.len() as u64
    }

    pub(super) fn reclaim(&mut self) {
        let expected = self.reclaimed();
        assert_eq!(self.db().reclaim_expired().expect("no faults"), expected);
        self.note_position();
    }

    /// Takes over how far the log is, after writes whose LSNs nobody was told.
    pub(super) fn note_position(&mut self) {
        let position = self.db().position();
        assert!(position >= self.model.last);
        self.model.last = position;
    }

    /// Ends the process in one of the ways in which processes end, and opens the database again.
    pub(super) fn reopen(&mut self) {
        let how = self.rng.below(4);
        let crash = match how {
            0 | 1 => Crash::Kill,
            2 => Crash::PowerLoss(Loss::Seeded(self.rng.next_u64())),
            _ => Crash::PowerLoss(Loss::Everything),
        };
        self.transactions.clear();
        self.snapshots.clear();
        self.scans.clear();
        let db = self.db.take().expect("it is open");
        if how == 0 {
            db.close().expect("no faults");
        }
        let disk = self.disk.crash(&crash);
        drop(db);
        self.disk = disk;
        let budget = Budget::new("test", 1 << 30);
        let store = env(&self.disk.shared(), &self.clock);
        let opened = Database::open(&store, Path::new(DIR), self.options.clone(), &budget);
        let (db, report) = opened.expect("it can always be opened");
        assert!(report.passed_over.is_empty(), "{report:?}");
        if how == 0 {
            assert_eq!(report.replayed, 0, "closing makes a checkpoint");
        }
        self.db = Some(db);
        // The log has frames of its own, behind which it goes on.
        self.note_position();
    }

    /// Compares every document of every collection, the counts, and a whole scan.
    pub(super) fn compare_everything(&mut self) {
        let (db, now, last) = (self.db(), self.now(), self.model.last);
        assert_eq!(db.position(), last);
        let listed = db.collections().expect("it is open");
        let listed = listed.iter().map(|record| (record.collection, record.name.clone()));
        let known = self.model.collections.iter();
        let known: Vec<_> = known.map(|(number, known)| (*number, known.name.clone())).collect();
        assert_eq!(listed.collect::<Vec<_>>(), known);
        let mut live = 0;
        for number in self.numbers.clone() {
            for id in &self.ids {
                self.compare_one(number, id);
            }
            let expected = self.model.scan(number, None, last, now).len() as u64;
            live += expected;
            match self.model.collections.contains_key(&number) {
                true => assert_eq!(db.count(number).expect("it exists"), expected),
                false => {
                    let code = db.count(number).expect_err("it was dropped").code();
                    assert_eq!(code, Code::CollectionNotFound);
                }
            }
        }
        assert_eq!(db.stats().expect("it is open").live, live);
        assert!(self.model.collections.contains_key(&DEFAULT_COLLECTION));
    }
}
