//! Rules that a property makes: every document is judged by them before it is logged, whatever writes
//! it, and a batch may amend the property, make its collection and pass over operations.

use std::path::Path;
use std::sync::Arc;

use base::document::Document;
use base::error::{Code, Coded as _};
use base::memory::Budget;
use base::words::{DocId, Lsn, Name};
use docstore::patch::Patch;
use docstore::{
    Amendment, Condition, DEFAULT_COLLECTION, Database, DocumentRule, Effect, Fit, Misfit, Options,
    PropertyRule, PropertySet, Write, default_name,
};
use sim::VirtualClock;
use sim::disk::FaultDisk;

use crate::world::{DIR, clock, env, id, small};

/// The value is a number: documents are numbers up to it, one more makes it grow, others are refused.
#[derive(Debug)]
struct UpTo(u64);

impl DocumentRule for UpTo {
    fn check(&self, id: &DocId, document: &Document) -> Result<Fit, Misfit> {
        let text = String::from_utf8_lossy(document.as_bytes());
        match text.parse::<u64>() {
            Ok(n) if n <= self.0 => Ok(Fit::AsItIs),
            Ok(n) if n == self.0 + 1 => Ok(Fit::With(value(n))),
            _ => {
                Err(Misfit { code: Code::InvalidSchema, message: format!("{text} at {id}").into() })
            }
        }
    }
}

fn make(value: &Document) -> Arc<dyn DocumentRule> {
    let text = String::from_utf8_lossy(value.as_bytes());
    Arc::new(UpTo(text.parse().expect("the tests write numbers")))
}

fn property() -> Name {
    Name::new("max").expect("it is a name")
}

fn value(n: u64) -> Document {
    Document::parse(n.to_string().as_bytes()).expect("it is JSON")
}

fn ruled() -> Options {
    Options { rule: Some(PropertyRule { property: property(), make }), ..small() }
}

fn fresh(disk: &FaultDisk, clock: &VirtualClock) -> Database {
    let env = env(&disk.shared(), clock);
    let budget = Budget::new("test", 1 << 30);
    Database::create(&env, Path::new(DIR), &default_name(), ruled(), &budget).expect("no faults")
}

fn reopened(disk: &FaultDisk, clock: &VirtualClock) -> Database {
    let env = env(&disk.shared(), clock);
    let budget = Budget::new("test", 1 << 30);
    Database::open(&env, Path::new(DIR), ruled(), &budget).expect("no faults").0
}

fn max(db: &Database) -> Option<String> {
    let value = db.property(DEFAULT_COLLECTION, &property()).expect("it can be read");
    value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn put(n: u64) -> Write {
    Write::upsert(DEFAULT_COLLECTION, id(n), value(n))
}

#[test]
fn every_way_to_write_is_judged_and_the_rule_grows_in_the_same_commit() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock);
    db.write(put(900)).unwrap();
    db.set_property(DEFAULT_COLLECTION, &property(), Some(value(5))).unwrap();
    let code = |result: docstore::Result<_>| result.map(drop).map_err(|e| e.code());
    assert_eq!(code(db.write(put(7))), Err(Code::InvalidSchema));
    // Each document of a batch is judged by what those before it have made of the rule, and the
    // answers are the revisions of the documents.
    let before = db.position();
    let written = db.batch(vec![put(5), put(6), put(7)]).unwrap();
    let revisions: Vec<Lsn> = written.iter().map(|written| written.revision).collect();
    assert_eq!(revisions, [before.plus(2), before.plus(3), before.plus(4)]);
    for (written, n) in written.iter().zip(5..) {
        let stored = db.get(DEFAULT_COLLECTION, &id(n)).unwrap().unwrap();
        assert_eq!(stored.revision, written.revision);
    }
    assert_eq!(max(&db).as_deref(), Some("7"));
    let refused = db.batch(vec![put(8), put(10)]).unwrap_err();
    assert_eq!((refused.operation, refused.error.code()), (Some(1), Code::InvalidSchema));
    assert_eq!(
        (max(&db).as_deref(), db.get(DEFAULT_COLLECTION, &id(8)).unwrap()),
        (Some("7"), None)
    );

    let patch = Patch::parse(br#"[{"op":"set","path":"","value":9}]"#).unwrap();
    let patched = db.write(Write::patch(DEFAULT_COLLECTION, id(5), patch));
    assert_eq!(code(patched), Err(Code::InvalidSchema));
    let mut transaction = db.begin().unwrap();
    assert_eq!(code(transaction.write(&put(9))), Err(Code::InvalidSchema));
    transaction.write(&put(8)).unwrap();
    transaction.write(&put(9)).unwrap();
    let written = transaction.commit().unwrap();
    let stored = db.get(DEFAULT_COLLECTION, &id(9)).unwrap().unwrap();
    assert_eq!((written[1].revision, max(&db).as_deref()), (stored.revision, Some("9")));
    drop(db);

    let db = reopened(&disk, &clock);
    assert_eq!(code(db.write(put(11))), Err(Code::InvalidSchema));
    db.checkpoint().unwrap();
    drop(db);
    let db = reopened(&disk, &clock);
    assert_eq!(code(db.write(put(11))), Err(Code::InvalidSchema));
    db.write(put(10)).unwrap();
    db.set_property(DEFAULT_COLLECTION, &property(), None).unwrap();
    db.write(put(500)).unwrap();
}

