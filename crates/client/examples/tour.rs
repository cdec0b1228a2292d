//! What the client can do, against a server that runs: `tour ADDRESS`, where the address is the
//! path of its socket or `http://host:port`. Makes a database `tour`, and removes it at the end.

#![expect(clippy::print_stdout, reason = "a program to look at")]

use std::time::Duration;

use client::{Client, Database, DropMode, ErrorCode, Op, Result};

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: tour ADDRESS")?;
    let client = Client::connect(&address)?;
    let db = client.open_or_create_database("tour")?;
    let toured = documents(&db).and_then(|()| together(&db)).and_then(|()| feed(&db));
    client.drop_database("tour")?;
    Ok(toured?)
}

fn documents(db: &Database) -> Result<()> {
    match db.drop_collection("books", DropMode::WithDocuments) {
        Err(error) if !error.is(ErrorCode::CollectionNotFound) => return Err(error),
        _ => {}
    }
    let books = db.create_collection("books")?;
    let made = books.create(1, r#"{"title": "Walden", "price": 9.90}"#)?;
    println!("1 is made at revision {}", made.revision);
    books.update_if(1, made.revision, r#"{"title": "Walden", "price": 8.50}"#)?;
    if let Err(error) = books.update_if(1, made.revision, "{}") {
        println!("a second update of that revision: {error}");
    }
    books.patch(1, r#"[{"op": "set", "path": "/tags", "value": ["woods"]}]"#)?;
    books.upsert_for("offer", r#"{"until": "tomorrow"}"#, Duration::from_secs(24 * 3600))?;
    for book in books.scan() {
        let book = book?;
        println!("{} at {}: {}", book.id, book.revision, String::from_utf8_lossy(&book.bytes));
    }
    Ok(())
}

fn together(db: &Database) -> Result<()> {
    let ops = [Op::create("books", 2, r#"{"title": "Emma"}"#), Op::create("books", 1, "{}")];
    if let Err(error) = db.batch(&ops) {
        println!("a batch does all or nothing: {error}");
    }
    for (op, result) in ops.iter().zip(db.independent(&ops)?) {
        match result {
            Ok(outcome) => println!("{} for itself: {outcome:?}", op.id),
            Err(error) => println!("{} for itself: {error}", op.id),
        }
    }
    let transaction = db.begin()?;
    if let Some(emma) = transaction.get("books", 2)? {
        transaction.write(Op::delete("books", 2).if_revision(emma.revision))?;
    }
    println!("committed: {:?}", transaction.commit()?);
    Ok(())
}

fn feed(db: &Database) -> Result<()> {
    let mut changes = db.changes(0);
    while let Some(change) = changes.poll(Duration::ZERO)? {
        println!("{}: {:?}", change.lsn, change.event);
    }
    println!("statistics: {}", db.stats()?);
    Ok(())
}
