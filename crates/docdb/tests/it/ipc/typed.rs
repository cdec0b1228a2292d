//! Every typed call of the client against the server.

use std::sync::Arc;
use std::time::Duration;

use client::wire::{Call, ExecuteMode};
use client::{
    Change, Connection, DropMode, Effect, ErrorCode, Event, HealAction, Id, MetricsFormat, Op,
    Options, Outcome,
};

use super::{PATIENCE, server};

#[test]
fn documents_are_made_read_changed_and_removed() {
    let server = server();
    let client = server.client();
    let books = client.create_database("shop").unwrap().create_collection("books").unwrap();
    let made = books.create(1, r#"{"title":  "Walden"}"#).unwrap();
    assert_eq!(made.effect, Some(Effect::Created));
    assert!(books.create(1, "{}").unwrap_err().is(ErrorCode::DocExists));
    let book = books.get(1).unwrap().unwrap();
    assert_eq!((book.revision, book.bytes), (made.revision, br#"{"title":  "Walden"}"#.to_vec()));
    assert_eq!(books.get("1").unwrap(), None);
    assert!(
        books.update_if(1, book.revision + 1, "1").unwrap_err().is(ErrorCode::RevisionMismatch)
    );
    books.update_if(1, book.revision, r#"{"a": 1}"#).unwrap();
    books.patch(1, r#"[{"op": "set", "path": "/b", "value": 2}]"#).unwrap();
    assert_eq!(books.get(1).unwrap().unwrap().bytes, br#"{"a": 1,"b":2}"#);
    assert!(books.upsert(1, "{").unwrap_err().is(ErrorCode::InvalidJson));
    assert!(books.upsert("a\nb", "1").unwrap_err().is(ErrorCode::InvalidId));
    books.upsert_for("short", "1", Duration::from_secs(3600)).unwrap();
    let expires = books.get("short").unwrap().unwrap().expires_at;
    assert!(expires.is_some_and(|at| at > 1_600_000_000_000), "{expires:?}");
    let past = Op::upsert("books", "gone", "1").expires_at(1);
    client.database("shop").write(past).unwrap();
    assert_eq!(books.get("gone").unwrap(), None);
    assert_eq!(books.delete(1).unwrap().effect, Some(Effect::Deleted));
    assert!(books.delete(1).unwrap_err().is(ErrorCode::DocNotFound));
    let elsewhere = client.database("shop").collection("none");
    assert!(elsewhere.get(1).unwrap_err().is(ErrorCode::CollectionNotFound));
    assert!(elsewhere.create(1, "1").unwrap_err().is(ErrorCode::CollectionNotFound));
}

#[test]
fn databases_and_collections_come_and_go() {
    let server = server();
    let client = server.client();
    assert!(client.open_database("a").unwrap_err().is(ErrorCode::DbNotFound));
    let a = client.create_database("a").unwrap();
    assert!(client.create_database("a").unwrap_err().is(ErrorCode::DbExists));
    client.open_or_create_database("a").unwrap();
    client.open_or_create_database("b").unwrap();
    assert!(client.create_database("../x").unwrap_err().is(ErrorCode::InvalidName));
    let names: Vec<String> =
        client.databases().unwrap().into_iter().map(|database| database.name).collect();
    assert_eq!(names, ["a", "b", "default"]);
    a.create_collection("c").unwrap().create(1, "1").unwrap();
    assert!(a.create_collection("c").unwrap_err().is(ErrorCode::CollectionExists));
    let names: Vec<String> =
        a.collections().unwrap().into_iter().map(|collection| collection.name).collect();
    assert_eq!(names, ["c", "default"]);
    let refused = a.drop_collection("c", DropMode::IfEmpty).unwrap_err();
    assert!(refused.is(ErrorCode::CollectionNotEmpty), "{refused}");
    a.drop_collection("c", DropMode::WithDocuments).unwrap();
    client.close_database("a").unwrap();
    assert_eq!(a.collections().unwrap().len(), 1);
    client.drop_database("b").unwrap();
    assert!(client.drop_database("b").unwrap_err().is(ErrorCode::DbNotFound));
    assert!(client.drop_database("default").unwrap_err().is(ErrorCode::Unsupported));
}

#[test]
fn a_batch_is_done_as_a_whole_and_independent_operations_are_not() {
    let server = server();
    let db = server.client().database("default");
    let ops = [
        Op::create("default", 1, "1"),
        Op::read("default", 1),
        Op::read("default", 9),
        Op::create("default", 2, "2"),
    ];
    let results = db.batch(&ops).unwrap();
    assert!(matches!(&results[1], Ok(Outcome::Found(document)) if document.bytes == b"1"));
    assert!(results[2].as_ref().unwrap_err().is(ErrorCode::DocNotFound));
    assert!(matches!(&results[3], Ok(Outcome::Written(_))));
    let error = db.batch(&[Op::delete("default", 1), Op::create("default", 2, "x")]).unwrap_err();
    assert_eq!(error.operation(), Some(1));
    let error = db.batch(&[Op::delete("default", 1), Op::create("default", 2, "3")]).unwrap_err();
    assert!(error.is(ErrorCode::DocExists) && error.operation() == Some(1), "{error}");
    let error = db.batch(&[Op::read("none", 1)]).unwrap_err();
    assert!(error.is(ErrorCode::CollectionNotFound), "{error}");
    let ops = [
        Op::delete("default", 1),
        Op::create("default", 2, "3"),
        Op::upsert("default", "", "4"),
        Op::upsert("default", 3, "5"),
        Op::read("default", 3),
    ];
    let results = db.independent(&ops).unwrap();
    assert!(results[0].is_ok() && results[3].is_ok());
    assert!(results[1].as_ref().unwrap_err().is(ErrorCode::DocExists));
    assert!(results[2].as_ref().unwrap_err().is(ErrorCode::InvalidId));
    assert_eq!(db.independent(&[]).unwrap(), []);
}

#[test]
fn scans_show_one_position_and_feeds_every_change() {
    let server = server();
    let db = server.client().database("default");
    let all = db.collection("default");
    for id in 0..25_u64 {
        all.upsert(id, id.to_string()).unwrap();
    }
    let mut scan = all.scan().page(10);
    assert_eq!(scan.next().unwrap().unwrap().id, Id::U64(0));
    all.upsert(100, "100").unwrap();
    assert_eq!(scan.map(|document| document.unwrap().id).max(), Some(Id::U64(24)));
    let some: Vec<Id> = all
        .scan_range(Id::U64(3)..Id::U64(6))
        .page(2)
        .map(|document| document.unwrap().id)
        .collect();
    assert_eq!(some, [Id::U64(3), Id::U64(4), Id::U64(5)]);

    let mut feed = db.changes(0);
    let seen = (0..26).map(|_| feed.next().unwrap().unwrap());
    assert!(seen.map(|change| change.lsn).is_sorted());
    assert_eq!(feed.poll(Duration::ZERO).unwrap(), None);
    // Somebody writes while the feed waits.
    let writer = server.client().database("default").collection("default");
    let writing = std::thread::Builder::new().spawn(move || writer.delete(100).unwrap()).unwrap();
    let Some(Change { event, lsn, .. }) = feed.poll(PATIENCE).unwrap() else {
        panic!("no change came")
    };
    assert_eq!(event, Event::Deleted(Id::U64(100)));
    assert_eq!(lsn, writing.join().unwrap().revision);
}

#[test]
fn documents_larger_than_a_page_still_come() {
    let server = server();
    let db = server.client().database("default");
    let large = format!("\"{}\"", "x".repeat(15 << 20));
    for id in 0..3_u64 {
        db.collection("default").upsert(id, &large).unwrap();
    }
    assert_eq!(
        db.collection("default").scan().map(|d| d.unwrap().bytes.len()).sum::<usize>(),
        3 * large.len()
    );
    let mut feed = db.changes(0);
    for _ in 0..3 {
        assert!(matches!(feed.next(), Some(Ok(Change { event: Event::Put(_), .. }))));
    }
    let transaction = db.begin().unwrap();
    assert_eq!(transaction.scan_range("default", ..).filter(|d| d.is_ok()).count(), 3);
    let too_much = db.batch(&[Op::read("default", 0), Op::read("default", 1)]).unwrap_err();
    assert!(too_much.is(ErrorCode::PayloadTooLarge), "{too_much}");
}

#[test]
fn transactions_see_their_own_writes_and_notice_those_of_others() {
    let server = server();
    let client = server.client();
    let db = client.database("default");
    db.collection("default").create(1, "1").unwrap();
    let transaction = db.begin().unwrap();
    assert_eq!(transaction.get("default", 1).unwrap().unwrap().bytes, b"1");
    transaction.write(Op::update("default", 1, "2")).unwrap();
    assert!(transaction.write(Op::create("default", 1, "3")).unwrap_err().is(ErrorCode::DocExists));
    for id in 10..20_u64 {
        transaction.write(Op::create("default", id, "0")).unwrap();
    }
    let ids: Vec<Id> = transaction
        .scan_range("default", ..)
        .page(4)
        .map(|document| document.unwrap().id)
        .collect();
    assert_eq!(ids.len(), 11);
    assert!(ids.is_sorted());
    assert_eq!(db.collection("default").get(1).unwrap().unwrap().bytes, b"1");
    let written = transaction.commit().unwrap();
    assert_eq!(written.len(), 11);
    let found = db.collection("default").get(1).unwrap().unwrap();
    assert_eq!((found.revision, found.bytes.as_slice()), (written[0].revision, &b"2"[..]));

    let late = db.begin().unwrap();
    late.get("default", 1).unwrap();
    db.collection("default").update(1, "4").unwrap();
    late.write(Op::update("default", 1, "5")).unwrap();
    let conflict = late.commit().unwrap_err();
    assert!(conflict.is(ErrorCode::TxnConflict) && conflict.is_retryable(), "{conflict}");
}

#[test]
fn operators_get_their_reports() {
    let server = server();
    let client = server.client();
    let db = client.database("default");
    db.collection("default").create(1, "{}").unwrap();
    client.ping().unwrap();
    assert_eq!(db.stats().unwrap()["documents"], 1);
    assert_eq!(client.stats().unwrap()["databases"]["default"]["status"], "ok");
    assert!(db.checkpoint().unwrap()["flushed"].as_u64().is_some_and(|flushed| flushed > 0));
    // From disk now.
    assert!(db.collection("default").get(1).unwrap().is_some());
    assert!(db.compact().unwrap()["compacted_files"].is_array());
    assert_eq!(db.heal("default", 1, HealAction::Heal).unwrap()["damaged"], false);
    let versions = db.heal("default", 1, HealAction::Versions).unwrap();
    let revision = versions["versions"][0]["revision"].as_u64().unwrap();
    let accepted = db.heal("default", 1, HealAction::Accept(revision)).unwrap();
    assert!(accepted["revision"].as_u64().is_some_and(|accepted| accepted > revision));
    assert_eq!(db.heal_all().unwrap()["complete"], true);
    assert_eq!(db.heal_stats().unwrap()["unrecoverable"], 0);
    let valid = db.validate().unwrap();
    assert_eq!((&valid["documents"], &valid["unsound"]), (&1.into(), &0.into()));
    let backup = db.backup("first").unwrap();
    assert_eq!(backup["collections"][0]["documents"], 1);
    assert!(db.backup("../first").unwrap_err().is(ErrorCode::InvalidName));
    for format in [MetricsFormat::Prometheus, MetricsFormat::OpenMetrics] {
        let metrics = client.metrics(format).unwrap();
        assert!(metrics.contains("docdb_ipc_requests_total "), "{metrics}");
        assert!(metrics.contains("docdb_operations_total{operation=\"heal\",status=\"ok\"} 4"));
    }
}

#[test]
fn what_the_server_does_not_do_yet_is_refused_as_such() {
    let server = server();
    let connection = Connection::connect(&server.path, &Options::new()).unwrap();
    let opened = connection
        .call(0, 0, Call::OpenDb { name: "default", mode: client::wire::OpenMode::Existing })
        .unwrap();
    let Ok(client::wire::Answer::Opened { database, .. }) = opened.answer() else {
        panic!("{opened:?}")
    };
    let query = r#"{"collection":"default","query":{}}"#;
    for call in [Call::Query(query), Call::Explain(query)] {
        let error = connection.call(database, 7, call.clone()).unwrap().answer().unwrap_err();
        assert!(error.is(ErrorCode::Unsupported), "{error}");
        assert!(connection.call(database, 0, call).unwrap().answer().is_ok());
    }
    for call in [Call::Query("{}"), Call::Explain("{}"), Call::Schema("{}")] {
        let error = connection.call(database, 0, call).unwrap().answer().unwrap_err();
        assert!(error.is(ErrorCode::InvalidQuery), "{error}");
    }
    let search = Call::Logs("{\"op\":\"search\"}");
    let error = connection.call(0, 0, search).unwrap().answer().unwrap_err();
    assert!(error.is(ErrorCode::Unsupported), "{error}");
    for (number, transaction, code) in [
        (0, 0, ErrorCode::DbNotOpen),
        (7, 0, ErrorCode::DbNotOpen),
        (database, 7, ErrorCode::TxnNotFound),
    ] {
        let ops = vec![Op::read("default", 1)].into();
        let call = Call::Execute { ops, mode: ExecuteMode::Atomic };
        let error = connection.call(number, transaction, call).unwrap().answer().unwrap_err();
        assert!(error.is(code), "{error}");
    }
}

#[test]
fn writes_of_a_connection_take_effect_in_the_order_sent() {
    let server = server();
    let connection = Connection::connect(&server.path, &Options::new()).unwrap();
    let opened = connection
        .call(0, 0, Call::OpenDb { name: "default", mode: client::wire::OpenMode::Existing })
        .unwrap();
    let Ok(client::wire::Answer::Opened { database, .. }) = opened.answer() else {
        panic!("{opened:?}")
    };
    let values: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    let tickets: Vec<_> = values
        .iter()
        .map(|value| {
            let ops = vec![Op::upsert("default", 1, value)].into();
            let call = Call::Execute { ops, mode: ExecuteMode::Atomic };
            connection.queue(database, 0, call).unwrap()
        })
        .collect();
    let revisions: Vec<u64> = tickets
        .into_iter()
        .map(|ticket| match ticket.wait_for(PATIENCE).unwrap().answer() {
            Ok(client::wire::Answer::Executed(executed)) => executed.lsn,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(revisions.is_sorted_by(|a, b| a < b));
    let found = server.client().database("default").collection("default").get(1).unwrap();
    assert_eq!(found.unwrap().bytes, b"499");
}

#[test]
fn threads_that_share_a_client_all_get_their_writes_acknowledged() {
    let server = server();
    let client = Arc::new(server.client());
    let threads: Vec<_> = (0..8_u64)
        .map(|thread| {
            let all = client.database("default").collection("default");
            let work = move || {
                for n in 0..50 {
                    all.create(thread * 1000 + n, "{}").unwrap();
                    assert!(all.get(thread * 1000 + n).unwrap().is_some());
                }
            };
            std::thread::Builder::new().spawn(work).unwrap()
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(client.database("default").stats().unwrap()["documents"], 400);
}