#[test]
fn a_transaction_that_made_the_rule_grow_conflicts_with_another_that_did() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock);
    db.set_property(DEFAULT_COLLECTION, &property(), Some(value(5))).unwrap();
    let mut transaction = db.begin().unwrap();
    transaction.write(&put(6)).unwrap();
    db.write(put(6)).unwrap();
    assert_eq!(transaction.commit().unwrap_err().code(), Code::TxnConflict);
    // One whose only growing write was refused for its size, say, leaves no growth behind.
    let mut transaction = db.begin().unwrap();
    transaction.write(&put(1)).unwrap();
    transaction.write(&Write::create(DEFAULT_COLLECTION, id(1), value(7))).unwrap_err();
    transaction.commit().unwrap();
    assert_eq!(max(&db).as_deref(), Some("6"));
}

#[test]
fn a_batch_makes_a_collection_with_its_rule_and_its_documents_or_none_of_it() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock);
    let name = Name::new("numbers").unwrap();
    let make = |n| {
        let collection = db.next_collection();
        let sets = vec![PropertySet { property: property(), from: None, to: Some(value(n)) }];
        Amendment { collection, create: Some(name.clone()), sets, unchanged_since: None }
    };
    let into = |amendment: &Amendment, n: u64| Write::upsert(amendment.collection, id(n), value(n));
    let bad = make(3);
    let refused = db.batch_amending(&bad, vec![into(&bad, 1), into(&bad, 9)]).unwrap_err();
    assert_eq!((refused.operation, refused.error.code()), (Some(1), Code::InvalidSchema));
    assert_eq!(db.collection(&name).unwrap_err().code(), Code::CollectionNotFound);

    let good = make(3);
    let written = db.batch_amending(&good, vec![into(&good, 1), into(&good, 4)]).unwrap();
    assert_eq!(written.iter().map(|w| w.effect).collect::<Vec<_>>(), [Effect::Created; 2]);
    let again = make(3);
    let refused = db.batch_amending(&again, vec![into(&again, 1)]).unwrap_err();
    assert_eq!(refused.error.code(), Code::CollectionExists);
    drop(db);
    let db = reopened(&disk, &clock);
    let collection = db.collection(&name).unwrap();
    assert_eq!((collection, db.count(collection).unwrap()), (good.collection, 2));
    let grown = db.property(collection, &property()).unwrap().unwrap();
    assert_eq!(grown.as_bytes(), b"4");
}

#[test]
fn an_amendment_holds_only_for_what_it_has_looked_at() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock);
    let amend = |from: Option<u64>, to: u64, unchanged_since| {
        let set = PropertySet { property: property(), from: from.map(value), to: Some(value(to)) };
        let collection = DEFAULT_COLLECTION;
        let amendment = Amendment { collection, create: None, sets: vec![set], unchanged_since };
        db.batch_amending(&amendment, Vec::new()).map(drop).map_err(|refused| refused.error.code())
    };
    let position = db.position();
    assert_eq!(amend(Some(1), 2, None), Err(Code::TxnConflict));
    assert_eq!(amend(None, 5, Some(position)), Ok(()));
    let position = db.position();
    db.write(put(1)).unwrap();
    assert_eq!(amend(Some(5), 6, Some(position)), Err(Code::TxnConflict));
    assert_eq!(amend(Some(5), 6, Some(db.position())), Ok(()));
    assert_eq!(amend(Some(6), 6, None), Ok(()), "nothing is to be done");
}

#[test]
fn an_operation_that_may_be_passed_over_leaves_the_others() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock);
    db.set_property(DEFAULT_COLLECTION, &property(), Some(value(3))).unwrap();
    db.write(put(1)).unwrap();
    let never = || Condition::Test(Arc::new(|_, _| false));
    let writes = vec![
        put(2).or_skip().when(never()),
        put(4),
        Write::delete(DEFAULT_COLLECTION, id(77)).or_skip(),
        Write::create(DEFAULT_COLLECTION, id(1), value(1)).or_skip(),
        Write::delete(DEFAULT_COLLECTION, id(1)).or_skip(),
    ];
    let written = db.batch(writes).unwrap();
    let effects: Vec<Effect> = written.iter().map(|written| written.effect).collect();
    use Effect::{Created, Deleted, Skipped};
    assert_eq!(effects, [Skipped, Created, Skipped, Skipped, Deleted]);
    let stored = db.get(DEFAULT_COLLECTION, &id(4)).unwrap().unwrap();
    assert_eq!((written[0].revision, written[1].revision), (Lsn::ZERO, stored.revision));
    assert_eq!(written[4].revision, stored.revision.next());
    assert_eq!(db.get(DEFAULT_COLLECTION, &id(2)).unwrap(), None);
    // What is wrong with the document itself is no reason to pass it over.
    let refused = db.batch(vec![put(9).or_skip()]).unwrap_err();
    assert_eq!(refused.error.code(), Code::InvalidSchema);
    let nothing = db.batch(vec![Write::delete(DEFAULT_COLLECTION, id(77)).or_skip()]).unwrap();
    assert_eq!(nothing[0].effect, Skipped);
}
