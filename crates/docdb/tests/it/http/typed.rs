//! The typed calls of the Rust client over HTTP, against the server.

use std::time::Duration;

use client::wire::{DropMode, MetricsFormat};
use client::{Change, Effect, ErrorCode, Event, HealAction, Id, Op, Options, Outcome};

use super::world::{PATIENCE, World};

fn client(world: &World) -> client::Client {
    let address = format!("http://{}", world.address);
    Options::new().timeout(PATIENCE).connect(&address).unwrap()
}

#[test]
fn documents_collections_and_databases() {
    let world = World::new();
    let client = client(&world);
    client.ping().unwrap();
    let shop = client.create_database("shop").unwrap();
    assert!(client.create_database("shop").unwrap_err().is(ErrorCode::DbExists));
    client.open_or_create_database("shop").unwrap();
    assert!(client.open_database("none").unwrap_err().is(ErrorCode::DbNotFound));
    let names: Vec<String> =
        client.databases().unwrap().into_iter().map(|database| database.name).collect();
    assert_eq!(names, ["default", "shop"]);
    let books = shop.create_collection("books").unwrap();
    assert_eq!(shop.collections().unwrap().len(), 2);

    let made = books.create(1, r#"{"title":  "Walden", "n": 1.50}"#).unwrap();
    assert_eq!(made.effect, Some(Effect::Created));
    assert!(books.create(1, "{}").unwrap_err().is(ErrorCode::DocExists));
    let book = books.get(1).unwrap().unwrap();
    assert_eq!(book.revision, made.revision);
    assert_eq!(book.bytes, br#"{"title":  "Walden", "n": 1.50}"#);
    let elsewhere = books.update_if(1, book.revision + 1, "1").unwrap_err();
    assert!(elsewhere.is(ErrorCode::RevisionMismatch), "{elsewhere}");
    assert_eq!(books.update_if(1, book.revision, "{}").unwrap().effect, Some(Effect::Replaced));
    assert!(books.update(2, "1").is_err(), "there is none to replace");
    books.patch(1, r#"[{"op": "set", "path": "/b", "value": 2}]"#).unwrap();
    assert_eq!(books.upsert("1", "1").unwrap().effect, Some(Effect::Created));
    assert_eq!(books.get("1").unwrap().unwrap().id, Id::from("1".to_owned()));
    let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    books.upsert(uuid, "3").unwrap();
    assert_eq!(books.get(uuid).unwrap().unwrap().id, Id::from(uuid.to_owned()));
    books.upsert("a/b?c=ü", "4").unwrap();
    assert_eq!(books.get("a/b?c=ü").unwrap().unwrap().bytes, b"4");
    books.upsert_for("short", "5", Duration::from_secs(3600)).unwrap();
    shop.write(Op::upsert("books", "gone", "6").expires_at(1)).unwrap();
    assert_eq!(books.get("gone").unwrap(), None);
    assert_eq!(books.delete(1).unwrap().effect, Some(Effect::Deleted));
    assert!(books.delete(1).unwrap_err().is(ErrorCode::DocNotFound));
    assert!(books.upsert(1, "{").unwrap_err().is(ErrorCode::InvalidJson));

    let held = shop.drop_collection("books", DropMode::IfEmpty).unwrap_err();
    assert!(held.is(ErrorCode::CollectionNotEmpty), "{held}");
    shop.drop_collection("books", DropMode::WithDocuments).unwrap();
    client.drop_database("shop").unwrap();
}

#[test]
fn batches_scans_feeds_and_transactions() {
    let world = World::new();
    let db = client(&world).database("default");
    let all = db.collection("default");
    let ops: Vec<Op<'_>> = (0..25_u64).map(|id| Op::upsert("default", id, "1")).collect();
    let results = db.batch(&ops).unwrap();
    assert!(matches!(&results[24], Ok(Outcome::Written(written)) if written.revision > 0));
    let error = db.batch(&[Op::delete("default", 1), Op::create("default", 2, "3")]).unwrap_err();
    assert_eq!((error.code(), error.operation()), (Some(ErrorCode::DocExists), Some(1)));
    let results = db.independent(&[Op::delete("default", 0), Op::delete("default", 0)]).unwrap();
    assert!(results[0].is_ok() && results[1].is_err());

    let mut scan = all.scan().page(10);
    assert_eq!(scan.next().unwrap().unwrap().id, Id::U64(1));
    assert_eq!(scan.map(|document| document.unwrap().id).max(), Some(Id::U64(24)));
    let some: Vec<Id> = all
        .scan_range(Id::U64(3)..Id::U64(6))
        .page(2)
        .map(|document| document.unwrap().id)
        .collect();
    assert_eq!(some, [Id::U64(3), Id::U64(4), Id::U64(5)]);

    let mut feed = db.changes(0);
    let seen: Vec<u64> = (0..26).map(|_| feed.next().unwrap().unwrap().lsn).collect();
    assert!(seen.is_sorted());
    assert_eq!(feed.poll(Duration::ZERO).unwrap(), None);
    let removed = all.delete(24).unwrap().revision;
    let Some(Change { event, lsn, .. }) = feed.poll(PATIENCE).unwrap() else {
        panic!("no change came")
    };
    assert_eq!((event, lsn), (Event::Deleted(Id::U64(24)), removed));

    let transaction = db.begin().unwrap();
    transaction.write(Op::update("default", 1, "2")).unwrap();
    transaction.write(Op::create("default", "new", "3")).unwrap();
    assert_eq!(transaction.get("default", "new").unwrap().unwrap().bytes, b"3");
    let seen = transaction.scan_range("default", ..).page(7).filter(|d| d.is_ok()).count();
    assert_eq!(seen, 24);
    assert_eq!(all.get("new").unwrap(), None);
    let written = transaction.commit().unwrap();
    assert_eq!(written[1].effect, Some(Effect::Created));
    assert_eq!(all.get("new").unwrap().unwrap().revision, written[1].revision);
    drop(db.begin().unwrap());
    assert_eq!(world.engine.transactions_open(), 0);
}

#[test]
fn operators_get_the_reports_that_the_socket_has() {
    let world = World::new();
    let client = client(&world);
    let db = client.database("default");
    db.collection("default").create(1, "{}").unwrap();
    assert_eq!(db.stats().unwrap()["documents"], 1);
    assert_eq!(client.stats().unwrap()["databases"]["default"]["depth"], 0);
    assert!(db.checkpoint().unwrap()["flushed"].as_u64().is_some_and(|flushed| flushed > 0));
    db.compact().unwrap();
    assert_eq!(db.heal("default", 1, HealAction::Heal).unwrap()["damaged"], false);
    let versions = db.heal("default", 1, HealAction::Versions).unwrap();
    let revision = versions["versions"][0]["revision"].as_u64().unwrap();
    assert!(db.heal("default", 1, HealAction::Accept(revision)).unwrap()["revision"].is_u64());
    assert_eq!(db.heal_all().unwrap()["complete"], true);
    assert_eq!(db.heal_stats().unwrap()["unrecoverable"], 0);
    assert_eq!(db.backup("first").unwrap()["collections"][0]["documents"], 1);
    let metrics = client.metrics(MetricsFormat::OpenMetrics).unwrap();
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
}
