//! Writes whose callers do not wait: what they are told, and when.

use std::path::Path;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use base::error::{Code, Coded as _};
use base::memory::Budget;
use docstore::planted::Bug;
use docstore::{
    Condition, DEFAULT_COLLECTION, Database, Done, Effect, Options, Outcome, Peeked, Write,
    default_name,
};
use sim::disk::{Calls, Fault, FaultDisk, Op};

use crate::world::{DIR, clock, document, env, id, small};

fn fresh(disk: &FaultDisk, options: Options) -> Database {
    let budget = Budget::new("test", 1 << 30);
    let env = env(&disk.shared(), &clock());
    Database::create(&env, Path::new(DIR), &default_name(), options, &budget).expect("no faults")
}

fn telling() -> (Done, Receiver<Outcome>) {
    let (send, told) = sync_channel(1);
    // Who has heard enough may have gone.
    (Box::new(move |outcome| drop(send.send(outcome))), told)
}

/// Submits one write; what is told of it comes out of the receiver.
fn submit(db: &Database, write: Write) -> Receiver<Outcome> {
    let (done, told) = telling();
    db.submit(vec![write], done).expect("there is room");
    told
}

fn create(n: u64) -> Write {
    Write::create(DEFAULT_COLLECTION, id(n), document(n))
}

fn code(told: &Receiver<Outcome>) -> Result<(), Code> {
    let outcome = told.try_recv().expect("it was told");
    outcome.map(drop).map_err(|refused| refused.error.code())
}

fn is_silent(told: &Receiver<Outcome>) -> bool {
    matches!(told.try_recv(), Err(TryRecvError::Empty))
}

#[test]
fn a_submitted_write_is_told_when_it_is_durable_and_seen_by_readers() {
    let disk = FaultDisk::new();
    let db = fresh(&disk, small());
    let told = submit(&db, create(1));
    assert!(is_silent(&told), "it has not been synced");
    assert_eq!(db.get(DEFAULT_COLLECTION, &id(1)).unwrap(), None, "readers see what is durable");
    db.maintain().unwrap();
    let written = told.try_recv().unwrap().unwrap();
    let stored = db.get(DEFAULT_COLLECTION, &id(1)).unwrap().unwrap();
    assert_eq!((written[0].effect, written[0].revision), (Effect::Created, stored.revision));
}

#[test]
fn operations_of_a_submitted_batch_get_one_answer_each_or_are_refused_together() {
    let disk = FaultDisk::new();
    let db = fresh(&disk, small());
    let (done, told) = telling();
    db.submit(vec![create(1), create(2)], done).unwrap();
    db.maintain().unwrap();
    let written = told.try_recv().unwrap().unwrap();
    assert_eq!(written[1].revision, written[0].revision.next());
    let (done, told) = telling();
    db.submit(vec![create(3), create(2)], done).unwrap();
    let refused = told.try_recv().unwrap().unwrap_err();
    assert_eq!((refused.operation, refused.error.code()), (Some(1), Code::DocExists));
    assert_eq!(db.get(DEFAULT_COLLECTION, &id(3)).unwrap(), None);
}

#[test]
fn a_refusal_because_of_a_pending_write_is_told_with_it() {
    let disk = FaultDisk::new();
    let db = fresh(&disk, small());
    let first = submit(&db, create(1));
    let second = submit(&db, create(1));
    assert!(is_silent(&second), "what it rests on may never be");
    db.maintain().unwrap();
    assert_eq!((code(&first), code(&second)), (Ok(()), Err(Code::DocExists)));
    let third = submit(&db, create(1));
    assert_eq!(code(&third), Err(Code::DocExists), "that is known at once");
}

#[test]
fn a_refusal_from_pending_state_is_noticed_here_too() {
    let disk = FaultDisk::new();
    let planted = Options { planted: Some(Bug::RefusalFromPending), ..small() };
    let db = fresh(&disk, planted);
    let _first = submit(&db, create(1));
    assert!(!is_silent(&submit(&db, create(1))), "the defect answers too early");
}

#[test]
fn what_rests_on_a_write_that_fails_shares_its_fate_and_may_be_tried_again() {
    for (op, expected) in [(Op::Write, Code::FileWrite), (Op::SyncData, Code::DurabilityUnknown)] {
        let disk = FaultDisk::new();
        let db = fresh(&disk, small());
        db.write(create(9)).unwrap();
        let first = submit(&db, create(1));
        let second = submit(&db, create(1));
        let nothing = submit(&db, Write::delete(DEFAULT_COLLECTION, id(9)));
        disk.inject(Fault::once(Calls::Only(op), 1, sim::disk::Effect::Eio));
        drop(db.maintain());
        assert_eq!(code(&first), Err(expected));
        let is_told =
            |told| matches!(code(told), Err(code) if code == expected || code == Code::ReadOnly);
        assert!(is_told(&second) && is_told(&nothing), "nobody may be left waiting");
        assert_eq!(db.get(DEFAULT_COLLECTION, &id(1)).unwrap(), None);
        let again = submit(&db, create(1));
        drop(db.maintain());
        let again = code(&again);
        let refused = [Err(Code::ReadOnly), Err(Code::DurabilityUnknown)];
        assert!(
            if op == Op::Write { again == Ok(()) } else { refused.contains(&again) },
            "{again:?}"
        );
    }
}

