//! A tour of the document store as a library:
//! `cargo run --release -p docstore --example embedded -- DIR`.
//!
//! Makes a data directory in DIR, which must not exist, does one thing after the other, and prints
//! what came of it. `docs/guides/documents.md` explains it.
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::path::{Path, PathBuf};

use base::clock::SystemClock;
use base::document::Document;
use base::error::Coded as _;
use base::io::RealDisk;
use base::memory::Budget;
use base::words::{CollectionId, DocId, Lsn, Name};
use docstore::patch::Patch;
use docstore::{
    BackupDir, Condition, Database, ImportMode, Options, ScanRequest, Store, Write, default_name,
};
use wal::Environment;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let dir = PathBuf::from(std::env::args().nth(1).ok_or("usage: embedded DIR")?);
    let env = Environment { disk: RealDisk::shared(), clock: SystemClock::shared(), reserve: None };
    let budget = Budget::new("example", 256 * 1024 * 1024);
    env.disk.create_dir(&dir)?;
    let store = Store::open(&env, &dir.join("data"), Options::default(), budget)?;
    let db = store.database(&default_name())?;
    let books = db.create_collection(&Name::new("books")?)?;
    write(&db, books)?;
    batch(&db, books)?;
    transaction(&db, books)?;
    scan(&db, books)?;
    feed(&db)?;
    export(&db, books)?;
    backup(&store, &env, &dir)?;
    store.close()?;
    println!("closed");
    Ok(())
}

fn json(text: &str) -> Result<Document, Box<dyn std::error::Error>> {
    Ok(Document::parse(text.as_bytes())?)
}

fn show(db: &Database, books: CollectionId, id: &DocId) -> Outcome {
    match db.get(books, id)? {
        Some(found) => {
            let text = String::from_utf8_lossy(found.document.as_bytes()).into_owned();
            println!("  {id} at revision {}: {text}", found.revision);
        }
        None => println!("  {id}: there is none"),
    }
    Ok(())
}

/// Creating, reading, patching, and a precondition that does not hold.
fn write(db: &Database, books: CollectionId) -> Outcome {
    println!("write");
    let id = DocId::U64(1);
    let walden = json(r#"{"title": "Walden", "price": 9.90, "tags": ["woods"]}"#)?;
    let made = db.write(Write::create(books, id.clone(), walden))?;
    show(db, books, &id)?;
    let patch = Patch::parse(
        br#"[{"op": "set", "path": "/price", "value": 8.50},
             {"op": "insert", "path": "/tags/-", "value": "pond"}]"#,
    )?;
    db.write(Write::patch(books, id.clone(), patch))?;
    show(db, books, &id)?;
    let late = Write::delete(books, id).when(Condition::Revision(made.revision));
    if let Err(error) = db.write(late) {
        println!("  {}: {error}", error.code().name());
    }
    Ok(())
}

/// All or nothing.
fn batch(db: &Database, books: CollectionId) -> Outcome {
    println!("batch");
    let emma = DocId::string("emma")?;
    let written = db.batch(vec![
        Write::create(books, emma.clone(), json(r#"{"title": "Emma", "price": 7}"#)?),
        Write::create(books, DocId::U64(2), json(r#"{"title": "Kim", "price": 6}"#)?),
    ])?;
    println!("  {} documents in one commit", written.len());
    let refused = db.batch(vec![
        Write::delete(books, emma.clone()),
        Write::create(books, DocId::U64(2), json("null")?),
    ]);
    if let Err(refused) = refused {
        println!("  operation {:?} is refused: {}", refused.operation, refused.error);
    }
    show(db, books, &emma)
}

/// Reads what it has read as it was, and is refused when that has changed.
fn transaction(db: &Database, books: CollectionId) -> Outcome {
    println!("transaction");
    let mut tx = db.begin()?;
    if tx.get(books, &DocId::U64(2))?.is_some() {
        tx.write(&Write::delete(books, DocId::U64(2)))?;
    }
    for written in tx.commit()? {
        println!("  committed: {:?} at {}", written.effect, written.revision);
    }
    show(db, books, &DocId::U64(2))?;
    let mut tx = db.begin()?;
    tx.get(books, &DocId::U64(1))?;
    db.write(Write::upsert(books, DocId::U64(1), json(r#"{"title": "Walden"}"#)?))?;
    tx.write(&Write::upsert(books, DocId::U64(3), json("{}")?))?;
    if let Err(error) = tx.commit() {
        println!("  {}: {error}", error.code().name());
    }
    Ok(())
}

/// In the order of ids, page by page, all of them as of the first.
fn scan(db: &Database, books: CollectionId) -> Outcome {
    println!("scan");
    let mut next = Some(ScanRequest::all(books, 100));
    while let Some(request) = next {
        let page = db.scan(&request)?;
        for (id, found) in &page.documents {
            println!("  {id} at revision {}", found.revision);
        }
        next = page.next;
    }
    println!("  {} documents", db.count(books)?);
    Ok(())
}

/// Everything that was written, in order.
fn feed(db: &Database) -> Outcome {
    println!("feed");
    let mut feed = db.changes(Lsn::ZERO)?;
    let mut changes = 0;
    while let Some(entry) = feed.next()? {
        changes += 1;
        println!("  {} in the transaction of {}", entry.lsn, entry.transaction);
    }
    println!("  {changes} changes up to {}", feed.position());
    Ok(())
}

/// One document a line, and back into another collection.
fn export(db: &Database, books: CollectionId) -> Outcome {
    println!("export");
    let mut lines = Vec::new();
    db.export(books, &mut lines, &mut |_| ())?;
    print!("{}", String::from_utf8_lossy(&lines));
    let copy = db.create_collection(&Name::new("copy")?)?;
    let report = db.import(copy, &mut lines.as_slice(), ImportMode::Create, &mut |_| ())?;
    println!("  {} imported, {} refused", report.created, report.refused);
    Ok(())
}

/// A copy while the database goes on, a second one of what is new, and a database made from it.
fn backup(store: &Store, env: &Environment, dir: &Path) -> Outcome {
    println!("backup");
    let db = store.database(&default_name())?;
    let to = BackupDir::new(&env.disk, &dir.join("backup"));
    for _ in 0..2 {
        let report = db.backup(&to)?;
        let (copied, reused) = (report.copied_files, report.reused_files);
        println!("  at {}: {copied} files copied, {reused} reused", report.summary.lsn);
    }
    let (copy, report) = store.restore(&to, &Name::new("restored")?)?;
    for (name, documents) in &report.summary.collections {
        println!("  {name}: {documents} documents");
    }
    let books = copy.collection(&Name::new("books")?)?;
    show(&copy, books, &DocId::U64(1))?;
    println!("  it is another database: {}", copy.id() != db.id());
    Ok(())
}