#[test]
fn a_write_that_finds_no_memory_comes_back_and_gets_in_after_a_flush() {
    let disk = FaultDisk::new();
    let db = fresh(&disk, Options { memtable_bytes_max: 2048, ..small() });
    let mut waiting = Vec::new();
    let unplaced = loop {
        let (done, told) = telling();
        match db.submit(vec![create(waiting.len() as u64)], done) {
            Ok(()) => waiting.push(told),
            Err(unplaced) => break unplaced,
        }
        assert!(waiting.len() < 1000, "memory is bounded");
    };
    assert_eq!(unplaced.why.code(), Code::MemoryLimit);
    db.maintain().unwrap();
    assert!(waiting.iter().all(|told| code(told) == Ok(())));
    db.submit(unplaced.work, unplaced.done).expect("a flush has made room");
}

#[test]
fn a_write_that_finds_the_log_full_comes_back_unharmed() {
    let disk = FaultDisk::new();
    let log = wal::Options { waiting_bytes_max: 4096, group_bytes_max: 4096, ..small().log };
    let db = fresh(&disk, Options { log, ..small() });
    let mut waiting = Vec::new();
    let unplaced = loop {
        let (done, told) = telling();
        match db.submit(vec![create(waiting.len() as u64)], done) {
            Ok(()) => waiting.push(told),
            Err(unplaced) => break unplaced,
        }
        assert!(waiting.len() < 1000, "the queue is bounded");
    };
    assert_eq!(unplaced.why.code(), Code::QueueFull);
    db.maintain().unwrap();
    assert!(waiting.iter().all(|told| code(told) == Ok(())));
    db.submit(unplaced.work, unplaced.done).expect("there is room again");
}

#[test]
fn a_submitted_transaction_conflicts_as_one_that_waits() {
    let disk = FaultDisk::new();
    let db = fresh(&disk, small());
    db.write(create(1)).unwrap();
    for moved in [false, true] {
        let mut tx = db.begin().unwrap();
        tx.get(DEFAULT_COLLECTION, &id(1)).unwrap();
        tx.write(&Write::upsert(DEFAULT_COLLECTION, id(2), document(2))).unwrap();
        if moved {
            db.write(Write::upsert(DEFAULT_COLLECTION, id(1), document(3))).unwrap();
        }
        let (done, told) = telling();
        tx.submit(done).unwrap();
        db.maintain().unwrap();
        assert_eq!(code(&told), if moved { Err(Code::TxnConflict) } else { Ok(()) });
    }
    let (done, told) = telling();
    db.begin().unwrap().submit(done).unwrap();
    assert_eq!(told.try_recv().unwrap().unwrap(), [], "it wrote nothing");
}

#[test]
fn submitting_to_a_closed_database_is_told() {
    let disk = FaultDisk::new();
    let db = fresh(&disk, small());
    db.close().unwrap();
    let (done, told) = telling();
    db.submit(vec![create(1).when(Condition::Absent)], done).unwrap();
    assert_eq!(code(&told), Err(Code::DbNotOpen));
}

#[test]
fn a_peek_answers_what_memory_knows_and_reads_no_file() {
    let disk = FaultDisk::new();
    let db = fresh(&disk, small());
    let peek = |n| db.peek(DEFAULT_COLLECTION, &id(n)).unwrap();
    let told = submit(&db, create(1));
    assert_eq!(peek(1), Peeked::Known(None), "readers see what is durable");
    db.maintain().unwrap();
    assert_eq!(code(&told), Ok(()));
    let stored = db.get(DEFAULT_COLLECTION, &id(1)).unwrap();
    assert!(stored.is_some());
    assert_eq!(peek(1), Peeked::Known(stored));
    db.checkpoint().unwrap();
    assert_eq!(peek(1), Peeked::OnDisk);
    db.write(Write::delete(DEFAULT_COLLECTION, id(1))).unwrap();
    assert_eq!(peek(1), Peeked::Known(None));
}

#[test]
fn a_peek_from_the_page_cache_is_what_a_read_answers_and_damage_is_left_to_it() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("db");
    let disk = base::io::RealDisk::shared();
    let budget = Budget::new("test", 1 << 30);
    let env = env(&disk, &clock());
    let db = Database::create(&env, &dir, &default_name(), small(), &budget).unwrap();
    let long = base::document::Document::parse(format!("\"{}\"", "x".repeat(5000)).as_bytes());
    let long = Write::create(DEFAULT_COLLECTION, id(2), long.unwrap());
    db.batch(vec![create(1), long, create(3)]).unwrap();
    db.checkpoint().unwrap();
    for n in [1, 2, 3, 2, 1] {
        let stored = db.get(DEFAULT_COLLECTION, &id(n)).unwrap();
        let peeked = db.peek(DEFAULT_COLLECTION, &id(n)).unwrap();
        // A file system may not be able to say what is at hand.
        assert!(peeked == Peeked::Known(stored) || peeked == Peeked::OnDisk, "{n}: {peeked:?}");
    }
    let data = disk.list(&dir).unwrap().into_iter().find(|e| e.name.ends_with(".data")).unwrap();
    let file = disk.open(&dir.join(&data.name), base::io::Open::Write).unwrap();
    let mut bytes = vec![0; usize::try_from(data.len).unwrap()];
    base::io::read_exact_at(&*file, &mut bytes, 0).unwrap();
    let text = document(1);
    let at = bytes.windows(20).position(|w| w == &text.as_bytes()[..20]).unwrap();
    file.write_at(b"!", at as u64 + 3).unwrap();
    assert_eq!(db.peek(DEFAULT_COLLECTION, &id(1)).unwrap(), Peeked::OnDisk);
    let healed = db.get(DEFAULT_COLLECTION, &id(1)).unwrap().unwrap();
    assert_eq!(healed.document, text);
}
